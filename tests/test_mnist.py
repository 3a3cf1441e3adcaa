"""MNIST and its stand-in: found, verified, repaired and fetched, against a mirror on this machine."""

import gzip
import hashlib
import importlib
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
import torchvision

from gancourse.data import DataNotFound, digits, mnist, mnist_or_digits
from gancourse.data.official import OfficialFile
from gancourse.data.sizes import to_size

# The package's `mnist` is the function, so the modules are asked for by name.
MODULE = importlib.import_module("gancourse.data.mnist")
OFFICIAL = importlib.import_module("gancourse.data.official")
IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"


def idx(values: torch.Tensor) -> bytes:
    return (
        bytes([0, 0, 8, values.ndim])
        + struct.pack(f">{values.ndim}i", *values.shape)
        + bytes(values.flatten())
    )


def published(name: str, content: bytes) -> tuple[OfficialFile, bytes]:
    packed = gzip.compress(content, mtime=0)
    sums = hashlib.md5(packed).hexdigest(), hashlib.sha256(content).hexdigest()
    return OfficialFile(name, len(packed), *sums), packed


class Mirror(ThreadingHTTPServer):
    """Serves files on this machine and counts what it was asked for; `wrong` replaces a file's content."""

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.wrong, self.asked, self.delay = files, {}, Counter[str](), 0.0
        self.url = f"http://127.0.0.1:{self.server_address[1]}/"


class Handler(BaseHTTPRequestHandler):
    server: Mirror

    def do_GET(self) -> None:
        name = self.path.strip("/")
        self.server.asked[name] += 1
        time.sleep(self.server.delay)
        body = self.server.wrong.get(name, self.server.files[name])
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(BrokenPipeError, ConnectionResetError):  # the look for redirects leaves without reading
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


def closed_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/"


