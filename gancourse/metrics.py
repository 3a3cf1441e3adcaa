"""Distances between sets of features, and what a generator's classes tell. Taught in chapters 5 and 8.

Metrics take tensors and return numbers; they never load a network and never print.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class FeatureStats:
    """Count, mean (F,) and covariance (F, F) of features, in float64; covariance with denominator n - 1."""

    n: int
    mean: Tensor
    cov: Tensor

    @classmethod
    def of(cls, features: Tensor) -> FeatureStats:
        """Return the statistics of features (N, F). Raises ValueError for N < 2, another shape, NaN."""
        if features.ndim != 2 or len(features) < 2:
            raise ValueError(f"expected features (N, F) with N of at least 2, got {tuple(features.shape)}")
        if not features.isfinite().all():
            raise ValueError("expected finite features, got NaN or infinity; look at their images")
        features = features.double()
        mean = features.mean(0)
        centered = features - mean
        return cls(len(features), mean, centered.T @ centered / (len(features) - 1))


def _sqrt_psd(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    root: Tensor = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    return root


def frechet_distance(mu1: Tensor, cov1: Tensor, mu2: Tensor, cov2: Tensor) -> float:
    """Return the squared 2-Wasserstein distance of N(mu1 (F,), cov1 (F, F)) and N(mu2, cov2).

    ||mu1 - mu2||^2 + tr(cov1 + cov2 - 2 (cov1 cov2)^(1/2)), Dowson and Landau (1982); in squared units of the
    features. The product is not symmetric, but has the eigenvalues of cov1^(1/2) cov2 cov1^(1/2), which is:
    so the trace of its root is a sum of real roots. Raises ValueError for NaN and where dimensions differ.
    """
    if mu1.shape != mu2.shape or cov1.shape != cov2.shape or cov1.shape != (*mu1.shape, *mu1.shape):
        shapes = ", ".join(str(tuple(t.shape)) for t in (mu1, cov1, mu2, cov2))
        raise ValueError(f"expected means (F,) and covariances (F, F) of one dimension, got {shapes}")
    mu1, cov1, mu2, cov2 = (t.double() for t in (mu1, cov1, mu2, cov2))
    if not all(t.isfinite().all() for t in (mu1, cov1, mu2, cov2)):
        raise ValueError("expected finite means and covariances, got NaN or infinity; look at the features")
    root = _sqrt_psd(cov1)
    trace_of_root = torch.linalg.eigvalsh(root @ cov2 @ root).clamp(min=0).sqrt().sum()
    return float((mu1 - mu2).square().sum() + cov1.trace() + cov2.trace() - 2 * trace_of_root)


def frechet_distance_from_features(real: Tensor, fake: Tensor) -> float:
    """Return the Fréchet distance of Gaussians fitted to features real (N, F) and fake (M, F).

    FD is biased upward by a finite sample, about like 1/N: compare only values of equal N and M, and print
    the distance of real from real beside them.
    """
    a, b = FeatureStats.of(real), FeatureStats.of(fake)
    return frechet_distance(a.mean, a.cov, b.mean, b.cov)


def class_histogram(classes: Tensor, n_classes: int = 10) -> Tensor:
    """Return the share (K,) of samples in each class, from class indices (N,) in 0..K - 1."""
    if classes.ndim != 1 or len(classes) == 0:
        raise ValueError(f"expected class indices (N,), N of at least 1, got {tuple(classes.shape)}")
    if classes.is_floating_point() or not 0 <= classes.min() <= classes.max() < n_classes:
        got = f"{classes.dtype} in {classes.min().item()}..{classes.max().item()}"
        raise ValueError(f"expected integers in 0..{n_classes - 1}, got {got}; take the argmax of logits")
    return torch.bincount(classes.cpu(), minlength=n_classes).double() / len(classes)
