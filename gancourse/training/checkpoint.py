"""Checkpoints: one safetensors file with JSON in its header; no pickle, written atomically, previous kept."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

Facts = dict[str, Any]

SECONDS_UNTIL_LEFT_BEHIND = 3600.0  # no checkpoint takes an hour to write


class CheckpointError(RuntimeError):
    """A checkpoint cannot be read, or belongs to another run."""


def save(path: Path, tensors: dict[str, Tensor], facts: Facts) -> None:
    """Write tensors and JSON facts to `path` atomically; what was there becomes `PATH.previous`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    on_cpu = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    try:
        save_file(on_cpu, temporary, metadata={"facts": json.dumps(facts)})
        with temporary.open("rb") as written:  # the bytes must be on disk before the name points to them
            os.fsync(written.fileno())
        if path.exists():
            os.replace(path, previous(path))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    for left in path.parent.glob(f"{path.name}.*.tmp"):  # by a process that was killed while it wrote
        if time.time() - left.stat().st_mtime > SECONDS_UNTIL_LEFT_BEHIND:
            left.unlink(missing_ok=True)


def previous(path: Path) -> Path:
    """Return where `save` keeps the checkpoint before the last."""
    return path.with_name(path.name + ".previous")


def load(path: Path) -> tuple[dict[str, Tensor], Facts]:
    """Return the tensors and facts of a checkpoint. Raises CheckpointError naming the file and the fault."""
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads(file.metadata()["facts"])
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118 (not a dict)
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        advice = f" to go on from {previous(path).name}" if previous(path).exists() else " to start over"
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint ({error}); remove it{advice}"
        ) from error


def find(directory: Path) -> Path | None:
    """Return a run's newest checkpoint: the last, or the one before where an interruption fell between."""
    path = directory / "last.safetensors"
    return next((p for p in (path, previous(path)) if p.exists()), None)


def with_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with `prefix.` before each name."""
    return {f"{prefix}.{name}": value for name, value in tensors.items()}


def under_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names start with `prefix.`, without it."""
    return {n.removeprefix(prefix + "."): t for n, t in tensors.items() if n.startswith(prefix + ".")}


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return an optimizer's state as tensors named `index.entry`."""
    state = optimizer.state_dict()["state"]
    return {f"{i}.{k}": torch.as_tensor(v) for i, entries in state.items() for k, v in entries.items()}


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Restore what `optimizer_tensors` returned into an optimizer over the same parameters."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, entry = name.split(".", 1)
        parameter = parameters[int(index)]
        if value.shape == parameter.shape:
            # A fused optimizer walks memory: its state must lie as the weights do.
            value = torch.empty_like(parameter).copy_(value)
        state.setdefault(int(index), {})[entry] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
