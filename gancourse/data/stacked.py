"""Stacked MNIST: three digits as the channels of one image, 1,000 countable modes. Taught in chapter 3."""

from pathlib import Path

import torch

from gancourse.checks import check_seed, is_count
from gancourse.data.images import ImageData
from gancourse.data.mnist import mnist
from gancourse.data.sizes import Split


def stacked_mnist(
    n: int = 128_000,
    *,
    seed: int = 0,
    root: str | Path | None = None,
    download: bool = True,
    split: Split = "train",
    size: int = 28,
) -> ImageData:
    """Return triples of digits: images uint8 (n, 3, size, size), labels int64 (n,) = 100 r + 10 g + b.

    The digits in red, green and blue are drawn independently and uniformly from all images of the split, with
    replacement, once: the same seed makes the same data set, and a smaller n its beginning. A label in 0..999
    is the number that the three digits spell. The protocol of Lin et al., "PacGAN" (2018), who
    train on 128,000 triples; the task is of Metz et al., "Unrolled GANs" (2017).

    128,000 triples take 301 MB at size 28, 1.6 GB at 64. `split`, `size`, `root` and `download` are those of
    `mnist`. Raises ValueError for n below 1 or a seed that is no integer from 0 to 2^63 - 1; DataNotFound as
    `mnist` does.
    """
    if not is_count(n):
        raise ValueError(f"expected a number of images of at least 1, an integer, got {n!r}")
    check_seed(seed)
    digits = mnist(split, size, root, download=download)
    drawn = torch.randint(len(digits), (n, 3), generator=torch.Generator().manual_seed(seed))
    images = torch.empty(n, 3, size, size, dtype=torch.uint8)
    for channel, which in enumerate(drawn.unbind(1)):  # bytes to bytes: the set is never held as floats
        images[:, channel] = digits.images[which, 0]
    r, g, b = digits.labels[drawn].unbind(1)
    return ImageData(images, 100 * r + 10 * g + b, name=f"stacked-mnist-{size}")
