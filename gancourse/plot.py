"""Figures of the book: one function for sample grids, one style. Plots draw and compute nothing."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from gancourse.checks import check_tensor, is_count, is_float

# Okabe and Ito's colors, told apart by all; the line styles tell them apart without color.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000")
SHADES = 32  # of a drawn sheet: more would not be seen, and the stored figure is a third smaller
_STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))


def use_style() -> None:
    """Set the book's figure style for all figures that follow."""
    plt.rcParams.update(
        {
            "axes.prop_cycle": cycler(color=_COLORS) + cycler(linestyle=_STYLES),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": "medium",
            "figure.constrained_layout.use": True,
            "figure.dpi": 110,
            "figure.figsize": (7.0, 2.8),
            "font.size": 10,
            "image.cmap": "gray",
            "legend.frameon": False,
            "savefig.dpi": 110,
        }
    )


def tile(images: Tensor, columns: int = 8, *, gap: int = 2) -> Tensor:
    """Lay images (N, C, H, W) in [-1, 1] out in rows of `columns`, white between: (C, H', W') in [0, 1]."""
    check_tensor("images", images)
    if images.ndim != 4 or images.numel() == 0 or not is_count(columns):
        got = f"{tuple(images.shape)}, {columns}"
        raise ValueError(f"expected images (N, C, H, W) and columns, N and columns of at least 1, got {got}")
    if not is_float(images):
        raise ValueError(f"expected float images in [-1, 1], got {images.dtype}; use gancourse.data.to_unit")
    n, channels, height, width = images.shape
    rows = -(-n // columns)
    sheet = torch.ones(channels, rows * (height + gap) - gap, columns * (width + gap) - gap)
    for i, image in enumerate(images.detach().float().cpu()):
        top, left = (i // columns) * (height + gap), (i % columns) * (width + gap)
        sheet[:, top : top + height, left : left + width] = (image.clamp(-1, 1) + 1) / 2
    return sheet


def draw_images(images: Tensor, columns: int = 8, *, ax: Axes, title: str = "") -> None:
    """Draw images (N, C, H, W) in [-1, 1] as one sheet on `ax`, in 32 shades a channel."""
    sheet = tile(images, columns).permute(1, 2, 0).squeeze(-1)
    if images.shape[1] not in (1, 3):
        raise ValueError(
            f"expected images of 1 or 3 channels, got {tuple(images.shape)}; draw them one by one"
        )
    ax.imshow((sheet * (SHADES - 1)).round().div(SHADES - 1).numpy(), vmin=0, vmax=1, interpolation="nearest")
    ax.set_title(title)
    ax.set_axis_off()


def sample_grids(
    sets: Sequence[Tensor],
    titles: Sequence[str],
    *,
    columns: int = 8,
    across: int | None = None,
    width: float = 7.0,
) -> Figure:
    """Return a figure, `width` inches wide, of sets of images (N, C, H, W), `across` of them in a row."""
    if not len(sets) == len(titles) > 0:
        got = f"{len(sets)} and {len(titles)}"
        raise ValueError(f"expected the arguments sets and titles of one length, at least 1, got {got}")
    across = len(sets) if across is None else across
    if not is_count(across):
        raise ValueError(f"expected at least 1 set across, got {across!r}")
    down = -(-len(sets) // across)
    sheet = tile(sets[0], columns)
    height = width * down / across * sheet.shape[1] / sheet.shape[2] + 0.3 * down
    figure, axes = plt.subplots(down, across, figsize=(width, height), squeeze=False)
    for ax in axes.flat[len(sets) :]:  # places of the last row that no set fills
        ax.set_axis_off()
    for ax, images, title in zip(axes.flat[: len(sets)], sets, titles, strict=True):
        draw_images(images, columns, ax=ax, title=title)
    return figure


def class_bars(shares: Tensor, real_shares: Tensor) -> Figure:
    """Return a figure of two class histograms (K,), generated beside real, each summing to 1."""
    for name, given in (("shares", shares), ("real_shares", real_shares)):
        check_tensor(name, given)
    if shares.ndim != 1 or shares.shape != real_shares.shape or len(shares) == 0:
        got = f"{tuple(shares.shape)} and {tuple(real_shares.shape)}"
        raise ValueError(f"expected two class histograms (K,), got {got}; see class_histogram")
    if not (is_float(shares) and is_float(real_shares)):
        got = f"{shares.dtype} and {real_shares.dtype}"
        raise ValueError(f"expected shares that sum to 1, got {got}; see class_histogram")
    figure, ax = plt.subplots()
    classes = np.arange(len(shares))
    ax.bar(classes - 0.2, 100 * shares.float().numpy(), 0.4, label="generated")
    ax.bar(classes + 0.2, 100 * real_shares.float().numpy(), 0.4, label="real", fill=False, hatch="///")
    ax.set(xticks=classes, xlabel="class, by the classifier", ylabel="share (%)")
    ax.legend(ncols=2)
    return figure
