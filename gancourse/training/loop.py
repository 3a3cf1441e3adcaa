"""`fit`: Algorithm 1 from start to end, with progress, checkpoints and resumption around the steps."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from torch import nn
from tqdm import tqdm

from gancourse.data.images import ImageData
from gancourse.losses import GANLoss
from gancourse.training import checkpoint
from gancourse.training.checkpoint import CheckpointError
from gancourse.training.config import HISTORY, Run, TrainConfig, check_same_run
from gancourse.training.steps import Penalty
from gancourse.training.trainer import Trainer


def fit(
    G: nn.Module,
    D: nn.Module,
    data: ImageData,
    *,
    loss: GANLoss,
    penalty: Penalty | None = None,
    config: TrainConfig,
    checkpoint_dir: str | Path | None = None,
    resume: bool = True,
    progress: bool = True,
) -> Run:
    """Train G: z (N, Z) to images (N, C, H, W) against D: images to logits (N,), in place, and return the Run.

    With a `checkpoint_dir` the same call after an interruption goes on, bit for bit on a CPU; a finished run is
    returned, not repeated; more `steps` extend it; any other difference in nets, data or config is refused by
    name (CheckpointError). Ctrl-C saves and returns what there is. Raises TrainingDiverged when a loss is
    not finite; the last checkpoint stays. Without a `checkpoint_dir` nothing is written.
    """
    trainer = Trainer(G, D, data, loss, penalty, config)
    directory = None if checkpoint_dir is None else Path(checkpoint_dir)
    if directory is not None and resume:
        _resume(trainer, directory)
    reused = trainer.step
    try:
        _train(trainer, directory, progress)
    except KeyboardInterrupt:
        _save(trainer, directory)
        tqdm.write(f"stopped at step {trainer.step} of {config.steps}; the same call goes on from here")
    run = _run(trainer, reused)
    _log(run, directory)
    return run


def _train(trainer: Trainer, directory: Path | None, progress: bool) -> None:
    config = trainer.config
    unit = {"unit": "image", "unit_scale": config.batch_size, "mininterval": 1.0, "disable": not progress}
    with tqdm(total=config.steps, initial=trainer.step, **unit) as bar:
        while trainer.step < config.steps:
            since, started = trainer.step, time.perf_counter()
            for _ in range(_until_next_stop(trainer)):
                trainer.advance()
                bar.update()
            trainer.check_finite(since)
            trainer.seconds += time.perf_counter() - started
            if trainer.step in config.snapshots:
                _snapshot(trainer, directory)
            _save(trainer, directory)


def _until_next_stop(trainer: Trainer) -> int:
    """Return the number of steps to the next checkpoint, snapshot or end."""
    step, config = trainer.step, trainer.config
    every = config.checkpoint_every
    stops = [config.steps, (step // every + 1) * every, *config.snapshots]
    return min(stop for stop in stops if stop > step) - step


def _snapshot(trainer: Trainer, directory: Path | None) -> None:
    trainer.snapshots[trainer.step] = trainer.nets()
    if directory is not None:
        checkpoint.save(_snapshot_path(directory, trainer.step), trainer.snapshots[trainer.step], trainer.facts())


def _snapshot_path(directory: Path, step: int) -> Path:
    return directory / f"step-{step:07d}.safetensors"


def _save(trainer: Trainer, directory: Path | None) -> None:
    if directory is not None:
        checkpoint.save(directory / "last.safetensors", trainer.tensors(), trainer.facts())


def _resume(trainer: Trainer, directory: Path) -> None:
    path = checkpoint.find(directory)
    if path is None:
        return
    tensors, facts = checkpoint.load(path)
    check_same_run(path, facts["identity"], trainer.identity)
    if facts["step"] > trainer.config.steps:
        raise CheckpointError(
            f"{path} is at step {facts['step']}, beyond the {trainer.config.steps} steps asked for; "
            "ask for as many or more, or give a checkpoint_dir of its own"
        )
    trainer.restore(tensors, facts)
    for step in trainer.config.snapshots:
        if step <= trainer.step:
            trainer.snapshots[step] = checkpoint.load(_snapshot_path(directory, step))[0]


def _run(trainer: Trainer, reused: int) -> Run:
    values = trainer.history[:, : trainer.step].cpu()
    history = dict(zip(HISTORY, values, strict=True))
    ema = None if trainer.ema is None else trainer.ema.module
    origin = trainer.facts()["origin"]
    return Run(trainer.G, trainer.D, ema, history, trainer.step, reused, trainer.origin or origin, trainer.snapshots)


def _log(run: Run, directory: Path | None) -> None:
    """Tell the notebook's stamp about a run that has a directory, where one is listening."""
    listener = os.environ.get("GANCOURSE_RUN_LOG")
    if listener and directory is not None:
        facts = {"run": str(directory), "steps": run.step, "steps_reused": run.reused, **run.origin}
        with open(listener, "a") as file:
            file.write(json.dumps(facts) + "\n")
