"""Image data as the book holds it: uint8 on the device, batches in [-1, 1]. Taught in chapter 5."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from gancourse.checks import check_tensor, is_count, is_float


@dataclass(frozen=True, eq=False)  # == of two tensors is no truth value
class ImageData:
    """Images uint8 (N, C, H, W) in [0, 255] with labels int64 (N,); `name` says where they come from."""

    images: Tensor
    labels: Tensor
    name: str = ""

    def __post_init__(self) -> None:
        check_tensor("images", self.images)
        check_tensor("labels", self.labels)
        if self.images.dtype != torch.uint8 or self.images.ndim != 4:
            got = f"{self.images.dtype} {tuple(self.images.shape)}"
            raise ValueError(f"expected images uint8 (N, C, H, W), got {got}; keep the files' bytes unscaled")
        if self.labels.shape != (len(self.images),) or self.labels.dtype != torch.int64:
            got = f"{self.labels.dtype} {tuple(self.labels.shape)}"
            raise ValueError(f"expected int64 labels, one label an image ({len(self.images)},), got {got}")
        if self.images.numel() == 0:
            raise ValueError(f"expected at least one image, got none in {tuple(self.images.shape)}")

    def __len__(self) -> int:
        return len(self.images)

    def take(self, n: int) -> ImageData:
        """Return the first n images, with their labels. Raises ValueError unless 1 <= n <= len(self)."""
        if not is_count(n) or n > len(self):
            raise ValueError(f"expected from 1 to {len(self)} images, got {n!r}")
        if n == len(self):
            return self
        return ImageData(self.images[:n], self.labels[:n], f"{self.name}[:{n}]")

    def fingerprint(self, *, labelled: bool = False) -> str:
        """Return 16 hexadecimal digits that change with any pixel or shape; if `labelled`, any label."""
        digest = hashlib.sha256(str(tuple(self.images.shape)).encode())
        for values in (self.images, self.labels) if labelled else (self.images,):
            digest.update(values.cpu().contiguous().numpy().data)
        return digest.hexdigest()[:16]


def to_unit(images: Tensor) -> Tensor:
    """Map uint8 images in [0, 255] to float32 in [-1, 1]; check float images and return them unchanged.

    Raises ValueError for floats outside [-1, 1] or not finite, TypeError for what is no tensor.
    """
    check_tensor("images", images)
    if images.numel() == 0:
        raise ValueError(f"expected at least one image, got {tuple(images.shape)}")
    if images.dtype == torch.uint8:
        return images.float().div_(127.5).sub_(1.0)
    if not is_float(images):
        raise ValueError(f"expected uint8 or float images, got {images.dtype}")
    low, high = images.min().item(), images.max().item()
    if not -1.0001 <= low <= high <= 1.0001:  # written so that NaN fails too
        raise ValueError(
            f"expected images in [-1, 1], got [{low:.2f}, {high:.2f}]; divide by 127.5 and subtract 1"
        )
    return images
