"""The benchmarks compare like with like: both sides run, and compute the same thing."""

from __future__ import annotations

import pytest
import torch

from benchmarks import dcgan, frechet, pairs
from gancourse.data import digits
from gancourse.metrics import FeatureStats, frechet_distance_from_features


def test_both_sides_are_timed_in_turn_and_the_ratio_is_of_medians() -> None:
    order: list[str] = []
    pair = pairs.Pair("w", "p", lambda: order.append("ours"), lambda: order.append("theirs"), rounds=3)
    result = pairs.measure(pair)
    assert order == ["ours", "theirs"] * 4, "one round before those that count"
    known = pairs.Result(pair, [1.0, 2.0, 30.0], [4.0, 6.0, 8.0])
    assert known.ratio == 3.0
    assert known.spread == (8 / 30, 4.0)
    assert len(result.ours) == len(result.theirs) == 3
    assert "| w | p | 3.0 | 0.3 to 4.0 | 2 | 6 |" in pairs.table([known])


def test_the_peers_distance_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frechet, "DIM", 12)
    a, b = frechet.features(40, 1), frechet.features(40, 2)
    theirs = frechet.by_sqrtm(FeatureStats.of(a), FeatureStats.of(b))
    assert frechet_distance_from_features(a, b) == pytest.approx(theirs, rel=1e-6)


def test_the_tutorials_loop_trains_the_same_nets_on_the_same_data() -> None:
    data = digits("train").take(256)
    picture = dcgan.Pictures(data)[3]
    torch.testing.assert_close(picture, data.images[3].float() / 127.5 - 1, atol=1e-6, rtol=0)
    ours, theirs = (torch.tensor(train(data, 3)) for train in (dcgan.ours, dcgan.tutorial))
    assert ours.shape == theirs.shape == (3, 2)
    torch.testing.assert_close(ours[0], theirs[0], rtol=0.2, atol=0.1)
