"""Networks and images small enough to train within milliseconds, for the tests of training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from gancourse.data import ImageData
from gancourse.losses import NON_SATURATING
from gancourse.models import DCGANDiscriminator, DCGANGenerator
from gancourse.sampling import generate
from gancourse.training import Run, TrainConfig, fit

STEPS = 8


def images(n: int = 20, seed: int = 0) -> ImageData:
    rng = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (n, 1, 28, 28), dtype=torch.uint8, generator=rng)
    return ImageData(pixels, torch.arange(n) % 10, f"random {seed}")


def nets(seed: int = 0) -> tuple[DCGANGenerator, DCGANDiscriminator]:
    rng = torch.Generator().manual_seed(seed)
    return (
        DCGANGenerator(latent_dim=3, width=2, generator=rng),
        DCGANDiscriminator(width=2, generator=rng),
    )


def config(**facts: Any) -> TrainConfig:
    few: dict[str, Any] = {
        "steps": STEPS,
        "batch_size": 6,  # three batches an epoch: a run crosses several epochs
        "lr_g": 2e-3,
        "lr_d": 1e-3,
        "ema_half_life": 20.0,
        "checkpoint_every": 3,
    }
    return TrainConfig(**(few | facts))


def train(directory: Any = None, **facts: Any) -> Run:
    """Train the nets of seed 0 on the images of seed 0."""
    G, D = nets()
    return fit(
        G,
        D,
        images(),
        loss=NON_SATURATING,
        config=config(**facts),
        checkpoint_dir=directory,
        progress=False,
    )


def state(net: nn.Module) -> dict[str, Tensor]:
    """Return copies of a net's parameters and buffers."""
    return {name: value.detach().clone() for name, value in net.state_dict().items()}


def same_bits(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def assert_same_run(one: Run, other: Run) -> None:
    """Assert that two runs ended in the same bits: nets, average, history and the next samples."""
    assert one.step == other.step
    assert same_bits(one.G.state_dict(), other.G.state_dict()), "G differs"
    assert same_bits(one.D.state_dict(), other.D.state_dict()), "D differs"
    assert (one.ema is None) == (other.ema is None)
    if one.ema is not None and other.ema is not None:
        assert same_bits(one.ema.state_dict(), other.ema.state_dict()), "the average differs"
    assert same_bits(one.history, other.history), "the history differs"
    z = torch.randn(4, 3, generator=torch.Generator().manual_seed(5))
    assert torch.equal(generate(one.G, z), generate(other.G, z)), "the next samples differ"
