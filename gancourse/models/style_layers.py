"""The layers of StyleGAN (Karras et al., 2018, 2019, 2020), one by one. Taught in chapter 7.

Every weight is drawn from N(0, 1) and multiplied, at each use, by the constant of He et al. (2015):
the "equalized learning rate" of Karras et al. (2018), section 4.1. Adam moves each stored weight by about
the learning rate, so that a layer learns at the same relative speed whatever its fan-in.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gancourse.checks import check_tensor, is_count, is_float
from gancourse.models.base import as_lengths, check_input

SLOPE = 0.2  # of every LeakyReLU in the three papers
_HE = math.sqrt(2)  # keeps the variance through layers followed by a rectifier


def check_shape(name: str, value: Tensor, *expected: int | str, like: Tensor | None = None) -> None:
    """Refuse a tensor of another shape, a letter standing for any length but 0, or one not of floats.

    With `like` also one of another dtype, unless autocast converts it, or on another device. Raises
    ValueError, and TypeError for what is no tensor.
    """
    check_tensor(name, value)
    shape, got = ", ".join(map(str, expected)), f"{tuple(value.shape)} of {value.dtype}"
    fits = value.ndim == len(expected) and all(
        length == wanted if isinstance(wanted, int) else length > 0
        for length, wanted in zip(value.shape, expected, strict=True)
    )
    if not fits or not is_float(value):
        raise ValueError(f"expected {name} ({shape}) of floats, got {got}")
    if like is None:
        return
    other = value.dtype != like.dtype
    if other and value.device == like.device and torch.float64 not in (value.dtype, like.dtype):
        other = not torch.is_autocast_enabled(like.device.type)
    if value.device != like.device or other:
        wanted = f"{like.dtype} on {like.device}"
        raise ValueError(
            f"expected {name} of {wanted}, got {got} on {value.device}; convert it with .to(...)"
        )


class PixelNorm(nn.Module):
    """Map x (N, C, ...) to x / sqrt(mean over C of x^2 + 1e-8), of the same shape: root mean square 1.

    Karras et al. (2018), section 4.2. Raises ValueError for a tensor without channels or values.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map x (N, C, ...) to the same shape."""
        check_tensor("x", x)
        if x.ndim < 2 or x.numel() == 0 or not is_float(x):
            raise ValueError(f"expected x (N, C, ...) of floats, got {tuple(x.shape)} of {x.dtype}")
        return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


class EqualizedLinear(nn.Module):
    """Map x (N, c_in) to (N, c_out) with weights N(0, 1) / lr_multiplier, scaled as they are used.

    The scale is gain lr_multiplier / sqrt(c_in).
    What the layer computes at first does not depend on `lr_multiplier`; how fast it changes does. `bias` is
    the bias's first value, `gain` is sqrt(2) before a rectifier and 1 elsewhere. `generator` draws the
    weights. Raises ValueError for no channels and for another shape of x.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        *,
        bias: float = 0.0,
        gain: float = _HE,
        lr_multiplier: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        as_lengths("channels in and out", (c_in, c_out))
        self.lr_multiplier, self.scale = lr_multiplier, gain * lr_multiplier / math.sqrt(c_in)
        self.weight = nn.Parameter(torch.randn(c_out, c_in, generator=generator) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((c_out,), bias / lr_multiplier))

    def forward(self, x: Tensor) -> Tensor:
        """Map x (N, c_in) to (N, c_out)."""
        check_shape("x", x, "N", self.weight.shape[1], like=self.weight)
        return F.linear(x, self.weight * self.scale, self.bias * self.lr_multiplier)

    def extra_repr(self) -> str:
        """Say the size and the two factors."""
        c_out, c_in = self.weight.shape
        return f"{c_in}, {c_out}, scale={self.scale:g}, lr_multiplier={self.lr_multiplier:g}"


