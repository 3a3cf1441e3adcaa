"""The Fréchet distance as theorems, and the statistics that it is made of."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from gancourse.metrics import (
    FeatureStats,
    extrapolate_to_infinity,
    frechet,
    frechet_distance,
    frechet_distance_from_features,
)

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


def test_flat_covariances_without_a_common_direction_add_up_in_any_basis() -> None:
    """The product of the covariances is 0 but for rounding, of either sign."""
    turn, _ = torch.linalg.qr(gaussian(6, 40)[1])
    diagonal = torch.linspace(1, 4, 40, dtype=torch.float64)
    one, other = diagonal.clone(), diagonal.clone()
    one[20:], other[:20] = 0, 0
    covs = [turn @ torch.diag(d) @ turn.T for d in (one, other)]
    mu = torch.zeros(40)
    assert frechet_distance(mu, covs[0], mu, covs[1]) == pytest.approx(diagonal.sum().item(), abs=1e-5)


@pytest.mark.parametrize("zeros", [0, 1, 5])
def test_commuting_diagonal_covariances_differ_by_their_deviations(zeros: int) -> None:
    rng = torch.Generator().manual_seed(20)
    one, other = torch.rand(2, 30, dtype=torch.float64, generator=rng) * 3
    one[:zeros], other[zeros : 3 * zeros] = 0, 0
    mu = torch.ones(30)
    found = frechet_distance(mu, one.square().diag(), mu, other.square().diag())
    assert found == pytest.approx((one - other).square().sum().item(), rel=1e-6)


def wrong_product(mu1: Tensor, cov1: Tensor, mu2: Tensor, cov2: Tensor) -> float:
    root = torch.linalg.eigvalsh(cov1 @ cov2).clamp(min=0).sqrt().sum()
    return float((mu1 - mu2).square().sum() + cov1.trace() + cov2.trace() - 2 * root)


def wrong_deviations(mu1: Tensor, cov1: Tensor, mu2: Tensor, cov2: Tensor) -> float:
    root = (cov1.diag() * cov2.diag()).sqrt().sum()
    return float((mu1 - mu2).square().sum() + cov1.trace() + cov2.trace() - 2 * root)


def wrong_root_of_the_means(mu1: Tensor, cov1: Tensor, mu2: Tensor, cov2: Tensor) -> float:
    right = frechet_distance(mu1, cov1, mu2, cov2)
    return right - (mu1 - mu2).square().sum().item() + (mu1 - mu2).norm().item()


@pytest.mark.parametrize("wrong", [wrong_product, wrong_deviations, wrong_root_of_the_means])
def test_mistakes_differ_from_the_matrix_root(wrong: Callable[..., float]) -> None:
    """What the comparison with SciPy must catch: eigvalsh of a product, diagonals only, a norm unsquared."""
    one, other = gaussian(0), gaussian(10)
    assert wrong(*one, *other) != pytest.approx(by_scipy(one, other), rel=1e-2)


@pytest.mark.parametrize("size", [3, 16, 64])
def test_it_agrees_with_torch_fidelity(size: int) -> None:
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    rng = torch.Generator().manual_seed(size)
    real = torch.randn(4 * size, size, dtype=torch.float64, generator=rng)
    fake = 1.5 * torch.randn(5 * size, size, dtype=torch.float64, generator=rng) + 0.3
    peer = fid_statistics_to_metric(*(fid_features_to_statistics(x) for x in (real, fake)), verbose=False)
    found = frechet_distance_from_features(real, fake)
    assert found == pytest.approx(peer["frechet_inception_distance"], rel=1e-6)


# Fewer samples than dimensions


@pytest.mark.parametrize(("n", "m"), [(12, 9), (9, 12), (5, 60), (60, 5), (19, 21), (2, 2), (20, 20)])
def test_few_samples_give_what_the_full_covariances_give(n: int, m: int) -> None:
    """In 20 dimensions: both few, one few and many of the other, and the borders between."""
    rng = torch.Generator().manual_seed(n)
    real = torch.randn(n, 20, generator=rng)
    fake = 1.3 * torch.randn(m, 20, generator=rng) + 1
    a, b = FeatureStats.of(real), FeatureStats.of(fake)
    full = frechet_distance(a.mean, a.cov, b.mean, b.cov)
    assert frechet_distance_from_features(real, fake) == pytest.approx(full, rel=1e-6)
    assert frechet_distance_from_features(fake, real) == pytest.approx(full, rel=1e-6)


@pytest.mark.parametrize(("n", "m"), [(10, 14), (10, 40)])
def test_few_samples_in_a_common_plane_give_the_distance_in_the_plane(n: int, m: int) -> None:
    """Singular among the samples too: 3 dimensions laid into 20 by an isometry."""
    rng = torch.Generator().manual_seed(21)
    plane, _ = torch.linalg.qr(torch.randn(20, 3, dtype=torch.float64, generator=rng))
    real = torch.randn(n, 3, dtype=torch.float64, generator=rng)
    fake = 2 * torch.randn(m, 3, dtype=torch.float64, generator=rng) + 1
    inside = frechet_distance_from_features(real, fake)
    assert frechet_distance_from_features(real @ plane.T, fake @ plane.T) == pytest.approx(inside, rel=1e-6)


def test_few_samples_are_measured_without_a_root_of_full_size(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> float:
        raise AssertionError("an (F, F) root for 5 samples")

    monkeypatch.setattr(frechet, "frechet_distance", refuse)
    assert frechet_distance_from_features(torch.randn(5, 2000), torch.randn(6, 2000)) > 0


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


# Statistics of batches


def merged(parts: list[Tensor]) -> FeatureStats:
    stats = FeatureStats.of(parts[0])
    for part in parts[1:]:
        stats = stats + FeatureStats.of(part)
    return stats


@pytest.mark.parametrize("sizes", [[1] * 40, [1, 39], [39, 1], [7, 13, 20], [20, 2, 18]])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_any_split_in_any_order_gives_the_whole(sizes: list[int], dtype: torch.dtype) -> None:
    features = torch.randn(40, 5, generator=torch.Generator().manual_seed(22)).to(dtype) * 3 + 100
    whole, parts = FeatureStats.of(features), list(features.split(sizes))
    for order in (parts, parts[::-1]):
        stats = merged(order)
        assert stats.n == 40
        torch.testing.assert_close(stats.mean, whole.mean, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(stats.cov, whole.cov, rtol=1e-10, atol=1e-10)


def test_merging_is_associative() -> None:
    a, b, c = (FeatureStats.of(x) for x in torch.randn(3, 6, 4, dtype=torch.float64))
    torch.testing.assert_close(((a + b) + c).cov, a.merge(b.merge(c)).cov, rtol=1e-12, atol=1e-12)


def test_covariances_do_not_simply_average() -> None:
    """What the means lie apart is missing then: the mistake that merging by hand makes."""
    features = torch.randn(40, 3, generator=torch.Generator().manual_seed(23))
    low, high = FeatureStats.of(features[:20]), FeatureStats.of(features[20:] + 5)
    averaged = (low.cov + high.cov) / 2
    assert (merged([features[:20], features[20:] + 5]).cov.diag() > averaged.diag() + 5).all()


def test_large_sets_are_read_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    features = torch.randn(50, 4, generator=torch.Generator().manual_seed(24))
    whole = FeatureStats.of(features)
    monkeypatch.setattr(frechet, "CHUNK", 7)
    torch.testing.assert_close(FeatureStats.of(features).cov, whole.cov, rtol=1e-12, atol=1e-12)


def test_one_sample_has_no_covariance_but_counts() -> None:
    one = FeatureStats.of(torch.ones(1, 3))
    with pytest.raises(ValueError, match="expected at least 2 features for a covariance, got 1; merge"):
        _ = one.cov
    assert (one + FeatureStats.of(torch.zeros(1, 3))).cov.diag().tolist() == [0.5] * 3


def test_statistics_of_different_dimension_do_not_merge() -> None:
    with pytest.raises(ValueError, match=r"expected features of one dimension, got 3 and 4; .* networks"):
        FeatureStats.of(torch.randn(5, 3)).merge(FeatureStats.of(torch.randn(5, 4)))


# Infinitely many samples


def test_a_line_in_one_over_n_is_followed_to_its_limit() -> None:
    sizes = [500, 1000, 2000, 8000]
    found = extrapolate_to_infinity(sizes, [3.5 + 40 / n for n in sizes])
    assert found == pytest.approx((3.5, 40.0))


def test_the_limit_lies_nearer_to_the_truth_than_the_largest_sample() -> None:
    """Of one distribution the distance is 0, and each finite sample says more."""
    rng = torch.Generator().manual_seed(25)
    sizes = [400, 800, 1600, 3200]
    draws = [[torch.randn(2, n, 10, generator=rng) for _ in range(8)] for n in sizes]
    values = [sum(frechet_distance_from_features(*pair) for pair in pairs) / 8 for pairs in draws]
    assert abs(extrapolate_to_infinity(sizes, values).limit) < min(values) / 2


@pytest.mark.parametrize(
    ("sizes", "values"), [([5], [1.0]), ([5, 5], [1.0, 2.0]), ([5, 6], [1.0]), ([5, 0], [1.0, 2.0])]
)
def test_too_little_for_a_line_is_refused(sizes: list[int], values: list[float]) -> None:
    with pytest.raises(ValueError, match="for each of at least 2 different sizes"):
        extrapolate_to_infinity(sizes, values)
    with pytest.raises(ValueError, match="expected a finite value"):
        extrapolate_to_infinity([1, 2], [1.0, float("nan")])


# What is refused


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


@pytest.mark.parametrize("shape", [(0, 3), (3,), (2, 3, 4), (4, 0), ()])
def test_features_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected features \(N, F\) with N of at least 1, got \("):
        FeatureStats.of(torch.zeros(shape))


@pytest.mark.parametrize("lonely", [0, 1])
def test_a_distance_needs_two_samples_of_each(lonely: int) -> None:
    pair = [torch.randn(5, 3), torch.randn(5, 3)]
    pair[lonely] = pair[lonely][:1]
    with pytest.raises(ValueError, match=r"with N of at least 2, got \(1, 3\)"):
        frechet_distance_from_features(*pair)


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.complex64, torch.bool])
def test_features_that_are_no_floats_are_refused(dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match=r"expected features \(N, F\) of floats, got torch\..*\.float\(\)"):
        FeatureStats.of(torch.zeros(5, 3, dtype=dtype))


@pytest.mark.parametrize("shapes", [((9, 3), (9, 4)), ((9, 3), (3, 9))])
def test_different_dimensions_are_refused(shapes: tuple[tuple[int, int], tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match=r"of one dimension, got \(9, 3\) and \(.*each row is a sample"):
        frechet_distance_from_features(*(torch.randn(shape) for shape in shapes))


@pytest.mark.parametrize("odd_one", [0, 1, 2, 3])
def test_moments_of_different_dimensions_are_refused(odd_one: int) -> None:
    given = [*gaussian(0, 3), *gaussian(1, 3)]
    given[odd_one] = gaussian(0, 4)[odd_one % 2]
    with pytest.raises(ValueError, match=r"expected means \(F,\) and covariances \(F, F\) of one dimension"):
        frechet_distance(*given)


def test_a_matrix_that_is_no_covariance_is_refused() -> None:
    mu, cov = gaussian(0, 3)
    skewed = cov + torch.triu(torch.ones(3, 3), 1)
    with pytest.raises(ValueError, match="expected symmetric covariances"):
        frechet_distance(mu, cov, mu, skewed)
    negative = torch.diag(torch.tensor([1.0, 2.0, -1.0]))
    for pair in ((cov, negative), (negative, cov)):
        with pytest.raises(ValueError, match="without negative eigenvalues, got -"):
            frechet_distance(mu, pair[0], mu, pair[1])


def test_features_with_gradients_are_measured_as_data() -> None:
    real = torch.randn(9, 3, requires_grad=True)
    assert frechet_distance_from_features(real, real + 1) == pytest.approx(3, rel=1e-5)
