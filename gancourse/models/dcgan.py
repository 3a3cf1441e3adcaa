"""DCGAN (Radford et al., 2016) at 28, 32 and 64 pixels. Taught in chapter 5."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from gancourse.models.base import Discriminator, as_lengths, check_input

Upsample = Callable[[int, int, bool], nn.Module]  # channels in, channels out, bias

# size -> the side of G's first map; G's and D's channels from input to output, in multiples of the width.
_PLANS = {
    28: (7, (4, 2), (1, 2)),
    32: (4, (4, 2, 1), (1, 2, 4)),
    64: (4, (8, 4, 2, 1), (1, 2, 4, 8)),
}


def transposed_conv(c_in: int, c_out: int, bias: bool = True) -> nn.Module:
    """Map (N, c_in, H, W) to (N, c_out, 2H, 2W). Kernel 4 is twice stride 2: every pixel gets 4 taps."""
    return nn.ConvTranspose2d(c_in, c_out, 4, stride=2, padding=1, bias=bias)


def resize_conv(c_in: int, c_out: int, bias: bool = True) -> nn.Module:
    """Map (N, c_in, H, W) to (N, c_out, 2H, 2W): nearest neighbor, then convolution (Odena et al., 2016)."""
    return nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(c_in, c_out, 3, padding=1, bias=bias))


@torch.no_grad()
def dcgan_init_(net: nn.Module, *, norm_mean: float = 1.0, generator: torch.Generator | None = None) -> None:
    """Draw weights from N(0, .02) and BatchNorm scales from N(norm_mean, .02), in place; biases become 0.

    Radford et al. (2016). Centering the scales on 0 as well is a common slip: chapter 5 shows that it
    shrinks the signal about fiftyfold at every normalized layer.
    """
    for module in net.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            module.weight.normal_(0.0, 0.02, generator=generator)
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.weight.normal_(norm_mean, 0.02, generator=generator)
        else:
            continue
        if module.bias is not None:
            module.bias.zero_()


def _plan(size: int) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    if size not in _PLANS:
        raise ValueError(f"expected size 28, 32 or 64, got {size}; resize the images to one of these")
    return _PLANS[size]


class DCGANGenerator(nn.Module):
    """Map z (N, Z), drawn from N(0, I), to images (N, C, size, size) in [-1, 1].

    A linear layer makes the first feature map; each `upsample` doubles its side; BatchNorm and ReLU follow
    every layer but the last, tanh the last. `size=28` goes 7, 14, 28 with 4 and 2 times `width` channels;
    `size=32` and `64` start at 4, as Radford et al. (2016), whose 64-pixel net has `width=128`. `generator`
    draws the initial weights. Raises ValueError for another size, lengths below 1, another shape of z, and
    one z alone in training mode, of which BatchNorm has no variance.
    """

    def __init__(
        self,
        size: int = 28,
        latent_dim: int = 100,
        channels: int = 1,
        width: int = 64,
        *,
        upsample: Upsample = transposed_conv,
        batch_norm: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        side, multiples, _ = _plan(size)
        as_lengths("latent_dim, channels and width", (latent_dim, channels, width))
        first, *rest = [width * m for m in multiples]
        units = first * side * side
        layers: list[nn.Module] = [nn.Linear(latent_dim, units, bias=not batch_norm)]
        layers += [nn.BatchNorm1d(units), nn.ReLU()] if batch_norm else [nn.ReLU()]
        layers += [nn.Unflatten(1, (first, side, side))]
        for c_in, c_out in pairwise([first, *rest]):
            layers += [upsample(c_in, c_out, not batch_norm)]
            layers += [nn.BatchNorm2d(c_out), nn.ReLU()] if batch_norm else [nn.ReLU()]
        layers += [upsample(rest[-1], channels, True), nn.Tanh()]
        self.net = nn.Sequential(*layers)
        dcgan_init_(self, generator=generator)

    def forward(self, z: Tensor) -> Tensor:
        """Map z (N, Z) to images (N, C, size, size) in [-1, 1]."""
        check_input(self, z, (self.latent_dim,), "z")
        images: Tensor = self.net(z)
        return images


class DCGANDiscriminator(Discriminator):
    """Map images (N, C, size, size) in [-1, 1] to logits (N,); the sigmoid lives in the loss.

    Convolutions of kernel 4 and stride 2 halve the side; LeakyReLU 0.2 follows each, BatchNorm all but the
    first, a linear layer reads the last map, the `features` (N, F). Radford et al. (2016). `generator` draws
    the initial weights. Raises ValueError for another size, lengths below 1, another shape of images.
    """

    def __init__(
        self,
        size: int = 28,
        channels: int = 1,
        width: int = 64,
        *,
        batch_norm: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        side, _, multiples = _plan(size)
        as_lengths("channels and width", (channels, width))
        widths = [width * m for m in multiples]
        self.sample_shape, self.n_features = (channels, size, size), widths[-1] * side * side
        layers: list[nn.Module] = [nn.Conv2d(channels, widths[0], 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for c_in, c_out in pairwise(widths):
            layers += [nn.Conv2d(c_in, c_out, 4, stride=2, padding=1, bias=not batch_norm)]
            layers += [*([nn.BatchNorm2d(c_out)] if batch_norm else []), nn.LeakyReLU(0.2)]
        layers += [nn.Flatten(), nn.Linear(self.n_features, 1)]
        self.net = nn.Sequential(*layers)
        dcgan_init_(self, generator=generator)
