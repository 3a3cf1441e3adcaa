"""Figures are stored small, with the pixels that were drawn."""

import base64
import io

from notebook_clean import compact_png
from PIL import Image


def stored(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def pixels(png: str) -> bytes:
    return Image.open(io.BytesIO(base64.b64decode(png))).convert("RGBA").tobytes()


def test_a_gray_sheet_keeps_its_pixels_in_fewer_bytes() -> None:
    noise = Image.effect_noise((200, 200), 60).convert("RGBA")
    before = stored(noise)
    after = compact_png(before)
    assert pixels(after) == pixels(before)
    assert len(after) < 0.6 * len(before)


def test_what_needs_more_colors_or_transparency_is_left_alone() -> None:
    colorful = stored(Image.merge("RGB", [Image.effect_noise((64, 64), 90) for _ in range(3)]))
    assert compact_png(colorful) == colorful
    glass = stored(Image.new("RGBA", (8, 8), (1, 2, 3, 128)))
    assert compact_png(glass) == glass


def test_compacting_twice_changes_nothing_more() -> None:
    once = compact_png(stored(Image.effect_noise((100, 100), 60).convert("RGBA")))
    assert compact_png(once) == once


def test_what_is_no_image_is_left_alone() -> None:
    text = base64.b64encode(b"no image").decode()
    assert compact_png(text) == text
