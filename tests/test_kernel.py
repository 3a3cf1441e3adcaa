"""The kernel distance: its peers, its lack of bias, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from gancourse.metrics import KernelDistance, kernel, kernel_distance, squared_mmd


def pair(seed: int, n: int = 40, m: int = 40, dim: int = 6, shift: float = 0.4) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    real = torch.randn(n, dim, dtype=torch.float64, generator=rng)
    return real, torch.randn(m, dim, dtype=torch.float64, generator=rng) + shift


def by_pairs(real: Tensor, fake: Tensor, degree: int = 3) -> float:
    """Return the unbiased squared MMD from its definition, pair by pair."""

    def k(x: Tensor, y: Tensor) -> float:
        return float((x @ y / len(x) + 1) ** degree)

    def within(z: Tensor) -> float:
        return sum(k(z[i], z[j]) for i in range(len(z)) for j in range(len(z)) if i != j) / (
            len(z) * (len(z) - 1)
        )

    across = sum(k(x, y) for x in real for y in fake) / (len(real) * len(fake))
    return within(real) + within(fake) - 2 * across


@pytest.mark.parametrize(("n", "m", "degree"), [(6, 6, 3), (5, 9, 3), (9, 5, 2), (2, 2, 1)])
def test_it_is_its_definition(n: int, m: int, degree: int) -> None:
    real, fake = pair(n, n, m)
    assert squared_mmd(real, fake, degree=degree) == pytest.approx(by_pairs(real, fake, degree), rel=1e-10)


def test_a_linear_kernel_measures_the_squared_distance_of_the_means() -> None:
    real, fake = pair(0, 30, 50)
    expected = (real.mean(0) - fake.mean(0)).square().sum().item()
    found = squared_mmd(real, fake, degree=1, gamma=1.0, coef0=7.0, unbiased=False)
    assert found == pytest.approx(expected, rel=1e-9)


def test_unbiased_and_biased_differ_by_the_pairs_of_a_sample_with_itself() -> None:
    """On equal samples the biased estimator is 0, a distance's value; the unbiased one goes below."""
    real, _ = pair(1)
    assert squared_mmd(real, real, unbiased=False) == pytest.approx(0, abs=1e-12)
    assert squared_mmd(real, real) < -1e-3


def test_the_mean_over_samples_of_one_distribution_is_zero_only_where_unbiased() -> None:
    rng = torch.Generator().manual_seed(2)
    draws = torch.randn(400, 2, 12, 4, dtype=torch.float64, generator=rng)
    for unbiased in (True, False):
        values = torch.tensor([squared_mmd(x, y, unbiased=unbiased) for x, y in draws])
        error = values.std() / len(values) ** 0.5
        assert (values.mean().abs() < 3 * error) == unbiased


def test_the_size_of_the_blocks_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = pair(3, 37, 23)
    whole = squared_mmd(real, fake)
    monkeypatch.setattr(kernel, "ROWS", 5)
    assert squared_mmd(real, fake) == pytest.approx(whole, rel=1e-12)


# Subsets


def test_one_subset_of_all_is_the_exact_estimator() -> None:
    real, fake = pair(4)
    found = kernel_distance(real, fake, subsets=1, subset_size=40)
    assert found == KernelDistance(pytest.approx(squared_mmd(real, fake), rel=1e-12), 0.0)


def test_the_mean_does_not_depend_on_the_size_of_the_subsets() -> None:
    """What FD cannot do; and smaller subsets scatter more."""
    real, fake = pair(5, 200, 200)
    rng = torch.Generator().manual_seed(5)
    exact = squared_mmd(real, fake)
    small, large = (kernel_distance(real, fake, subsets=200, subset_size=n, generator=rng) for n in (20, 100))
    for found in (small, large):
        assert found.mean == pytest.approx(exact, abs=4 * found.std / 200**0.5)
    assert small.std > large.std > 0


def test_the_generator_draws_the_subsets() -> None:
    real, fake = pair(6)
    one, same, other = (
        kernel_distance(real, fake, subsets=3, subset_size=10, generator=torch.Generator().manual_seed(s))
        for s in (0, 0, 1)
    )
    assert one == same
    assert one != other


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_lower_precision_is_measured_in_float64(dtype: torch.dtype) -> None:
    real, fake = (x.to(dtype) for x in pair(7))
    assert squared_mmd(real, fake) == squared_mmd(real.double(), fake.double())


# Peers


@pytest.mark.parametrize("options", [{}, {"degree": 2, "gamma": 0.3, "coef0": 0.5}])
def test_it_agrees_with_torch_fidelity(options: dict[str, Any]) -> None:
    from torch_fidelity.metric_kid import kid_features_to_metric

    real, fake = pair(8)
    theirs = {f"kid_kernel_poly_{name}": value for name, value in options.items()}
    peer = kid_features_to_metric(
        real, fake, kid_subsets=1, kid_subset_size=40, rng_seed=0, verbose=False, **theirs
    )
    found = kernel_distance(real, fake, subsets=1, subset_size=40, **options)
    assert found.mean == pytest.approx(peer["kernel_inception_distance_mean"], rel=1e-9)


def test_it_agrees_with_torchmetrics() -> None:
    from torchmetrics.image.kid import poly_mmd

    real, fake = pair(9)
    assert squared_mmd(real, fake) == pytest.approx(poly_mmd(real, fake).item(), rel=1e-9)


# What is refused


@pytest.mark.parametrize(
    ("subset_size", "expected"), [(41, "from 2 to 40"), (1, "from 2"), (1000, "got 1000")]
)
def test_subsets_that_cannot_be_drawn_are_refused(subset_size: int, expected: str) -> None:
    real, fake = pair(10, 40, 50)
    with pytest.raises(ValueError, match=f"expected a subset_size .*{expected}"):
        kernel_distance(real, fake, subset_size=subset_size)


def test_options_out_of_range_are_refused() -> None:
    real, fake = pair(11)
    with pytest.raises(ValueError, match="expected at least 1 subset, got 0"):
        kernel_distance(real, fake, subsets=0, subset_size=10)
    with pytest.raises(ValueError, match="expected a degree of at least 1, got 0; 3 is the usual choice"):
        squared_mmd(real, fake, degree=0)


@pytest.mark.parametrize("measure", [kernel_distance, squared_mmd])
def test_features_that_cannot_be_measured_are_refused(measure: Any) -> None:
    real, fake = pair(12)
    for bad, message in [
        (fake[:, :3], "of one dimension"),
        (fake[:1], "with N of at least 2"),
        (fake[0], r"got \(6,\)"),
        (fake * float("nan"), "expected finite features"),
        (fake.long(), "of floats, got torch.int64"),
    ]:
        with pytest.raises(ValueError, match=message):
            measure(real, bad)
