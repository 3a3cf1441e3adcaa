"""The 1,797 handwritten digits that scikit-learn bundles: what stands in for MNIST without network."""

import torch
import torch.nn.functional as F
from torch import Tensor

from gancourse.data.images import ImageData
from gancourse.data.sizes import Split, check_split_and_size, to_size

TEST_EVERY = 5  # of each digit's images, the first of each five is a test image


def digits(split: Split = "train", size: int = 28) -> ImageData:
    """Return scikit-learn's digits: images uint8 (N, 1, size, size) in 0..255, labels int64 (N,).

    Real handwriting at 8 pixels, enlarged and framed like MNIST's; sizes as in `mnist`. The
    split is fixed: 1,433 to train, 364 to test.

    Raises ImportError without scikit-learn. Source: Alpaydin and Kaynak, "Optical Recognition of Handwritten
    Digits", the test part.
    """
    check_split_and_size(split, size)
    images, labels = _bundled()
    rank = F.one_hot(labels).cumsum(0).gather(1, labels[:, None]).squeeze(1) - 1  # among images of its digit
    is_test = rank % TEST_EVERY == 0
    chosen = is_test if split == "test" else ~is_test
    return ImageData(to_size(_enlarge(images[chosen]), size), labels[chosen], name=f"sklearn-digits-{size}")


def _bundled() -> tuple[Tensor, Tensor]:
    """Return all images, float32 (1797, 8, 8) in 0..16, and labels, int64 (1797,)."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            "the bundled digits come with scikit-learn, which is not installed; run: pip install scikit-learn"
        ) from error
    bundled = load_digits()
    return torch.from_numpy(bundled.images).float(), torch.from_numpy(bundled.target).long()


def _enlarge(images: Tensor) -> Tensor:
    """Map (N, 8, 8) in 0..16 to uint8 (N, 1, 28, 28) in 0..255."""
    # Two black pixels around an 8-pixel digit leave it MNIST's margin, and soften strokes cut at its edge.
    padded = F.pad(images.unsqueeze(1) * (255 / 16), (2, 2, 2, 2))
    enlarged = F.interpolate(padded, size=(28, 28), mode="bicubic")
    return enlarged.round().clamp(0, 255).to(torch.uint8)
