"""How far a step is from what the device can do: its matrix peak and its memory bandwidth, measured."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import dcgan
from benchmarks.pairs import seconds
from gancourse.data import ImageData
from gancourse.losses import NON_SATURATING
from gancourse.training import TrainConfig, fit, preferred_precision

ROUNDS = 5


def timed(work: Callable[[], object], device: str) -> float:
    """Return the median seconds of a work, on a GPU until it has done it."""

    def whole() -> None:
        work()
        if device == "cuda":
            torch.cuda.synchronize()

    whole()
    return statistics.median(seconds(whole) for _ in range(ROUNDS))


def peak_flops(device: str, dtype: torch.dtype, side: int | None = None) -> float:
    """Return the measured rate of a large matrix product, in operations a second."""
    side = side or (8192 if device == "cuda" else 2048)
    a, b = torch.randn(2, side, side, device=device).to(dtype)
    return 2 * side**3 / timed(lambda: a @ b, device)


def bandwidth(device: str, megabytes: int | None = None) -> float:
    """Return the measured rate of a large copy, in bytes a second, read and written."""
    size = (megabytes or (2048 if device == "cuda" else 256)) * 2**20
    source, target = (torch.ones(size, dtype=torch.uint8, device=device) for _ in range(2))
    return 2 * size / timed(lambda: target.copy_(source), device)


def step_flops(data: ImageData) -> int:
    """Return the operations of one step of both players, as torch counts them."""

    def counted(steps: int) -> int:
        config = TrainConfig(steps, dcgan.BATCH, lr_g=dcgan.LR, lr_d=dcgan.LR)
        with FlopCounterMode(display=False) as counter:
            fit(*dcgan.players(0), data, loss=NON_SATURATING, config=config, progress=False)
        return int(counter.get_total_flops())

    return counted(2) - counted(1)  # without what `fit` does before the first step


def step_bytes() -> int:
    """Return the fewest bytes of a step: weights, gradients and Adam's moments, read and written once."""
    weights = sum(p.numel() for net in dcgan.players(0) for p in net.parameters())
    return 4 * weights * (2 + 2 + 4)  # weights and gradients, and both moments


def shares(data: ImageData, step_seconds: float, device: str) -> dict[str, float]:
    """Return what a step takes and the shares of the device's measured limits that it reaches."""
    dtype = torch.bfloat16 if preferred_precision(device) == "bfloat16" else torch.float32
    flops, peak, rate = step_flops(data), peak_flops(device, dtype), bandwidth(device)
    return {
        "step_seconds": step_seconds,
        "step_flops": float(flops),
        "peak_flops": peak,
        "bandwidth": rate,
        "of_peak": flops / step_seconds / peak,
        "of_bandwidth": step_bytes() / step_seconds / rate,
    }
