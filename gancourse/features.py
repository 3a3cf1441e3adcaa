"""Feature networks: what the metrics look through. Taught in chapters 5 and 8."""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gancourse.checks import check_tensor, is_count, is_float
from gancourse.models.base import check_input
from gancourse.published import WEIGHTS, WeightsError, file_sha256, published_weights

CLASSIFIER_FILE = WEIGHTS / "mnist_classifier.safetensors"
CLASSIFIER_CARD = WEIGHTS / "mnist_classifier.json"
FEATURE_DIM = 128

INCEPTION_URL = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"
INCEPTION_SHA256 = "6726825d"  # its first digits, which the file bears in its name as torch.hub wants it


class FeatureNetworkError(WeightsError):
    """The weights of a feature network cannot be had or are not the ones its figures are quoted for."""


def _conv_block(c_in: int, c_out: int) -> list[nn.Module]:
    return [nn.Conv2d(c_in, c_out, 3, padding=1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU()]


class MNISTClassifier(nn.Module):
    """Map digits (N, 1, 28, 28) in [-1, 1] to features (N, 128) and class logits (N, 10).

    The features are the standardized activations before the last non-linearity: on the training
    digits each has mean 0 and variance 1, so a Fréchet distance on them is in units of a feature's
    variance. Two 3x3 convolutions of 32 channels, two of 64, each pair followed by 2x2 max pooling.
    """

    def __init__(self, feature_dim: int = FEATURE_DIM) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_conv_block(1, 32), *_conv_block(32, 32), nn.MaxPool2d(2),
            *_conv_block(32, 64), *_conv_block(64, 64), nn.MaxPool2d(2), nn.Flatten(),
        )  # fmt: skip
        self.embed = nn.Linear(64 * 7 * 7, feature_dim, bias=False)
        self.standardize = nn.BatchNorm1d(feature_dim, affine=False)
        self.dropout = nn.Dropout(0.3)
        self.head = nn.Linear(feature_dim, 10)

    def features(self, images: Tensor) -> Tensor:
        """Map images (N, 1, 28, 28) in [-1, 1] to features (N, 128)."""
        check_digits(images)
        check_input(self, images, (1, 28, 28), "images")  # also of the weights' dtype and device
        features: Tensor = self.standardize(self.embed(self.body(images)))
        return features

    def classify(self, features: Tensor) -> Tensor:
        """Map features (N, 128) to class logits (N, 10)."""
        check_input(self, features, (self.head.in_features,), "features")
        logits: Tensor = self.head(self.dropout(features.relu()))
        return logits

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, 1, 28, 28) in [-1, 1] to class logits (N, 10)."""
        return self.classify(self.features(images))


def check_digits(images: Tensor) -> None:
    """Raise ValueError unless images are float (N, 1, 28, 28); the range is checked where data enters.

    Raises TypeError for what is no tensor.
    """
    check_tensor("images", images)
    if not is_float(images):
        raise ValueError(f"expected float images in [-1, 1], got {images.dtype}: divide by 127.5, subtract 1")
    if images.ndim != 4 or images.shape[1:] != (1, 28, 28):
        raise ValueError(f"expected images (N, 1, 28, 28), got {tuple(images.shape)}; resize or add an axis")


@cache
def _classifier_state() -> tuple[dict[str, Tensor], str]:
    return published_weights(CLASSIFIER_FILE, CLASSIFIER_CARD)


def mnist_classifier(device: torch.device | str = "cpu") -> MNISTClassifier:
    """Return the book's MNIST classifier, in eval mode, without gradients.

    Its weights are in the package and never change; `classifier_hash` names them beside each
    Fréchet distance. Trained by `tools/train_classifier.py`; its test accuracy is on its card,
    `gancourse/weights/mnist_classifier.json`. Raises WeightsError where the weights are not the
    published ones.
    """
    net = MNISTClassifier()
    net.load_state_dict(_classifier_state()[0])
    return net.to(device).eval().requires_grad_(False)


def classifier_hash() -> str:
    """Return the first 12 hexadecimal digits of the SHA-256 of the classifier's weights."""
    return _classifier_state()[1][:12]


def _in_batches(
    images: Tensor, batch_size: int, see: Callable[[Tensor], tuple[Tensor, Tensor]]
) -> tuple[Tensor, Tensor]:
    """Return the two tensors that `see` makes of images, batch by batch, without gradients."""
    if not is_count(batch_size):
        raise ValueError(f"expected a batch size of at least 1, got {batch_size!r}; 50 to 500 are usual")
    check_tensor("images", images)
    if images.ndim == 0:
        raise ValueError(f"expected images (N, C, H, W), got the number {images.item()}")
    with torch.no_grad():
        pairs = [see(batch) for batch in images.split(batch_size)]
    return torch.cat([a for a, _ in pairs]), torch.cat([b for _, b in pairs])


