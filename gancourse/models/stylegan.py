"""StyleGAN's generator (Karras et al., 2019), with StyleGAN2's convolution as an option.

Taught in chapter 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gancourse.checks import check_tensor, is_count
from gancourse.models.base import check_input
from gancourse.models.growing import Growing, growing_widths
from gancourse.models.modulation import DemodulatedLayer, ModulatedConv2d
from gancourse.models.style_layers import (
    SLOPE,
    AdaIN,
    AdaINLayer,
    EqualizedConv2d,
    MappingNetwork,
    NoiseInjection,
    check_shape,
)


def mix_styles(w: Tensor, w2: Tensor, cutoff: int, n_layers: int) -> Tensor:
    """Return styles (N, L, W), L = n_layers: w (N, W) in the layers below `cutoff`, w2 (N, W) from there on.

    Style mixing, Karras et al. (2019), section 3.1: cutoff 0 is w2 everywhere, cutoff L is w. Raises
    ValueError for other shapes and for a cutoff outside 0..L.
    """
    check_shape("w", w, "N", "W")
    check_shape("w2", w2, *w.shape, like=w)
    _check_cutoff(cutoff, n_layers)
    below = torch.arange(n_layers, device=w.device) < cutoff
    return torch.where(below[:, None], w[:, None], w2[:, None])


def _check_cutoff(cutoff: int, n_layers: int) -> None:
    if not is_count(cutoff, 0) or cutoff > n_layers:
        raise ValueError(f"expected a cutoff in 0..{n_layers}, the number of layers, got {cutoff}")


def _double(x: Tensor) -> Tensor:
    """Map x (N, C, H, W) to (N, C, 2H, 2W): each pixel becomes 2 x 2."""
    return F.interpolate(x, scale_factor=2, mode="nearest")


class _StyledConstant(nn.Module):
    """Map w (N, W) and noise to (N, C, 4, 4): a learned constant, noise, LeakyReLU, AdaIN or no style.

    The constant is drawn from N(0, 1), as in StyleGAN2: the ones of StyleGAN have nothing to normalize.
    """

    def __init__(
        self, channels: int, style_dim: int, demodulated: bool, generator: torch.Generator | None
    ) -> None:
        super().__init__()
        self.constant = nn.Parameter(torch.randn(1, channels, 4, 4, generator=generator))
        self.noise = NoiseInjection(channels)
        self.adain = None if demodulated else AdaIN(style_dim, channels, generator=generator)

    def forward(self, w: Tensor, noise: Tensor | None) -> Tensor:
        x = F.leaky_relu(self.noise(self.constant.expand(len(w), -1, -1, -1), noise), SLOPE)
        return x if self.adain is None else self.adain(x, w)


class StyleGenerator(Growing):
    """Map z (N, Z), drawn from N(0, I), to images (N, C, level, level) in [-1, 1].

    Karras et al. (2019), fig. 1b: z becomes w; a learned constant of 4 x 4 pixels grows to `size`. Each
    resolution has two layers, before the first of them nearest-neighbor upsampling; in each layer noise is
    added and w enters through AdaIN. The constant counts as a layer: there are L = 2 log2(size) - 2, each
    with a w of its own in `synthesize`. Channels are `width` at `size` pixels, doubled at each halving up to
    `max_width`. Unlike the paper's, images end in tanh, as everywhere in this book, and no blur follows the
    upsampling.

    `demodulated=True` puts StyleGAN2's convolution (Karras et al., 2020) in the place of convolution and
    AdaIN and leaves the rest. A style then acts where the maps it used to scale are read: style i, of AdaIN
    after layer i, modulates the convolution of layer i + 1 and the conversion to an image.

    In training mode noise is drawn from torch's global generator, and so is, with probability `mixing` for
    each batch, a cutoff from which on each sample takes the style of the one before it in the batch. In eval
    mode the noise is fixed, part of the weights, and z alone decides the image. `generator` draws the
    weights and the fixed noise. For `level`, see `set_stage`. Raises ValueError for another size, width or
    probability.
    """

    def __init__(
        self,
        size: int = 32,
        latent_dim: int = 128,
        style_dim: int = 128,
        channels: int = 1,
        width: int = 16,
        *,
        max_width: int = 128,
        depth: int = 8,
        demodulated: bool = False,
        mixing: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(size)
        if not 0 <= mixing <= 1:
            raise ValueError(f"expected a mixing probability in [0, 1], got {mixing}; the paper's is 0.9")
        self.latent_dim, self.style_dim = latent_dim, style_dim
        self.demodulated, self.mixing = demodulated, mixing
        widths = growing_widths(size, width, max_width)
        self.mapping = MappingNetwork(latent_dim, style_dim, depth, generator=generator)
        self.constant = _StyledConstant(widths[0], style_dim, demodulated, generator)
        layer = DemodulatedLayer if demodulated else AdaINLayer
        ends = [c for c in widths for _ in range(2)]  # what each of the L layers puts out
        pairs = pairwise(ends)
        self.layers = nn.ModuleList(layer(c_in, c_out, style_dim, generator) for c_in, c_out in pairs)
        self.to_rgb = nn.ModuleList(self._to_rgb(c, channels, generator) for c in widths)
        for i in range(self.n_layers):
            side = 4 * 2 ** (i // 2)
            self.register_buffer(f"noise{i}", torch.randn(1, 1, side, side, generator=generator))

    def _to_rgb(self, c: int, channels: int, generator: torch.Generator | None) -> nn.Module:
        if self.demodulated:
            return ModulatedConv2d(c, channels, self.style_dim, 1, demodulate=False, generator=generator)
        return EqualizedConv2d(c, channels, 1, gain=1.0, generator=generator)

    @property
    def n_layers(self) -> int:
        """L = 2 log2(size) - 2, the number of styles that `synthesize` takes."""
        return 2 * (self.size.bit_length() - 1) - 2

    @property
    def active_layers(self) -> int:
        """How many of the layers the present `level` uses, from the first on."""
        return 2 * self.stage + 2

    def forward(
        self, z: Tensor, z2: Tensor | None = None, cutoff: int | None = None, truncation: float = 1.0
    ) -> Tensor:
        """Map z (N, Z) to images (N, C, level, level) in [-1, 1].

        With z2 (N, Z), layers from `cutoff` on take their style from z2. `truncation` below 1 pulls the
        styles towards their mean (see `truncate`). Raises ValueError for another shape of z or z2, and
        for one of z2 and cutoff without the other.
        """
        if (z2 is None) != (cutoff is None):
            raise ValueError(
                "expected z2 and cutoff together, got one of them; z2 styles layers from cutoff on"
            )
        w = self.mapping(z)
        if z2 is not None and cutoff is not None:
            styles = mix_styles(w, self.mapping(z2), cutoff, self.n_layers)
        else:
            styles = mix_styles(w, w.roll(1, 0), self._drawn_cutoff(), self.n_layers)
        return self.synthesize(self.truncate(styles, truncation))

    def _drawn_cutoff(self) -> int:
        """Return the layer at which a training batch changes its styles, L where it does not."""
        if not self.training or self.mixing == 0 or torch.rand(()) >= self.mixing:
            return self.n_layers
        return int(torch.randint(1, self.active_layers, ()))

    def truncate(self, w: Tensor, psi: float, cutoff_layers: int | None = None) -> Tensor:
        """Pull styles (N, W) or (N, L, W) towards their mean: mean + psi (w - mean), in (N, L, W).

        The truncation trick, Karras et al. (2019), appendix B: psi 1 changes nothing, psi 0 gives the one
        average image. With `cutoff_layers` only the layers below it are truncated. The mean is that of
        training (`mapping.w_mean`), 0 before any. Raises ValueError for another shape of w and for a cutoff
        outside 0..L.
        """
        styles = self._styles(w)
        if psi == 1:
            return styles
        cutoff, mean = self.n_layers if cutoff_layers is None else cutoff_layers, self.mapping.w_mean
        _check_cutoff(cutoff, self.n_layers)
        truncated = mean + psi * (styles - mean)
        return torch.cat([truncated[:, :cutoff], styles[:, cutoff:]], dim=1)

    def synthesize(self, w: Tensor, noise: Sequence[Tensor | None] | None = None) -> Tensor:
        """Map w (N, W), or (N, L, W) with a style for each layer, to images (N, C, level, level) in [-1, 1].

        `noise` has an entry (N or 1, 1, H, W) for each active layer, None for no noise there; left out, it
        is drawn in training mode and fixed in eval mode. While a resolution fades in, the image is
        (1 - alpha) times the smaller net's, upsampled, plus alpha times the new one. Raises ValueError for
        another shape of w or noise.
        """
        w = self._styles(w)
        noise = self._noise(len(w), noise)
        x = smaller = self.constant(w[:, 0], noise[0])
        for i in range(1, self.active_layers):
            if i % 2 == 0:
                smaller, x = x, _double(x)
            x = self.layers[i - 1](x, w[:, i - 1] if self.demodulated else w[:, i], noise[i])
        images = self._image(x, w, self.stage)
        if self.alpha < 1:
            images = torch.lerp(_double(self._image(smaller, w, self.stage - 1)), images, self.alpha)
        return images

    def _image(self, x: Tensor, w: Tensor, stage: int) -> Tensor:
        to_rgb = self.to_rgb[stage]
        image: Tensor = to_rgb(x, w[:, 2 * stage + 1]) if self.demodulated else to_rgb(x)
        return image.tanh()

    def _styles(self, w: Tensor) -> Tensor:
        check_tensor("w", w)
        if w.ndim == 2:
            w = w[:, None].expand(-1, self.n_layers, -1)
        check_input(self, w, (self.n_layers, self.style_dim), "w")
        return w

    def draw_noise(self, n: int, generator: torch.Generator | None = None) -> list[Tensor]:
        """Return noise (n, 1, H, W) from N(0, 1) for each active layer; `generator` None is torch's own.

        Raises ValueError for n below 1.
        """
        if not is_count(n):
            raise ValueError(f"expected noise for at least 1 sample, an integer, got {n!r}")
        like = self.mapping.w_mean
        device = like.device if generator is None else generator.device
        sides = [4 * 2 ** (i // 2) for i in range(self.active_layers)]
        return [torch.randn(n, 1, s, s, generator=generator, device=device).to(like) for s in sides]

    def fixed_noise(self) -> list[Tensor]:
        """Return the noise (1, 1, H, W) of eval mode for each active layer."""
        return [self.get_buffer(f"noise{i}") for i in range(self.active_layers)]

    def _noise(self, n: int, noise: Sequence[Tensor | None] | None) -> Sequence[Tensor | None]:
        if noise is None:
            return self.draw_noise(n) if self.training else self.fixed_noise()
        if len(noise) != self.active_layers:
            raise ValueError(
                f"expected noise for {self.active_layers} layers, got {len(noise)}; None adds none"
            )
        return noise

    def extra_repr(self) -> str:
        """Say the size and the options."""
        return f"size={self.size}, demodulated={self.demodulated}, mixing={self.mixing}"
