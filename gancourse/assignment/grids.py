"""What the checks make of what a student returns for a picture: sheets of images, stacks, arrays."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gancourse.assignment.guard import plain

SIDE, ROWS = 28, 8
GAPS = (2, 0, 1, *range(3, 17))  # make_grid's own first


def numbers(value: Any) -> Tensor | None:
    """Return a tensor's or an array's values as float32; an image of PIL's is an array too; else None."""
    if isinstance(value, Tensor):
        return plain(value)
    if not isinstance(value, np.ndarray) and not type(value).__module__.startswith("PIL."):
        return None
    array = np.asarray(value)
    return torch.from_numpy(array.astype(np.float32)) if array.dtype.kind in "fiu" else None


def as_picture(values: Tensor) -> tuple[Tensor | None, str]:
    """Return a picture (C, H, W), C of 1 or 3, and what is unusual about the way it came; or None."""
    if values.ndim == 4 and len(values) == 1:
        values = values[0]
    shape = tuple(values.shape)
    if values.ndim == 2 and min(shape) > 3:
        return values[None], f"the picture has the shape {shape}, without channels"
    if values.ndim != 3:
        return None, ""
    if shape[0] in (1, 3):
        return values, ""
    if shape[2] in (1, 3):
        return values.permute(2, 0, 1), f"the picture has the shape {shape}: the channels are last"
    return None, ""


def layouts(height: int, width: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield rows, columns, gap and margin of sheets of 28-pixel images that are so high and wide."""
    for gap in GAPS:
        for margin in (gap, 0) if gap else (0,):
            rows, over = divmod(height - 2 * margin + gap, SIDE + gap)
            columns, beside = divmod(width - 2 * margin + gap, SIDE + gap)
            if over == beside == 0 and min(rows, columns) > 0:
                yield rows, columns, gap, margin


def tiles(picture: Tensor) -> Tensor | None:
    """Cut a sheet (C, H, W) of eight rows of eight into its images (64, 28, 28), or return None."""
    for rows, columns, gap, margin in layouts(*picture.shape[1:]):
        if (rows, columns) == (ROWS, ROWS):
            starts = [margin + k * (SIDE + gap) for k in range(ROWS)]
            sheet = picture.mean(0)
            cut = [sheet[i : i + SIDE, j : j + SIDE] for i in starts for j in starts]
            return torch.stack(cut)
    return None


def recognized(images: Tensor, known: Tensor) -> Tensor:
    """Return for each image (N, 28, 28) the position of the known one (K, 1, 28, 28) it shows, -1 for none.

    By correlation: brightness and contrast, which make_grid may change, do not matter.
    """
    a, b = (x.flatten(1) - x.flatten(1).mean(1, keepdim=True) for x in (images, known))
    a, b = (x / x.norm(dim=1, keepdim=True).clamp(min=1e-9) for x in (a, b))
    best = (a @ b.T).max(1)
    return torch.where(best.values > 0.7, best.indices, -1)


@contextmanager
def without_figures() -> Iterator[None]:
    """Close the figures that are opened inside: a notebook would show the check's own pictures in them."""

    def opened() -> set[int]:
        plt = sys.modules.get("matplotlib.pyplot")
        return set(plt.get_fignums()) if plt else set()

    before = opened()
    try:
        yield
    finally:
        for number in opened() - before:
            sys.modules["matplotlib.pyplot"].close(number)
