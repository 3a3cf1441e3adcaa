"""Image data as the book holds it: uint8 on the device, batches in [-1, 1]. Taught in chapter 5."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)  # == of two tensors is no truth value
class ImageData:
    """Images uint8 (N, C, H, W) in [0, 255] with labels int64 (N,); `name` says where they come from."""

    images: Tensor
    labels: Tensor
    name: str = ""

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.ndim != 4:
            got = f"{self.images.dtype} {tuple(self.images.shape)}"
            raise ValueError(f"expected images uint8 (N, C, H, W), got {got}; keep the files' bytes unscaled")
        if self.labels.shape != (len(self.images),) or self.labels.dtype != torch.int64:
            got = f"{self.labels.dtype} {tuple(self.labels.shape)}"
            raise ValueError(f"expected int64 labels, one label an image ({len(self.images)},), got {got}")
        if len(self.images) == 0:
            raise ValueError("expected at least one image, got none")

    def __len__(self) -> int:
        return len(self.images)

    def take(self, n: int) -> ImageData:
        """Return the first n images, with their labels. Raises ValueError unless 1 <= n <= len(self)."""
        if not 1 <= n <= len(self):
            raise ValueError(f"expected from 1 to {len(self)} images, got {n}")
        if n == len(self):
            return self
        return ImageData(self.images[:n], self.labels[:n], f"{self.name}[:{n}]")

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits that change with any pixel or shape."""
        digest = hashlib.sha256(str(tuple(self.images.shape)).encode())
        digest.update(self.images.cpu().contiguous().numpy().data)
        return digest.hexdigest()[:16]


def to_unit(images: Tensor) -> Tensor:
    """Map uint8 images in [0, 255] to float32 in [-1, 1]; check float images and return them unchanged.

    Raises ValueError for floats outside [-1, 1] or not finite.
    """
    if images.numel() == 0:
        raise ValueError(f"expected at least one image, got {tuple(images.shape)}")
    if images.dtype == torch.uint8:
        return images.float().div_(127.5).sub_(1.0)
    if not images.is_floating_point():
        raise ValueError(f"expected uint8 or float images, got {images.dtype}")
    low, high = images.min().item(), images.max().item()
    if not -1.0001 <= low <= high <= 1.0001:  # written so that NaN fails too
        raise ValueError(
            f"expected images in [-1, 1], got [{low:.2f}, {high:.2f}]; divide by 127.5 and subtract 1"
        )
    return images


class DeviceLoader(Iterator[Tensor]):
    """Endless batches (B, C, H, W) in [-1, 1] from images kept whole on the device as uint8.

    MNIST is 47 MB as bytes: it fits on any device, and then no step waits for the host. Each epoch is
    a fresh permutation; the last, incomplete batch is dropped, so that every batch has one shape.
    `generator` lives on the CPU, so that the order of the data does not depend on the device.
    """

    def __init__(
        self,
        data: ImageData,
        batch_size: int,
        *,
        device: torch.device | str = "cpu",
        generator: torch.Generator | None = None,
    ) -> None:
        if not 1 <= batch_size <= len(data):
            raise ValueError(
                f"expected a batch size from 1 to {len(data)} (the number of images), got {batch_size}"
            )
        self.data, self.batch_size = data, batch_size
        self.images = data.images.to(device)
        self.generator = generator if generator is not None else torch.Generator().manual_seed(0)
        self.steps_per_epoch = len(data) // batch_size
        self._start_epoch()

    def _start_epoch(self) -> None:
        self._epoch_rng = self.generator.get_state()
        self._order = torch.randperm(len(self.images), generator=self.generator).to(self.images.device)
        self._position = 0

    def __next__(self) -> Tensor:
        if self._position == self.steps_per_epoch:
            self._start_epoch()
        start = self._position * self.batch_size
        self._position += 1
        return to_unit(self.images[self._order[start : start + self.batch_size]])

    def state_dict(self) -> dict[str, Any]:
        """Return what going on from here needs, bit for bit: the epoch's RNG state and the position in it."""
        return {"epoch_rng": self._epoch_rng, "position": self._position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict` of a loader over the same data with the same batch size."""
        position = int(state["position"])
        if not 0 <= position <= self.steps_per_epoch:
            raise ValueError(
                f"expected a position from 0 to {self.steps_per_epoch}, got {position}: other data?"
            )
        self.generator.set_state(state["epoch_rng"].cpu())
        self._start_epoch()
        self._position = position
