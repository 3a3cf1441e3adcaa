"""Several seeds computed as one, each with random numbers of its own.

`fit` trains the nets of several seeds at once by `torch.func.vmap` over an axis S that all their tensors
have. Inside, a loss or a penalty sees what it sees in a lone run. Two things need care there. Autograd's own
`grad` cannot be called, torch.func's can: `in_each_seed` tells. And torch would draw one number for all
seeds: `drawn` takes each from its seed's own stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor

Draw = Callable[[torch.Generator | None], Tensor]


class Streams:
    """One generator on `device` for each of S seeds: each gives the numbers that its seed gives alone."""

    def __init__(self, seeds: Sequence[int], device: torch.device) -> None:
        self.generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]

    def draw(self, draw: Draw) -> Tensor:
        """Return what `draw` makes of each generator, (...) each, as (S, ...)."""
        return torch.stack([draw(generator) for generator in self.generators])

    def get_state(self) -> Tensor:
        """Return the generators' states (S, B), uint8."""
        return torch.stack([generator.get_state() for generator in self.generators])

    def set_state(self, states: Tensor) -> None:
        """Go on from the states (S, B) that `get_state` returned."""
        for generator, state in zip(self.generators, states, strict=True):
            generator.set_state(state.clone())

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Let `drawn` draw from these streams inside the block."""
        token = _STREAMS.set(self)
        try:
            yield
        finally:
            _STREAMS.reset(token)


_STREAMS: ContextVar[Streams | None] = ContextVar("streams", default=None)
_SEED: ContextVar[Tensor | None] = ContextVar("seed", default=None)


def each_seed(size: int, f: Callable[..., Any], *given: Any) -> Any:
    """Call f for each of `size` seeds S at once, with its part (...) of every tensor (S, ...) in `given`.

    Return what f returns, (S, ...) for each tensor (...). Raises ValueError where f does what cannot be done
    for all seeds at once: draws random numbers past `drawn`, looks at a value, calls torch.autograd.grad.
    """

    def of_one(seed: Tensor, *given: Any) -> Any:
        token = _SEED.set(seed)
        try:
            return f(*given)
        finally:
            _SEED.reset(token)

    try:
        return torch.func.vmap(of_one)(torch.arange(size), *given)
    except RuntimeError as error:
        if not any(word in str(error) for word in ("vmap", "functorch", "torch.func")):
            raise
        raise ValueError(
            "expected nets, a loss and penalties that can be computed for all seeds at once, got one that "
            f"cannot: {str(error).split('. ')[0]}; train the seeds one by one, without seeds="
        ) from error


def in_each_seed() -> bool:
    """Tell whether the caller runs inside `each_seed`, where torch.func does what autograd does outside."""
    return _SEED.get() is not None


def drawn(draw: Draw, generator: torch.Generator | None) -> Tensor:
    """Return draw(generator) (...); inside `each_seed` what each seed's own stream gives.

    Raises ValueError for a generator given inside, which the seeds would share, and without streams in use.
    """
    seed, streams = _SEED.get(), _STREAMS.get()
    if seed is None:
        return draw(generator)
    if streams is None:
        raise ValueError("expected a stream of random numbers for each seed, got none; see Streams.in_use")
    if generator is not None:
        raise ValueError(
            "expected no generator where seeds are trained together, each of which draws from its own "
            "stream, got one; leave it out"
        )
    numbers: Tensor = _Drawn.apply(seed, draw, streams)
    return numbers


class _Drawn(torch.autograd.Function):
    """The one place where vmap is told that a tensor differs from seed to seed without an argument that does.

    `seed` is there for vmap to see the axis; its values do not matter.
    """

    @staticmethod
    def forward(seed: Tensor, draw: Draw, streams: Streams) -> Tensor:
        raise AssertionError("a number was to be drawn for one seed where all are computed")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[Any, ...], seed: Tensor, draw: Draw, streams: Streams
    ) -> tuple[Tensor, int]:
        return streams.draw(draw), 0

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None, None]:
        return None, None, None
