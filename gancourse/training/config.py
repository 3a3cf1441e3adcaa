"""The facts of a run, and what a run gives back."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from gancourse.training.checkpoint import CheckpointError, under_prefix

Precision = Literal["float32", "bfloat16"]
HISTORY = ("d_loss", "g_loss", "d_real", "d_fake", "d_fake_after")


@dataclass(frozen=True)
class TrainConfig:
    """A run's facts. `steps` counts updates of G, each preceded by `d_steps` of D; lr and betas are Adam's.

    `ema_half_life` is in images (0 keeps no average). `precision` "bfloat16" runs the nets' forward passes
    under autocast; weights and losses stay float32. `snapshots` are steps after which the nets are kept.
    Raises ValueError for counts below 1 and snapshots that no step reaches.
    """

    steps: int
    batch_size: int = 64
    seed: int = 0
    d_steps: int = 1
    lr_g: float = 2e-4
    lr_d: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    ema_half_life: float = 0.0
    precision: Precision = "float32"
    snapshots: tuple[int, ...] = ()
    checkpoint_every: int = 500

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "d_steps", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} of at least 1, got {getattr(self, name)}")
        if any(not 1 <= step <= self.steps for step in self.snapshots):
            raise ValueError(f"expected snapshots from 1 to {self.steps} (steps), got {self.snapshots}")
        if self.precision not in ("float32", "bfloat16"):
            raise ValueError(f'expected precision "float32" or "bfloat16", got {self.precision!r}')


class Nets(NamedTuple):
    """The two players and the moving average of G (None where none was kept)."""

    G: nn.Module
    D: nn.Module
    ema: nn.Module | None


@dataclass(frozen=True)
class Run:
    """A trained pair. `history` maps each of d_loss, g_loss, d_real, d_fake, d_fake_after to values (steps,).

    d_real and d_fake are the batch means of D(x) and D(G(z)) before D's update, d_fake_after that of D(G(z))
    after it and before G's. `step` is how far training came, `origin` the device, date and seconds of it,
    `reused` the steps that a checkpoint spared this call.
    """

    G: nn.Module
    D: nn.Module
    ema: nn.Module | None
    history: dict[str, Tensor]
    step: int
    reused: int
    origin: dict[str, Any]
    snapshots: dict[int, dict[str, Tensor]]

    def at(self, step: int) -> Nets:
        """Return copies of the nets as they were after `step`, one of the config's snapshots."""
        if step not in self.snapshots:
            raise ValueError(f"no snapshot at step {step}; the run kept {sorted(self.snapshots)}")
        tensors = self.snapshots[step]
        nets = Nets(copy.deepcopy(self.G), copy.deepcopy(self.D), copy.deepcopy(self.ema))
        for name, net in nets._asdict().items():
            if net is not None:
                net.load_state_dict(under_prefix(name, tensors))
        return nets


def preferred_precision(device: torch.device | str) -> Precision:
    """Return "bfloat16" where the device computes in it natively, about twice as fast, else "float32"."""
    if torch.device(device).type == "cuda":
        native = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
        native = bool(capabilities.get("avx512_bf16", False))
    return "bfloat16" if native else "float32"


def check_same_run(path: object, stored: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Raise CheckpointError that names every fact in which a stored run differs from the one asked for."""
    names = sorted(set(stored) | set(wanted))
    differing = [
        f"{n}: stored {stored.get(n)!r}, asked {wanted.get(n)!r}"
        for n in names
        if stored.get(n) != wanted.get(n)
    ]
    if differing:
        raise CheckpointError(
            f"{path} holds another run ({'; '.join(differing)}); give this one a checkpoint_dir of its own, "
            "or pass resume=False to start over"
        )
