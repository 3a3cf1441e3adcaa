"""`fit`: Algorithm 1 from start to end, with progress, checkpoints and resumption around the steps."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import overload

import torch
from torch import Tensor, nn
from tqdm import tqdm

from gancourse.data.loaders import Data, DeviceLoader
from gancourse.distributed import any_rank, rank, world_size
from gancourse.losses import GANLoss
from gancourse.notebook import note_run
from gancourse.training import checkpoint
from gancourse.training.checkpoint import CheckpointError
from gancourse.training.config import HISTORY, Run, TrainConfig
from gancourse.training.identity import check_same_run
from gancourse.training.players import check_kinds
from gancourse.training.seeds import SeedsTrainer
from gancourse.training.speed import Speed
from gancourse.training.stacked import check_seeds
from gancourse.training.steps import Penalty
from gancourse.training.trainer import BeforeStep, Trainer, TrainingDiverged


@overload
def fit(
    G: nn.Module, D: nn.Module, data: Data | DeviceLoader, *, loss: GANLoss, penalty: Penalty | None = None,
    g_penalty: Penalty | None = None, config: TrainConfig, before_step: BeforeStep | None = None,
    checkpoint_dir: str | Path | None = None, resume: bool = True, progress: bool = True, seeds: None = None,
    speed: Speed | None = None,
) -> Run: ...  # fmt: skip
@overload
def fit(
    G: Sequence[nn.Module], D: Sequence[nn.Module], data: Data, *, loss: GANLoss,
    penalty: Penalty | None = None, g_penalty: Penalty | None = None, config: TrainConfig,
    before_step: BeforeStep | None = None, checkpoint_dir: str | Path | None = None, resume: bool = True,
    progress: bool = True, seeds: Sequence[int], speed: Speed | None = None,
) -> list[Run]: ...  # fmt: skip
def fit(
    G: nn.Module | Sequence[nn.Module],
    D: nn.Module | Sequence[nn.Module],
    data: Data | DeviceLoader,
    *,
    loss: GANLoss,
    penalty: Penalty | None = None,
    g_penalty: Penalty | None = None,
    config: TrainConfig,
    before_step: BeforeStep | None = None,
    checkpoint_dir: str | Path | None = None,
    resume: bool = True,
    progress: bool = True,
    seeds: Sequence[int] | None = None,
    speed: Speed | None = None,
) -> Run | list[Run]:
    """Train G: z (N, Z) to samples (N, ...) against D: samples to logits (N,), in place; return the Run.

    `data` is a Mixture, ImageData, a tensor (N, ...) or a DeviceLoader. `penalty` is added to D's loss,
    `g_penalty` to G's; `before_step(step, G, D)` is called before each step, to let a net grow, say.

    With a `checkpoint_dir` the same call after an interruption goes on, bit for bit on a CPU; a finished run
    is returned, not repeated; more `steps` extend it; any other difference in nets, data or config is refused
    by name (CheckpointError); functions are known by their names. Ctrl-C ends the step, saves and returns
    what there is; a second one does not wait. Raises TrainingDiverged when a loss or a weight is not finite;
    the last checkpoint stays. Without a `checkpoint_dir` nothing is written. torch's global RNG is seeded by
    the config's seed inside, and is outside as it was before. Raises ValueError where nets, data and config
    do not fit each other, TypeError where one of them is of another kind.

    `speed` says how the steps are computed, not what (`Speed()`): it may differ between calls that continue
    each other.

    With `seeds`, G and D are lists of nets, one pair for each seed, alike in all but their weights. They are
    trained at once, which saves time where a net is too small to fill the device. A list of Runs comes back,
    each what its seed alone would have given: the same draws of data, z and noise, and the same steps up to
    rounding; the config's own seed plays no part. The Runs share one checkpoint and one `origin`.
    `before_step` gets all nets in one module each, a `Stacked`, whose `net` has parameters (S, ...); one seed
    that diverges ends all. A loss or penalty of one's own differentiates with torch.func.grad inside and
    draws with `gancourse.penalties.uniform`. Raises ValueError for what cannot be trained so: dropout and
    other draws of the nets themselves, conditional nets, bfloat16, several processes.
    """
    if seeds is None:
        check_kinds(G, D, loss, config)
        assert isinstance(G, nn.Module)
        assert isinstance(D, nn.Module)
        trainer = Trainer(G, D, data, loss, penalty, config, g_penalty, before_step, speed)
        return _run(trainer, checkpoint_dir, resume, progress)
    pairs = check_seeds(G, D, data, loss, config, seeds)
    options = {"g_penalty": g_penalty, "before_step": before_step, "speed": speed}
    together = SeedsTrainer(*pairs, data, loss, penalty, config, seeds=seeds, **options)
    return together.split(_run(together, checkpoint_dir, resume, progress))


def _run(trainer: Trainer, checkpoint_dir: str | Path | None, resume: bool, progress: bool) -> Run:
    directory = None if checkpoint_dir is None else Path(checkpoint_dir)
    gpus = [trainer.device] if trainer.device.type == "cuda" else []
    with torch.random.fork_rng(gpus), _told_of_the_checkpoint(directory), trainer.speed.in_use():
        trainer.seed_global()
        if directory is not None and resume:
            _resume(trainer, directory)
        reused = trainer.step
        _train(trainer, directory, progress)
    run = _ended(trainer, reused)
    _log(run, directory)
    return run


@contextmanager
def _told_of_the_checkpoint(directory: Path | None) -> Iterator[None]:
    """Add to an error that ends a run where its last checkpoint is."""
    try:
        yield
    except CheckpointError:
        raise
    except RuntimeError as error:
        if world_size() > 1 and not isinstance(error, TrainingDiverged):
            error.add_note("another process of this run may have ended; start all of them again to go on")
        if directory is not None and (last := checkpoint.find(directory)):
            error.add_note(f"the last checkpoint is {last}, at step {checkpoint.load(last)[1]['step']}")
        raise


def _train(trainer: Trainer, directory: Path | None, progress: bool) -> None:
    config = trainer.config
    unit = {"unit": "image", "unit_scale": config.batch_size, "mininterval": 1.0}
    if not progress or rank() > 0:  # else TQDM_DISABLE decides
        unit["disable"] = True
    with _held_interrupt() as interrupted, tqdm(total=config.steps, initial=trainer.step, **unit) as bar:
        while trainer.step < config.steps and not any_rank(interrupted(), trainer.device):
            started = time.perf_counter()
            for _ in range(_until_next_stop(trainer)):
                _advance(trainer)
                bar.update()
                if interrupted() and world_size() == 1:  # several processes stop together, at the next save
                    break
            trainer.share()
            trainer.check_losses()
            trainer.check_weights()
            trainer.seconds += time.perf_counter() - started
            if trainer.step in config.snapshots:
                _snapshot(trainer, directory)
            _save(trainer, directory)
    if interrupted():
        kept = "" if directory is None else "; the same call goes on from here"
        tqdm.write(f"stopped at step {trainer.step} of {config.steps}{kept}")


def _advance(trainer: Trainer) -> None:
    """Take a step; look at its losses at once where that costs no waiting for a GPU or for others."""
    trainer.advance()
    if trainer.device.type == "cpu" and world_size() == 1:
        trainer.check_losses()


@contextmanager
def _held_interrupt() -> Iterator[Callable[[], bool]]:
    """Hold Ctrl-C back until it is asked for: no training passes through the state in mid-step."""
    asked: list[int] = []

    def hold(number: int, frame: object) -> None:
        asked.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # the second one does not wait

    in_main = threading.current_thread() is threading.main_thread()  # Python allows handlers only there
    ours = in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, hold)
    try:
        yield lambda: bool(asked)
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _until_next_stop(trainer: Trainer) -> int:
    """Return the number of steps to the next checkpoint, snapshot or end."""
    step, config = trainer.step, trainer.config
    every = config.checkpoint_every
    stops = [config.steps, (step // every + 1) * every, *config.snapshots]
    return min(stop for stop in stops if stop > step) - step


def _snapshot(trainer: Trainer, directory: Path | None) -> None:
    trainer.snapshots[trainer.step] = trainer.nets()
    if directory is not None and rank() == 0:
        path = _snapshot_path(directory, trainer.step)
        checkpoint.save(path, trainer.snapshots[trainer.step], trainer.facts())


def _snapshot_path(directory: Path, step: int) -> Path:
    return directory / f"step-{step:07d}.safetensors"


def _save(trainer: Trainer, directory: Path | None) -> None:
    if directory is not None and rank() == 0:
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
            trainer.snapshots[step] = _stored_snapshot(trainer, _snapshot_path(directory, step))


def _stored_snapshot(trainer: Trainer, path: Path) -> dict[str, Tensor]:
    if not path.exists():
        raise CheckpointError(
            f"{path} is missing: the stored run passed that step without keeping a snapshot; "
            "leave it out of the snapshots, or pass resume=False to start over"
        )
    tensors, facts = checkpoint.load(path)
    check_same_run(path, facts["identity"], trainer.identity)  # an earlier run may have left it there
    return tensors


def _ended(trainer: Trainer, reused: int) -> Run:
    values = trainer.history[:, : trainer.step].cpu()
    history = dict(zip(HISTORY, values, strict=True))
    ema = None if trainer.ema is None else trainer.ema.module
    origin = trainer.origin or trainer.facts()["origin"]
    seed = trainer.config.seed
    return Run(trainer.G, trainer.D, ema, history, trainer.step, reused, origin, trainer.snapshots, seed)


def _log(run: Run, directory: Path | None) -> None:
    if directory is not None and rank() == 0:
        note_run(directory, run.step, run.reused, run.origin)
