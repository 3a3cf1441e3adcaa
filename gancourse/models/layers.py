"""What lets D see several samples, and what bounds its slope. Taught in chapters 3 and 4.

Minibatch discrimination and packing, against mode collapse: chapter 3. Spectral normalization: chapter 4.
"""

from __future__ import annotations

from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from gancourse.checks import is_count
from gancourse.models.base import Discriminator, as_lengths, check_input

Net = TypeVar("Net", bound=nn.Module)
NORMALIZED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.Embedding)


class MinibatchDiscrimination(nn.Module):
    """Map features (N, F) to (N, F + B): beside each sample's own, how close the rest of its batch is.

    Salimans et al. (2016), section 3.2: a learned T maps features to M (N, B, K), B `kernels` of
    `kernel_dim` K, and o(x_i)_b = sum over j of exp(-||M_ib - M_jb||_1), here over j other than i, since the
    paper's own term j = i is always 1. T begins with entries N(0, 1 / (K^2 F)), so that features of unit size
    and no relation lie about 1 apart; `generator` draws it. Samples of a batch are no longer
    independent: keep real and fake batches apart, and use no penalty that differentiates sample by sample.
    Raises ValueError for lengths below 1, another shape of features, and a batch of one.
    """

    def __init__(
        self,
        in_features: int,
        kernels: int = 16,
        kernel_dim: int = 8,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        sizes = {"in_features": in_features, "kernels": kernels, "kernel_dim": kernel_dim}
        for name, size in sizes.items():
            as_lengths(name, size)
        self.in_features, self.kernels, self.kernel_dim = in_features, kernels, kernel_dim
        self.T = nn.Linear(in_features, kernels * kernel_dim, bias=False)
        nn.init.normal_(self.T.weight, 0.0, 1 / (kernel_dim * in_features**0.5), generator=generator)

    def closeness(self, features: Tensor) -> Tensor:
        """Map features (N, F) to o (N, B): each entry between 0, alone, and N - 1, all the same."""
        check_input(self, features, (self.in_features,), "features")
        if len(features) < 2:
            raise ValueError("expected at least 2 samples, got 1; minibatch discrimination compares samples")
        M = self.T(features).unflatten(1, (self.kernels, self.kernel_dim))
        M = M.to(torch.promote_types(M.dtype, torch.float32))  # sums over the batch outgrow bfloat16's 8 bits
        distances = (M[:, None] - M).abs().sum(-1)  # (N, N, B); cdist would have no second derivative
        others = ~torch.eye(len(M), dtype=torch.bool, device=M.device)
        closeness: Tensor = (torch.exp(-distances) * others[..., None]).sum(1)
        return closeness

    def forward(self, features: Tensor) -> Tensor:
        """Map features (N, F) to (N, F + B)."""
        return torch.cat([features, self.closeness(features).to(features.dtype)], dim=1)

    def extra_repr(self) -> str:
        """Say how the units of T group into kernels."""
        return f"kernels={self.kernels}, kernel_dim={self.kernel_dim}"


class WithMinibatchDiscrimination(Discriminator):
    """Map samples x (N, *sample_shape) to logits (N,): D with minibatch discrimination before its last layer.

    A linear layer on the features beside the closeness is the sum of one on each; the first is D's own head,
    so that every parameter of D stays in use. `generator` draws T, then the weights on the closeness from
    N(0, .02^2). Salimans et al. (2016), section 3.2. Raises TypeError for a D that is no `Discriminator`, and
    ValueError as `MinibatchDiscrimination` and D do.
    """

    def __init__(
        self,
        D: Discriminator,
        kernels: int = 16,
        kernel_dim: int = 8,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        _check_discriminator(D)
        self.sample_shape, self.n_features = D.sample_shape, D.n_features + kernels
        self.D = D
        self.minibatch = MinibatchDiscrimination(D.n_features, kernels, kernel_dim, generator=generator)
        self.on_closeness = nn.Linear(kernels, 1, bias=False)  # D's head has the bias
        nn.init.normal_(self.on_closeness.weight, 0.0, 0.02, generator=generator)

    def features(self, x: Tensor) -> Tensor:
        """Map samples x (N, *sample_shape) to D's features and the closeness, (N, n_features)."""
        joined: Tensor = self.minibatch(self.D.features(x))
        return joined

    def head(self, features: Tensor) -> Tensor:
        """Map features (N, n_features) to logits (N,)."""
        check_input(self, features, (self.n_features,), "features")
        own, closeness = features.split([self.D.n_features, self.minibatch.kernels], dim=1)
        of_batch: Tensor = self.on_closeness(closeness)
        return self.D.head(own) + of_batch.flatten()


class Packed(Discriminator):
    """Map samples x (N, C, H, W) or (N, C) to logits (N / m,): D judges m samples in one piece.

    Lin et al. (2018), PacGAN: m consecutive samples, all real or all fake, are joined along their first axis,
    and a G that makes too little of p_data's variety is easier to tell in m samples than in one. D is built
    for m C channels. A loss averages over the packs; the batch stays N samples. Raises TypeError for a D
    that is no `Discriminator`; ValueError for m below 1, a D whose channels m does not divide, a batch that m
    does not divide, and another shape of x.
    """

    def __init__(self, D: Discriminator, m: int) -> None:
        super().__init__()
        _check_discriminator(D)
        channels, *rest = D.sample_shape
        if not is_count(m) or channels % m:
            raise ValueError(
                f"expected m of at least 1 and a D for m times a sample's channels, got m = {m} and a D for "
                f"{channels}; build D with m times as many"
            )
        self.sample_shape, self.n_features = (channels // m, *rest), D.n_features
        self.D, self.m = D, m

    def pack(self, x: Tensor) -> Tensor:
        """Join m consecutive samples along axis 1: x (N, C, ...) to (N / m, m C, ...)."""
        check_input(self.D, x, self.sample_shape, "images" if len(self.sample_shape) == 3 else "x")
        if len(x) % self.m:
            raise ValueError(f"expected a batch that {self.m} samples a pack divide, got {len(x)} samples")
        packs: Tensor = x.unflatten(0, (-1, self.m)).flatten(1, 2)
        return packs

    def features(self, x: Tensor) -> Tensor:
        """Map samples x (N, C, ...) to D's features (N / m, n_features) of the packs."""
        return self.D.features(self.pack(x))

    def head(self, features: Tensor) -> Tensor:
        """Map features (N / m, n_features) to logits (N / m,)."""
        return self.D.head(features)

    def extra_repr(self) -> str:
        """Say how many samples make a pack."""
        return f"m={self.m}"


def _check_discriminator(D: nn.Module) -> None:
    if not isinstance(D, Discriminator):
        raise TypeError(
            f"expected a Discriminator, with features and a head, got {type(D).__name__}; derive it from "
            "gancourse.models.Discriminator"
        )


def spectral_norm_(net: Net, *, iterations: int = 15, generator: torch.Generator | None = None) -> Net:
    """Divide each layer's weight by its largest singular value, now and whenever it is used; return the net.

    Miyato et al. (2018), section 2.1, as a parametrization: linear, convolutional and embedding
    layers; a convolution's weight counts as the matrix (channels out, the rest), as in the paper. The
    singular value comes from power iteration: `iterations` now, from vectors that `generator` draws, and one
    each time the weight is used in training mode, none in eval mode. Call it after the weights are drawn.
    Raises ValueError for iterations below 1, a net without such layers, and one that has the norm already.
    """
    layers = [module for module in net.modules() if isinstance(module, NORMALIZED)]
    if not is_count(iterations):
        raise ValueError(f"expected at least 1 power iteration, got {iterations!r}; 15 is usual")
    if not layers:
        raise ValueError(
            f"expected a net with linear, convolutional or embedding layers, got {type(net).__name__}"
        )
    if any(parametrize.is_parametrized(layer, "weight") for layer in layers):
        raise ValueError(
            f"expected a {type(net).__name__} without spectral norm, got one that has it already"
        )
    for layer in layers:
        _normalize(layer, iterations, generator)
    return net


class _SpectralNorm(nn.Module):
    """Map a weight to weight / sigma, sigma = u^T W v by one power iteration a call in training mode.

    The same numbers as torch's `spectral_norm`, under the same names in a `state_dict`. That one writes its
    vectors through `out=`, which vmap refuses: no nets could be trained together.
    """

    def __init__(self, weight: Tensor, rows: int, generator: torch.Generator | None) -> None:
        super().__init__()
        self.rows = rows  # the axis of the channels out
        for name, length in zip(("_u", "_v"), self.matrix(weight).shape, strict=True):
            source = weight.device if generator is None else generator.device
            drawn = torch.randn(length, generator=generator, device=source)
            self.register_buffer(name, F.normalize(drawn, dim=0).to(weight))

    def matrix(self, weight: Tensor) -> Tensor:
        """Return the weight as the matrix (channels out, the rest)."""
        return weight.movedim(self.rows, 0).flatten(1)

    @torch.no_grad()
    def iterate(self, weight: Tensor) -> None:
        """Bring both vectors nearer to the first singular ones, in place."""
        W, u, v = self.matrix(weight), self.get_buffer("_u"), self.get_buffer("_v")
        u.copy_(F.normalize(W.mv(v), dim=0, eps=1e-12))
        v.copy_(F.normalize(W.t().mv(u), dim=0, eps=1e-12))

    def forward(self, weight: Tensor) -> Tensor:
        if self.training:
            self.iterate(weight)
        # Copies: a second forward pass before the backward one must not change what the first has used.
        u, v = self.get_buffer("_u").clone(), self.get_buffer("_v").clone()
        return weight / u.dot(self.matrix(weight).mv(v))


def _normalize(layer: nn.Module, iterations: int, generator: torch.Generator | None) -> None:
    transposed = isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d)
    weight = layer.get_parameter("weight")
    norm = _SpectralNorm(weight.detach(), int(transposed), generator).train(layer.training)
    parametrize.register_parametrization(layer, "weight", norm, unsafe=True)
    for _ in range(iterations):
        norm.iterate(weight)
