"""Modes and classes: what a perfect sampler gets, what a collapsed one gets, and what is refused."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from gancourse.features import mnist_classifier
from gancourse.metrics import (
    class_histogram,
    collapse_alarms,
    mode_report,
    modes,
    perfect_mode_report,
    stacked_classes,
    stacked_report,
)


@dataclass(frozen=True)
class Gaussians:
    """Gaussians of one deviation about centers (K, D)."""

    centers: Tensor
    std: float
    weights: Tensor | None = None

    def sample(self, n: int, seed: int = 0) -> Tensor:
        rng = torch.Generator().manual_seed(seed)
        weights = torch.ones(len(self.centers)) if self.weights is None else self.weights
        chosen = torch.multinomial(weights, n, replacement=True, generator=rng)
        noise = torch.randn(n, self.centers.shape[1], dtype=torch.float64, generator=rng)
        return self.centers[chosen] + self.std * noise


def grid(dim: int = 2, side: int = 5, std: float = 0.05, weights: Tensor | None = None) -> Gaussians:
    steps = 2.0 * torch.arange(side, dtype=torch.float64)
    return Gaussians(torch.cartesian_prod(*[steps] * dim).reshape(-1, dim), std, weights)


# A perfect sampler


@pytest.mark.parametrize(("dim", "side"), [(1, 7), (2, 5), (3, 2)])
@pytest.mark.parametrize("threshold", [2.0, 3.0])
def test_a_perfect_sampler_gets_what_is_expected_of_it(dim: int, side: int, threshold: float) -> None:
    mixture, n = grid(dim, side), 40_000
    found = mode_report(mixture.sample(n), mixture, threshold=threshold)
    ideal = perfect_mode_report(mixture, n, threshold=threshold)
    assert (found.n_samples, found.n_modes) == (ideal.n_samples, ideal.n_modes) == (n, side**dim)
    assert found.modes == ideal.modes == side**dim
    share = ideal.high_quality
    assert found.high_quality == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / n))
    assert found.std_ratio == pytest.approx(1, abs=0.01)
    assert 0 < found.reverse_kl < 3 * ideal.reverse_kl
    torch.testing.assert_close(found.shares, ideal.shares, rtol=0, atol=0.01)


def test_the_published_limits() -> None:
    """In 2-D 98.89 % within 3 deviations; reverse KL .0014 on the ring of 8, .0048 on the grid of 25."""
    of_grid = perfect_mode_report(grid(), 2500)
    assert of_grid.high_quality == pytest.approx(1 - math.exp(-4.5), abs=1e-12)
    assert of_grid.high_quality == pytest.approx(0.9889, abs=5e-5)
    assert of_grid.reverse_kl == pytest.approx(0.0048)
    assert perfect_mode_report(grid(1, 8), 2500).reverse_kl == pytest.approx(0.0014)


def test_in_one_dimension_three_deviations_hold_99_73_percent() -> None:
    assert perfect_mode_report(grid(1, 2), 100).high_quality == pytest.approx(math.erf(3 / math.sqrt(2)))


def test_the_floor_of_the_reverse_kl_is_its_mean_over_perfect_samples() -> None:
    mixture = grid(1, 8)
    found = [mode_report(mixture.sample(500, seed), mixture).reverse_kl for seed in range(60)]
    assert sum(found) / 60 == pytest.approx(perfect_mode_report(mixture, 500).reverse_kl, rel=0.25)


def test_uneven_weights_are_what_the_shares_are_compared_with() -> None:
    weights = torch.tensor([8.0, 1.0, 1.0])
    uneven, even = grid(1, 3, weights=weights), grid(1, 3)
    samples = uneven.sample(5000)
    assert mode_report(samples, uneven).reverse_kl < 0.002
    q = torch.tensor([0.8, 0.1, 0.1])
    assert mode_report(samples, even).reverse_kl == pytest.approx((q * (3 * q).log()).sum().item(), abs=0.03)
    torch.testing.assert_close(perfect_mode_report(uneven, 9).shares, weights.double() / 10)


# Samplers that fail


def test_lost_modes_cost_the_logarithm_of_their_share() -> None:
    """Evenly over 6 of 24 modes: reverse KL log 4."""
    mixture = grid(1, 24)
    found = mode_report(mixture.centers[:6].repeat(10, 1), mixture)
    assert found.modes == 6
    assert found.reverse_kl == pytest.approx(math.log(4))
    assert (found.shares[6:] == 0).all()


def test_exact_centers_have_full_quality_and_no_deviation() -> None:
    """Why quality does not stand alone."""
    mixture = grid()
    found = mode_report(mixture.centers.repeat(4, 1), mixture)
    assert found.high_quality == 1
    assert found.high_quality > perfect_mode_report(mixture, 100).high_quality
    assert found.std_ratio == pytest.approx(0, abs=1e-9)


def test_modes_that_shrank_by_half_have_half_the_deviation() -> None:
    mixture = grid()
    shrunk = Gaussians(mixture.centers, mixture.std / 2)
    found = mode_report(shrunk.sample(20_000), mixture)
    assert found.std_ratio == pytest.approx(0.5 / modes._truncation(3.0, 2), rel=0.01)
    assert modes._truncation(3.0, 2) == pytest.approx(0.974, abs=5e-4), "at 3, in 2-D, the cut takes 2.6 %"


def test_deviation_is_about_each_modes_own_mean() -> None:
    """Two modes of two samples each, one deviation to both sides of a shifted mean."""
    mixture = Gaussians(torch.tensor([[0.0], [10.0]]), 1.0)
    samples = torch.tensor([[0.0], [2.0], [10.0], [12.0]])
    found = mode_report(samples, mixture)
    assert found.std_ratio * modes._truncation(3.0, 1) == pytest.approx(math.sqrt(2)), "(1 + 1) / (2 - 1)"


def test_only_high_quality_samples_cover_a_mode() -> None:
    mixture = Gaussians(torch.tensor([[0.0, 0.0], [10.0, 0.0]]), 1.0)
    found = mode_report(torch.tensor([[0.0, 2.9], [6.0, 0.0], [10.0, 3.1], [0.0, 3.0]]), mixture)
    assert found.modes == 1
    assert found.high_quality == 0.5, "within 3 deviations, the border included"
    assert found.shares.tolist() == [0.5, 0.5], "the nearest mode of all samples, near or not"


def test_without_two_samples_in_a_mode_there_is_no_deviation() -> None:
    mixture = grid()
    assert math.isnan(mode_report(mixture.centers, mixture).std_ratio)
    assert math.isnan(mode_report(mixture.centers + 0.9, mixture).std_ratio)
    assert mode_report(mixture.centers + 0.9, mixture).modes == 0


def test_a_ring_that_repeats_its_end_point_has_seven_modes() -> None:
    """The mistake linspace(0, 2 pi, 8), as the report of a true ring shows it."""

    def ring(angles: Tensor) -> Gaussians:
        return Gaussians(torch.stack([angles.cos(), angles.sin()], 1), 0.01)

    true = ring(2 * math.pi / 8 * torch.arange(8))
    wrong = ring(torch.linspace(0, 2 * math.pi, 8))
    assert mode_report(true.sample(800), true).modes == 8
    assert mode_report(wrong.sample(800), true).modes < 8


def test_large_samples_are_read_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    mixture = grid()
    whole = mode_report(mixture.sample(90), mixture)
    monkeypatch.setattr(modes, "CHUNK", 40)
    assert mode_report(mixture.sample(90), mixture).shares.tolist() == whole.shares.tolist()


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (torch.zeros(5, 3), r"expected samples \(N, 2\) for centers \(25, 2\), got \(5, 3\)"),
        (torch.zeros(0, 2), r"expected samples \(N, D\) with N of at least 1, got \(0, 2\)"),
        (torch.zeros(2), r"got \(2,\)"),
        (torch.full((5, 2), float("nan")), "expected finite samples, got NaN"),
        (torch.zeros(5, 2, dtype=torch.int64), "of floats"),
    ],
)
def test_samples_that_cannot_be_reported_are_refused(samples: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mode_report(samples, grid())


@pytest.mark.parametrize("threshold", [0.0, -3.0, math.nan, math.inf])
def test_a_threshold_that_is_not_positive_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match=r"expected a positive threshold, in deviations, got .*; 3 is usual"):
        mode_report(torch.zeros(5, 2), grid(), threshold=threshold)
    with pytest.raises(ValueError, match="positive threshold"):
        perfect_mode_report(grid(), 5, threshold=threshold)
    with pytest.raises(ValueError, match="expected at least 1 sample, got 0"):
        perfect_mode_report(grid(), 0)


# Stacked digits


def test_stacked_classes_drawn_evenly_reach_the_floor() -> None:
    """1,000 classes and 26,000 samples: .0192."""
    classes = torch.randint(0, 1000, (26_000,), generator=torch.Generator().manual_seed(0))
    found = stacked_report(classes)
    assert found.modes == found.n_modes == 1000
    assert found.kl_floor == pytest.approx(0.0192, abs=5e-5)
    assert found.kl == pytest.approx(found.kl_floor, rel=0.1)


def test_stacked_classes_that_collapsed_cost_the_logarithm_of_their_share() -> None:
    found = stacked_report(torch.arange(10).repeat(20) * 111)
    assert (found.modes, found.n_samples) == (10, 200)
    assert found.kl == pytest.approx(math.log(100))
    with pytest.raises(ValueError, match=r"expected integers in 0\.\.999, got torch.int64 in 0\.\.1000"):
        stacked_report(torch.tensor([0, 1000]))


def test_red_counts_hundreds_green_tens_and_blue_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.zeros(3, 3, 28, 28, dtype=torch.uint8)
    images[:, :, 0, 0] = torch.tensor([[7, 0, 4], [0, 0, 0], [9, 8, 1]], dtype=torch.uint8)
    classifier = mnist_classifier()
    # A stand-in that reads the digit off the brightness of a corner.
    monkeypatch.setattr(classifier, "features", lambda images: (images[:, 0, 0, :1] + 1) * 127.5)
    monkeypatch.setattr(classifier, "classify", lambda corner: -(corner - torch.arange(10)).abs())
    assert stacked_classes(images, classifier).tolist() == [704, 0, 981]
    assert stacked_classes(images.float() / 127.5 - 1, classifier).tolist() == [704, 0, 981]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(4, 1, 28, 28), r"expected stacked digits \(N, 3, 28, 28\), got \(4, 1, 28, 28\)"),
        (torch.zeros(4, 3, 32, 32), "expected stacked digits"),
        (torch.zeros(0, 3, 28, 28), "expected at least one image"),
        (torch.full((1, 3, 28, 28), 255.0), r"expected images in \[-1, 1\]"),
    ],
)
def test_what_is_no_stack_of_digits_is_refused(images: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        stacked_classes(images, mnist_classifier())


# Classes


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
        (torch.tensor([True, False]), r"integers in 0\.\.9, got torch.bool"),
        (torch.zeros(3, dtype=torch.complex64), r"integers in 0\.\.9, got torch.complex64"),
    ],
)
def test_what_is_no_class_is_refused(classes: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        class_histogram(classes)


def test_even_classes_raise_no_alarm() -> None:
    assert collapse_alarms(torch.full((10,), 0.1)) == ()
    assert collapse_alarms(class_histogram(torch.arange(10))) == ()


def test_a_missing_and_a_dominant_class_are_named() -> None:
    shares = torch.tensor([0.6, 0.2, 0.0, 0.2])
    assert collapse_alarms(shares) == ("class 2 is missing", "class 0 has 60% of the samples, more than 50%")
    assert collapse_alarms(shares, at_most=0.7) == ("class 2 is missing",)
    assert collapse_alarms(torch.tensor([0.5, 0.5])) == ()


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        (torch.zeros(0), r"expected shares \(K,\), got \(0,\); see class_histogram"),
        (torch.full((2, 2), 0.25), r"expected shares \(K,\), got \(2, 2\)"),
        (torch.tensor([30.0, 70.0]), "expected shares that add up to 1, got 100"),
        (torch.tensor([1.5, -0.5]), "expected shares that add up to 1"),
        (torch.tensor([math.nan, 1.0]), "expected shares that add up to 1, got nan"),
    ],
)
def test_what_is_no_share_is_refused(shares: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        collapse_alarms(shares)
