"""Drawing from a generator, and walking between two latent vectors. Taught in chapter 5."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Hold a module in eval mode, without gradients: BatchNorm uses its running averages."""
    before = [(module, module.training) for module in net.modules()]  # a frozen part stays frozen afterwards
    net.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, was_training in before:
            module.training = was_training


def generate(G: nn.Module, z: Tensor, y: Tensor | None = None, *, batch_size: int = 500) -> Tensor:
    """Map z (N, Z) to images (N, C, H, W) on the CPU, in eval mode, so that no image depends on its batch.

    A conditional G gets the labels y (N,). Raises ValueError where y has another length.
    """
    if y is not None and len(y) != len(z):
        raise ValueError(f"expected a label for each of the {len(z)} z, got {len(y)}")
    device = next(G.parameters()).device
    parts = zip(*(t.to(device).split(batch_size) for t in ((z,) if y is None else (z, y))), strict=True)
    with evaluating(G):
        return torch.cat([G(*part).cpu() for part in parts])


def sample(G: nn.Module, n: int, *, seed: int, y: Tensor | None = None) -> Tensor:
    """Return n images (n, C, H, W) of z drawn from N(0, I) with `seed`, the same on every device.

    A conditional G gets the labels y (n,). Raises ValueError for n below 1.
    """
    if n < 1:
        raise ValueError(f"expected at least 1 sample, got {n}")
    generator = torch.Generator().manual_seed(seed)
    return generate(G, torch.randn(n, int(G.latent_dim), generator=generator), y)  # type: ignore[arg-type]


def lerp(z0: Tensor, z1: Tensor, t: Tensor) -> Tensor:
    """Return the points (T, Z) at fractions t (T,) of the straight line from z0 (Z,) to z1 (Z,)."""
    _check_ends(z0, z1, t)
    return torch.lerp(z0, z1, t[:, None])


def slerp(z0: Tensor, z1: Tensor, t: Tensor) -> Tensor:
    """Return the points (T, Z) at fractions t (T,) of the arc from z0 (Z,) to z1 (Z,).

    Shoemake (1985), used for latent vectors by White (2016). Between ends of one norm the angle grows evenly
    and the norm stays, where the straight line cuts through the ball; two z from N(0, I) in 100 dimensions
    have nearly one norm. Raises ValueError for parallel ends, which no arc, or no single arc, joins.
    """
    _check_ends(z0, z1, t)
    cosine = torch.dot(z0, z1) / (z0.norm() * z1.norm())
    if not cosine.abs() < 1 - 1e-6:
        raise ValueError(f"expected ends that are not parallel, got cosine {cosine:.4f}; use lerp")
    angle = cosine.acos()
    weight0, weight1 = torch.sin((1 - t) * angle) / angle.sin(), torch.sin(t * angle) / angle.sin()
    points: Tensor = weight0[:, None] * z0 + weight1[:, None] * z1
    return points


def _check_ends(z0: Tensor, z1: Tensor, t: Tensor) -> None:
    if z0.ndim != 1 or z0.shape != z1.shape or t.ndim != 1:
        shapes = ", ".join(str(tuple(value.shape)) for value in (z0, z1, t))
        raise ValueError(f"expected z0 (Z,), z1 (Z,) and t (T,), got {shapes}; one pair of ends at a time")
