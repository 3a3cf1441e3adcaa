"""Drawing from a generator, and walking between two latent vectors. Taught in chapter 5."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from gancourse.checks import check_seed, check_takes, check_tensor, is_count, is_float


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

    A conditional G gets the labels y (N,). Raises ValueError where y has another length, for z that are not
    finite floats and for a batch size below 1; TypeError for a G that takes no labels, or cannot do without.
    """
    given = (z,) if y is None else (z, y)
    _check_drawn(z, y, batch_size)
    check_takes(G, *given)
    device = next((p.device for p in G.parameters()), z.device)
    parts = zip(*(t.to(device).split(batch_size) for t in given), strict=True)
    with evaluating(G):
        return torch.cat([G(*part).cpu() for part in parts])


def _check_drawn(z: Tensor, y: Tensor | None, batch_size: int) -> None:
    check_tensor("z", z)
    if z.ndim < 2 or len(z) == 0 or not is_float(z):
        raise ValueError(f"expected floating z (N, Z), N of at least 1, got {z.dtype} {tuple(z.shape)}")
    if not z.isfinite().all():
        raise ValueError("expected finite z, got NaN or infinity; look at what made them")
    if not is_count(batch_size):
        raise ValueError(f"expected a batch size of at least 1, an integer, got {batch_size!r}")
    if y is None:
        return
    check_tensor("labels", y)
    if y.shape[:1] != z.shape[:1]:
        raise ValueError(f"expected a label for each of the {len(z)} z, got labels {tuple(y.shape)}")


def latent_dim(G: nn.Module) -> int:
    """Return Z, the length of the z (N, Z) that G takes. Raises ValueError where G does not say it."""
    found = getattr(G, "latent_dim", None)
    if not isinstance(found, int):
        raise ValueError(
            f"expected a generator with an integer attribute latent_dim, the length of z, got "
            f"{type(G).__name__} with {found!r}; set it: G.latent_dim = 100"
        )
    return found


def sample(G: nn.Module, n: int, *, seed: int, y: Tensor | None = None) -> Tensor:
    """Return n images (n, C, H, W) of z drawn from N(0, I) with `seed`, the same on every device.

    A conditional G gets the labels y (n,). Raises ValueError for n below 1, a seed that is no integer from 0
    to 2^63 - 1 and a G without `latent_dim`, else as `generate` does.
    """
    if not is_count(n):
        raise ValueError(f"expected at least 1 sample, got {n!r}; n is a whole number")
    check_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    return generate(G, torch.randn(n, latent_dim(G), generator=generator), y)


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
    for name, value in (("z0", z0), ("z1", z1), ("t", t)):
        check_tensor(name, value)
    if z0.ndim != 1 or z0.shape != z1.shape or t.ndim != 1 or 0 in (*z0.shape, *t.shape):
        shapes = ", ".join(str(tuple(value.shape)) for value in (z0, z1, t))
        raise ValueError(f"expected z0 (Z,), z1 (Z,) and t (T,), got {shapes}; one pair of ends at a time")
    if not is_float(z0) or not z0.dtype == z1.dtype == t.dtype:
        dtypes = ", ".join(str(value.dtype) for value in (z0, z1, t))
        raise ValueError(f"expected z0, z1 and t floating, of one dtype, got {dtypes}; convert with .to(...)")
    if not all(value.isfinite().all() for value in (z0, z1, t)):
        raise ValueError("expected finite z0, z1 and t, got NaN or infinity; look at what made them")
