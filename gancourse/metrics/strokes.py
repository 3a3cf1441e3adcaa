"""How a digit is written: where its ink leans, how much there is, how wide the stroke. Chapters 6 and 7."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from gancourse.checks import check_tensor, is_float

FINER = 2  # how much images are enlarged before the stroke's edge is drawn


def _ink(images: Tensor) -> Tensor:
    """Return the ink (N, H, W) in [0, 1] of images (N, 1, H, W) in [-1, 1]."""
    check_tensor("images", images)
    fits = images.ndim == 4 and images.shape[1] == 1 and images.numel() > 0
    if not fits or not is_float(images):
        got = f"{tuple(images.shape)} of {images.dtype}"
        raise ValueError(f"expected images (N, 1, H, W) of floats in [-1, 1], got {got}; see to_unit")
    if not (images.isfinite().all() and images.abs().max() <= 1):
        raise ValueError("expected images in [-1, 1], got others; divide bytes by 127.5 and subtract 1")
    return (images[:, 0].float() + 1) / 2


def ink(images: Tensor) -> Tensor:
    """Return the share of each image that is ink (N,), from 0 to 1: images (N, 1, H, W) in [-1, 1].

    The zeroth moment over H W: white is ink, gray a part of it. Raises ValueError for other images.
    """
    return _ink(images).mean((1, 2))


def slant(images: Tensor) -> Tensor:
    """Return how many pixels right the ink leans for each pixel up (N,): images (N, 1, H, W) in [-1, 1].

    Minus the covariance of column and row under the ink, over the variance of the row: the shear that was
    applied to a stroke symmetric about the vertical. 0 where there is no ink, or all in one row. Raises
    ValueError for other images.
    """
    painted = _ink(images)
    total = painted.sum((1, 2)).clamp(min=1e-6)[:, None]
    centered = []
    for axis, length in ((2, painted.shape[1]), (1, painted.shape[2])):  # rows, columns
        at = torch.arange(length, device=painted.device)
        centered.append(at - (painted.sum(axis) * at).sum(1, keepdim=True) / total)
    down, right = centered
    mixed = (painted * down[:, :, None] * right[:, None, :]).sum((1, 2))
    return -mixed / (painted * down[:, :, None].square()).sum((1, 2)).clamp(min=1e-6)


def stroke_width(images: Tensor) -> Tensor:
    """Return the mean width of the stroke in pixels (N,), on the CPU: images (N, 1, H, W) in [-1, 1].

    Ink is what is brighter than half, after the image was enlarged bilinearly. Across a long bar of width w
    the distance to its edge is w / 4 on average, so that four times the mean distance over the ink (Euclidean
    distance transform) is the width. Blobs and short ends count as narrower than they are: a disc as two
    thirds of its diameter. 0 where there is no ink. Raises ValueError for other images.
    """
    painted = F.interpolate(_ink(images)[:, None], scale_factor=FINER, mode="bilinear")[:, 0]
    stroke = F.pad(painted > 0.5, (1, 1, 1, 1)).cpu()  # the border is an edge, too
    widths = []
    for mask in stroke:
        to_edge = torch.as_tensor(distance_transform_edt(mask.numpy()))[mask] - 0.5
        widths.append(4 * to_edge.mean() / FINER if len(to_edge) else torch.zeros(()))
    return torch.stack(widths).float()
