"""Nets that are told the class: G(z, y) and D(x, y). Taught in chapter 6.

Labels y (N,) are int64 in 0..K - 1. Each net has `n_classes` = K, each generator `latent_dim`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gancourse.checks import check_tensor
from gancourse.models.base import as_lengths, check_input
from gancourse.models.dcgan import DCGANDiscriminator, DCGANGenerator
from gancourse.models.mlp import MLPDiscriminator, MLPGenerator


def check_labels(y: Tensor, n: int, n_classes: int) -> None:
    """Refuse labels unless they are int64 (n,) in 0..n_classes - 1: raise ValueError that says what to do.

    Raises TypeError for what is no tensor.
    """
    check_tensor("labels", y)
    if y.shape != (n,):
        raise ValueError(
            f"expected labels ({n},), one a sample, got {tuple(y.shape)}; of one-hot rows take .argmax(1)"
        )
    if y.dtype != torch.int64:
        raise ValueError(f"expected labels of torch.int64, got {y.dtype}; convert them with .long()")
    readable = not (y.is_cuda and torch.cuda.is_current_stream_capturing())  # none while a graph is recorded
    if n and readable and not 0 <= y.min() <= y.max() < n_classes:
        raise ValueError(
            f"expected labels in 0..{n_classes - 1}, got {y.min().item()}..{y.max().item()}; "
            "raise n_classes, or number the classes from 0"
        )


def _table(n_classes: int, dim: int, std: float, generator: torch.Generator | None) -> nn.Embedding:
    """Return a vector (dim,) for each class, drawn from N(0, std^2)."""
    shape = (*as_lengths("n_classes", n_classes), *as_lengths("embed_dim", dim))
    drawn = std * torch.randn(shape, generator=generator)
    table: nn.Embedding = nn.Embedding.from_pretrained(drawn, freeze=False)
    return table


def _embed(table: nn.Embedding, y: Tensor, n: int) -> Tensor:
    """Map labels y (n,) to their vectors (n, E)."""
    check_tensor("labels", y)
    device = table.weight.device
    if y.device != device:
        raise ValueError(
            f"expected labels on {device}, where the weights are, got {y.device}; move them there"
        )
    check_labels(y, n, table.num_embeddings)
    vectors: Tensor = table(y)
    return vectors


class _LabelledGenerator(nn.Module):
    """Map z (N, Z) and labels y (N,) to G of z with the label's vector (E,) behind it."""

    def __init__(
        self,
        G: DCGANGenerator | MLPGenerator,
        n_classes: int,
        embed_dim: int,
        generator: torch.Generator | None,
    ) -> None:
        super().__init__()
        self.latent_dim, self.n_classes = G.latent_dim - embed_dim, n_classes
        self.embed = _table(n_classes, embed_dim, 1.0, generator)  # of the size of z
        self.G = G

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """Map z (N, Z) and labels y (N,) to images (N, C, size, size) in [-1, 1]."""
        check_input(self, z, (self.latent_dim,), "z")
        images: Tensor = self.G(torch.cat([z, _embed(self.embed, y, len(z))], dim=1))
        return images