def extract(net: MNISTClassifier, images: Tensor, batch_size: int = 500) -> tuple[Tensor, Tensor]:
    """Return features (N, 128) and predicted classes (N,) of images (N, 1, 28, 28).

    Images are uint8 in [0, 255] or float in [-1, 1]. Raises ValueError for another range or shape.
    """
    from gancourse.data import to_unit  # here, because gancourse.data must not be needed to load weights

    weight = net.head.weight

    def see(batch: Tensor) -> tuple[Tensor, Tensor]:
        features = net.features(to_unit(batch.to(weight.device)).to(weight.dtype))
        return features, net.classify(features).argmax(1)

    return _in_batches(images, batch_size, see)


def _inception_class() -> Any:  # torch-fidelity carries no annotations
    try:
        module = importlib.import_module("torch_fidelity.feature_extractor_inceptionv3")
    except ImportError as error:
        raise FeatureNetworkError(
            "the FID network is torch-fidelity's: pip install 'torch-fidelity>=0.4'"
        ) from error
    return module.FeatureExtractorInceptionV3


def _inception_file() -> Path:
    """Return the downloaded weights, in torch.hub's cache, where other libraries look for them too."""
    file = Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION_URL.rsplit("/", 1)[1]
    if file.exists():
        return file
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(INCEPTION_URL, str(file), hash_prefix=INCEPTION_SHA256)
    except (OSError, RuntimeError) as error:  # no network, no such page; another hash
        raise FeatureNetworkError(
            f"cannot download {INCEPTION_URL} ({error}); fetch it on another machine and put it at {file}, "
            "or pass its path="
        ) from error
    return file


def _checked_inception(file: Path, check: bool) -> Path:
    if not file.is_file():
        raise FeatureNetworkError(f"no weights at {file}; leave path= out to download them")
    found = file_sha256(file)
    if check and not found.startswith(INCEPTION_SHA256):
        raise FeatureNetworkError(
            f"{file} has SHA-256 {found[:8]}..., expected {INCEPTION_SHA256}...: delete it and download it "
            "again; check=False takes other weights, whose FIDs cannot be compared with published ones"
        )
    if not check:  # torch-fidelity unpickles whatever the file holds: let none but tensors pass
        try:
            torch.load(file, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
            raise FeatureNetworkError(f"{file} holds no tensors that torch.load can read safely") from error
    return file


def inception_v3(
    device: torch.device | str = "cpu", *, path: Path | str | None = None, check: bool = True
) -> nn.Module:
    """Return the FID network, which maps uint8 images (N, 3, H, W) to features (N, 2048), logits (N, 1008).

    The Inception of 2015-12-05 that FID, KID and the Inception score are defined by, Heusel et al. (2017), in
    torch-fidelity's conversion; in eval mode, without gradients. Use it through `inception_features`. The
    weights, 95 MB, are downloaded once, with progress, into torch.hub's cache, or read from `path`. Raises
    FeatureNetworkError where torch-fidelity or the weights cannot be had, and where the weights are not the
    published ones; with check=False others pass, and no FID of theirs can be compared with a published one.
    """
    network = _inception_class()
    file = _checked_inception(_inception_file() if path is None else Path(path), check)
    with torch.random.fork_rng(devices=[]):  # weights about to be replaced must not draw from a run's seed
        try:
            net = network("inception", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(file))
        except (RuntimeError, TypeError, AttributeError) as error:
            raise FeatureNetworkError(f"{file} holds the weights of another network") from error
    ready: nn.Module = net.to(device).eval().requires_grad_(False)
    return ready


def inception_features(net: nn.Module, images: Tensor, batch_size: int = 50) -> tuple[Tensor, Tensor]:
    """Return features (N, 2048) and class logits (N, 1008) of images (N, 3 or 1, H, W), in float32.

    Images are uint8 in [0, 255] or float in [-1, 1], which are rounded to bytes, as saved pictures are; one
    channel is repeated. The network resizes them to 299 by 299 itself, as TensorFlow 1 did: bilinear without
    antialiasing. So make larger images smaller beforehand, real and fake alike. The logits are those of the
    Inception score, without bias, as in its authors' code. Raises ValueError for another range or shape.
    """
    check_tensor("images", images)
    if images.ndim != 4 or images.shape[1] not in (1, 3) or 0 in images.shape:
        raise ValueError(f"expected images (N, 3, H, W) or (N, 1, H, W), got {tuple(images.shape)}")
    device = next(net.parameters()).device

    def see(batch: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(device.type, enabled=False):  # bf16 features would be another metric
            features, logits = net(_to_bytes(batch.to(device)).expand(-1, 3, -1, -1))
        return features, logits

    return _in_batches(images, batch_size, see)


def _to_bytes(images: Tensor) -> Tensor:
    from gancourse.data import to_unit

    if images.dtype == torch.uint8:
        return images
    return to_unit(images).add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
