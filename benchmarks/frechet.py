"""The Fréchet distance at 2,048 dimensions, against SciPy's root of a matrix and two libraries' own."""

from __future__ import annotations

from functools import partial

import scipy.linalg
import torch
from torch import Tensor
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torchmetrics.image.fid import FrechetInceptionDistance

from benchmarks.pairs import Pair
from gancourse.metrics import FeatureStats, frechet_distance, frechet_distance_from_features

DIM, FEW, MANY = 2048, 1000, 6000


def by_sqrtm(a: FeatureStats, b: FeatureStats) -> float:
    """Return the distance as most implementations compute it."""
    root = scipy.linalg.sqrtm((a.cov @ b.cov).numpy()).real
    return float((a.mean - b.mean).square().sum() + a.cov.trace() + b.cov.trace() - 2 * root.trace())


def features(n: int, seed: int) -> Tensor:
    """Return correlated features (n, DIM) whose variances fall like 1/k, as those of networks do."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(DIM, DIM, generator=torch.Generator().manual_seed(0)) / DIM**0.5
    scale = torch.arange(1, DIM + 1).float().pow(-0.5)
    return torch.randn(n, DIM, generator=generator) * scale @ mixing + 0.01 * seed


def by_torchmetrics(real: Tensor, fake: Tensor) -> float:
    """Return the distance as torchmetrics computes it from features: moments, then eigenvalues."""
    metric = FrechetInceptionDistance(feature=_Given(), input_img_size=(1, 1, 1))
    metric.update(real, real=True)
    metric.update(fake, real=False)
    return float(metric.compute())


class _Given(torch.nn.Module):
    """A feature network that gives back the features that it is handed (N, DIM)."""

    @property
    def num_features(self) -> int:
        return DIM

    def forward(self, x: Tensor) -> Tensor:
        return x.view(-1, DIM)


def by_torch_fidelity(real: Tensor, fake: Tensor) -> float:
    """Return the distance as torch-fidelity computes it from features."""
    moments = [fid_features_to_statistics(x) for x in (real, fake)]
    return float(fid_statistics_to_metric(*moments, False)["frechet_inception_distance"])


def pairs() -> list[Pair]:
    """Return both works: from covariances of full rank, and from fewer samples than dimensions."""
    many = [features(MANY, seed) for seed in (1, 2)]
    a, b = (FeatureStats.of(x) for x in many)
    few = [x[:FEW] for x in many]
    assert abs(frechet_distance(a.mean, a.cov, b.mean, b.cov) / by_sqrtm(a, b) - 1) < 1e-6
    return [
        Pair(
            f"FD from moments, {DIM:,} dimensions", "scipy.linalg.sqrtm",
            lambda: frechet_distance(a.mean, a.cov, b.mean, b.cov), lambda: by_sqrtm(a, b), 3, 8.0,
        ),
        Pair(
            f"FD from 2 x {FEW:,} samples of {DIM:,} dimensions", "scipy.linalg.sqrtm",
            lambda: frechet_distance_from_features(*few), lambda: by_sqrtm(*map(FeatureStats.of, few)), 3,
        ),
        *(
            Pair(
                f"FD from 2 x {FEW:,} samples of {DIM:,} dimensions", name,
                lambda: frechet_distance_from_features(*few), partial(theirs, *few), 3, 10.0,
            )
            for name, theirs in (("torchmetrics", by_torchmetrics), ("torch-fidelity", by_torch_fidelity))
        ),
    ]  # fmt: skip
