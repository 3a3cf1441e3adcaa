"""The kernel distance (KID): a maximum mean discrepancy without bias. Taught in chapter 8."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from gancourse.checks import is_count
from gancourse.metrics.checks import checked_pair

# A kernel of inner products: x.y to k(x, y).
Kernel = Callable[[Tensor], Tensor]

# Rows of a block of the kernel matrix: with 50,000 columns in float64 it takes 400 MB.
ROWS = 1000


class KernelDistance(NamedTuple):
    """Mean and standard deviation of the squared MMD over subsets, in units of the kernel.

    The deviation is that of one subset's value. Subsets overlap: divided by their number's root it is
    smaller than the error of the mean.
    """

    mean: float
    std: float


def _polynomial(dim: int, degree: int, gamma: float | None, coef0: float) -> Kernel:
    if not is_count(degree):
        raise ValueError(f"expected a degree of at least 1, got {degree!r}; 3 is the usual choice")
    scale = 1 / dim if gamma is None else gamma
    return lambda inner: (scale * inner + coef0) ** degree


def _kernel_sum(kernel: Kernel, x: Tensor, y: Tensor) -> Tensor:
    y = y.double()
    return torch.stack([kernel(rows.double() @ y.T).sum() for rows in x.split(ROWS)]).sum()


def _diagonal_sum(kernel: Kernel, x: Tensor) -> Tensor:
    return kernel(x.double().square().sum(1)).sum()


def _squared_mmd(kernel: Kernel, real: Tensor, fake: Tensor, unbiased: bool) -> float:
    n, m = len(real), len(fake)
    within_real, within_fake = _kernel_sum(kernel, real, real), _kernel_sum(kernel, fake, fake)
    across = _kernel_sum(kernel, real, fake) / (n * m)
    if not unbiased:
        return float(within_real / n**2 + within_fake / m**2 - 2 * across)
    # Pairs of a sample with itself are what makes the mean over all pairs too large.
    within_real = (within_real - _diagonal_sum(kernel, real)) / (n * (n - 1))
    within_fake = (within_fake - _diagonal_sum(kernel, fake)) / (m * (m - 1))
    return float(within_real + within_fake - 2 * across)


def squared_mmd(
    real: Tensor,
    fake: Tensor,
    *,
    degree: int = 3,
    gamma: float | None = None,
    coef0: float = 1.0,
    unbiased: bool = True,
) -> float:
    """Return the squared MMD of all features real (N, F) and fake (M, F), in units of the kernel.

    The kernel is (gamma x.y + coef0)^degree, gamma 1/F unless given. The unbiased estimator, Gretton et al.
    (2012), equation 3, is below 0 for about half of all pairs of samples of one distribution. Raises
    ValueError for N or M < 2, another shape, NaN, and where dimensions differ.
    """
    real, fake = checked_pair(real, fake, at_least=2)
    return _squared_mmd(_polynomial(real.shape[1], degree, gamma, coef0), real, fake, unbiased)


def kernel_distance(
    real: Tensor,
    fake: Tensor,
    *,
    degree: int = 3,
    gamma: float | None = None,
    coef0: float = 1.0,
    subsets: int = 100,
    subset_size: int = 1000,
    generator: torch.Generator | None = None,
) -> KernelDistance:
    """Return the kernel distance of features real (N, F) and fake (M, F), in units of the kernel.

    The mean over random subsets, drawn without replacement, of the unbiased squared MMD with the kernel
    (x.y/F + 1)^3: Bińkowski et al. (2018). Unlike FD its mean does not depend on the sample's
    size. `generator` draws the subsets. Raises ValueError where a subset would be larger than N or M, for
    another shape, NaN, and where dimensions differ.
    """
    real, fake = checked_pair(real, fake, at_least=2)
    fewest = min(len(real), len(fake))
    if not is_count(subset_size, 2) or subset_size > fewest:
        raise ValueError(
            f"expected a subset_size from 2 to {fewest} (the smaller number of features), got {subset_size}"
        )
    if not is_count(subsets):
        raise ValueError(f"expected at least 1 subset, got {subsets!r}; 100 is usual")
    kernel = _polynomial(real.shape[1], degree, gamma, coef0)
    values = []
    for _ in range(subsets):
        few_real, few_fake = (_subset(x, subset_size, generator) for x in (real, fake))
        values.append(_squared_mmd(kernel, few_real, few_fake, unbiased=True))
    found = torch.tensor(values, dtype=torch.float64)
    return KernelDistance(found.mean().item(), found.std(correction=0).item())


def _subset(features: Tensor, size: int, generator: torch.Generator | None) -> Tensor:
    device = features.device if generator is None else generator.device
    chosen = torch.randperm(len(features), generator=generator, device=device)[:size]
    return features[chosen.to(features.device)]
