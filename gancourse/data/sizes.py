"""The image sizes of the book's networks: 28 as MNIST comes, 32 and 64 made from it."""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

Split = Literal["train", "test"]

SIZES = (28, 32, 64)


def check_split_and_size(split: str, size: int) -> None:
    """Raise ValueError unless the split is "train" or "test" and the size 28, 32 or 64."""
    if split not in get_args(Split):
        raise ValueError(f'expected split to be "train" or "test", got {split!r}')
    if not isinstance(size, int) or size not in SIZES:
        raise ValueError(
            f"expected size 28 (MNIST as it is), 32 (padded) or 64 (enlarged), got {size!r};"
            " choose one of the three"
        )


def to_size(images: Tensor, size: int) -> Tensor:
    """Map images uint8 (N, 1, 28, 28) to (N, 1, size, size): 32 is zero-padded, 64 is the 32 doubled."""
    if size == 28:
        return images
    padded = F.pad(images, (2, 2, 2, 2))
    # In chunks, since the whole set at 64 pixels takes a gigabyte as float32.
    return padded if size == 32 else torch.cat([_enlarge(chunk, size) for chunk in torch.split(padded, 4096)])


def _enlarge(images: Tensor, size: int) -> Tensor:
    enlarged = F.interpolate(images.float(), size=(size, size), mode="bilinear")
    return enlarged.round().clamp(0, 255).to(torch.uint8)