@pytest.fixture
def pixels() -> torch.Tensor:
    return torch.randint(0, 256, (12, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def mirror(pixels: torch.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """A world of its own: a tiny MNIST with its checksums, one mirror that has it, an empty cache."""
    labels = torch.arange(12, dtype=torch.uint8) % 10
    pairs = [published(IMAGES, idx(pixels)), published(LABELS, idx(labels))]
    pairs += [
        published(f.name, p) for f, p in ((MODULE.FILES["test"][0], b"a"), (MODULE.FILES["test"][1], b"b"))
    ]
    files = [file for file, _ in pairs]
    monkeypatch.setattr(MODULE, "FILES", {"train": tuple(files[:2]), "test": tuple(files[2:])})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("GANCOURSE_DATA", raising=False)
    with Mirror({file.name: packed for file, packed in pairs}) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [server.url])
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "gancourse" / "MNIST" / "raw"


@pytest.fixture
def offline(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [closed_port()])


def fill(folder: Path, mirror: Mirror) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in (IMAGES, LABELS):
        (folder / name).write_bytes(mirror.files[name])
    return folder


# Where it is looked for


def test_a_download_lands_in_the_cache_and_is_used_from_there(
    mirror: Mirror, cache: Path, pixels: torch.Tensor
) -> None:
    data = mnist()
    assert torch.equal(data.images[:, 0], pixels)
    assert data.images.dtype == torch.uint8
    assert data.labels.dtype == torch.int64
    assert data.labels.tolist() == [i % 10 for i in range(12)]
    assert data.name == "mnist-28"
    asked = mirror.asked.copy()
    mnist()
    assert mirror.asked == asked, "the second call went to the network"
    assert {p.name for p in cache.iterdir()} - {".download.lock"} == {IMAGES, LABELS}


@pytest.mark.parametrize("layout", ["MNIST/raw", "."])
@pytest.mark.parametrize("how", ["root", "variable"])
def test_a_folder_of_ones_own_is_read_and_not_written(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str, how: str
) -> None:
    own = fill(tmp_path / "own" / layout, mirror)
    before = {p.name: p.stat().st_mtime_ns for p in own.iterdir()}
    if how == "variable":
        monkeypatch.setenv("GANCOURSE_DATA", str(tmp_path / "own"))
    assert len(mnist(root=tmp_path / "own" if how == "root" else None)) == 12
    assert {p.name: p.stat().st_mtime_ns for p in own.iterdir()} == before
    assert not mirror.asked


def test_the_order_is_root_then_variable_then_cache(
    mirror: Mirror,
    tmp_path: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("root", "variable"):  # each place says its name when it is looked at
        (tmp_path / name).mkdir()
        (tmp_path / name / IMAGES).write_bytes(b"not it")
    fill(cache, mirror)
    monkeypatch.setenv("GANCOURSE_DATA", str(tmp_path / "variable"))
    assert len(mnist(root=tmp_path / "root", download=False)) == 12
    assert "root" in (said := capsys.readouterr().out)
    assert "variable" not in said, "root takes the place of GANCOURSE_DATA"
    assert len(mnist(download=False)) == 12
    assert "variable" in capsys.readouterr().out


def test_unpacked_files_do_as_well(mirror: Mirror, offline: None, tmp_path: Path) -> None:
    for name in (IMAGES, LABELS):
        (tmp_path / name.removesuffix(".gz")).write_bytes(gzip.decompress(mirror.files[name]))
    assert len(mnist(root=tmp_path)) == 12


def test_each_split_reads_its_own_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Distances are measured against one split; the other would be another reference."""
    asked: list[str] = []

    def load(file: OfficialFile, *_: object) -> torch.Tensor:
        asked.append(file.name.split("-")[0])
        return torch.zeros((3, 28, 28) if "images" in file.name else (3,), dtype=torch.uint8)

    monkeypatch.setattr(MODULE, "_load", load)
    mnist("test")
    mnist("train")
    assert asked == ["t10k", "t10k", "train", "train"]


def test_a_caller_cannot_spoil_the_next_call(mirror: Mirror, pixels: torch.Tensor) -> None:
    mnist().images.zero_()
    assert torch.equal(mnist().images[:, 0], pixels)


# Damage

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda good: good[: len(good) // 2],
    "flipped byte": lambda good: good[:100] + bytes([good[100] ^ 1]) + good[101:],
    "empty": lambda good: b"",
    "web page": lambda good: b"<html>Please log in</html>",
}


@pytest.mark.parametrize("place", ["cache", "own folder"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named_and_fetched_again(
    mirror: Mirror, cache: Path, tmp_path: Path, damage: str, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = fill(cache if place == "cache" else tmp_path / "own", mirror)
    (folder / IMAGES).write_bytes(DAMAGES[damage](mirror.files[IMAGES]))
    assert len(mnist(root=None if place == "cache" else folder)) == 12
    said = capsys.readouterr().out
    assert str(folder / IMAGES) in said
    assert "Fetching it again" in said
    assert said.count("\n") == 1
    assert (folder / IMAGES).read_bytes() == mirror.files[IMAGES]
    assert LABELS not in mirror.asked, "the intact file was fetched too"
    mnist(root=None if place == "cache" else folder)
    assert capsys.readouterr().out == ""


def test_a_damaged_unpacked_file_makes_way_for_a_packed_one(mirror: Mirror, cache: Path) -> None:
    fill(cache, mirror)
    (cache / IMAGES).unlink()
    unpacked = cache / IMAGES.removesuffix(".gz")
    unpacked.write_bytes(b"damaged")
    assert len(mnist()) == 12
    assert not unpacked.exists()
    assert (cache / IMAGES).exists()


def test_a_folder_in_the_files_place_is_named_and_kept(
    mirror: Mirror, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own" / IMAGES).mkdir(parents=True)
    assert len(mnist(root=tmp_path / "own")) == 12
    assert "is a folder" in capsys.readouterr().out
    assert (tmp_path / "own" / IMAGES).is_dir()
    (cache / IMAGES).unlink()
    (cache / IMAGES).mkdir()
    with pytest.raises(DataNotFound, match="is a folder where a file was expected; move it away"):
        mnist()


def test_a_damaged_file_in_a_read_only_folder_is_named_and_left(
    mirror: Mirror, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = fill(tmp_path / "own", mirror)
    (own / IMAGES).write_bytes(b"damaged")
    own.chmod(0o555)
    try:
        assert len(mnist(root=own)) == 12
        assert {p.name for p in own.iterdir()} == {IMAGES, LABELS}
    finally:
        own.chmod(0o755)
    assert "Leaving it and looking further" in capsys.readouterr().out
    assert (own / IMAGES).read_bytes() == b"damaged"
    assert (cache / IMAGES).exists()


def test_without_network_a_damaged_file_stays_and_the_cache_serves(
    mirror: Mirror, offline: None, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = fill(tmp_path / "own", mirror)
    (own / IMAGES).write_bytes(b"damaged")
    fill(cache, mirror)
    assert len(mnist(root=own)) == 12
    assert str(own / IMAGES) in capsys.readouterr().out
    assert (own / IMAGES).read_bytes() == b"damaged"


# Download


def test_a_mirror_that_serves_something_else_is_not_believed(mirror: Mirror, cache: Path) -> None:
    mirror.wrong[IMAGES] = b"<html>Please log in</html>"
    with pytest.raises(DataNotFound, match=f"{mirror.url}{IMAGES} could not be downloaded"):
        mnist()
    assert not [p for p in cache.iterdir() if p.name != ".download.lock"], "something of it was kept"


def test_a_dead_mirror_gives_way_to_the_next(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [closed_port(), mirror.url])
    assert len(mnist()) == 12


def test_a_mirror_that_never_answers_is_given_up(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OFFICIAL, "TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        # Without a time limit of ours, the test must fail and not hang.
        alarm = threading.Timer(5, silent.shutdown, [socket.SHUT_RDWR])
        alarm.start()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [url])
        with pytest.raises(DataNotFound, match="timed out"):
            mnist()
        alarm.cancel()
    assert socket.getdefaulttimeout() is None


def test_mirrors_that_fail_are_not_waited_for_twice(mirror: Mirror, cache: Path, tmp_path: Path) -> None:
    """A damaged file in a folder of one's own, an empty cache: two places to fetch into, one attempt."""
    mirror.wrong[IMAGES] = b"<html>Please log in</html>"
    with pytest.raises(DataNotFound):
        mnist()
    once = mirror.asked.copy()
    mirror.asked.clear()
    (fill(tmp_path / "own", mirror) / IMAGES).write_bytes(b"damaged")
    with pytest.raises(DataNotFound):
        mnist(root=tmp_path / "own")
    assert mirror.asked == once


def test_an_interrupted_download_leaves_nothing_in_the_way(mirror: Mirror, cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / f"{IMAGES}.partial").write_bytes(b"killed half-way")
    assert len(mnist()) == 12
    assert not list(cache.glob("*.partial"))


def test_a_cache_that_cannot_be_made_is_named(mirror: Mirror, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the cache should be")
    with pytest.raises(DataNotFound, match=r"could not be stored in .*cache/gancourse"):
        mnist()


CHILD = """
import importlib, json, sys
from torchvision.datasets import MNIST
from gancourse.data.official import OfficialFile
url, files = json.loads(sys.argv[1])
MNIST.mirrors = [url]
module = importlib.import_module("gancourse.data.mnist")
module.FILES = {"train": tuple(OfficialFile(**f) for f in files)}
print("ready", flush=True)
for line in sys.stdin:
    print("images:", len(module.mnist()), flush=True)
"""


@pytest.mark.slow
def test_two_processes_at_once_download_once(mirror: Mirror, cache: Path) -> None:
    """Both from an empty cache and from a damaged one."""
    mnist()  # what one download asks of the mirror
    alone, mirror.delay = mirror.asked.copy(), 0.3
    argument = json.dumps([mirror.url, [asdict(file) for file in MODULE.FILES["train"]]])
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, argument],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            cwd=Path(__file__).parent.parent, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for _ in range(2)
    ]  # fmt: skip
    assert [child.stdout.readline() for child in children if child.stdout] == ["ready\n"] * 2
    for damage in (None, b"damaged"):  # both are past their imports before either begins
        mirror.asked.clear()
        for name in (IMAGES, LABELS):
            (cache / name).unlink() if damage is None else (cache / name).write_bytes(damage)
        for child in children:
            assert child.stdin is not None
            child.stdin.write("\n")
            child.stdin.flush()
        for child in children:  # they also say which file is damaged
            assert child.stdout is not None
            said = next((line for line in child.stdout if line.startswith("images:")), "nothing")
            assert said == "images: 12\n", child.communicate()[1]
        assert mirror.asked == alone
        assert not list(cache.glob("*.partial"))
    for child in children:
        _, error = child.communicate(timeout=120)
        assert child.returncode == 0, error


# Neither files nor network


def test_the_error_says_where_to_put_which_files(
    mirror: Mirror, offline: None, cache: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataNotFound) as caught:
        mnist(root=tmp_path / "own")
    said = str(caught.value)
    for file in (file for pair in MODULE.FILES.values() for file in pair):
        assert file.name in said
    for place in (tmp_path / "own" / "MNIST" / "raw", tmp_path / "own", cache):
        assert f"  {place}\n" in said
    assert "GANCOURSE_DATA" in said
    assert f"{IMAGES} could not be downloaded" in said
    assert caught.value.__cause__ is not None


def test_nothing_is_fetched_against_the_callers_will(mirror: Mirror, cache: Path) -> None:
    with pytest.raises(DataNotFound, match="download=False"):
        mnist(download=False)
    assert not cache.exists()
    (fill(cache, mirror) / IMAGES).write_bytes(b"damaged")
    with pytest.raises(DataNotFound, match="is damaged"):
        mnist(download=False)
    assert (cache / IMAGES).read_bytes() == b"damaged"
    assert not mirror.asked


def test_the_digits_stand_in_in_quick_profile_only(
    mirror: Mirror, offline: None, capsys: pytest.CaptureFixture[str]
) -> None:
    data = mnist_or_digits("test", 32, profile="quick")
    assert data.name == "sklearn-digits-32"
    assert "1,797 digits bundled with scikit-learn stand in" in capsys.readouterr().out
    with pytest.raises(DataNotFound):
        mnist_or_digits("test", 32, profile="full")


@pytest.mark.parametrize("profile", ["quick", "full"])
def test_mnist_comes_first_in_either_profile(
    mirror: Mirror, profile: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert mnist_or_digits(profile=profile).name == "mnist-28"  # type: ignore[arg-type]
    assert capsys.readouterr().out == ""


def test_an_unknown_profile_is_refused(mirror: Mirror) -> None:
    with pytest.raises(ValueError, match='expected profile to be "quick" or "full", got \'fast\''):
        mnist_or_digits(profile="fast")  # type: ignore[arg-type]


# Sizes and splits


@pytest.mark.parametrize("source", [mnist, digits])
def test_wrong_arguments_are_refused_before_anything_is_fetched(
    mirror: Mirror, source: Callable[..., object]
) -> None:
    with pytest.raises(ValueError, match=r"28 .* 32 .* 64 .*got 30"):
        source("train", 30)
    with pytest.raises(ValueError, match='"train" or "test", got \'valid\''):
        source("valid")
    assert not mirror.asked


def test_32_pads_exactly(mirror: Mirror, pixels: torch.Tensor) -> None:
    images = mnist(size=32).images
    assert torch.equal(images[:, 0, 2:-2, 2:-2], pixels)
    assert images.sum() == pixels.sum(), "the border is not black"


def test_64_is_the_32_doubled(pixels: torch.Tensor) -> None:
    small, large = to_size(pixels.unsqueeze(1), 32), to_size(pixels.unsqueeze(1), 64)
    assert large.shape == (12, 1, 64, 64)
    assert large.dtype == torch.uint8
    # Bilinear doubling weighs the four nearest pixels 9:3:3:1.
    near = (
        small[:, :, 9, 9].float() * 9
        + (small[:, :, 8, 9] + small[:, :, 9, 8].float()) * 3
        + small[:, :, 8, 8]
    )
    assert torch.equal(large[:, :, 18, 18], (near / 16).round().to(torch.uint8))
    flat = torch.full((1, 1, 28, 28), 200, dtype=torch.uint8)
    assert (to_size(flat, 64)[..., 8:-8, 8:-8] == 200).all()


def test_the_chunks_do_not_show() -> None:
    images = torch.randint(0, 256, (4099, 1, 28, 28), dtype=torch.uint8)
    assert torch.equal(to_size(images, 64)[-5:], to_size(images[-5:], 64))


@pytest.mark.parametrize("size", [28, 32, 64])
def test_the_digits_are_split_once_and_evenly(size: int) -> None:
    train, test = digits("train", size), digits("test", size)
    assert len(train) == 1433
    assert len(test) == 364
    assert test.labels.bincount().min() >= 35
    assert test.labels.bincount().max() <= 37
    assert train.images.shape == (1433, 1, size, size)
    assert train.images.dtype == torch.uint8
    assert train.labels.dtype == torch.int64
    assert torch.equal(digits("train", size).images, train.images)


def test_without_scikit_learn_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r"come with scikit-learn, .* run: pip install scikit-learn"):
        digits()


def test_the_digits_lie_like_mnists() -> None:
    images = torch.cat([digits("train").images, digits("test").images])[:, 0]
    inner = images[:, 2:-2, 2:-2]
    assert inner.sum() / images.sum() > 0.999, "there is ink in the margin"
    assert images.amax() == 255
    assert len(images.unique(dim=0)) == 1797, "an image is in both parts, or in none"


# The real files, where they are at hand


@pytest.fixture(scope="module")
def real() -> Path:
    try:
        mnist("test", download=False)
        mnist("train", download=False)
    except DataNotFound:
        pytest.skip("the MNIST files are neither in GANCOURSE_DATA nor in the cache")
    names = [file.name for pair in MODULE.FILES.values() for file in pair]
    folders = MODULE._folders(None)
    return next((f for f in folders if all((f / name).exists() for name in names)), folders[-1])


def test_the_checksums_are_torchvisions() -> None:
    ours = [(file.name, file.md5) for pair in MODULE.FILES.values() for file in pair]
    assert ours == torchvision.datasets.MNIST.resources


def test_the_real_mnist_has_its_known_counts(real: Path) -> None:
    train, test = mnist("train"), mnist("test")
    assert train.labels.bincount().tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert test.labels.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert train.images.shape == (60_000, 1, 28, 28)
    assert test.images.shape == (10_000, 1, 28, 28)
    assert train.images.float().mean().item() / 255 == pytest.approx(0.1307, abs=1e-4)


def test_the_real_files_do_as_well_unpacked(real: Path, tmp_path: Path) -> None:
    if not (real / IMAGES).exists():
        pytest.skip("the packed files are not at hand")
    for file in (file for pair in MODULE.FILES.values() for file in pair):
        (tmp_path / file.name.removesuffix(".gz")).write_bytes(
            gzip.decompress((real / file.name).read_bytes())
        )
    assert torch.equal(mnist("test", root=tmp_path, download=False).images, mnist("test").images)
    assert len(mnist("train", root=tmp_path, download=False)) == 60_000
