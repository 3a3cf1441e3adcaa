"""Ten seeds of a GAN on the ring, trained at once and one after the other: the same nets, data and steps."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from benchmarks.pairs import Pair
from gancourse.data import ring
from gancourse.losses import NON_SATURATING
from gancourse.models import MLPDiscriminator, MLPGenerator
from gancourse.training import Run, TrainConfig, fit

SEEDS, WIDTH, BATCH = tuple(range(10)), 128, 128


def players(seed: int) -> tuple[nn.Module, nn.Module]:
    """Return a pair of two hidden layers, as chapter 3 trains on the ring."""
    generator = torch.Generator().manual_seed(seed)
    G = MLPGenerator(16, 2, width=WIDTH, depth=2, generator=generator)
    return G, MLPDiscriminator(2, width=WIDTH, depth=2, generator=generator)


def config(steps: int, seed: int = 0) -> TrainConfig:
    """Return the facts of a run, the same for both."""
    return TrainConfig(steps, BATCH, seed, lr_g=1e-3, lr_d=1e-3, betas=(0.0, 0.99), checkpoint_every=steps)


def together(steps: int) -> list[Run]:
    """Train all seeds at once."""
    Gs, Ds = zip(*map(players, SEEDS), strict=True)
    given = {"loss": NON_SATURATING, "config": config(steps), "progress": False}
    return fit([*Gs], [*Ds], ring(), seeds=SEEDS, **given)


def alone(steps: int) -> list[Run]:
    """Train one seed after the other."""
    given = {"loss": NON_SATURATING, "progress": False}
    return [fit(*players(seed), ring(), config=config(steps, seed), **given) for seed in SEEDS]


def pairs(steps: int = 200) -> list[Pair]:
    """Return the work of so many steps of ten seeds."""
    work = f"{len(SEEDS)} seeds of the ring, {steps} steps each"
    return [
        Pair(
            work, "one after the other", partial(together, steps), partial(alone, steps), rounds=3, asked=3.0
        )
    ]
