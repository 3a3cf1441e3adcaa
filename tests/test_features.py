"""The MNIST classifier that every Fréchet distance of the book names: it must never change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from gancourse import features
from gancourse.data import DataNotFound, ImageData, mnist, to_unit
from gancourse.features import (
    CLASSIFIER_CARD,
    CLASSIFIER_FILE,
    MNISTClassifier,
    classifier_hash,
    extract,
    mnist_classifier,
)
from gancourse.published import WeightsError, file_sha256

# Each Fréchet distance in the book was computed with these weights. Other weights would void them all.
SHA256 = "0983539b3ddb56306476f02db43494739595d7ec56b680293601212924b6a860"


def real(split: str) -> ImageData:
    try:
        return mnist(split, download=False)  # type: ignore[arg-type]
    except DataNotFound as error:
        pytest.skip(f"no MNIST here: {error}".splitlines()[0])


@pytest.fixture(scope="module")
def net() -> MNISTClassifier:
    return mnist_classifier()


def digits(n: int = 7) -> torch.Tensor:
    return torch.randint(
        0, 256, (n, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


# The weights


def test_the_weights_are_the_published_ones() -> None:
    assert file_sha256(CLASSIFIER_FILE) == SHA256
    assert json.loads(CLASSIFIER_CARD.read_text())["sha256"] == SHA256
    assert classifier_hash() == SHA256[:12]
    assert CLASSIFIER_FILE.stat().st_size <= 2_000_000


@pytest.fixture
def unread() -> object:
    """Forget the weights read so far, before and after the test."""
    features._classifier_state.cache_clear()
    yield
    features._classifier_state.cache_clear()


@pytest.mark.parametrize("position", [40, 100_000, -1], ids=["header", "weights", "last byte"])
@pytest.mark.usefixtures("unread")
def test_one_changed_byte_is_refused(position: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytearray(CLASSIFIER_FILE.read_bytes())
    data[position] ^= 1
    copy = tmp_path / CLASSIFIER_FILE.name
    copy.write_bytes(data)
    monkeypatch.setattr(features, "CLASSIFIER_FILE", copy)
    message = r"mnist_classifier\.safetensors has SHA-256 .*, expected 0983539b3ddb.*cannot be compared"
    for use in (mnist_classifier, classifier_hash):
        with pytest.raises(WeightsError, match=message):
            use()


@pytest.mark.usefixtures("unread")
def test_missing_weights_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "CLASSIFIER_FILE", tmp_path / CLASSIFIER_FILE.name)
    with pytest.raises(WeightsError, match=r"mnist_classifier\.safetensors is missing; install"):
        mnist_classifier()


def test_it_comes_ready_for_use(net: MNISTClassifier) -> None:
    assert not net.training
    assert not any(p.requires_grad for p in net.parameters())
    other = mnist_classifier()
    with torch.no_grad():
        other.head.weight.zero_()
    assert net.head.weight.count_nonzero() > 0, "two nets share their weights"


# What it does with real digits


@pytest.mark.slow
def test_it_classifies_the_test_set_as_its_card_says(net: MNISTClassifier) -> None:
    data = real("test")
    _, classes = extract(net, data.images)
    accuracy = (classes == data.labels).double().mean().item()
    assert accuracy >= 0.993
    assert accuracy == pytest.approx(json.loads(CLASSIFIER_CARD.read_text())["test_accuracy"], abs=1e-4)


def test_features_are_standardized_on_training_digits(net: MNISTClassifier) -> None:
    found, _ = extract(net, real("train").images[:2000])
    assert found.mean(0).abs().max() < 0.2
    assert found.mean().abs() < 0.02
    assert found.var(0).mean().item() == pytest.approx(1, abs=0.05)
    assert (found.var(0) - 1).abs().max() < 0.5


# The function


def test_bytes_and_floats_give_the_same(net: MNISTClassifier) -> None:
    of_bytes, of_floats = extract(net, digits()), extract(net, to_unit(digits()))
    assert torch.equal(of_bytes[0], of_floats[0])
    assert torch.equal(of_bytes[1], of_floats[1])
    assert of_bytes[0].shape == (7, 128)
    assert of_bytes[1].shape == (7,)
    assert of_bytes[1].dtype == torch.int64


@pytest.mark.parametrize("batch_size", [1, 3, 7, 500])
def test_the_size_of_the_batches_does_not_matter(batch_size: int, net: MNISTClassifier) -> None:
    expected = torch.cat([net.features(to_unit(image[None])) for image in digits()])
    found, classes = extract(net, digits(), batch_size)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(classes, net.classify(expected).argmax(1))
    torch.testing.assert_close(net(to_unit(digits())), net.classify(expected), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (255 * torch.rand(4, 1, 28, 28), r"expected images in \[-1, 1\], got .*divide by 127.5"),
        (torch.full((4, 1, 28, 28), float("nan")), r"expected images in \[-1, 1\]"),
        (torch.zeros(4, 3, 28, 28), r"expected images \(N, 1, 28, 28\), got \(4, 3, 28, 28\)"),
        (torch.zeros(4, 1, 32, 32), r"expected images \(N, 1, 28, 28\), got \(4, 1, 32, 32\); resize"),
        (torch.zeros(4, 28, 28, dtype=torch.uint8), r"expected images \(N, 1, 28, 28\), got \(4, 28, 28\)"),
        (torch.zeros(4, 1, 28, 28, dtype=torch.int64), "expected uint8 or float images, got torch.int64"),
        (torch.zeros(0, 1, 28, 28), "expected at least one image"),
        (torch.zeros(0, 1, 28, 28, dtype=torch.uint8), "expected at least one image"),
    ],
)
def test_other_images_are_refused(images: torch.Tensor, message: str, net: MNISTClassifier) -> None:
    with pytest.raises(ValueError, match=message):
        extract(net, images)


def test_bytes_are_refused_where_floats_are_due(net: MNISTClassifier) -> None:
    with pytest.raises(ValueError, match=r"expected float images in .* got torch.uint8: divide by 127.5"):
        net(digits())
