"""The Fréchet distance between two sets of features. Taught in chapters 5 and 8."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor

from gancourse.checks import check_tensor
from gancourse.metrics.checks import checked_pair, checked_rows

# Rows that are turned into float64 at once: 50,000 features of 2,048 dimensions would take 800 MB.
CHUNK = 8192
# Rounding leaves a singular covariance eigenvalues below 0, but not below this part of their sum.
ROUNDING = 1e-4


@dataclass(frozen=True, eq=False)
class FeatureStats:
    """Count, mean (F,) and scatter (F, F), the sum of outer products about the mean, in float64.

    The scatter adds up over batches as the covariance does not: so statistics of batches, of one sample
    too, and of several processes merge into those of the whole, exact up to rounding.
    """

    n: int
    mean: Tensor
    scatter: Tensor

    @classmethod
    def of(cls, features: Tensor) -> FeatureStats:
        """Return the statistics of features (N, F). Raises ValueError for N < 1, another shape, NaN."""
        chunks = (cls._of_chunk(chunk) for chunk in checked_rows(features).split(CHUNK))
        return reduce(cls.merge, chunks)

    @classmethod
    def _of_chunk(cls, features: Tensor) -> FeatureStats:
        features = features.double()
        mean = features.mean(0)
        centered = features - mean
        return cls(len(features), mean, centered.T @ centered)

    def merge(self, other: FeatureStats) -> FeatureStats:
        """Return the statistics of both sets together. Raises ValueError where dimensions differ.

        Chan, Golub and LeVeque (1979): the scatters add up, and what the means lie apart adds to them.
        """
        if self.mean.shape != other.mean.shape:
            raise ValueError(
                f"expected features of one dimension, got {len(self.mean)} and {len(other.mean)}; "
                "were they made by different networks?"
            )
        n = self.n + other.n
        apart = other.mean.to(self.mean.device) - self.mean
        between = torch.outer(apart, apart) * (self.n * other.n / n)
        scatter = self.scatter + other.scatter.to(self.scatter.device) + between
        return FeatureStats(n, self.mean + apart * (other.n / n), scatter)

    def __add__(self, other: FeatureStats) -> FeatureStats:
        return self.merge(other)

    @property
    def cov(self) -> Tensor:
        """The covariance (F, F), with denominator n - 1. Raises ValueError for n < 2."""
        if self.n < 2:
            raise ValueError(
                f"expected at least 2 features for a covariance, got {self.n}; merge more batches"
            )
        return self.scatter / (self.n - 1)


def _roots(eigenvalues: Tensor, scale: Tensor) -> Tensor:
    """Return the roots of eigenvalues; those that rounding made negative, as against scale, count as 0."""
    low = eigenvalues.min().item()
    if low < -ROUNDING * abs(scale.item()):
        raise ValueError(
            f"expected covariances without negative eigenvalues, got {low:.3g}; use those of FeatureStats"
        )
    return eigenvalues.clamp(min=0).sqrt()


def _factor(cov: Tensor) -> Tensor:
    """Return some L (F, F) with L L^T = cov: Cholesky's, or where cov is singular its symmetric root."""
    root: Tensor
    root, failed = torch.linalg.cholesky_ex(cov)
    if not failed:
        return root
    values, vectors = torch.linalg.eigh(cov)
    root = (vectors * _roots(values, cov.trace())) @ vectors.T
    return root


def frechet_distance(mu1: Tensor, cov1: Tensor, mu2: Tensor, cov2: Tensor) -> float:
    """Return the squared 2-Wasserstein distance of N(mu1 (F,), cov1 (F, F)) and N(mu2, cov2).

    ||mu1 - mu2||^2 + tr(cov1 + cov2 - 2 (cov1 cov2)^(1/2)), Dowson and Landau (1982); in squared units of the
    features. The product is not symmetric, but with cov1 = L L^T it has the eigenvalues of L^T cov2 L, which
    is: so the trace of its root is a sum of real roots. Raises ValueError for NaN, for covariances that are
    not symmetric or have negative eigenvalues, and where dimensions differ.
    """
    mu1, cov1, mu2, cov2 = _checked_gaussians(mu1, cov1, mu2, cov2)
    factor = _factor(cov1)
    product = torch.linalg.eigvalsh(factor.T @ cov2 @ factor)
    trace1, trace2 = cov1.trace(), cov2.trace()
    return _distance(mu1 - mu2, trace1, trace2, _roots(product, trace1 * trace2).sum())


