"""How cost grows: a step of DCGAN with the batch and the width, a distance with the number of samples."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from typing import Any

import torch

from benchmarks import frechet
from benchmarks.pairs import seconds
from gancourse.data import mnist_or_digits
from gancourse.losses import NON_SATURATING
from gancourse.metrics import frechet_distance_from_features
from gancourse.models import DCGANDiscriminator, DCGANGenerator
from gancourse.training import TrainConfig, fit, preferred_precision

BATCHES, WIDTHS = (16, 64, 256, 1024, 4096), (16, 32, 64, 128)
SAMPLES = (1_000, 2_000, 5_000, 10_000, 20_000, 50_000)
ROUNDS = 3


def of_training(batch: int, width: int, steps: int, device: str) -> float:
    """Return the seconds of a step, from the difference of a long run and a short one."""
    data = mnist_or_digits("train", profile="full")

    def run(steps: int) -> None:
        rng = torch.Generator().manual_seed(0)
        G, D = DCGANGenerator(width=width, generator=rng), DCGANDiscriminator(width=width, generator=rng)
        config = TrainConfig(
            steps, min(batch, len(data)), precision=preferred_precision(device), checkpoint_every=steps
        )
        fit(G.to(device), D.to(device), data, loss=NON_SATURATING, config=config, progress=False)

    few = 5  # more than are taken before a step is recorded
    return (seconds(lambda: run(few + steps)) - seconds(lambda: run(few))) / steps


def of_distance(n: int) -> float:
    """Return the seconds of a distance between 2 n features of 2,048 dimensions."""
    real, fake = frechet.features(n, 1), frechet.features(n, 2)
    return seconds(lambda: frechet_distance_from_features(real, fake))


def medians(measure: Callable[..., float], values: Iterable[Any], **given: Any) -> list[float]:
    """Return the median of a few measurements at each value, in rounds, so that a slow minute hits all."""
    points = list(values)
    rounds = [[measure(value, **given) for value in points] for _ in range(ROUNDS)]
    return [statistics.median(times) for times in zip(*rounds, strict=True)]


def curves(device: str, steps: int = 10) -> dict[str, dict[str, list[float]]]:
    """Return what each curve of the book shows: its values, and the seconds at each."""
    by_batch = medians(lambda batch: of_training(batch, 64, steps, device), BATCHES)
    by_width = medians(lambda width: of_training(64, width, steps, device), WIDTHS)
    by_samples = medians(of_distance, SAMPLES)
    return {
        "a step, by batch": {"values": [*map(float, BATCHES)], "seconds": by_batch},
        "a step, by width": {"values": [*map(float, WIDTHS)], "seconds": by_width},
        "a distance, by samples": {"values": [*map(float, SAMPLES)], "seconds": by_samples},
    }
