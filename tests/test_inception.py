"""The FID network: loaded as torch-fidelity loads it, fed with the right bytes, refused with the reason.

The published weights are not at hand here: random ones of the same network show the code to be right.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
from torch import Tensor, nn

from gancourse import features
from gancourse.features import (
    FeatureNetworkError,
    extract,
    inception_features,
    inception_v3,
    mnist_classifier,
)
from gancourse.published import file_sha256

NAME = "weights-inception-2015-12-05-6726825d.pth"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Write random weights of torch-fidelity's network to a file."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    with torch.random.fork_rng(devices=[]), pytest.MonkeyPatch.context() as patch:
        torch.manual_seed(0)
        patch.setattr(torch, "load", lambda *_, **__: {})
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        net = FeatureExtractorInceptionV3("random", ["2048"], feature_extractor_weights_path="")
    file = tmp_path_factory.mktemp("inception") / "random.pth"
    torch.save(net.state_dict(), file)
    yield file
    file.unlink()


@pytest.fixture(scope="module")
def net(weights: Path) -> nn.Module:
    return inception_v3(path=weights, check=False)


@pytest.fixture(scope="module")
def seen(net: nn.Module) -> tuple[Tensor, Tensor]:
    """Return features and logits of two pictures."""
    return inception_features(net, pictures())


@pytest.fixture
def any_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a tiny network in the place of the large one: for tests of where weights come from."""

    def network(*_: object, feature_extractor_weights_path: str) -> nn.Module:
        assert Path(feature_extractor_weights_path).is_file()
        return nn.Linear(1, 1)

    monkeypatch.setattr(features, "_inception_class", lambda: network)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give torch.hub an empty cache, and let nothing reach the network."""

    def refuse(*_: object, **__: object) -> None:
        raise URLError("no network in tests")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    return tmp_path / "hub" / "checkpoints"


def pictures(n: int = 2, channels: int = 3, size: int = 32) -> Tensor:
    rng = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (n, channels, size, size), dtype=torch.uint8, generator=rng)


# The network


def test_it_gives_what_torch_fidelity_gives(seen: tuple[Tensor, Tensor], weights: Path) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    theirs = FeatureExtractorInceptionV3(
        "peer", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(weights)
    )
    expected = theirs(pictures())
    found = seen
    assert [tuple(t.shape) for t in found] == [(2, 2048), (2, 1008)]
    assert found[0].dtype == torch.float32
    assert found[0].std(0).max() > 0, "random weights, but the pictures differ"
    torch.testing.assert_close(found[0], expected[0])
    torch.testing.assert_close(found[1], expected[1])


def test_bytes_floats_and_gray_are_the_same_picture(net: nn.Module) -> None:
    """A float in [-1, 1] must come back to its byte: truncation would darken half of them."""
    gray = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert torch.equal(features._to_bytes(gray.float() / 127.5 - 1), gray)
    truncated = ((gray.float() / 127.5 - 1 + 1) * 127.5).to(torch.uint8)
    assert not torch.equal(truncated, gray), "the mistake"
    of_bytes = inception_features(net, gray)[0]
    of_floats = inception_features(net, (gray.float() / 127.5 - 1).expand(1, 3, 16, 16))[0]
    torch.testing.assert_close(of_bytes, of_floats)


def test_batches_are_joined_in_order(net: nn.Module, seen: tuple[Tensor, Tensor]) -> None:
    for one_by_one, together in zip(inception_features(net, pictures(), 1), seen, strict=True):
        torch.testing.assert_close(one_by_one, together, rtol=1e-3, atol=1e-5)


def test_autocast_does_not_change_the_metric(net: nn.Module, seen: tuple[Tensor, Tensor]) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(inception_features(net, pictures())[0], seen[0])


def test_it_comes_ready_for_use_and_draws_nothing(weights: Path) -> None:
    before = torch.get_rng_state()
    loaded = inception_v3(path=str(weights), check=False)
    assert torch.equal(torch.get_rng_state(), before), "a metric that moves the seed changes the training"
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(2, 4, 8, 8), r"expected images \(N, 3, H, W\) or \(N, 1, H, W\), got \(2, 4, 8, 8\)"),
        (torch.zeros(3, 8, 8), r"expected images .*, got \(3, 8, 8\)"),
        (torch.zeros(0, 3, 8, 8), r"expected images .*, got \(0, 3, 8, 8\)"),
        (torch.full((1, 3, 8, 8), 255.0), r"expected images in \[-1, 1\], got .*divide by 127.5"),
        (torch.full((1, 3, 8, 8), float("nan")), r"expected images in \[-1, 1\]"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.int64), "expected uint8 or float images, got torch.int64"),
    ],
)
def test_other_images_are_refused(images: Tensor, message: str, net: nn.Module) -> None:
    with pytest.raises(ValueError, match=message):
        inception_features(net, images)
    with pytest.raises(ValueError, match="expected a batch size of at least 1, got 0"):
        inception_features(net, pictures(), 0)


def test_a_number_is_no_image() -> None:
    with pytest.raises(ValueError, match=r"expected images \(N, C, H, W\), got the number 3"):
        extract(mnist_classifier(), torch.tensor(3))


# The weights


def test_other_weights_are_refused_unless_asked_for(weights: Path) -> None:
    with pytest.raises(
        FeatureNetworkError, match=r"random\.pth has SHA-256 .*, expected 6726825d.*check=False"
    ):
        inception_v3(path=weights)


@pytest.mark.usefixtures("any_weights")
def test_weights_of_the_expected_hash_need_no_leave(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "INCEPTION_SHA256", file_sha256(weights)[:8])
    assert isinstance(inception_v3(path=weights), nn.Module)


def test_the_address_names_the_published_hash() -> None:
    assert features.INCEPTION_URL.endswith(f"/{NAME}")
    assert features.INCEPTION_SHA256 in NAME
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    assert features.INCEPTION_URL == URL_INCEPTION_V3


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FeatureNetworkError, match=r"no weights at .*none\.pth; leave path= out to download"):
        inception_v3(path=tmp_path / "none.pth")


def test_without_a_network_the_error_says_where_the_file_goes(cache: Path) -> None:
    message = rf"cannot download https://.*{NAME} \(.*no network in tests.*\); .* put it at .*{NAME}, or pass"
    with pytest.raises(FeatureNetworkError, match=message):
        inception_v3()
    assert list(cache.iterdir()) == [], "nothing half-written stays"


@pytest.mark.usefixtures("any_weights")
def test_a_download_is_checked_and_kept(cache: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def download(url: str, file: str, hash_prefix: str) -> None:
        asked.append((url, hash_prefix))
        Path(file).symlink_to(weights)

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    monkeypatch.setattr(features, "_checked_inception", lambda file, _: file)
    for _ in range(2):
        inception_v3()
    assert asked == [(features.INCEPTION_URL, "6726825d")], "once"
    assert [file.name for file in cache.iterdir()] == [NAME]


def test_a_damaged_file_in_the_cache_is_named(cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / NAME).write_bytes(b"half a download")
    with pytest.raises(FeatureNetworkError, match=rf"{NAME} has SHA-256 .*delete it and download it again"):
        inception_v3()


def test_what_is_no_weights_is_refused(tmp_path: Path, weights: Path) -> None:
    text, other, unsafe = tmp_path / "text.pth", tmp_path / "other.pth", tmp_path / "unsafe.pth"
    text.write_bytes(b"not a picture of any weights")
    torch.save(nn.Linear(2, 2).state_dict(), other)
    torch.save({"run": print}, unsafe)
    for file in (text, unsafe):
        with pytest.raises(FeatureNetworkError, match=rf"{file.name} holds no tensors that torch\.load can"):
            inception_v3(path=file, check=False)
    with pytest.raises(FeatureNetworkError, match=r"other\.pth holds the weights of another network"):
        inception_v3(path=other, check=False)


def test_without_torch_fidelity_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", None)
    with pytest.raises(FeatureNetworkError, match=r"torch-fidelity's: pip install 'torch-fidelity>=0\.4'"):
        inception_v3()


def test_the_import_does_not_need_torch_fidelity() -> None:
    """Imports at the top of a module are what everybody pays for."""
    package = Path(features.__file__).parent
    for file in [package / "features.py", *(package / "metrics").glob("*.py")]:
        top = [ast.unparse(node) for node in ast.parse(file.read_text(encoding="utf-8")).body]
        assert not any(line.startswith(("import torch_fidelity", "from torch_fidelity")) for line in top)
