"""Fully connected nets: the linear pair, small nets for points, the MNIST pair. Taught in chapters 1 to 3."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from gancourse.checks import is_count
from gancourse.models.base import Discriminator, as_lengths, check_input

Activation = Callable[[], nn.Module]
SLOPE = 0.2  # of LeakyReLU, for negative input


def leaky_relu() -> nn.Module:
    """Map (N, ...) to the same shape: x where positive, .2 x elsewhere."""
    return nn.LeakyReLU(SLOPE)


@torch.no_grad()
def he_init_(net: nn.Module, *, generator: torch.Generator | None = None) -> None:
    """Draw each linear layer's weights from N(0, 2 / ((1 + .2^2) fan_in)), in place; biases become 0.

    He et al. (2015), eq. 15, for LeakyReLU of slope .2: behind that activation every layer passes the
    variance on unchanged, however deep the net. The last layer and other activations get the same.
    """
    for module in net.modules():
        if isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight, a=SLOPE, generator=generator)
            if module.bias is not None:
                module.bias.zero_()


def _widths(width: int | Sequence[int], depth: int | None) -> tuple[int, ...]:
    """Return the widths of the hidden layers, from one width and a depth or from the widths themselves."""
    if not isinstance(width, Sequence):
        depth = 3 if depth is None else depth
        if not is_count(depth, 0):
            raise ValueError(
                f"expected a depth of at least 0 hidden layers, got {depth!r}; give a whole number"
            )
        return as_lengths("width", width) * depth
    if depth not in (None, len(width)):
        raise ValueError(f"expected depth {len(width)}, the number of widths in {width}, got {depth}")
    return as_lengths("width", width) if len(width) else ()


def _layers(
    widths: Sequence[int], activation: Activation, batch_norm: bool, dropout: float
) -> list[nn.Module]:
    """Return the hidden layers between the given widths, input included."""
    if not 0 <= dropout < 1:
        raise ValueError(f"expected a dropout probability in [0, 1), got {dropout}")
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(widths):
        layers += [nn.Linear(n_in, n_out, bias=not batch_norm)]  # BatchNorm's own shift does for a bias
        layers += [nn.BatchNorm1d(n_out)] if batch_norm else []
        layers += [activation()]
        layers += [nn.Dropout(dropout)] if dropout else []
    return layers


class MLPGenerator(nn.Module):
    """Map z (N, Z), drawn from N(0, I), to samples (N, *out_dim), where `out_dim` is a length or a shape.

    `depth` hidden layers of `width` units, or one layer for each of several widths; 3 unless told. Each is
    linear, BatchNorm if wanted, `activation`; the last layer is linear, and tanh if wanted puts samples in
    [-1, 1]. `generator` draws the initial weights, see `he_init_`. Goodfellow et al. (2014) use such nets on
    MNIST. Raises ValueError for lengths below 1 and for another shape of z.
    """

    def __init__(
        self,
        latent_dim: int,
        out_dim: int | Sequence[int],
        width: int | Sequence[int] = 128,
        depth: int | None = None,
        *,
        activation: Activation = leaky_relu,
        batch_norm: bool = False,
        tanh: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.sample_shape = as_lengths("out_dim", out_dim)
        widths = [*as_lengths("latent_dim", latent_dim), *_widths(width, depth)]
        layers = _layers(widths, activation, batch_norm, dropout=0.0)
        layers += [nn.Linear(widths[-1], math.prod(self.sample_shape)), *([nn.Tanh()] if tanh else [])]
        layers += [nn.Unflatten(1, self.sample_shape)] if len(self.sample_shape) > 1 else []
        self.net = nn.Sequential(*layers)
        he_init_(self, generator=generator)

    def forward(self, z: Tensor) -> Tensor:
        """Map z (N, Z) to samples (N, *out_dim)."""
        check_input(self, z, (self.latent_dim,), "z")
        samples: Tensor = self.net(z)
        return samples


class MLPDiscriminator(Discriminator):
    """Map samples x (N, *in_dim) to logits (N,), where `in_dim` is a length or a shape.

    `depth` hidden layers of `width` units, or one layer for each of several widths; 3 unless told. Each is
    linear, `activation`, and dropout where its probability is above 0; the head is linear. There is no
    BatchNorm, so that every gradient penalty applies. `generator` draws the initial weights, see `he_init_`;
    dropout draws from torch's global generator. Raises ValueError for lengths below 1, a dropout outside
    [0, 1), and another shape of x.
    """

    def __init__(
        self,
        in_dim: int | Sequence[int],
        width: int | Sequence[int] = 128,
        depth: int | None = None,
        *,
        activation: Activation = leaky_relu,
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.sample_shape = as_lengths("in_dim", in_dim)
        widths = [math.prod(self.sample_shape), *_widths(width, depth)]
        self.n_features = widths[-1]
        flat: list[nn.Module] = [nn.Flatten()] if len(self.sample_shape) > 1 else []
        hidden = _layers(widths, activation, batch_norm=False, dropout=dropout)
        self.net = nn.Sequential(*flat, *hidden, nn.Linear(self.n_features, 1))
        he_init_(self, generator=generator)


def mnist_mlp(
    size: int = 28, channels: int = 1, latent_dim: int = 100, *, generator: torch.Generator | None = None
) -> tuple[MLPGenerator, MLPDiscriminator]:
    """Return G, z (N, Z) to images (N, C, size, size) in [-1, 1], and D, such images to logits (N,).

    G: 100, 256, 512, 1024, 784 units with BatchNorm and LeakyReLU .2, tanh last. D: 784, 1024, 512, 256, 1
    with LeakyReLU .2 and dropout .3. `generator` draws G's weights, then D's. Raises ValueError for lengths
    below 1.
    """
    shape = (channels, size, size)
    G = MLPGenerator(latent_dim, shape, (256, 512, 1024), batch_norm=True, tanh=True, generator=generator)
    D = MLPDiscriminator(shape, (1024, 512, 256), dropout=0.3, generator=generator)
    return G, D


class LinearGenerator(nn.Module):
    """Map z (N, 1) to x (N, 1): G(z) = w z + b, so that N(0, 1) becomes N(b, w^2). The 1-D GAN of chapter 1.

    `weight` and `bias` are the first values of w and b. Raises ValueError for another shape of z.
    """

    def __init__(self, weight: float = 0.6, bias: float = 0.0) -> None:
        super().__init__()
        self.latent_dim, self.sample_shape = 1, (1,)
        self.weight = nn.Parameter(torch.tensor(float(weight)))
        self.bias = nn.Parameter(torch.tensor(float(bias)))

    def forward(self, z: Tensor) -> Tensor:
        """Map z (N, 1) to x (N, 1)."""
        check_input(self, z, (1,), "z")
        return self.weight * z + self.bias


class LinearDiscriminator(Discriminator):
    """Map x (N, 1) to logits (N,): a x + c, so that D(x) = sigmoid(a x + c). The 1-D GAN of chapter 1.

    `weight` and `bias` are the first values of a and c. Raises ValueError for another shape of x.
    """

    def __init__(self, weight: float = 0.5, bias: float = 0.0) -> None:
        super().__init__()
        self.sample_shape, self.n_features = (1,), 1
        self.weight = nn.Parameter(torch.tensor(float(weight)))
        self.bias = nn.Parameter(torch.tensor(float(bias)))

    def features(self, x: Tensor) -> Tensor:
        """Return x (N, 1): what the head reads is the sample itself."""
        check_input(self, x, self.sample_shape, "x")
        return x

    def head(self, features: Tensor) -> Tensor:
        """Map features (N, 1) to logits (N,)."""
        check_input(self, features, (1,), "features")
        return (self.weight * features + self.bias).flatten()
