"""MNIST, verified byte for byte, at the sizes that the book's networks take."""

import os
import struct
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from gancourse.data.digits import digits
from gancourse.data.images import ImageData
from gancourse.data.official import NotFetchedError, OfficialFile, find_or_fetch
from gancourse.data.sizes import Split, check_split_and_size, to_size

# fmt: off
FILES: dict[Split, tuple[OfficialFile, OfficialFile]] = {
    "train": (
        OfficialFile("train-images-idx3-ubyte.gz", 9_912_422, "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                     "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
        OfficialFile("train-labels-idx1-ubyte.gz", 28_881, "d53e105ee54ea40749a09fcbcd1e9432",
                     "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
    ),
    "test": (
        OfficialFile("t10k-images-idx3-ubyte.gz", 1_648_877, "9fb629c4189551a2d022fa330f9573f3",
                     "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
        OfficialFile("t10k-labels-idx1-ubyte.gz", 4_542, "ec29112dd5afa0611ce80d1b7f02629c",
                     "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
    ),
}
# fmt: on


class DataNotFound(FileNotFoundError):
    """No place has an intact copy of the data; the message says where to put which files."""


def mnist(
    split: Split = "train", size: int = 28, root: str | Path | None = None, *, download: bool = True
) -> ImageData:
    """Return MNIST: images uint8 (N, 1, size, size) in 0..255 and labels int64 (N,), N 60,000 or 10,000.

    Size 28 is MNIST as it is; 32 adds two black pixels on each side and changes none; 64 doubles the 32,
    bilinearly.

    Each of the official files is looked for in `root`, or else in the folder that GANCOURSE_DATA names, then
    in the user's cache, as FOLDER/MNIST/raw/FILE (torchvision's layout) or FOLDER/FILE, packed or not. What
    is missing is downloaded into the cache. Each file is checked against its official checksum; a damaged
    one is named, and replaced by a fresh copy where its folder can be written to.

    Raises DataNotFound if no place has the data and it cannot be downloaded.
    Source: LeCun, Cortes and Burges, "The MNIST database of handwritten digits".
    """
    check_split_and_size(split, size)
    images, labels = (_load(file, root, download) for file in FILES[split])
    return ImageData(to_size(images.unsqueeze(1), size), labels.long(), name=f"mnist-{size}")


def mnist_or_digits(
    split: Split = "train", size: int = 28, *, profile: Literal["quick", "full"]
) -> ImageData:
    """Return MNIST, or in quick profile, where MNIST cannot be had, the bundled digits and a printed notice.

    Shapes as in `mnist`. The result's `name` tells which it is: "mnist-28" or "sklearn-digits-28".

    Raises DataNotFound in full profile if MNIST cannot be had: the book's results come from nothing else.
    """
    if profile not in ("quick", "full"):
        raise ValueError(f'expected profile to be "quick" or "full", got {profile!r}')
    try:
        return mnist(split, size)
    except DataNotFound:
        if profile == "full":
            raise
    print(
        "MNIST could not be found or fetched; the 1,797 digits bundled with scikit-learn stand in"
        " (quick profile only).\nTo see what to do about it: gancourse.data.mnist()"
    )
    return digits(split, size)


def parse_idx(content: bytes) -> Tensor:
    """Read an idx file of bytes as a uint8 tensor: 0, 0, 8, the number of axes, their lengths, the values."""
    axes = content[3]
    shape = struct.unpack_from(f">{axes}i", content, 4)
    values = torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=4 + 4 * axes)
    return values.reshape(shape)


def cache_folder() -> Path:
    """Return the folder for downloads: gancourse/MNIST/raw in XDG_CACHE_HOME or ~/.cache."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser().absolute() / "gancourse" / "MNIST" / "raw"


def _folders(root: str | Path | None) -> list[Path]:
    """Return where to look, in order; the cache is last."""
    own = root or os.environ.get("GANCOURSE_DATA")
    if not own:
        return [cache_folder()]
    folder = Path(own).expanduser().absolute()
    return [folder / "MNIST" / "raw", folder, cache_folder()]


def _load(file: OfficialFile, root: str | Path | None, download: bool) -> Tensor:
    folders = _folders(root)
    try:
        return parse_idx(find_or_fetch(file, folders, download=download))
    except NotFetchedError as error:
        problems = error.problems or ("it is in none of the folders, and download=False",)
        raise DataNotFound(_what_to_do(folders, problems)) from error


def _what_to_do(folders: list[Path], problems: tuple[str, ...]) -> str:
    def lines(items: list[str]) -> str:
        return "".join(f"\n  {item}" for item in items)

    files = [f"{file.name} ({file.size:,} bytes)" for pair in FILES.values() for file in pair]
    return (
        f"MNIST was neither found nor downloaded:{lines(list(problems))}\n"
        f"Looked in:{lines([str(folder) for folder in folders])}\n"
        f"To go on without network, put these four files{lines(files)}\n"
        f"into the folder\n  {cache_folder()}\n"
        "or into one of your choice, and set the environment variable GANCOURSE_DATA to that folder."
    )
