"""What the networks share: the refusal of input that does not fit, and D as a head on features."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from gancourse.checks import check_tensor, is_float


def as_lengths(name: str, value: int | Sequence[int]) -> tuple[int, ...]:
    """Return one length or several as a tuple. Raises ValueError unless each is an integer of at least 1."""
    lengths = tuple(value) if isinstance(value, Iterable) else (value,)
    if not lengths or not all(isinstance(length, int) and length >= 1 for length in lengths):
        raise ValueError(f"expected {name} of at least 1, an integer, got {value}")
    return lengths


def check_input(net: nn.Module, x: Tensor, shape: tuple[int, ...], name: str) -> None:
    """Refuse x unless it is (N, *shape), N at least 1, of the dtype and on the device of the net's weights.

    Raises ValueError, or TypeError for what is no tensor, that says what to do. Values are not looked at: on
    a GPU that would stall every step.
    """
    check_tensor(name, x)
    if x.shape[1:] != shape:
        raise ValueError(f"expected {name} (N, {', '.join(map(str, shape))}), got {tuple(x.shape)}")
    if len(x) == 0:
        raise ValueError(f"expected at least 1 sample, got {name} {tuple(x.shape)}")
    weight = next(net.parameters())
    if not is_float(x):
        remedy = "divide by 127.5 and subtract 1" if len(shape) == 3 else "convert it with .float()"
        raise ValueError(f"expected {name} of {weight.dtype}, got {x.dtype}; {remedy}")
    if x.device != weight.device:
        raise ValueError(
            f"expected {name} on {weight.device}, where the weights are, got {x.device}; move it there"
        )
    # Under autocast the layers convert, but float64 is left as it is and would not multiply.
    if x.dtype != weight.dtype and (x.dtype == torch.float64 or not torch.is_autocast_enabled(x.device.type)):
        raise ValueError(
            f"expected {name} of {weight.dtype}, as the weights are, got {x.dtype}; convert it with .to(...)"
        )
    if len(x) == 1 and any(isinstance(m, nn.BatchNorm1d) and m.training for m in net.modules()):
        raise ValueError(
            f"expected at least 2 samples in training mode, got {name} {tuple(x.shape)}: BatchNorm has no "
            "variance of one sample; call .eval() first, or pass more"
        )


class Discriminator(nn.Module):
    """Map samples x (N, *sample_shape) to logits (N,): D(x) = head(features(x)).

    `features` (N, n_features) are the activations before the last linear layer, which is the head. Feature
    matching, minibatch discrimination and projection read them. Here the head is the last layer of `net`; a
    subclass without a `net` defines both methods. Raises ValueError for input that does not fit.
    """

    sample_shape: tuple[int, ...]
    n_features: int
    net: nn.Sequential

    def features(self, x: Tensor) -> Tensor:
        """Map samples x (N, *sample_shape) to the activations (N, n_features) before the last layer."""
        check_input(self, x, self.sample_shape, "images" if len(self.sample_shape) == 3 else "x")
        activations: Tensor = self.net[:-1](x)
        return activations

    def head(self, features: Tensor) -> Tensor:
        """Map features (N, n_features) to logits (N,)."""
        check_input(self, features, (self.n_features,), "features")
        logits: Tensor = self.net[-1](features)
        return logits.flatten()

    def forward(self, x: Tensor) -> Tensor:
        """Map samples x (N, *sample_shape) to logits (N,)."""
        return self.head(self.features(x))
