"""The training of the assignment: calls the student's step, draws grids, keeps checkpoints, can go on."""

import random
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from tqdm import tqdm

from gancourse.assignment.fingerprint import fingerprint
from gancourse.assignment.grids import as_picture, numbers
from gancourse.notebook import note_run, origin
from gancourse.training import TrainingDiverged, checkpoint
from gancourse.training.checkpoint import under_prefix, with_prefix

Step = Callable[[nn.Module, nn.Module, Optimizer, Optimizer, Tensor], Any]
KEPT = 12  # versions of the student's code whose checkpoints stay


@dataclass
class Training:
    """A training as far as it went; `train` makes it.

    `losses` holds the means (d_loss, g_loss) of each epoch, `grids` the pictures (C, H, W), uint8, by
    epoch, in ascending order.
    """

    G: nn.Module
    D: nn.Module
    losses: list[tuple[float, float]]
    grids: dict[int, Tensor]
    steps: int = 0
    seconds: float = 0.0

    @property
    def epochs(self) -> int:
        """The number of epochs that are done."""
        return len(self.losses)

    def picture(self, epoch: int) -> Tensor:
        """Return the picture (C, H, W) of an epoch, in [-1, 1]."""
        return self.grids[epoch] / 127.5 - 1


def train(
    step: Step,
    G: nn.Module,
    D: nn.Module,
    opt_g: Optimizer,
    opt_d: Optimizer,
    batches: Callable[[], Iterable[Tensor]],
    *,
    epochs: int,
    render: Callable[[nn.Module], Tensor],
    every: int = 5,
    checkpoint_dir: str | Path | None = None,
) -> Training:
    """Call `step(G, D, opt_g, opt_d, real)` with each batch (N, 1, 28, 28) of `batches()`, epoch by epoch.

    Before the first epoch and after `every` of them `render(G)` draws a picture (C, H, W) in [-1, 1]. G, D
    and the optimizers are changed in place. Random numbers follow from the epoch's number. With a
    `checkpoint_dir` everything is saved after each epoch: the same call after an interruption goes on where
    the last epoch ended, more `epochs` extend a run, a finished one is returned. Code that changed trains
    anew, in a folder of its own; the folders of the last twelve versions stay. Raises TypeError for a step
    that does not return (d_loss, g_loss), ValueError for an epoch without batches, TrainingDiverged for
    losses that are not finite; the last checkpoint stays.
    """
    run = Training(G, D, [], {})
    code = fingerprint(step, batches, render, type(G), type(D), _settings(opt_g, opt_d))
    folder = None if checkpoint_dir is None else Path(checkpoint_dir) / code[:12]
    parts = {"G": G, "D": D, "opt_g": opt_g, "opt_d": opt_d}
    made = _resume(run, parts, folder) if folder else {}
    reused = run.steps
    if not run.grids:
        _draw(run, render, 0)
    known = f"{run.epochs} of {epochs} epochs are there already" if run.epochs else None
    with tqdm(desc=known, unit="step", initial=run.steps, mininterval=1.0) as bar:
        while run.epochs < epochs:
            if run.epochs:
                bar.total = run.steps // run.epochs * epochs
            _epoch(run, step, (opt_g, opt_d), batches, bar, folder is not None)
            if run.epochs % every == 0 or run.epochs == epochs:
                _draw(run, render, run.epochs)
            made = {} if folder is None else _save(run, parts, folder)
    if folder:
        note_run(Path(checkpoint_dir or "."), run.steps, reused, made)
    return run


def _epoch(
    run: Training,
    step: Step,
    optimizers: tuple[Optimizer, Optimizer],
    batches: Callable[[], Iterable[Tensor]],
    bar: Any,
    kept: bool,
) -> None:
    number, began, losses = run.epochs + 1, time.perf_counter(), []
    torch.manual_seed(number)
    np.random.seed(number)  # noqa: NPY002 - what student code draws from
    random.seed(number)
    try:
        for real in batches():
            losses.append(_pair(step(run.G, run.D, *optimizers, real)))
            bar.update()
    except KeyboardInterrupt as stop:
        done = f"the {run.epochs} before are kept" if kept else "nothing is kept without a checkpoint_dir"
        stop.add_note(f"stopped in epoch {number}; run this cell again to go on with it, {done}")
        raise
    if not losses:
        raise ValueError("expected batches() to give the batches of an epoch, got none")
    d_loss, g_loss = torch.stack(losses).mean(dim=0).tolist()
    if not np.isfinite([d_loss, g_loss]).all():
        raise TrainingDiverged(
            f"in epoch {number} D's loss is {d_loss:g} and G's {g_loss:g}; look for log(0), division by 0, "
            "and at what check_losses and check_training_step say"
        )
    run.losses.append((d_loss, g_loss))
    run.steps += len(losses)
    run.seconds += time.perf_counter() - began


def _pair(given: Any) -> Tensor:
    """Return the losses (2,) of a step, detached, where they are: a GPU is not waited for."""
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise TypeError(f"expected step to return (d_loss, g_loss), got {type(given).__name__}")
    return torch.stack([torch.as_tensor(loss).detach().float().reshape(()) for loss in given])


def _draw(run: Training, render: Callable[[nn.Module], Tensor], epoch: int) -> None:
    values = numbers(render(run.G))
    picture = None if values is None else as_picture(values)[0]
    if picture is None:
        raise TypeError("expected render to return a picture (C, H, W); check_progress says more")
    low, high = picture.aminmax()
    if high > 1:  # bytes
        picture = picture / 127.5 - 1
    elif low >= 0:  # [0, 1]
        picture = picture * 2 - 1
    run.grids[epoch] = ((picture.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).contiguous()


def _device(net: nn.Module) -> torch.device | None:
    return next((weight.device for weight in net.parameters()), None)


def _settings(*optimizers: Optimizer) -> list[dict[str, Any]]:
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    return [{name: value for name, value in group.items() if name != "params"} for group in groups]


def _save(run: Training, parts: dict[str, Any], folder: Path) -> dict[str, Any]:
    tensors = {f"grid.{epoch}": picture for epoch, picture in run.grids.items()}
    for name, part in parts.items():
        held = checkpoint.optimizer_tensors(part) if isinstance(part, Optimizer) else part.state_dict()
        tensors |= with_prefix(name, held)
    made = origin(run.seconds, _device(run.G))
    facts = {"losses": run.losses, "steps": run.steps, "seconds": run.seconds, "origin": made}
    checkpoint.save(folder / "last.safetensors", tensors, facts)
    others = [path for path in folder.parent.iterdir() if path.is_dir() and path != folder]
    for old in sorted(others, key=lambda path: path.stat().st_mtime, reverse=True)[KEPT - 1 :]:
        shutil.rmtree(old, ignore_errors=True)
    return made


def _resume(run: Training, parts: dict[str, Any], folder: Path) -> dict[str, Any]:
    path = checkpoint.find(folder)
    if path is None:
        return {}
    tensors, facts = checkpoint.load(path)
    for name, part in parts.items():
        held = under_prefix(name, tensors)
        checkpoint.load_optimizer(part, held) if isinstance(part, Optimizer) else part.load_state_dict(held)
    run.losses = [(d_loss, g_loss) for d_loss, g_loss in facts["losses"]]
    grids = under_prefix("grid", tensors)  # in the order of text: 10 before 5
    run.grids = {epoch: grids[str(epoch)] for epoch in sorted(map(int, grids))}
    run.steps, run.seconds = facts["steps"], facts["seconds"]
    return dict(facts["origin"])
