"""The Inception score: its limits in closed form, its peers, and what it refuses."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from gancourse.metrics import inception, inception_score


def random_logits(seed: int, n: int = 60, k: int = 7) -> Tensor:
    return 2 * torch.randn(n, k, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("k", [1, 2, 10])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sure_and_evenly_spread_over_k_classes_it_is_k(k: int, dtype: torch.dtype) -> None:
    logits = 1000 * torch.eye(k, dtype=dtype).repeat(3, 1)
    assert inception_score(logits) == pytest.approx((k, 0), rel=1e-9)


def test_it_is_one_where_every_image_says_the_same() -> None:
    """All of one class, surely, or all equally undecided."""
    for logits in (torch.tensor([[9.0, 0.0, 0.0]]), torch.zeros(1, 3)):
        assert inception_score(logits.repeat(8, 1)).mean == pytest.approx(1)


def test_unsure_images_over_two_classes_have_a_closed_form() -> None:
    """Half say (p, 1 - p), half (1 - p, p): exp(log 2 - H(p))."""
    p = 0.8
    rows = torch.tensor([[p, 1 - p], [1 - p, p]], dtype=torch.float64).log()
    entropy = -p * math.log(p) - (1 - p) * math.log(1 - p)
    assert inception_score(rows).mean == pytest.approx(math.exp(math.log(2) - entropy))


def test_it_does_not_see_a_shift_of_the_logits() -> None:
    logits = random_logits(0)
    assert inception_score(logits + 500).mean == pytest.approx(inception_score(logits).mean)


def test_it_is_the_exponential_of_a_mean_divergence() -> None:
    p = random_logits(1).softmax(1)
    divergence = (p * (p / p.mean(0)).log()).sum(1)
    assert inception_score(random_logits(1)).mean == pytest.approx(divergence.mean().exp().item())
    wrong = divergence.exp().mean().item()
    assert inception_score(random_logits(1)).mean != pytest.approx(wrong, rel=1e-3), (
        "mean and exp do not swap"
    )


def test_the_size_of_the_chunks_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = inception_score(random_logits(2))
    monkeypatch.setattr(inception, "CHUNK", 7)
    assert inception_score(random_logits(2)).mean == pytest.approx(whole.mean, rel=1e-12)


def test_images_that_come_class_by_class_must_be_shuffled() -> None:
    """In the given order each split sees one class only, and scores 1."""
    logits = (100 * torch.eye(5)).repeat_interleave(200, 0)
    assert inception_score(logits, splits=5).mean == pytest.approx(1)
    shuffled = inception_score(logits, splits=5, generator=torch.Generator().manual_seed(0))
    assert shuffled.mean == pytest.approx(5, rel=0.05)
    assert shuffled.std > 0


# Peers


@pytest.mark.parametrize("splits", [1, 4])
def test_it_agrees_with_torch_fidelity(splits: int) -> None:
    from torch_fidelity.metric_isc import isc_features_to_metric

    peer = isc_features_to_metric(random_logits(3), splits=splits, shuffle=False)
    found = inception_score(random_logits(3), splits=splits)
    assert found.mean == pytest.approx(peer["inception_score_mean"], rel=1e-9)
    assert found.std == pytest.approx(peer["inception_score_std"], rel=1e-9, abs=1e-12)


# What is refused


@pytest.mark.parametrize("splits", [0, 61, -1])
def test_splits_that_cannot_be_made_are_refused(splits: int) -> None:
    with pytest.raises(ValueError, match=r"expected from 1 to 60 splits .*, got"):
        inception_score(random_logits(4), splits=splits)


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (torch.zeros(5), r"expected logits \(N, K\) with N of at least 1, got \(5,\)"),
        (torch.zeros(0, 5), r"got \(0, 5\)"),
        (torch.full((4, 5), float("nan")), "expected finite logits, got NaN"),
        (torch.zeros(4, 5, dtype=torch.int64), "of floats, got torch.int64"),
    ],
)
def test_logits_that_cannot_be_scored_are_refused(logits: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        inception_score(logits)
