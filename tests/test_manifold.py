"""Precision and recall, density and coverage: known answers, the peer, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from gancourse.metrics import density_coverage, manifold, precision_recall


def cloud(seed: int, n: int = 60, dim: int = 5, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


def line(*places: float) -> Tensor:
    return torch.tensor(places, dtype=torch.float32)[:, None]


def test_a_copy_of_the_reals_is_perfect() -> None:
    real = cloud(0)
    assert precision_recall(real, real) == (1, 1)
    assert density_coverage(real, real).coverage == 1


def test_far_apart_both_are_zero() -> None:
    assert precision_recall(cloud(0), cloud(1) + 100) == (0, 0)
    assert density_coverage(cloud(0), cloud(1) + 100) == (0, 0)


def test_swapping_real_and_fake_swaps_precision_and_recall() -> None:
    real, fake = cloud(2, 50), cloud(3, 70, scale=0.7)
    assert precision_recall(real, fake) == precision_recall(fake, real)[::-1]


def test_a_collapsed_generator_is_precise_and_recalls_little() -> None:
    """All fakes beside one real; the other way round, reals scattered beyond two modes."""
    real = torch.cat([cloud(4, 50), cloud(5, 50) + 50])
    one_mode = cloud(6, 100)
    found = precision_recall(real, one_mode)
    assert found.precision > 0.8
    assert 0.3 < found.recall <= 0.5, "the second mode is lost"


def test_the_kth_neighbour_is_not_the_point_itself() -> None:
    """Reals at 0, 1, 10: with k = 1 their balls are [-1, 1], [0, 2] and [1, 19]."""
    real = line(0, 1, 10)
    assert precision_recall(real, line(-1.5, 1.5, 18.9, 19.1), k=1).precision == 0.5
    with_itself = torch.cdist(real, real).kthvalue(1).values  # the mistake: every radius is 0
    assert with_itself.sum() == 0


def test_a_ball_holds_its_border() -> None:
    """As in Kynkäänniemi et al., equation 1: 2 and 19 lie on the borders of [0, 2] and [1, 19]."""
    assert precision_recall(line(0, 1, 10), line(2, 19), k=1).precision == 1


def test_an_outlier_spoils_recall_and_not_coverage() -> None:
    """One fake far off has a ball that holds all reals; coverage draws balls about the reals only."""
    real, fake = line(0, 1, 2, 3, 4), line(100, 101, -300)
    assert precision_recall(real, fake, k=2).recall == 1
    assert density_coverage(real, fake, k=2).coverage == 0


def test_density_counts_the_balls() -> None:
    """Balls [-1, 1], [0, 2], [1, 19]: 1 lies in all three, 5 in one, 30 in none, 0 in two."""
    real = line(0, 1, 10)
    assert density_coverage(real, line(1, 5, 30), k=1).density == pytest.approx(4 / 3)
    assert density_coverage(real, line(0, 0, 0), k=1) == pytest.approx((2, 2 / 3))


def test_density_is_about_one_on_samples_of_the_same_distribution() -> None:
    found = density_coverage(cloud(7, 300, 2), cloud(8, 300, 2))
    assert found.density == pytest.approx(1, abs=0.15)
    assert found.coverage > 0.9


@pytest.mark.parametrize("block", [1, 500])
def test_the_size_of_the_blocks_does_not_matter(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = cloud(9, 50), cloud(10, 40)
    whole = precision_recall(real, fake), density_coverage(real, fake)
    monkeypatch.setattr(manifold, "BLOCK", block)
    assert (precision_recall(real, fake), density_coverage(real, fake)) == whole


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions_are_measured(dtype: torch.dtype) -> None:
    real, fake = cloud(11).to(dtype), cloud(12).to(dtype)
    assert precision_recall(real, fake) == precision_recall(real.double(), fake.double())


# The peer


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize(("n", "m"), [(60, 60), (40, 90)])
def test_it_agrees_with_prdc(k: int, n: int, m: int, capsys: pytest.CaptureFixture[str]) -> None:
    from prdc import prdc

    def distances(x: np.ndarray, y: np.ndarray | None = None) -> np.ndarray:
        """Stand in for the peer's, which starts 8 processes."""
        return np.linalg.norm(x[:, None] - (x if y is None else y)[None], axis=-1)

    real, fake = cloud(13, n), cloud(14, m, scale=0.8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prdc, "compute_pairwise_distance", distances)
        peer = prdc.compute_prdc(real.double().numpy(), fake.double().numpy(), nearest_k=k)
    capsys.readouterr()  # it prints
    found = {**precision_recall(real, fake, k=k)._asdict(), **density_coverage(real, fake, k=k)._asdict()}
    assert found == pytest.approx({name: float(value) for name, value in peer.items()}, abs=1e-9)


# What is refused


@pytest.mark.parametrize("measure", [precision_recall, density_coverage])
@pytest.mark.parametrize("k", [0, -1, 10])
def test_too_few_samples_for_k_are_refused(measure: Any, k: int) -> None:
    with pytest.raises(ValueError, match=rf"expected k from 1 .* got k = {k}, 10 real, 12 fake"):
        measure(cloud(0, 10), cloud(1, 12), k=k)


def test_recall_needs_more_than_k_fakes_and_coverage_one() -> None:
    with pytest.raises(ValueError, match="got k = 3, 10 real, 3 fake"):
        precision_recall(cloud(0, 10), cloud(1, 3))
    assert 0 <= density_coverage(cloud(0, 10), cloud(1, 1), k=3).coverage <= 1


@pytest.mark.parametrize("measure", [precision_recall, density_coverage])
def test_features_that_cannot_be_measured_are_refused(measure: Any) -> None:
    for bad, message in [
        (cloud(1, dim=4), r"of one dimension, got \(60, 5\) and \(60, 4\)"),
        (cloud(1)[0], "expected features"),
        (cloud(1) * float("inf"), "expected finite features"),
        (cloud(1).long(), "of floats"),
    ]:
        with pytest.raises(ValueError, match=message):
            measure(cloud(0), bad)
