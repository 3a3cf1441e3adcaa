"""The Fréchet distance as theorems, and the class histogram."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from gancourse.metrics import FeatureStats, class_histogram, frechet_distance, frechet_distance_from_features

Gaussian = tuple[Tensor, Tensor]


def gaussian(seed: int, size: int = 6, rank: int | None = None) -> Gaussian:
    """Return a mean and a covariance of the given rank; where it is full, well conditioned."""
    rng = torch.Generator().manual_seed(seed)
    root = torch.randn(size, rank or size, dtype=torch.float64, generator=rng)
    ridge = 0.5 * torch.eye(size, dtype=torch.float64) if rank is None else 0
    return torch.randn(size, dtype=torch.float64, generator=rng), root @ root.T + ridge


def by_scipy(one: Gaussian, other: Gaussian) -> float:
    """Return the distance by its textbook formula: the root of the product of the covariances."""
    (mu1, cov1), (mu2, cov2) = ([part.numpy() for part in both] for both in (one, other))
    root = scipy.linalg.sqrtm(cov1 @ cov2)
    return float(((mu1 - mu2) ** 2).sum() + np.trace(cov1) + np.trace(cov2) - 2 * np.trace(root).real)


@pytest.mark.parametrize("rank", [None, 3])
def test_equal_covariances_leave_the_squared_distance_of_the_means(rank: int | None) -> None:
    (mu1, cov), (mu2, _) = gaussian(0, rank=rank), gaussian(1)
    expected = (mu1 - mu2).square().sum().item()
    assert frechet_distance(mu1, cov, mu2, cov) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("rank", [None, 1, 3])
def test_it_is_zero_on_itself_and_symmetric(rank: int | None) -> None:
    one, other = gaussian(2, rank=rank), gaussian(3)
    assert frechet_distance(*one, *one) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(*one, *other) == pytest.approx(frechet_distance(*other, *one), rel=1e-6)
    assert frechet_distance(*one, *other) > 0


@pytest.mark.parametrize("size", [1, 2, 16, 128])
def test_it_agrees_with_the_matrix_root_of_scipy(size: int) -> None:
    for seed in range(3):
        one, other = gaussian(seed, size), gaussian(seed + 10, size)
        assert frechet_distance(*one, *other) == pytest.approx(by_scipy(one, other), rel=1e-6)


def test_commuting_covariances_have_a_closed_form() -> None:
    """Means apart by (.5, .5), I against diag(1.6^2, 1.2^2): .5 + (1.6 - 1)^2 + (1.2 - 1)^2 = .90."""
    mu, shifted = torch.zeros(2), torch.tensor([0.5, 0.5])
    scaled = torch.diag(torch.tensor([2.56, 1.44]))
    assert frechet_distance(mu, torch.eye(2), shifted, scaled) == pytest.approx(0.90, abs=1e-6)


def test_in_one_dimension_it_is_the_distance_of_means_and_of_deviations() -> None:
    one, other = (torch.tensor([1.0]), torch.tensor([[9.0]])), (torch.tensor([3.0]), torch.tensor([[4.0]]))
    found = frechet_distance(*one, *other)
    assert found == pytest.approx((1 - 3) ** 2 + (3 - 2) ** 2)


def test_it_does_not_depend_on_the_basis() -> None:
    one, other = gaussian(4), gaussian(5)
    turn, _ = torch.linalg.qr(gaussian(6)[1])
    turned = [(turn @ mu, turn @ cov @ turn.T) for mu, cov in (one, other)]
    assert frechet_distance(*turned[0], *turned[1]) == pytest.approx(frechet_distance(*one, *other), rel=1e-9)


def test_a_flat_covariance_is_no_obstacle() -> None:
    """A plane against an orthogonal line: they share no direction, so the traces add up."""
    plane, line = torch.diag(torch.tensor([4.0, 9.0, 0.0])), torch.diag(torch.tensor([0.0, 0.0, 1.0]))
    zeros = torch.zeros(3)
    assert frechet_distance(zeros, plane, zeros, line) == pytest.approx(14)
    assert frechet_distance(zeros, plane, zeros, 0 * plane) == pytest.approx(13)
    assert frechet_distance(zeros, plane, zeros, 4 * plane) == pytest.approx(13), "(2 - 1)^2 of the trace"


def test_fewer_samples_than_dimensions_are_enough() -> None:
    """Fitted to 5 samples in 8 dimensions; shifted samples have the same covariance."""
    real = torch.randn(5, 8, generator=torch.Generator().manual_seed(7))
    shift = torch.arange(8) / 4
    found = frechet_distance_from_features(real, real + shift)
    assert found == pytest.approx(shift.square().sum().item(), rel=1e-5)


def test_statistics_are_those_of_numpy() -> None:
    features = torch.randn(50, 4, generator=torch.Generator().manual_seed(8)) + 1000
    stats = FeatureStats.of(features)
    exact = features.double().numpy()
    assert stats.n == 50
    assert stats.mean.dtype == stats.cov.dtype == torch.float64
    np.testing.assert_allclose(stats.mean, exact.mean(0))
    np.testing.assert_allclose(stats.cov, np.cov(exact, rowvar=False), rtol=1e-10)


def test_a_finite_sample_is_biased_upward_and_less_so_when_larger() -> None:
    """The reason for the floor, real against real, beside every distance in the book."""
    rng = torch.Generator().manual_seed(9)
    small, large = (
        frechet_distance_from_features(*torch.randn(2, n, 10, generator=rng)) for n in (100, 1600)
    )
    assert small > large > 0
    assert small / large == pytest.approx(16, rel=0.5), "about like 1 / N"


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_features_that_are_not_finite_are_refused(bad: float) -> None:
    features = torch.randn(10, 3)
    spoiled = features.clone()
    spoiled[4, 1] = bad
    for pair in ((features, spoiled), (spoiled, features)):
        with pytest.raises(ValueError, match="expected finite features, got NaN or infinity"):
            frechet_distance_from_features(*pair)
    mu, cov = gaussian(0)
    with pytest.raises(ValueError, match="expected finite means and covariances"):
        frechet_distance(mu, cov, mu, cov * bad)


@pytest.mark.parametrize("shape", [(1, 3), (0, 3), (3,), (2, 3, 4)])
def test_features_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected features \(N, F\) with N of at least 2, got \("):
        FeatureStats.of(torch.zeros(shape))


def test_different_dimensions_are_refused() -> None:
    with pytest.raises(ValueError, match=r"of one dimension, got \(3,\), \(3, 3\), \(4,\), \(4, 4\)"):
        frechet_distance_from_features(torch.randn(9, 3), torch.randn(9, 4))
    with pytest.raises(ValueError, match="of one dimension"):
        frechet_distance(torch.zeros(3), torch.zeros(2, 2), torch.zeros(3), torch.zeros(2, 2))


def test_a_histogram_tells_the_share_of_each_class() -> None:
    shares = class_histogram(torch.tensor([0, 0, 3, 9]))
    assert shares.tolist() == [0.5, 0, 0, 0.25, 0, 0, 0, 0, 0, 0.25]
    assert class_histogram(torch.tensor([1, 1, 0]), n_classes=2).sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (torch.zeros(0, dtype=torch.int64), r"class indices \(N,\), N of at least 1, got \(0,\)"),
        (torch.zeros(3, 10), r"class indices \(N,\), N of at least 1, got \(3, 10\)"),
        (torch.tensor([0.0, 1.0]), r"integers in 0\.\.9, got torch.float32 .*argmax"),
        (torch.tensor([0, 10]), r"integers in 0\.\.9, got torch.int64 in 0\.\.10"),
        (torch.tensor([0, -1]), r"integers in 0\.\.9, got torch.int64 in -1\.\.0"),
    ],
)
def test_what_is_no_class_is_refused(classes: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        class_histogram(classes)
