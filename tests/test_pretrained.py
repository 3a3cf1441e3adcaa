"""The book's trained generators: what is in the package, what it measures, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import gancourse.pretrained as module
from gancourse.data import DataNotFound, mnist
from gancourse.features import classifier_hash, extract, mnist_classifier
from gancourse.metrics import class_histogram, collapse_alarms, frechet_distance_from_features
from gancourse.pretrained import BUILDERS, card, pretrained, sample_digits
from gancourse.published import WEIGHTS, WeightsError, file_sha256


@pytest.mark.parametrize("name", BUILDERS)
def test_weights_are_the_published_ones_small_and_in_half_precision(name: str) -> None:
    path = WEIGHTS / f"{name}.safetensors"
    assert card(name)["sha256"] == file_sha256(path)
    assert path.stat().st_size <= 8 * 2**20
    kinds = {value.dtype for key, value in load_file(path).items() if key.endswith("weight")}
    assert kinds == {torch.float16}


@pytest.mark.parametrize("name", BUILDERS)
def test_a_generator_comes_ready_to_draw_from(name: str) -> None:
    G = pretrained(name)
    assert not G.training
    assert not any(p.requires_grad for p in G.parameters())
    assert {p.dtype for p in G.parameters()} == {torch.float32}
    images = sample_digits(G, 12, seed=0)
    assert images.shape == (12, 1, 28, 28)
    assert -1 <= images.min() < -0.9 < 0.9 < images.max() <= 1
    with torch.no_grad():
        next(G.parameters()).zero_()
    again = sample_digits(pretrained(name), 12, seed=0)
    assert torch.equal(again, images), "one caller's change reached the next"


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILDERS)
def test_a_generator_measures_what_its_card_says(name: str) -> None:
    try:
        digits = mnist("test", download=False)
    except DataNotFound:
        pytest.skip("MNIST is not on this machine")
    measured = card(name)["frechet_distance"]
    assert measured["classifier"] == classifier_hash()
    classifier = mnist_classifier()
    reference, _ = extract(classifier, digits.images)
    fake = sample_digits(pretrained(name), measured["samples"], seed=measured["seed"])
    features, classes = extract(classifier, fake)
    assert frechet_distance_from_features(reference, features) == pytest.approx(measured["value"], abs=0.02)
    assert collapse_alarms(class_histogram(classes)) == ()


def test_labels_come_in_turn() -> None:
    G = pretrained("cgan-28")
    images = sample_digits(G, 500, seed=0)
    _, classes = extract(mnist_classifier(), images)
    assert (classes == torch.arange(500) % 10).float().mean() > 0.9


def test_another_name_is_refused_with_the_names_there_are() -> None:
    known = "'cgan-28', 'dcgan-28', 'style-32'"
    with pytest.raises(ValueError, match=f"expected one of {known}, got 'stylegan-9000'"):
        pretrained("stylegan-9000")


def test_changed_or_missing_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WEIGHTS", tmp_path)
    module._state.cache_clear()
    (tmp_path / "dcgan-28.json").write_text(json.dumps(card_of_the_package()))
    with pytest.raises(WeightsError, match=r"dcgan-28\.safetensors is missing; install gancourse again"):
        pretrained("dcgan-28")
    data = bytearray((WEIGHTS / "dcgan-28.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "dcgan-28.safetensors").write_bytes(data)
    with pytest.raises(WeightsError, match=r"has SHA-256 .*, expected .*install gancourse again"):
        pretrained("dcgan-28")
    module._state.cache_clear()


def card_of_the_package() -> dict[str, object]:
    facts: dict[str, object] = json.loads((WEIGHTS / "dcgan-28.json").read_text())
    return facts