class EqualizedConv2d(nn.Module):
    """Map x (N, c_in, H, W) to (N, c_out, H, W): weights N(0, 1), used times gain / sqrt(fan-in).

    The kernel is odd and the border padded with zeros. `generator` draws the weights; biases begin at 0.
    Raises ValueError for no channels, an even kernel, and another shape of x.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel: int = 3,
        *,
        gain: float = _HE,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        as_lengths("channels in and out", (c_in, c_out))
        if not is_count(kernel) or kernel % 2 == 0:
            raise ValueError(f"expected an odd kernel, which keeps height and width, got {kernel!r}")
        self.scale = gain / math.sqrt(c_in * kernel**2)
        self.weight = nn.Parameter(torch.randn(c_out, c_in, kernel, kernel, generator=generator))
        self.bias = nn.Parameter(torch.zeros(c_out))

    def forward(self, x: Tensor) -> Tensor:
        """Map x (N, c_in, H, W) to (N, c_out, H, W)."""
        check_shape("x", x, "N", self.weight.shape[1], "H", "W", like=self.weight)
        return F.conv2d(x, self.weight * self.scale, self.bias, padding=self.weight.shape[2] // 2)

    def extra_repr(self) -> str:
        """Say the size and the scale."""
        c_out, c_in, kernel, _ = self.weight.shape
        return f"{c_in}, {c_out}, kernel={kernel}, scale={self.scale:g}"


class MappingNetwork(nn.Module):
    """Map z (N, Z) to w (N, W): pixel norm of z, then `depth` linear layers, each with LeakyReLU 0.2.

    Karras et al. (2019), section 2 and appendix C: 8 layers at a hundredth of the learning rate. In training
    mode each call moves `w_mean` (W,), the center that truncation pulls w towards, a little to the batch's
    mean. `generator` draws the weights. Raises ValueError for no layers and for another shape of z.
    """

    w_mean: Tensor

    def __init__(
        self,
        latent_dim: int = 128,
        style_dim: int = 128,
        depth: int = 8,
        *,
        lr_multiplier: float = 0.01,
        decay: float = 0.995,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        as_lengths("depth", depth)
        as_lengths("latent_dim and style_dim", (latent_dim, style_dim))
        self.latent_dim, self.decay = latent_dim, decay
        layers: list[nn.Module] = [PixelNorm()]
        for c_in in [latent_dim] + (depth - 1) * [style_dim]:
            layers += [EqualizedLinear(c_in, style_dim, lr_multiplier=lr_multiplier, generator=generator)]
            layers += [nn.LeakyReLU(SLOPE)]
        self.net = nn.Sequential(*layers)
        self.register_buffer("w_mean", torch.zeros(style_dim))

    def forward(self, z: Tensor) -> Tensor:
        """Map z (N, Z) to w (N, W)."""
        check_input(self, z, (self.latent_dim,), "z")
        w: Tensor = self.net(z)
        if self.training:
            self.update_mean(w)
        return w

    @torch.no_grad()
    def update_mean(self, w: Tensor) -> None:
        """Move `w_mean` by 1 - decay of the way to the mean of w (N, W), in place."""
        check_shape("w", w, "N", len(self.w_mean))
        self.w_mean.lerp_(w.mean(0).to(self.w_mean.dtype), 1 - self.decay)


def adain(x: Tensor, scale: Tensor, bias: Tensor, eps: float = 1e-5) -> Tensor:
    """Give each channel of x (N, C, H, W) the mean bias (N, C) and the standard deviation |scale| (N, C).

    scale (x - mu(x)) / sigma(x) + bias, with mu and sigma of each sample's each channel, over H and W:
    Huang and Belongie (2017), Karras et al. (2019), eq. 1. sigma^2 is var(x) + eps, so that a constant
    channel becomes its bias. Raises ValueError for other shapes, and for maps of one pixel.
    """
    check_shape("x", x, "N", "C", "H", "W")
    check_shape("scale", scale, *x.shape[:2], like=x)
    check_shape("bias", bias, *x.shape[:2], like=x)
    if x.shape[2:].numel() == 1:
        raise ValueError("expected maps of at least 2 pixels, got 1 x 1; nothing varies over one pixel")
    normalized = F.instance_norm(x, eps=eps)  # (x - mu) / sigma
    return scale[:, :, None, None] * normalized + bias[:, :, None, None]


class AdaIN(nn.Module):
    """Map x (N, C, H, W) and w (N, W) to (N, C, H, W): replace the maps' style by that of w (see `adain`).

    An affine map A makes the style y = (scale, bias) of w; the scales begin around 1, the biases around 0.
    Karras et al. (2019), section 2. `generator` draws A.
    """

    def __init__(self, style_dim: int, channels: int, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        as_lengths("style_dim and channels", (style_dim, channels))
        self.affine = EqualizedLinear(style_dim, 2 * channels, gain=1.0, generator=generator)
        with torch.no_grad():
            self.affine.bias[:channels] = 1.0

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Map x (N, C, H, W) and w (N, W) to (N, C, H, W)."""
        scale, bias = self.affine(w).chunk(2, dim=1)
        return adain(x, scale, bias)


class NoiseInjection(nn.Module):
    """Add noise (N or 1, 1, H, W) to x (N, C, H, W), times a learned strength (C,) that begins at 0.

    Karras et al. (2019), section 2 and fig. 1b. The caller draws the noise; None adds none. Raises
    ValueError for another shape of x or noise.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(as_lengths("channels", channels)))

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """Map x (N, C, H, W) and noise (N or 1, 1, H, W) to (N, C, H, W)."""
        check_shape("x", x, "N", len(self.strength), "H", "W")
        if noise is None:
            return x
        check_tensor("noise", noise)
        check_shape("noise", noise, 1 if noise.shape[:1] == (1,) else len(x), 1, *x.shape[2:], like=x)
        return x + self.strength[:, None, None] * noise


class AdaINLayer(nn.Module):
    """Map x (N, c_in, H, W), w (N, W) and noise to (N, c_out, H, W): conv, noise, LeakyReLU, AdaIN."""

    def __init__(self, c_in: int, c_out: int, style_dim: int, generator: torch.Generator | None) -> None:
        super().__init__()
        self.conv = EqualizedConv2d(c_in, c_out, generator=generator)
        self.noise = NoiseInjection(c_out)
        self.adain = AdaIN(style_dim, c_out, generator=generator)

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        """Map x (N, c_in, H, W), w (N, W) and noise (N or 1, 1, H, W) to (N, c_out, H, W)."""
        x = F.leaky_relu(self.noise(self.conv(x), noise), SLOPE)
        styled: Tensor = self.adain(x, w)
        return styled
