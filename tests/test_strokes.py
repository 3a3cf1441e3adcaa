"""How a digit is written, on shapes whose lean and width are known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from gancourse.metrics.strokes import ink, slant, stroke_width


def drawn(inside: Tensor) -> Tensor:
    """Return an image (1, 1, H, W), white where `inside` (H, W) holds."""
    return (2.0 * inside - 1)[None, None]


def grid(side: int) -> tuple[Tensor, Tensor]:
    """Return rows and columns from the middle of an image: (side, side) each."""
    at = torch.arange(side) - (side - 1) / 2
    return torch.meshgrid(at, at, indexing="ij")


def bar(width: float, lean: float = 0.0, side: int = 65, length: float = 60) -> Tensor:
    """Return an upright bar of a horizontal width, sheared by `lean` pixels for each pixel up."""
    rows, columns = grid(side)
    return drawn(((columns + lean * rows).abs() < width / 2) & (rows.abs() < length / 2))


@pytest.mark.parametrize("lean", [-0.6, 0.0, 0.25, 0.5])
def test_the_slant_of_a_sheared_bar_is_its_shear(lean: float) -> None:
    assert slant(bar(7, lean, length=50)).item() == pytest.approx(lean, abs=0.02)


def test_a_mirrored_image_leans_the_other_way_and_a_turned_one_keeps_its_ink() -> None:
    images = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert torch.allclose(slant(images.flip(3)), -slant(images), atol=1e-5)
    assert torch.allclose(ink(images.transpose(2, 3)), ink(images))


@pytest.mark.parametrize("width", [3, 4, 7])
def test_the_width_of_a_long_bar(width: int) -> None:
    image = bar(width, side=200 + width % 2, length=180)
    assert stroke_width(image).item() == pytest.approx(width, rel=0.06)


def test_a_disc_counts_as_two_thirds_of_its_diameter() -> None:
    rows, columns = grid(101)
    disc = drawn(rows.square() + columns.square() < 40**2)
    assert stroke_width(disc).item() == pytest.approx(80 * 2 / 3, rel=0.03)


def test_a_wider_stroke_is_wider_and_has_more_ink() -> None:
    images = torch.cat([bar(w) for w in (3, 5, 9)])
    assert stroke_width(images).diff().min() > 1
    assert torch.allclose(ink(images), torch.tensor([3.0, 5.0, 9.0]) * 59 / 65**2)


def test_the_border_of_the_image_is_an_edge() -> None:
    assert stroke_width(drawn(torch.ones(40, 40))).item() == pytest.approx(4 * 40 / 6, rel=0.02)


def test_no_ink_has_no_slant_and_no_width() -> None:
    black = torch.full((2, 1, 28, 28), -1.0)
    assert slant(black).tolist() == ink(black).tolist() == stroke_width(black).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("images", "told"),
    [
        (torch.zeros(2, 28, 28), "see to_unit"),
        (torch.zeros(0, 1, 28, 28), "see to_unit"),
        (torch.zeros(2, 3, 28, 28), "see to_unit"),
        (torch.zeros(2, 1, 28, 28, dtype=torch.uint8), "see to_unit"),
        (torch.full((1, 1, 4, 4), 255.0), "divide bytes by 127.5"),
        (torch.full((1, 1, 4, 4), math.nan), "in \\[-1, 1\\]"),
    ],
)
def test_other_images_are_refused(images: Tensor, told: str) -> None:
    for measure in (slant, ink, stroke_width):
        with pytest.raises(ValueError, match=told):
            measure(images)
