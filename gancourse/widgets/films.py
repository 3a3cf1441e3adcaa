"""A film to scrub: frames on one sheet, a slider that moves a window over it. Taught in chapter 3."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from gancourse.checks import is_count
from gancourse.widgets.film_page import page

DPI = 110  # as the book's figures: a pixel of the sheet is one of the page
SHADES = (32, 24, 16, 12, 8, 6)  # a channel, until all colors fit into a palette of 256; 6^3 always do
LARGEST = 395_000  # bytes of HTML: a notebook's output of 400 KB, less what Jupyter writes around it


@dataclass(frozen=True, repr=False)
class Film:
    """Frames to scrub, one caption each: the last line of a cell shows them. Made by `film`."""

    captions: tuple[str, ...]
    html: str

    def __repr__(self) -> str:
        n = len(self.captions)
        return f"Film({n} frame{'s' * (n != 1)}, {self.captions[0]!r} to {self.captions[-1]!r})"

    def _repr_html_(self) -> str:
        return self.html


def film(
    draw: Callable[[Axes, int], object],
    captions: Sequence[str],
    *,
    alt: str,
    columns: int = 6,
    size: tuple[float, float] = (2.0, 2.0),
    poster: int | None = None,
) -> Film:
    """Draw N frames of `size` inches, one for each of the N captions, as a film to scrub.

    `draw(ax, k)` draws frame k, 0 to N - 1, on axes without ticks that fill the frame; what it draws outside
    of them is cut off. Set the same limits for all frames. `alt` tells what the film shows; `poster` is the
    frame seen first, the last unless given. "All frames" shows the sheet, `columns` in a row. A page needs
    no kernel and no other host for it, and the same frames give the same bytes. Raises TypeError for
    captions or an alt text that are not strings, ValueError for none, for columns, size or poster out of
    range, and for a film of more than 395 KB of HTML.
    """
    captions = _checked_captions(captions)
    n = len(captions)
    poster = n - 1 if poster is None else poster
    if not callable(draw):
        raise TypeError(f"expected a function draw(ax, k), got {type(draw).__name__}")
    _check_layout(alt, columns, size, poster, n)
    columns = min(int(columns), n)
    frames = [_drawn(draw, k, size) for k in range(n)]
    made = Film(captions, page(_sheet(frames, columns), frames[0].shape, captions, alt, columns, int(poster)))
    _check_weight(len(made.html.encode()), n, size)
    return made


def _checked_captions(captions: Sequence[str]) -> tuple[str, ...]:
    if isinstance(captions, str):
        raise TypeError(
            f"expected one caption a frame, got one text: {captions!r}; [f'step {{n}}' for n in steps]"
        )
    found = tuple(captions)
    if not found:
        raise ValueError("expected at least 1 frame, got no captions; give one short text a frame")
    for k, caption in enumerate(found):
        if not isinstance(caption, str):
            raise TypeError(
                f"expected captions that are strings, got {type(caption).__name__} {caption!r} for frame "
                f"{k}; f'step {{n:,}}' makes one"
            )
        if not caption.strip():
            raise ValueError(f"expected a caption for each frame, got {caption!r} for frame {k}")
    return found


def _check_layout(alt: str, columns: int, size: tuple[float, float], poster: int, n: int) -> None:
    if not isinstance(alt, str):
        raise TypeError(f"expected an alt text, a string, got {type(alt).__name__}")
    if not alt.strip():
        raise ValueError(
            "expected an alt text, got none; tell what the film shows, e.g. 'samples move from mode to mode'"
        )
    if not is_count(columns):
        raise ValueError(f"expected at least 1 column, an integer, got {columns!r}; 6 are usual")
    if not is_count(poster, 0) or poster >= n:
        raise ValueError(f"expected a poster from 0 to {n - 1}, the frame seen first, got {poster!r}")
    sides: tuple[object, ...] = tuple(size) if isinstance(size, tuple | list) else ()
    if len(sides) != 2 or not all(isinstance(side, Real) and 0.2 <= float(side) <= 10 for side in sides):
        raise ValueError(f"expected a size (width, height) in inches, each from 0.2 to 10, got {size!r}")


def _check_weight(weight: int, n: int, size: tuple[float, float]) -> None:
    if weight > LARGEST:
        share = LARGEST / weight
        fewer = max(1, int(0.95 * share * n))
        smaller = tuple(round(0.95 * math.sqrt(share) * side, 1) for side in size)
        raise ValueError(
            f"expected a film of at most {LARGEST / 1000:.0f} KB of HTML, got {weight / 1000:.0f} KB; draw "
            f"fewer frames (about {fewer} of {n}), smaller ones (size={smaller}) or less in each"
        )


def _drawn(draw: Callable[[Axes, int], object], k: int, size: tuple[float, float]) -> NDArray[np.uint8]:
    """Return frame k (H, W, 3), a white hair line around it: no neighbor shows in a scaled window."""
    # No pyplot: no figure stays open. No layout engine: the axes fill the frame, whatever the style says.
    # The thousandth of a pixel: Matplotlib cuts 27.999 pixels down to 27.
    inner = [(round(side * DPI) - 2 + 0.001) / DPI for side in size]
    figure = Figure(figsize=(inner[0], inner[1]), dpi=DPI, facecolor="white")
    figure.set_layout_engine("none")
    canvas: Any = FigureCanvasAgg(figure)
    ax = figure.add_axes((0, 0, 1, 1), xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    draw(ax, k)
    canvas.draw()
    return np.pad(np.asarray(canvas.buffer_rgba())[..., :3], ((1, 1), (1, 1), (0, 0)), constant_values=255)


def _sheet(frames: list[NDArray[np.uint8]], columns: int) -> bytes:
    """Return frames (H, W, 3) in rows of `columns` as a PNG with a palette."""
    height, width, _ = frames[0].shape
    sheet = np.full((-(-len(frames) // columns) * height, columns * width, 3), 255, np.uint8)
    for k, frame in enumerate(frames):
        top, left = k // columns * height, k % columns * width
        sheet[top : top + height, left : left + width] = frame
    places, palette = _palette(sheet)
    image, file = Image.fromarray(places), io.BytesIO()
    image.putpalette(palette.tobytes())
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def _palette(sheet: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return (H, W) places in a palette (K, 3), K of at most 256: of colors alike, the most frequent."""
    packed = sheet.astype(np.int64) @ (65536, 256, 1)
    colors, index, counts = np.unique(packed, return_inverse=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    rgb = np.stack([colors >> 16, colors >> 8 & 255, colors & 255], 1)[order]
    for shades in SHADES:
        bins = (rgb * (shades - 1) + 127) // 255 @ (shades**2, shades, 1)
        _, first, place = np.unique(bins, return_index=True, return_inverse=True)
        if len(first) <= 256:
            break
    places = np.empty(len(colors), np.uint8)
    places[order] = place.reshape(-1)
    return places[index.reshape(packed.shape)], rgb[first].astype(np.uint8)
