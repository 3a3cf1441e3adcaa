"""StyleGAN2's modulated convolution (Karras et al., 2020), which takes AdaIN's place. Taught in chapter 7."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gancourse.models.style_layers import (
    SLOPE,
    EqualizedConv2d,
    EqualizedLinear,
    NoiseInjection,
    check_shape,
)


def demodulation(weight: Tensor, style: Tensor, eps: float = 1e-8) -> Tensor:
    """Return 1 / ||style * weight|| (N, O), over c_in and the kernel, for weight (O, C, K, K), style (N, C).

    Karras et al. (2020), eq. 3. weight * style * this has norm 1 for each sample and output channel, so that
    inputs of variance 1, one independent of the other, give outputs of variance 1. Raises ValueError for
    other shapes.
    """
    check_shape("weight", weight, "O", "C", "K", "K")
    check_shape("style", style, "N", weight.shape[1], like=weight)
    taps = weight.square().sum(dim=(2, 3))  # (O, C)
    return ((taps * style.square()[:, None]).sum(dim=2) + eps).rsqrt()


def modulated_conv(x: Tensor, weight: Tensor, style: Tensor, demodulate: bool = True) -> Tensor:
    """Convolve x (N, C, H, W) with weight (O, C, K, K) times style (N, C): (N, O, H, W).

    Karras et al. (2020), section 2.2: what AdaIN does to the data is done to the weights, from expected
    statistics, not from those of the map. Style scales what a weight reads, demodulation what it
    writes: so the scales are moved to the input and the output, and one convolution serves all samples. It
    is the paper's grouped convolution with (N, O, C, K, K) weights, in less memory. Raises ValueError for
    other shapes.
    """
    check_shape("weight", weight, "O", "C", "K", "K")
    if weight.shape[2] != weight.shape[3] or weight.shape[2] % 2 == 0:
        raise ValueError(f"expected a square weight (O, C, K, K) of odd K, got {tuple(weight.shape)}")
    check_shape("x", x, "N", weight.shape[1], "H", "W", like=weight)
    check_shape("style", style, *x.shape[:2], like=x)
    out = F.conv2d(x * style[:, :, None, None], weight, padding=weight.shape[2] // 2)
    return out * demodulation(weight, style)[:, :, None, None] if demodulate else out


class ModulatedConv2d(nn.Module):
    """Map x (N, c_in, H, W) and w (N, W) to (N, c_out, H, W) with weights modulated by w, plus a bias.

    An affine map makes the style of w; it begins around 1. See `modulated_conv`. `generator` draws affine
    map and weights.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        style_dim: int,
        kernel: int = 3,
        *,
        demodulate: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.demodulate = demodulate
        self.conv = EqualizedConv2d(c_in, c_out, kernel, gain=1.0, generator=generator)
        self.affine = EqualizedLinear(style_dim, c_in, bias=1.0, gain=1.0, generator=generator)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Map x (N, c_in, H, W) and w (N, W) to (N, c_out, H, W)."""
        weight = self.conv.weight * self.conv.scale
        out = modulated_conv(x, weight, self.affine(w), self.demodulate)
        return out + self.conv.bias[:, None, None]

    def extra_repr(self) -> str:
        """Say whether the weights are demodulated."""
        return f"demodulate={self.demodulate}"


class DemodulatedLayer(nn.Module):
    """Map x (N, c_in, H, W), w (N, W) and noise to (N, c_out, H, W): modulated conv, noise, LeakyReLU."""

    def __init__(self, c_in: int, c_out: int, style_dim: int, generator: torch.Generator | None) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(c_in, c_out, style_dim, generator=generator)
        self.noise = NoiseInjection(c_out)

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        """Map x (N, c_in, H, W), w (N, W) and noise (N or 1, 1, H, W) to (N, c_out, H, W)."""
        x = F.leaky_relu(self.noise(self.conv(x, w), noise), SLOPE)
        return math.sqrt(2) * x  # back to about the variance 1 that the next demodulation counts on
