"""Feature networks: what the metrics look through. Taught in chapters 5 and 8."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

WEIGHTS = Path(__file__).parent / "weights"
CLASSIFIER_FILE = WEIGHTS / "mnist_classifier.safetensors"
CLASSIFIER_CARD = WEIGHTS / "mnist_classifier.json"
FEATURE_DIM = 128


class FeatureNetworkError(RuntimeError):
    """The weights of a feature network are missing or are not the ones its figures are quoted for."""


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
        features: Tensor = self.standardize(self.embed(self.body(images)))
        return features

    def classify(self, features: Tensor) -> Tensor:
        """Map features (N, 128) to class logits (N, 10)."""
        logits: Tensor = self.head(self.dropout(features.relu()))
        return logits

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, 1, 28, 28) in [-1, 1] to class logits (N, 10)."""
        return self.classify(self.features(images))


def check_digits(images: Tensor) -> None:
    """Raise ValueError unless images are float (N, 1, 28, 28); the range is checked where data enters."""
    if not images.is_floating_point():
        raise ValueError(f"expected float images in [-1, 1], got {images.dtype}: divide by 127.5, subtract 1")
    if images.ndim != 4 or images.shape[1:] != (1, 28, 28):
        raise ValueError(f"expected images (N, 1, 28, 28), got {tuple(images.shape)}; resize or add an axis")


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@cache
def _classifier_state() -> tuple[dict[str, Tensor], str]:
    if not CLASSIFIER_FILE.exists():
        raise FeatureNetworkError(f"{CLASSIFIER_FILE.name} is missing; install gancourse again")
    found = file_sha256(CLASSIFIER_FILE)
    expected = json.loads(CLASSIFIER_CARD.read_text())["sha256"]
    if found != expected:
        raise FeatureNetworkError(
            f"{CLASSIFIER_FILE.name} has SHA-256 {found[:12]}..., expected {expected[:12]}...: "
            "Fréchet distances on other weights cannot be compared; install gancourse again"
        )
    return load_file(CLASSIFIER_FILE), found


def mnist_classifier(device: torch.device | str = "cpu") -> MNISTClassifier:
    """Return the book's MNIST classifier, in eval mode, without gradients.

    Its weights are in the package and never change; `classifier_hash` names them beside each
    Fréchet distance. Trained by `tools/train_classifier.py`; its test accuracy is on its card,
    `gancourse/weights/mnist_classifier.json`. Raises FeatureNetworkError where the weights are not the
    published ones.
    """
    net = MNISTClassifier()
    net.load_state_dict(_classifier_state()[0])
    return net.to(device).eval().requires_grad_(False)


def classifier_hash() -> str:
    """Return the first 12 hexadecimal digits of the SHA-256 of the classifier's weights."""
    return _classifier_state()[1][:12]


@torch.no_grad()
def extract(net: MNISTClassifier, images: Tensor, batch_size: int = 500) -> tuple[Tensor, Tensor]:
    """Return features (N, 128) and predicted classes (N,) of images (N, 1, 28, 28).

    Images are uint8 in [0, 255] or float in [-1, 1]. Raises ValueError for another range or shape.
    """
    from gancourse.data import to_unit  # here, because gancourse.data must not be needed to load weights

    features, classes = [], []
    for batch in images.split(batch_size):
        batch_features = net.features(to_unit(batch.to(next(net.parameters()).device)))
        features.append(batch_features)
        classes.append(net.classify(batch_features).argmax(1))
    return torch.cat(features), torch.cat(classes)
