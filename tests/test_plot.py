"""Sheets of samples, laid out pixel by pixel, and figures that draw what they are given."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch import Tensor

from gancourse.plot import SHADES, class_bars, draw_images, sample_grids, tile, use_style


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    with mpl.rc_context():
        yield
    plt.close("all")


def numbered(n: int, channels: int = 1, height: int = 2, width: int = 3) -> Tensor:
    """Return images of which each holds one value, from -1 up."""
    values = torch.linspace(-1, 0, n)
    return values[:, None, None, None].expand(n, channels, height, width)


def test_the_layout_of_a_sheet_exactly() -> None:
    """Three 1 x 2 images in rows of two, a gap of one: white between and where none is left."""
    images = torch.tensor([-1.0, 0.0, 0.5])[:, None, None, None].expand(3, 1, 1, 2)
    expected = torch.tensor([[0.0, 0.0, 1.0, 0.5, 0.5], [1.0] * 5, [0.75, 0.75, 1.0, 1.0, 1.0]])
    assert torch.equal(tile(images, columns=2, gap=1), expected[None])


@pytest.mark.parametrize(("n", "columns", "gap"), [(1, 1, 2), (5, 8, 2), (16, 8, 0), (7, 3, 1), (64, 8, 2)])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_stand_in_reading_order(n: int, columns: int, gap: int, channels: int) -> None:
    sheet = tile(numbered(n, channels), columns, gap=gap)
    rows = -(-n // columns)
    assert sheet.shape == (channels, rows * (2 + gap) - gap, columns * (3 + gap) - gap)
    covered = torch.zeros_like(sheet, dtype=torch.bool)
    for i, value in enumerate(torch.linspace(0, 0.5, n)):
        top, left = (i // columns) * (2 + gap), (i % columns) * (3 + gap)
        place = (slice(None), slice(top, top + 2), slice(left, left + 3))
        torch.testing.assert_close(sheet[place], value.expand(channels, 2, 3))
        covered[place] = True
    assert (sheet[~covered] == 1).all(), "gaps are white"


def test_a_sheet_is_in_the_unit_range_and_leaves_its_images_alone() -> None:
    images = (3 * torch.randn(4, 1, 5, 5, generator=torch.Generator().manual_seed(0))).requires_grad_()
    before = images.detach().clone()
    sheet = tile(images)
    assert not sheet.requires_grad
    assert sheet.min() == 0
    assert sheet.max() == 1
    assert torch.equal(images, before)


@pytest.mark.parametrize(
    ("shape", "columns"), [((4, 28, 28), 8), ((0, 1, 28, 28), 8), ((4, 1, 28, 28), 0), ((28, 28), 2)]
)
def test_what_makes_no_sheet_is_refused(shape: tuple[int, ...], columns: int) -> None:
    with pytest.raises(ValueError, match=r"expected images \(N, C, H, W\) and columns.*, got \("):
        tile(torch.zeros(shape), columns)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_plot_shows_the_sheet_and_computes_nothing(channels: int) -> None:
    _, ax = plt.subplots()
    images = numbered(5, channels)
    draw_images(images, 3, ax=ax, title="five")
    (shown,) = ax.images
    sheet = tile(images, 3).permute(1, 2, 0).squeeze(-1)
    assert np.abs(shown.get_array() - sheet.numpy()).max() <= 0.5 / (SHADES - 1) + 1e-6
    assert shown.get_clim() == (0, 1), "contrast must not be stretched"
    assert shown.get_interpolation() == "nearest"
    assert ax.get_title() == "five"
    assert not ax.axison


@pytest.mark.parametrize(
    ("sets", "across", "places"), [(1, None, 1), (4, None, 4), (4, 2, 4), (3, 2, 4), (5, 3, 6)]
)
def test_a_figure_has_a_place_for_each_set(sets: int, across: int | None, places: int) -> None:
    titles = [f"epoch {i}" for i in range(sets)]
    figure = sample_grids([numbered(8, height=4, width=4)] * sets, titles, columns=4, across=across)
    assert len(figure.axes) == places
    assert [ax.get_title() for ax in figure.axes[:sets]] == titles
    assert all(len(ax.images) == 1 for ax in figure.axes[:sets])
    assert not any(ax.images or ax.axison for ax in figure.axes[sets:]), "an empty place shows nothing"
    assert figure.get_figwidth() == pytest.approx(7)
    figure.canvas.draw()


def test_a_pale_image_stays_pale() -> None:
    """Stretched contrast would make a generator that outputs near-gray noise look confident."""
    _, ax = plt.subplots()
    draw_images(torch.tensor([-0.1, 0.1]).expand(1, 1, 2, 2), 1, ax=ax)
    assert ax.images[0].get_clim() == (0, 1)


def test_a_title_is_due_for_each_set() -> None:
    with pytest.raises(ValueError, match="argument"):
        sample_grids([numbered(4)] * 2, ["only one"])


def test_the_style_can_be_read_without_color() -> None:
    use_style()
    cycle = list(plt.rcParams["axes.prop_cycle"])
    assert len({str(entry["linestyle"]) for entry in cycle}) == len(cycle)
    assert len({entry["color"] for entry in cycle}) == len(cycle)
    _, ax = plt.subplots()
    ax.plot([0, 1])
    ax.plot([1, 0])
    assert ax.lines[0].get_linestyle() != ax.lines[1].get_linestyle()


def test_class_bars_stand_beside_each_other_in_percent() -> None:
    generated, real = torch.tensor([0.5, 0.0, 0.5]), torch.tensor([0.3, 0.3, 0.4])
    ax = class_bars(generated, real).axes[0]
    ours, theirs = ax.containers
    assert [bar.get_height() for bar in ours] == [50, 0, 50]
    assert [bar.get_height() for bar in theirs] == pytest.approx([30, 30, 40])
    for i, (left, right) in enumerate(zip(ours, theirs, strict=True)):
        assert left.get_x() + left.get_width() == pytest.approx(right.get_x()) == pytest.approx(i)
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["generated", "real"]
    assert ours[0].get_fill() != theirs[0].get_fill(), "told apart without colour"
