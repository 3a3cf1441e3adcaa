"""What makes a run the one that it is: two calls of `fit` that agree in it may continue each other."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from gancourse.training.checkpoint import CheckpointError
from gancourse.training.config import TrainConfig

# A run may be extended, and saved as often as one likes.
_NOT_IDENTITY = ("steps", "snapshots", "checkpoint_every")


def identity(
    G: nn.Module,
    D: nn.Module,
    config: TrainConfig,
    *,
    data: str,
    loss: str,
    **functions: Callable[..., Any] | None,
) -> dict[str, Any]:
    """Return the facts of a run as JSON holds them; functions are known by their names and arguments."""
    facts = json.loads(json.dumps(dataclasses.asdict(config)))  # as JSON gives it back
    facts = {name: value for name, value in facts.items() if name not in _NOT_IDENTITY}
    named = {name: None if function is None else _name(function) for name, function in functions.items()}
    return facts | {"G": _digest(G), "D": _digest(D), "data": data, "loss": loss} | named


def check_same_run(path: object, stored: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Raise CheckpointError that names every fact in which a stored run differs from the one asked for.

    A fact that a run was stored without had, at that time, the value that is now its default.
    """
    known = _defaults() | stored
    differing = [
        f"{n}: stored {known.get(n)!r}, asked {wanted.get(n)!r}"
        for n in sorted(set(stored) | set(wanted))
        if known.get(n) != wanted.get(n)
    ]
    if differing:
        raise CheckpointError(
            f"{path} holds another run ({'; '.join(differing)}); give this one a checkpoint_dir of its own, "
            "or pass resume=False to start over"
        )


def _defaults() -> dict[str, Any]:
    fields = dataclasses.fields(TrainConfig)
    return {f.name: f.default for f in fields if f.default is not dataclasses.MISSING and f.name != "betas"}


def _name(function: Callable[..., Any]) -> str:
    """Name a function with the arguments that `partial` gave it, without addresses in memory."""
    if isinstance(function, partial):
        given = [*map(repr, function.args), *(f"{k}={v!r}" for k, v in sorted(function.keywords.items()))]
        return f"{_name(function.func)}({', '.join(given)})"
    return str(getattr(function, "__qualname__", type(function).__qualname__))


def _digest(net: nn.Module) -> str:
    """Return a name for a net's structure and initial weights."""
    digest = hashlib.sha256(repr(net).encode())
    for name, value in net.state_dict().items():
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
