"""The generators that the book trained, with their weights in the package. Taught in chapters 5 to 7."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from gancourse.models import ConditionalGenerator, DCGANGenerator, StyleGenerator
from gancourse.published import WEIGHTS, published_weights
from gancourse.sampling import sample

# One line a generator: how to build the net that the weights belong to.
BUILDERS: dict[str, Callable[[], nn.Module]] = {
    "dcgan-28": lambda: DCGANGenerator(size=28, latent_dim=100, channels=1, width=64),
    "cgan-28": lambda: ConditionalGenerator(size=28, n_classes=10, latent_dim=100, width=32, embed_dim=5),
    "style-32": lambda: StyleGenerator(32, width=16, max_width=64, mixing=0.9),
}


def pretrained(name: str, device: torch.device | str = "cpu") -> nn.Module:
    """Return a trained generator of the book, z (N, Z) to images (N, C, H, W) in [-1, 1], in eval mode.

    "dcgan-28" is chapter 5's averaged generator after 50 epochs of MNIST; "cgan-28" chapter 6's, which takes
    labels (N,) beside z, after 6; "style-32" chapter 7's StyleGenerator, grown to 32 pixels. The weights are
    stored in float16 and computed with in float32; `card(name)` tells how they were trained and what they
    measure. Raises ValueError for another name, WeightsError where the file is not the published one.
    """
    _check_name(name)
    net = BUILDERS[name]()
    net.load_state_dict(_state(name))
    return net.to(device).eval().requires_grad_(False)


def sample_digits(G: nn.Module, n: int, *, seed: int) -> Tensor:
    """Return n digits (n, 1, 28, 28) in [-1, 1] of a generator of the book, the same on every device.

    A conditional G gets the labels 0, 1, ..., 9 in turn. Of a G that draws at 32 pixels the frame of 2, which
    `mnist` adds at that size, is cut off. Raises ValueError as `sample` does.
    """
    n_classes = getattr(G, "n_classes", None)
    images = sample(G, n, seed=seed, y=None if n_classes is None else torch.arange(n) % n_classes)
    frame = (images.shape[-1] - 28) // 2
    return images[..., frame : 28 + frame, frame : 28 + frame]


def card(name: str) -> dict[str, Any]:
    """Return what is known of weights: SHA-256, training, Fréchet distance with all that belongs to it.

    Raises ValueError for another name.
    """
    _check_name(name)
    facts: dict[str, Any] = json.loads((WEIGHTS / f"{name}.json").read_text())
    return facts


def _check_name(name: str) -> None:
    if name not in BUILDERS:
        raise ValueError(f"expected one of {', '.join(map(repr, sorted(BUILDERS)))}, got {name!r}")


@cache
def _state(name: str) -> dict[str, Tensor]:
    tensors, _ = published_weights(WEIGHTS / f"{name}.safetensors", WEIGHTS / f"{name}.json")
    return {n: t.float() if t.dtype == torch.float16 else t for n, t in tensors.items()}