class ConditionalMLPGenerator(_LabelledGenerator):
    """Map z (N, Z), drawn from N(0, I), and labels y (N,) to images (N, C, size, size) in [-1, 1].

    After Mirza and Osindero (2014): z and a learned vector of the label, side by side, enter a net of 256,
    512, 1024 units with BatchNorm and LeakyReLU .2, tanh last. A linear layer on one-hot labels is the same
    as looking up its column, which is what the embedding does. `generator` draws the initial weights, the
    label's vectors from N(0, I). Raises ValueError for lengths below 1, another shape of z, unfit labels.
    """

    def __init__(
        self,
        size: int = 28,
        n_classes: int = 10,
        latent_dim: int = 100,
        channels: int = 1,
        width: Sequence[int] = (256, 512, 1024),
        embed_dim: int = 10,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        joined = sum(as_lengths("latent_dim and embed_dim", (latent_dim, embed_dim)))
        shape = (channels, size, size)
        G = MLPGenerator(joined, shape, width, batch_norm=True, tanh=True, generator=generator)
        super().__init__(G, n_classes, embed_dim, generator)


class ConditionalGenerator(_LabelledGenerator):
    """Map z (N, Z), drawn from N(0, I), and labels y (N,) to images (N, C, size, size) in [-1, 1].

    The DCGAN generator on z and a learned vector of the label, side by side. The more entries it has, the
    larger the label's part of the first layer; with 50 of them and a light penalty on D, chapter 6 finds
    little variety within a class. `generator` draws the initial weights, the label's vectors from N(0, I).
    Raises ValueError for a size other than 28, 32 and 64, lengths below 1, another shape of z, unfit labels.
    """

    def __init__(
        self,
        size: int = 28,
        n_classes: int = 10,
        latent_dim: int = 100,
        channels: int = 1,
        width: int = 64,
        embed_dim: int = 10,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        joined = sum(as_lengths("latent_dim and embed_dim", (latent_dim, embed_dim)))
        G = DCGANGenerator(size, joined, channels, width, generator=generator)
        super().__init__(G, n_classes, embed_dim, generator)


class ConditionalMLPDiscriminator(nn.Module):
    """Map images (N, C, size, size) in [-1, 1] and labels y (N,) to logits (N,).

    After Mirza and Osindero (2014): the flat image and a learned vector of the label, side by side, enter a
    net of 1024, 512, 256 units with LeakyReLU .2 and dropout. `generator` draws the initial weights. Raises
    ValueError for lengths below 1, a dropout outside [0, 1), another shape of images, unfit labels.
    """

    def __init__(
        self,
        size: int = 28,
        n_classes: int = 10,
        channels: int = 1,
        width: Sequence[int] = (1024, 512, 256),
        embed_dim: int = 10,
        *,
        dropout: float = 0.3,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.n_classes, self.sample_shape = n_classes, as_lengths("channels and size", (channels, size, size))
        joined = math.prod(self.sample_shape) + sum(as_lengths("embed_dim", embed_dim))
        self.D = MLPDiscriminator(joined, width, dropout=dropout, generator=generator)
        self.n_features = self.D.n_features
        self.embed = _table(n_classes, embed_dim, 1.0, generator)

    def features(self, images: Tensor, y: Tensor) -> Tensor:
        """Map images (N, C, size, size) and labels y (N,) to the activations (N, F) before the last layer."""
        check_input(self, images, self.sample_shape, "images")
        return self.D.features(torch.cat([images.flatten(1), _embed(self.embed, y, len(images))], dim=1))

    def forward(self, images: Tensor, y: Tensor) -> Tensor:
        """Map images (N, C, size, size) and labels y (N,) to logits (N,)."""
        return self.D.head(self.features(images, y))


class ConditionalDiscriminator(nn.Module):
    """Map images (N, C, size, size) in [-1, 1] and labels y (N,) to logits (N,).

    The DCGAN discriminator on the image and one more channel: a learned map (size, size) of the label.
    `generator` draws the initial weights, the maps from N(0, 1). Raises ValueError for a size other than 28,
    32 and 64, lengths below 1, another shape of images, unfit labels.
    """

    def __init__(
        self,
        size: int = 28,
        n_classes: int = 10,
        channels: int = 1,
        width: int = 64,
        *,
        batch_norm: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.n_classes, self.sample_shape = n_classes, as_lengths("channels and size", (channels, size, size))
        self.D = DCGANDiscriminator(size, channels + 1, width, batch_norm=batch_norm, generator=generator)
        self.n_features = self.D.n_features
        self.embed = _table(n_classes, size * size, 1.0, generator)

    def features(self, images: Tensor, y: Tensor) -> Tensor:
        """Map images (N, C, size, size) and labels y (N,) to the activations (N, F) before the last layer."""
        check_input(self, images, self.sample_shape, "images")
        label_map = _embed(self.embed, y, len(images)).unflatten(1, (1, *self.sample_shape[1:]))
        return self.D.features(torch.cat([images, label_map], dim=1))

    def forward(self, images: Tensor, y: Tensor) -> Tensor:
        """Map images (N, C, size, size) and labels y (N,) to logits (N,)."""
        return self.D.head(self.features(images, y))


class ProjectionDiscriminator(nn.Module):
    """Map images (N, C, size, size) in [-1, 1] and labels y (N,) to logits (N,): head(f(x)) + <v_y, f(x)>.

    Miyato and Koyama (2018), section 3. The best logit is log p_data(x, y) / p_g(x, y), that is
    log p_data(x) / p_g(x) + log p_data(y|x) / p_g(y|x); where both class posteriors are softmaxes of linear
    functions of features f, the second ratio is <v_y, f(x)> and a part without y, which the head takes over.
    f are the features of the DCGAN discriminator on x alone, not summed over positions as in the paper.
    `generator` draws the initial weights, v_y like the head's from N(0, .02^2). Raises ValueError for a size
    other than 28, 32 and 64, lengths below 1, another shape of images, unfit labels.
    """

    def __init__(
        self,
        size: int = 28,
        n_classes: int = 10,
        channels: int = 1,
        width: int = 64,
        *,
        batch_norm: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.D = DCGANDiscriminator(size, channels, width, batch_norm=batch_norm, generator=generator)
        self.n_classes, self.n_features, self.sample_shape = n_classes, self.D.n_features, self.D.sample_shape
        self.embed = _table(n_classes, self.n_features, 0.02, generator)

    def features(self, images: Tensor) -> Tensor:
        """Map images (N, C, size, size) to features (N, F), which know nothing of the label."""
        return self.D.features(images)

    def forward(self, images: Tensor, y: Tensor) -> Tensor:
        """Map images (N, C, size, size) and labels y (N,) to logits (N,)."""
        features = self.features(images)
        inner: Tensor = (_embed(self.embed, y, len(images)) * features).sum(1)
        return self.D.head(features) + inner
