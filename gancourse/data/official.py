"""A file of MNIST from the first folder that has it intact; downloaded where no folder does."""

import gzip
import hashlib
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

TIMEOUT = 10.0  # seconds without a byte after which a mirror is given up


@dataclass(frozen=True)
class OfficialFile:
    """A gzipped file as published: its name, its size in bytes, and the checksums of both its forms."""

    name: str
    size: int
    md5: str
    unpacked_sha256: str


class NotFetchedError(Exception):
    """A file is nowhere and could not be downloaded; `problems` says what was wrong where."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class DamagedError(Exception):
    """Something is there under the file's name and is not the file."""


def find_or_fetch(file: OfficialFile, folders: Sequence[Path], *, download: bool) -> bytes:
    """Return a file's unpacked content from the first folder that has it intact, else fetch it into the last.

    A damaged file is named in a notice, and replaced by a fresh one where its folder can be written to.
    Without `download` nothing is fetched or replaced. Raises NotFetchedError.
    """
    problems: list[str] = []
    for path in _present(file, folders):
        try:
            return read(path, file)
        except DamagedError as damage:
            problems.append(str(damage))
        repair = download and _can_replace(path)
        print(f"{problems[-1]}. {'Fetching it again.' if repair else 'Leaving it and looking further.'}")
        if repair:
            try:
                return _replace(path, file)
            except NotFetchedError as error:
                problems += error.problems
                download = False  # for the next folder it would fail alike, after as long a wait
    if not download:
        raise NotFetchedError(*problems)
    try:
        return fetch(file, folders[-1])
    except NotFetchedError as error:
        raise NotFetchedError(*dict.fromkeys([*problems, *error.problems])) from error


def _present(file: OfficialFile, folders: Sequence[Path]) -> Iterator[Path]:
    """Yield what lies in the folders under the file's name, packed first."""
    for folder in folders:
        for path in (folder / file.name, folder / file.name.removesuffix(".gz")):
            if os.path.exists(path):  # unlike Path.exists, False for what may not be looked at
                yield path


def read(path: Path, file: OfficialFile) -> bytes:
    """Return the unpacked content of an intact file, packed or not; raise DamagedError for any other."""
    if path.is_dir():
        raise DamagedError(f"{path} is a folder where a file was expected; move it away")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DamagedError(f"{path} cannot be read ({error.strerror})") from error
    # The checksums guard against accidents, not attacks, and machines that forbid MD5 want to be told.
    if path.suffix != ".gz":
        if hashlib.sha256(content, usedforsecurity=False).hexdigest() != file.unpacked_sha256:
            raise DamagedError(f"{path} is damaged ({len(content):,} bytes with a wrong SHA-256)")
        return content
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != file.md5:
        raise DamagedError(f"{path} is damaged ({len(content):,} of {file.size:,} bytes, with a wrong MD5)")
    return gzip.decompress(content)


def _can_replace(path: Path) -> bool:
    # The mode bits count besides access(), which lets root write where the owner meant nobody to.
    folder = path.parent
    return not path.is_dir() and os.access(folder, os.W_OK) and bool(folder.stat().st_mode & 0o222)


def _replace(path: Path, file: OfficialFile) -> bytes:
    """Put a fresh download in the place of a damaged file, which stays until the fresh one is there."""
    content = fetch(file, path.parent)
    if path.name != file.name:
        path.unlink(missing_ok=True)  # the unpacked form; the fresh file is packed
    return content


def fetch(file: OfficialFile, folder: Path) -> bytes:
    """Download a file into a folder, one process at a time, and return its unpacked content.

    Raises NotFetchedError.
    """
    from filelock import FileLock  # here, so that reading needs neither it nor torchvision

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".download.lock"):
            target = folder / file.name
            if _missing_or_damaged(target, file):  # else another process was faster
                _download(file, target)
            return read(target, file)
    except (OSError, DamagedError) as error:
        raise NotFetchedError(f"{file.name} could not be stored in {folder} ({error})") from error


def _missing_or_damaged(path: Path, file: OfficialFile) -> bool:
    try:
        read(path, file)
    except DamagedError:
        return not path.is_dir()  # a folder is not ours to replace
    return False


def _download(file: OfficialFile, target: Path) -> None:
    """Put the file into its place whole and verified, or not at all."""
    partial = target.with_name(f"{target.name}.partial")
    try:
        _download_from_any(file, partial)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def _download_from_any(file: OfficialFile, target: Path) -> None:
    from torchvision.datasets import MNIST
    from torchvision.datasets.utils import download_url

    problems = []
    for mirror in MNIST.mirrors:
        try:
            with _timeout(TIMEOUT):
                download_url(mirror + file.name, str(target.parent), target.name, file.md5)
            return
        except (OSError, RuntimeError, HTTPException) as error:
            problems.append(f"{mirror}{file.name} could not be downloaded ({error})")
    raise NotFetchedError(*problems)


@contextmanager
def _timeout(seconds: float) -> Iterator[None]:
    """Bound each wait for the network: torchvision sets no limit, and a firewall may swallow every packet."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
