"""How a run is computed, not what: whole steps as CUDA graphs, layouts, TF32. `fit(..., speed=...)`.

GAN training on small nets is bound by launches: a GPU computes a layer of a 28-pixel net faster than Python
can ask for it. A CUDA graph records all kernels of a step, both players', and launches them as one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from tqdm import tqdm

from gancourse.distributed import world_size
from gancourse.training.schedules import Schedule

if TYPE_CHECKING:
    from gancourse.training.trainer import Trainer

EAGER_FIRST = 3  # steps that are taken one kernel at a time: they warm up what a recording must not meet new
Batch = tuple[Tensor, Tensor | None]


@dataclass(frozen=True)
class Speed:
    """What makes training fast, each to be turned off by itself; none changes what is computed.

    `graph`: "auto" records the whole step as a CUDA graph where that is possible, and says in one line why
    where it is not; "off" never does; "on" raises RuntimeError where it is not possible. `channels_last`
    lays images and weights out as convolutions like them. `fused` takes Adam's step in one kernel. `tf32`
    lets a GPU multiply float32 matrices with 10 bits of mantissa, `tune` lets it try its convolutions.
    Results agree to rounding, and exactly between graph and no graph where the kernels are deterministic.
    """

    graph: Literal["auto", "on", "off"] = "auto"
    channels_last: bool = True
    fused: bool = True
    tf32: bool = True
    tune: bool = True

    def __post_init__(self) -> None:
        if self.graph not in ("auto", "on", "off"):
            raise ValueError(f'expected graph "auto", "on" or "off", got {self.graph!r}')

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Set torch's switches inside the block."""
        matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
        before = (matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark)
        matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark = self.tf32, self.tf32, self.tune
        try:
            yield
        finally:
            matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark = before


def recorder(trainer: Trainer) -> Recorder | None:
    """Return what records the trainer's step, or None where it is computed as it is written."""
    wanted = trainer.speed.graph
    if wanted == "off" or (wanted == "auto" and trainer.device.type == "cpu"):
        return None
    why = _obstacle(trainer)
    if why is None:
        return Recorder(trainer)
    _not_recorded(wanted, why)
    return None


def _not_recorded(wanted: str, why: str) -> None:
    if wanted == "on":
        raise RuntimeError(f'expected what a CUDA graph can hold, got {why}; graph="auto" goes without')
    tqdm.write(f"no CUDA graph: {why}; the steps are launched kernel by kernel")


def _obstacle(trainer: Trainer) -> str | None:
    """Say what a recording cannot hold: whatever Python decides anew at each step."""
    config = trainer.config
    if trainer.device.type != "cuda":
        return f"a {trainer.device.type.upper()} in place of a CUDA GPU"
    if world_size() > 1:
        return "several processes"
    if trainer.before_step is not None:
        return "a function that is called before each step"
    scheduled = [name for name in ("penalty_weight", "instance_noise") if _changes(getattr(config, name))]
    if scheduled:
        return f"a schedule of {scheduled[0]}"
    return None


def _changes(value: float | Schedule) -> bool:
    return isinstance(value, Schedule)


class Recorder:
    """A trainer's step: taken as it is a few times, then recorded, from then on replayed.

    The first steps are steps of the run, taken on a side stream: they allocate what the optimizers, the
    average and the libraries keep. Recording computes nothing, so that nothing has to be restored after it.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer, self.taken = trainer, 0
        self.stream = torch.cuda.Stream(trainer.device)
        self.graph: torch.cuda.CUDAGraph | None = None
        self.inputs: list[Batch] = []
        self.seen = torch.empty(0)

    def move(self, batches: Sequence[Batch]) -> Tensor | None:
        """Take a step on batches (B, ...) and return what it saw; None where it could not be recorded."""
        if self.taken < EAGER_FIRST:
            return self._aside(batches)
        if self.graph is None and not self._record(batches):
            return None
        assert self.graph is not None
        for mine, given in zip(self.inputs, batches, strict=True):
            for buffer, value in zip(mine, given, strict=True):
                if buffer is not None and value is not None:
                    buffer.copy_(value)
        self.graph.replay()
        self.trainer.set_counts(self.trainer.counts() + 1)
        return self.seen

    def _aside(self, batches: Sequence[Batch]) -> Tensor:
        """Take the step on a side stream, as a recording does."""
        current = torch.cuda.current_stream(self.trainer.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            seen = self.trainer.move(batches)
        current.wait_stream(self.stream)
        self.taken += 1
        return seen

    def _record(self, batches: Sequence[Batch]) -> bool:
        trainer = self.trainer
        self.inputs = [(x.clone(), None if y is None else y.clone()) for x, y in batches]
        graph = torch.cuda.CUDAGraph()
        for generator in trainer.generators():
            graph.register_generator_state(generator)
        for net in trainer.named().values():
            net.zero_grad(set_to_none=True)  # gradients are to lie in the recording's own memory
        averaged = trainer.counts()
        try:
            with torch.cuda.graph(graph, stream=self.stream):
                self.seen = trainer.move(self.inputs)
        except RuntimeError as error:
            _not_recorded(trainer.speed.graph, str(error).splitlines()[0])
            return False
        finally:
            trainer.set_counts(averaged)
        self.graph = graph
        return True


def laid_out(net: nn.Module, speed: Speed) -> nn.Module:
    """Lay a net's weights out as the speed asks."""
    return net.to(memory_format=torch.channels_last) if speed.channels_last else net
