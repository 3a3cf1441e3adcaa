"""Progressive growing (Karras et al., 2018), and the discriminator that grows. Taught in chapter 7."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gancourse.models.base import Discriminator, as_lengths, check_input
from gancourse.models.style_layers import SLOPE, EqualizedConv2d, EqualizedLinear, check_shape

_SIZES = (8, 16, 32, 64, 128, 256)


def growing_widths(size: int, width: int, max_width: int) -> list[int]:
    """Return the channels at 4, 8, ..., `size` pixels: `width` at full size, twice as many at each halving.

    Never more than `max_width`. Raises ValueError for another size and for widths below 1.
    """
    if not isinstance(size, int) or size not in _SIZES:
        raise ValueError(
            f"expected size 8, 16, 32, 64, 128 or 256, got {size}; "
            "these nets double 4 pixels: resize the images to a power of two (MNIST to 32)"
        )
    as_lengths("width and max_width", (width, max_width))
    if width > max_width:
        raise ValueError(f"expected a width of at most max_width, got {width} and {max_width}")
    halvings = range(size.bit_length() - 3, -1, -1)
    return [min(max_width, width * 2**n) for n in halvings]


class Growing(nn.Module):
    """A net that works at `level` pixels, 4 to `size`, and fades the newest resolution in by `alpha`.

    Karras et al. (2018), section 2 and fig. 2. A new net is fully grown; `set_stage` takes it back. Both
    numbers are plain attributes, which cost the device nothing to read, and `state_dict` keeps them, so that
    a checkpoint knows its stage. An average of weights made from a net keeps the stage it was made at.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size, self.level, self.alpha = size, size, 1.0

    def set_stage(self, size: int, alpha: float = 1.0) -> None:
        """Work at `size` pixels, the newest resolution weighing `alpha` and the one below 1 - alpha.

        Layers above stay as they are and get no gradient. Raises ValueError for a size that the net does not
        pass through, for alpha outside [0, 1], and for fading at 4 pixels, where nothing is below.
        """
        levels = [4, *(s for s in _SIZES if s <= self.size)]
        if size not in levels:
            raise ValueError(f"expected a stage of {', '.join(map(str, levels))} pixels, got {size}")
        if not 0 <= alpha <= 1:
            raise ValueError(
                f"expected alpha in [0, 1], got {alpha}; 0 shows the smaller net, 1 the grown one"
            )
        if size == 4 and alpha < 1:
            raise ValueError(
                f"expected alpha 1 at 4 pixels, got {alpha}; there is no smaller net to fade from"
            )
        self.level, self.alpha = int(size), float(alpha)

    @property
    def stage(self) -> int:
        """How often 4 pixels are doubled: 0 at 4 pixels, 3 at 32."""
        return self.level.bit_length() - 3

    def get_extra_state(self) -> Tensor:
        """Return level and alpha (2,) for `state_dict`."""
        return torch.tensor([self.level, self.alpha], dtype=torch.float64)

    def set_extra_state(self, state: Tensor) -> None:
        """Take level and alpha (2,) from a `state_dict`."""
        level, alpha = state.tolist()
        self.set_stage(round(level), alpha)


class MinibatchStd(nn.Module):
    """Map x (N, C, H, W) to (N, C + 1, H, W): the new channel tells D how much the batch varies.

    The standard deviation over the batch of each value, averaged into one number: Karras et al. (2018),
    section 3. A generator that has collapsed gives itself away. One sample's logit then depends on its
    batch: real and fake batches go through D separately. Raises ValueError for another shape.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map x (N, C, H, W) to (N, C + 1, H, W)."""
        check_shape("x", x, "N", "C", "H", "W")
        # 1e-8: the square root has no finite slope at 0, where equal samples and a batch of one are.
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        std = (wide.var(dim=0, unbiased=False) + 1e-8).sqrt().mean()
        return torch.cat([x, std.to(x.dtype).expand_as(x[:, :1])], dim=1)


class _Halving(nn.Module):
    """Map x (N, c_in, 2H, 2W) to (N, c_out, H, W): two convolutions, then the average of 2 x 2 pixels."""

    def __init__(self, c_in: int, c_out: int, generator: torch.Generator | None) -> None:
        super().__init__()
        self.conv0 = EqualizedConv2d(c_in, c_in, generator=generator)
        self.conv1 = EqualizedConv2d(c_in, c_out, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.conv0(x), SLOPE)
        return F.avg_pool2d(F.leaky_relu(self.conv1(x), SLOPE), 2)


class StyleDiscriminator(Growing, Discriminator):
    """Map images (N, C, level, level) in [-1, 1] to logits (N,); `level` is `size` before any `set_stage`.

    Karras et al. (2018), table 2: a 1 x 1 convolution reads the image, two convolutions and an average
    halve its side until it is 4, and the batch's deviation joins in (see `MinibatchStd`;
    `minibatch_std=False` leaves it out, for penalties that take the samples of a batch to be independent).
    LeakyReLU 0.2, no normalization. Channels are `width` at `size` pixels, doubled at each halving up to
    `max_width`. While a resolution fades in, what its block makes of the image is mixed with what the smaller
    net reads from the image halved. Twice differentiable, as R1 needs. `generator` draws the weights. Raises
    ValueError for another size or width, and for images of another shape.
    """

    def __init__(
        self,
        size: int = 32,
        channels: int = 1,
        width: int = 16,
        *,
        max_width: int = 128,
        minibatch_std: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(size)
        widths = growing_widths(size, width, max_width)
        pairs = zip(widths[1:], widths, strict=False)
        self.from_rgb = nn.ModuleList(EqualizedConv2d(channels, c, 1, generator=generator) for c in widths)
        self.blocks = nn.ModuleList(_Halving(c_in, c_out, generator) for c_in, c_out in pairs)
        c = self.n_features = widths[0]
        self.sample_shape = (channels, size, size)
        self.net = nn.Sequential(
            MinibatchStd() if minibatch_std else nn.Identity(),
            EqualizedConv2d(c + minibatch_std, c, generator=generator),
            nn.LeakyReLU(SLOPE),
            nn.Flatten(),
            EqualizedLinear(c * 4 * 4, c, generator=generator),
            nn.LeakyReLU(SLOPE),
            EqualizedLinear(c, 1, gain=1.0, generator=generator),
        )

    def set_stage(self, size: int, alpha: float = 1.0) -> None:
        """Take images of `size` pixels (see `Growing.set_stage`)."""
        super().set_stage(size, alpha)
        self.sample_shape = (self.sample_shape[0], size, size)

    def features(self, x: Tensor) -> Tensor:
        """Map images x (N, C, level, level) to the activations (N, n_features) before the last layer."""
        check_input(self, x, self.sample_shape, "images")
        images, x = x, self._read(x, self.stage)
        for i in range(self.stage, 0, -1):
            x = self.blocks[i - 1](x)
            if i == self.stage and self.alpha < 1:
                halved = self._read(F.avg_pool2d(images, 2), i - 1)
                x = torch.lerp(halved, x, self.alpha)
        activations: Tensor = self.net[:-1](x)
        return activations

    def _read(self, images: Tensor, stage: int) -> Tensor:
        return F.leaky_relu(self.from_rgb[stage](images), SLOPE)