def _checked_gaussians(mu1: Tensor, cov1: Tensor, mu2: Tensor, cov2: Tensor) -> list[Tensor]:
    given = (mu1, cov1, mu2, cov2)
    for tensor in given:
        check_tensor("means and covariances", tensor)
    one_shape = mu1.shape == mu2.shape and cov1.shape == cov2.shape == (*mu1.shape, *mu1.shape)
    if mu1.ndim != 1 or len(mu1) == 0 or not one_shape:
        shapes = ", ".join(str(tuple(t.shape)) for t in given)
        raise ValueError(f"expected means (F,) and covariances (F, F) of one dimension, got {shapes}")
    if any(t.is_complex() for t in given) or not all(t.double().sum().isfinite() for t in given):
        raise ValueError("expected finite means and covariances, got NaN or infinity; look at the features")
    checked = [t.detach().to(mu1.device, torch.float64) for t in given]
    for cov in checked[1::2]:
        if (cov - cov.T).abs().max() > ROUNDING * cov.abs().max():
            raise ValueError("expected symmetric covariances, got one that differs from its transpose")
    return checked


def _distance(apart: Tensor, trace1: Tensor, trace2: Tensor, trace_of_root: Tensor) -> float:
    return float(apart.square().sum() + trace1 + trace2 - 2 * trace_of_root)


def frechet_distance_from_features(real: Tensor, fake: Tensor) -> float:
    """Return the Fréchet distance of Gaussians fitted to features real (N, F) and fake (M, F).

    FD is biased upward by a finite sample, about like 1/N: compare only values of equal N and M, and print
    the distance of real from real beside them. Fewer samples than dimensions are no obstacle and take less
    time. Raises ValueError for N or M < 2, another shape, NaN, and where dimensions differ.
    """
    real, fake = checked_pair(real, fake, at_least=2)
    if min(len(real), len(fake)) < real.shape[1]:
        return _distance_of_few(real.double(), fake.double())
    a, b = FeatureStats.of(real), FeatureStats.of(fake)
    return frechet_distance(a.mean, a.cov, b.mean, b.cov)


def _distance_of_few(real: Tensor, fake: Tensor) -> float:
    """Return the distance without an (F, F) root: of samples fewer than dimensions the rank is small.

    With cov1 = A^T A and cov2 = B^T B the product has the eigenvalues of A cov2 A^T = (A B^T)(A B^T)^T, which
    is as large as the fewer samples are many, and 0 besides.
    """
    mu1, mu2 = real.mean(0), fake.mean(0)
    A = (real - mu1) / (len(real) - 1) ** 0.5
    B = (fake - mu2) / (len(fake) - 1) ** 0.5
    few, many = (A, B) if len(A) <= len(B) else (B, A)
    if len(many) <= many.shape[1]:
        across = few @ many.T
        product = across @ across.T
    else:  # (N, M) would outgrow (F, F)
        product = few @ (many.T @ many) @ few.T
    trace_of_root = torch.linalg.eigvalsh(product).clamp(min=0).sqrt().sum()
    return _distance(mu1 - mu2, A.square().sum(), B.square().sum(), trace_of_root)


class Extrapolation(NamedTuple):
    """A metric at infinitely many samples, in the metric's units, and its slope in 1/N."""

    limit: float
    slope: float


def extrapolate_to_infinity(sizes: Sequence[int], values: Sequence[float]) -> Extrapolation:
    """Return the limit of metric values at sample sizes N, which are fitted by a line in 1/N.

    Chong and Forsyth (2020), FD at infinity. Raises ValueError for fewer than 2 different sizes, or NaN.
    """
    x, y = torch.tensor(sizes, dtype=torch.float64), torch.tensor(values, dtype=torch.float64)
    if x.shape != y.shape or x.unique().numel() < 2 or not (x > 0).all() or not y.isfinite().all():
        raise ValueError(
            f"expected a finite value for each of at least 2 different sizes, got {sizes}, {values}"
        )
    x = 1 / x
    slope = ((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum()
    return Extrapolation(float(y.mean() - slope * x.mean()), float(slope))
