"""Strided convolutions as matrix products, for processors that multiply bfloat16 matrices fast.

On such a CPU the matrix units reach several times the rate of the library's own strided and
transposed convolutions. DCGAN needs one shape only: kernel 4, stride 2, padding 1. It is written here with
windows (im2col) and one product, channels last. `fast_convolutions` puts it in place inside a `with`
block, so that the networks themselves stay as the book shows them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.overrides import TorchFunctionMode

KERNEL, STRIDE, PADDING = 4, 2, 1
_TAPS = KERNEL * KERNEL


class _Scratch(threading.local):
    """Memory for windows, which live for one product only: asking for it anew costs more than filling it."""

    def __init__(self) -> None:
        self.kept: dict[tuple[Any, ...], Tensor] = {}

    def like(self, x: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Return a tensor of x's dtype whose values are those of its last use; the next use overwrites it."""
        key = (x.dtype, *shape)
        if key not in self.kept:
            if len(self.kept) >= 8:  # a net of other sizes has taken over
                self.kept.clear()
            self.kept[key] = x.new_empty(shape)
        return self.kept[key]


_SCRATCH = _Scratch()


def _windows(images: Tensor) -> Tensor:
    """Map images (B, 2H, 2W, C) to their padded 4x4 windows at stride 2, (B H W, 16 C)."""
    batch, height, width, channels = images.shape
    padded = F.pad(images, (0, 0, PADDING, PADDING, PADDING, PADDING)).contiguous()
    row, pixel = (width + 2 * PADDING) * channels, channels
    size = (batch, height // STRIDE, width // STRIDE, KERNEL, KERNEL, channels)
    strides = (padded.stride(0), STRIDE * row, STRIDE * pixel, row, pixel, 1)
    windows = _SCRATCH.like(images, (size[0] * size[1] * size[2], _TAPS * channels))
    windows.view(size).copy_(padded.as_strided(size, strides))
    return windows


def _overlap_add(windows: Tensor, batch: int, height: int, width: int) -> Tensor:
    """Add windows (B H W, 16 C) where they overlap: the transpose of `_windows`, (B, 2H, 2W, C)."""
    windows = windows.view(batch, height, width, KERNEL, -1)
    rows = _SCRATCH.like(windows, (batch, height, 2, width, windows.shape[-1]))  # the last one is 4 C
    _meet(rows[:, :, 0], rows[:, :, 1], *windows.unbind(3))
    taps = rows.view(batch, 2 * height, width, KERNEL, -1).transpose(1, 2)  # (B, W, 2H, 4, C)
    out = windows.new_empty(batch, 2 * height, width, 2, taps.shape[-1])
    _meet(out[..., 0, :].transpose(1, 2), out[..., 1, :].transpose(1, 2), *taps.unbind(3))
    return out.view(batch, 2 * height, 2 * width, -1)


def _meet(even: Tensor, odd: Tensor, tap0: Tensor, tap1: Tensor, tap2: Tensor, tap3: Tensor) -> None:
    """Write, along axis 1, what position i's taps add up to in the output pixels 2 i and 2 i + 1.

    Tap 1 of i meets tap 3 of i - 1 in pixel 2 i; tap 2 of i meets tap 0 of i + 1 in pixel 2 i + 1.
    """
    torch.add(tap1[:, 1:], tap3[:, :-1], out=even[:, 1:])
    torch.add(tap2[:, :-1], tap0[:, 1:], out=odd[:, :-1])
    even[:, 0].copy_(tap1[:, 0])
    odd[:, -1].copy_(tap2[:, -1])


def _down(images: Tensor, matrix: Tensor) -> Tensor:
    """Convolve images (B, 2H, 2W, C) with a matrix (16 C, O): (B, H, W, O)."""
    batch, height, width, _ = images.shape
    return (_windows(images) @ matrix).view(batch, height // STRIDE, width // STRIDE, -1)


def _up(images: Tensor, matrix: Tensor) -> Tensor:
    """Convolve images (B, H, W, O) transposed, with a matrix (O, 16 C): (B, 2H, 2W, C)."""
    pixels = images.reshape(-1, images.shape[3])
    windows = torch.mm(pixels, matrix, out=_SCRATCH.like(images, (len(pixels), matrix.shape[1])))
    return _overlap_add(windows, *images.shape[:3])


def _correlate(small: Tensor, large: Tensor) -> Tensor:
    """Return the gradient of the weight (O, 16 C) between images (B, H, W, O) and (B, 2H, 2W, C)."""
    return small.reshape(-1, small.shape[3]).T @ _windows(large)


class _Conv(torch.autograd.Function):
    """x (B, C, 2H, 2W) with weight (O, C, 4, 4) to (B, O, H, W); the transpose of `_ConvTranspose`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        matrix = weight.permute(0, 2, 3, 1).reshape(len(weight), -1)
        ctx.save_for_backward(x, matrix)
        return _down(x.permute(0, 2, 3, 1), matrix.T).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, matrix = ctx.saved_tensors
        large, small = x.permute(0, 2, 3, 1), grad.permute(0, 2, 3, 1)
        return _gradients(ctx, small, large, lambda: _up(small, matrix))


class _ConvTranspose(torch.autograd.Function):
    """x (B, O, H, W) with weight (O, C, 4, 4) to (B, C, 2H, 2W)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        matrix = weight.permute(0, 2, 3, 1).reshape(len(weight), -1)
        ctx.save_for_backward(x, matrix)
        return _up(x.permute(0, 2, 3, 1), matrix).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, matrix = ctx.saved_tensors
        small, large = x.permute(0, 2, 3, 1), grad.permute(0, 2, 3, 1)
        return _gradients(ctx, small, large, lambda: _down(large, matrix.T))


def _gradients(
    ctx: Any, small: Tensor, large: Tensor, of_x: Callable[[], Tensor]
) -> tuple[Tensor | None, Tensor | None]:
    """Return the gradients that are asked for: of the input, channels last in `of_x`, and of the weight."""
    of_weight = None
    if ctx.needs_input_grad[1]:
        matrix = _correlate(small, large)  # (O, 16 C)
        of_weight = matrix.view(len(matrix), KERNEL, KERNEL, -1).permute(0, 3, 1, 2)
    return of_x().permute(0, 3, 1, 2) if ctx.needs_input_grad[0] else None, of_weight


def has_matrix_units(device: torch.device) -> bool:
    """Tell whether `device` is a CPU with units for bfloat16 matrices (AMX), where the products win."""
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return device.type == "cpu" and bool(capabilities.get("amx_bf16", False))


def _gradient_as_laid_out(out: Tensor) -> Tensor:
    """Have the gradient of images (B, C, H, W) come channels last where they are: mixed layouts are slow."""
    last = torch.channels_last
    if out.requires_grad and out.ndim == 4 and out.is_contiguous(memory_format=last):
        out.register_hook(lambda grad: grad.contiguous(memory_format=last))
    return out


def _plain(value: Any, expected: int) -> bool:
    return value in (expected, (expected, expected))


class fast_convolutions(TorchFunctionMode):  # noqa: N801 (used like a function, in a with statement)
    """Compute 4x4, stride 2, padding 1 convolutions on the CPU as bfloat16 products; leave all others alone.

    No second derivatives: not for penalties on a gradient.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.leaky_relu:
            return _gradient_as_laid_out(func(*args, **kwargs))
        kernels = {torch.conv2d: _Conv, torch.conv_transpose2d: _ConvTranspose}
        if func not in kernels or not _fits(*args, **kwargs):
            return func(*args, **kwargs)
        x, weight, bias = args[:3]
        out = kernels[func].apply(x.bfloat16(), weight.bfloat16())
        return out if bias is None else out + bias.bfloat16()[:, None, None]


def _fits(
    x: Tensor, weight: Tensor, bias: Any = None, stride: Any = 1, padding: Any = 0, *others: Any
) -> bool:
    even = x.shape[-1] % 2 == 0 == x.shape[-2] % 2 or weight.shape[0] == x.shape[1]
    square = tuple(weight.shape[2:]) == (KERNEL, KERNEL)
    default = all(value in (0, 1, (0, 0), (1, 1)) for value in others)
    wide = min(weight.shape[:2]) >= 64  # narrower than that, the library is faster
    return (
        x.device.type == "cpu"
        and wide
        and square
        and even
        and default
        and _plain(stride, STRIDE)
        and _plain(padding, PADDING)
    )
