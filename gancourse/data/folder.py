"""A reader's own pictures, from a folder. Taught in chapter 5."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gancourse.data.images import ImageData

if TYPE_CHECKING:
    from PIL.Image import Image

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")
MANY = 200  # pictures from which on reading them shows its progress
NAMED = 5  # unreadable pictures that an error names before it only counts


def image_folder(path: str | Path, size: int = 64, *, channels: int = 3) -> ImageData:
    """Return a folder's pictures: images uint8 (N, channels, size, size) in 0..255, labels int64 (N,).

    Each subfolder with pictures, however deep in it, is a class: label k is the k-th subfolder by name. A
    folder that holds its pictures itself is one class, 0. The order is that of the sorted paths, always.
    Hidden files, other files and linked folders are left out.

    Each picture is turned as its EXIF data say, put on white where it is transparent, converted to RGB or to
    grey (3 or 1 channels; 16 bits to 8), cropped to the square in its middle, and resized with antialiasing
    (Lanczos), smaller pictures upwards. Of an animation the first frame is taken.

    Raises FileNotFoundError or NotADirectoryError where the path is no folder; ValueError for a size below 8,
    for other channels, where there are no pictures, where some lie beside the classes' folders, and where
    some cannot be read, which it names.
    """
    if not isinstance(size, int) or size < 8:
        raise ValueError(f"expected a size of at least 8 pixels, an integer, got {size!r}")
    if channels not in (1, 3):
        raise ValueError(f"expected 3 channels (RGB) or 1 (grey), got {channels!r}")
    root = Path(path).expanduser().absolute()
    files = _pictures(root)
    labels = torch.tensor(_labels(root, files))
    return ImageData(_read_all(root, files, size, channels), labels, name=f"folder-{root.name}-{size}")


def _pictures(root: Path) -> list[Path]:
    """Return the folder's pictures, sorted."""
    if not root.exists():
        raise FileNotFoundError(f"expected a folder of pictures, but there is no {root}; check the path")
    if not root.is_dir():
        raise NotADirectoryError(f"expected a folder, got the file {root}; give the folder that it lies in")
    # By parts: in whole paths "a-b/x" comes before "a/x", since "-" comes before "/".
    inside = sorted((p.relative_to(root) for p in root.rglob("*") if p.is_file()), key=lambda p: p.parts)
    seen = [p for p in inside if not any(part.startswith(".") for part in p.parts)]
    found = [p for p in seen if p.suffix.lower() in ENDINGS]
    if not found:
        kinds = Counter(p.suffix.lower() or "no ending" for p in seen)
        others = ", ".join(f"{n} {kind}" for kind, n in kinds.most_common(NAMED)) or "no files"
        raise ValueError(f"expected pictures ({', '.join(ENDINGS)}) in {root}, got {others}")
    return [root / p for p in found]


def _labels(root: Path, files: Sequence[Path]) -> list[int]:
    """Return each picture's class."""
    parts = [file.relative_to(root).parts for file in files]
    classes = sorted({p[0] for p in parts if len(p) > 1})
    beside = sum(len(p) == 1 for p in parts)
    if classes and beside:
        raise ValueError(
            f"expected pictures either in {root} itself or in its subfolders, one a class, got {beside}"
            f" beside {len(classes)} subfolders with pictures ({', '.join(classes[:NAMED])});"
            " move them into a subfolder"
        )
    return [classes.index(p[0]) if classes else 0 for p in parts]


def _read_all(root: Path, files: Sequence[Path], size: int, channels: int) -> Tensor:
    """Return the pictures (N, C, size, size), or raise ValueError with the names of those that are none."""
    from tqdm import tqdm

    images = torch.empty(len(files), channels, size, size, dtype=torch.uint8)
    unreadable: list[str] = []
    for i, file in enumerate(tqdm(files, desc="reading pictures", disable=len(files) < MANY)):
        try:
            images[i] = _read(file, size, channels)
        except Exception as error:  # decoders fail in many ways, by struct.error or KeyError too
            unreadable.append(f"{file.relative_to(root)} ({type(error).__name__}: {error})")
    if unreadable:
        more = f"\n  and {len(unreadable) - NAMED} more" if len(unreadable) > NAMED else ""
        raise ValueError(
            f"{len(unreadable)} of {len(files)} pictures in {root} cannot be read:\n  "
            + "\n  ".join(unreadable[:NAMED])
            + f"{more}\nMove them out of the folder or save them anew, and call again."
        )
    return images


def _read(file: Path, size: int, channels: int) -> Tensor:
    """Return a picture as uint8 (C, size, size)."""
    import numpy as np
    from PIL import Image, ImageOps

    with Image.open(file) as opened:
        # A JPEG much larger than needed is decoded at a half, quarter or eighth: many times faster.
        opened.draft(None, (2 * size, 2 * size))
        picture = _on_white(_to_8_bits(ImageOps.exif_transpose(opened)))
        picture = picture.convert("RGB" if channels == 3 else "L")
        square = _middle(picture).resize((size, size), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(square)).reshape(size, size, channels).permute(2, 0, 1)


def _middle(picture: Image) -> Image:
    """Return the largest square in the middle of a picture."""
    width, height = picture.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return picture.crop((left, top, left + side, top + side))


def _to_8_bits(picture: Image) -> Image:
    """Return 16-bit grey in 8 bits, scaled: Pillow's own conversion may cut at 255 instead."""
    if not picture.mode.startswith("I"):
        return picture
    import numpy as np
    from PIL import Image

    values = np.asarray(picture).astype(np.int64)
    return Image.fromarray(((values + 128) // 257).clip(0, 255).astype(np.uint8))


def _on_white(picture: Image) -> Image:
    """Return a transparent picture on white: the colour under full transparency is arbitrary, often black."""
    if not picture.has_transparency_data:
        return picture
    from PIL import Image

    picture = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
