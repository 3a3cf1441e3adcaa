"""Precision and recall, density and coverage: quality and variety told apart. Taught in chapter 8.

Both draw around each sample a ball that reaches its k-th nearest neighbour; the balls together stand for the
region that the samples come from.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from gancourse.checks import is_count
from gancourse.metrics.checks import checked_pair

# Distances held at once, in float64: 128 MB.
BLOCK = 2**24


class PrecisionRecall(NamedTuple):
    """Share of fakes inside the region of the reals, and of reals inside the region of the fakes."""

    precision: float
    recall: float


class DensityCoverage(NamedTuple):
    """Mean number of balls of reals that hold a fake, over k (about 1 on real data); share that hold any."""

    density: float
    coverage: float


def _distances(x: Tensor, y: Tensor) -> Iterator[Tensor]:
    """Yield the distances (rows, M) from some rows of x (N, F) at a time to all of y (M, F)."""
    y = y.double()
    for rows in x.split(max(1, BLOCK // len(y))):
        yield torch.cdist(rows.double(), y)


def _radii(x: Tensor, k: int) -> Tensor:
    """Return the distance (N,) of each x (N, F) to its k-th nearest neighbour, itself not counted."""
    nearest = [block.topk(k + 1, largest=False).values[:, k] for block in _distances(x, x)]
    return torch.cat(nearest)


def _balls_around(x: Tensor, centers: Tensor, radii: Tensor) -> Tensor:
    """Return how many (N,) of the closed balls about centers (M, F) hold each x (N, F)."""
    return torch.cat([(block <= radii).sum(1) for block in _distances(x, centers)])


def _checked(real: Tensor, fake: Tensor, k: int, fakes: int) -> tuple[Tensor, Tensor]:
    real, fake = checked_pair(real, fake)
    if not is_count(k) or len(real) <= k or len(fake) < fakes:
        raise ValueError(
            f"expected k from 1 and more than k samples, got k = {k}, {len(real)} real, {len(fake)} fake"
        )
    return real, fake


def precision_recall(real: Tensor, fake: Tensor, *, k: int = 3) -> PrecisionRecall:
    """Return the improved precision and recall of features real (N, F) and fake (M, F), in [0, 1].

    Kynkäänniemi et al. (2019), equations 1 and 2, k = 3 there. Both depend on N and M: compare only values
    of equal ones, beside those of real from real. A single outlier's ball is large: see `density_coverage`.
    Memory does not grow with N times M. Raises ValueError for N or M <= k, another shape, NaN, and where
    dimensions differ.
    """
    real, fake = _checked(real, fake, k, k + 1)
    precision = (_balls_around(fake, real, _radii(real, k)) > 0).double().mean().item()
    recall = (_balls_around(real, fake, _radii(fake, k)) > 0).double().mean().item()
    return PrecisionRecall(precision, recall)


def density_coverage(real: Tensor, fake: Tensor, *, k: int = 5) -> DensityCoverage:
    """Return density (0 and above) and coverage (in [0, 1]) of features real (N, F) and fake (M, F).

    Naeem et al. (2020), section 3.2, k = 5 there: balls about the reals only, so that a fake outlier
    covers nothing, and counted, so that a real outlier's large ball weighs little. Raises ValueError for
    N <= k, another shape, NaN, and where dimensions differ.
    """
    real, fake = _checked(real, fake, k, 1)
    radii = _radii(real, k)
    density = _balls_around(fake, real, radii).double().mean().item() / k
    nearest = torch.cat([block.amin(1) for block in _distances(real, fake)])
    return DensityCoverage(density, (nearest <= radii).double().mean().item())
