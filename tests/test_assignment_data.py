"""The check of a batch: each slip of a data pipeline fails its rule alone, what is right gets full marks."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from submissions import in_the_book
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from gancourse.assignment.batch import DATA, ENOUGH, ORDERS, check_data
from gancourse.assignment.guard import Clock
from gancourse.assignment.report import DONE, Report
from gancourse.data import DataNotFound, ImageData, digits, mnist

FILE = digits("train")  # in the order of the file
TEST = digits("test")


def unit(images: Tensor) -> Tensor:
    return images.float() / 127.5 - 1


def batch(n: int = ENOUGH, seed: int = 0, data: ImageData = FILE) -> Tensor:
    """Return n images (n, 1, 28, 28) in [-1, 1], drawn without replacement."""
    return unit(data.images[torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))[:n]])


def of(*wanted: int, n: int = ENOUGH) -> Tensor:
    """Return n images, in random order, of the wanted digits alone."""
    images, labels = FILE.images, FILE.labels
    kept = images[torch.isin(labels, torch.tensor(wanted))]
    return unit(kept[torch.randperm(len(kept), generator=torch.Generator().manual_seed(0))[:n]])


def by_class(n: int = ENOUGH) -> Tensor:
    order = torch.randperm(len(FILE), generator=torch.Generator().manual_seed(0))[:n]
    return unit(FILE.images[order[FILE.labels[order].argsort()]])


def in_turn() -> Tensor:
    """Return the digits 0 to 9 in turn, from the middle of a class each."""
    places = [(FILE.labels == digit).nonzero().flatten()[40:53] for digit in range(10)]
    return unit(FILE.images[torch.stack(places, 1).flatten()])[7:]


def mixed_up(images: Tensor) -> Tensor:
    """Return images whose inner pixels are in another order, the same for all."""
    inner = images[..., 3:-3, 3:-3].flatten(2)
    order = torch.randperm(inner.shape[2], generator=torch.Generator().manual_seed(0))
    mixed = images.clone()
    mixed[..., 3:-3, 3:-3] = inner[..., order].view(len(images), 1, 22, 22)
    return mixed


RIGHT = batch()
BYTES = ((RIGHT + 1) * 127.5).round()
ZERO_ONE = (RIGHT + 1) / 2
LOADER = DataLoader(TensorDataset(RIGHT, torch.zeros(len(RIGHT))), 64)

WRONG: dict[str, tuple[Any, str, str]] = {
    # shape
    "a loader": (LOADER, "shape", "next(iter(loader))"),
    "an iterator": (iter(LOADER), "shape", "next(iter(loader))"),
    "a data set": (LOADER.dataset, "shape", "DataLoader(dataset, batch_size=128, shuffle=True)"),
    "one sample of a data set": ((RIGHT[0], 5), "shape", "that is one image"),
    "one image": (RIGHT[0, 0], "shape", "that is one image"),
    "samples not collated": ([(image, 0) for image in RIGHT], "shape", "one tensor of all images"),
    "labels first": ((torch.zeros(128, dtype=torch.long), RIGHT), "shape", "batch, channel, height, width"),
    "a dictionary": ({"image": RIGHT}, "shape", "the dictionary's entry"),
    "an array": (RIGHT.numpy(), "shape", "torch.from_numpy(batch)"),
    "no channel": (RIGHT[:, 0], "shape", "unsqueeze(1)"),
    "the channel last": (RIGHT.permute(0, 2, 3, 1), "shape", "permute(0, 3, 1, 2)"),
    "three channels": (RIGHT.expand(-1, 3, -1, -1), "shape", "Grayscale"),
    "32 pixels": (F.pad(RIGHT, (2, 2, 2, 2), value=-1.0), "shape", "leave out Resize and Pad"),
    "64 pixels": (F.interpolate(RIGHT, size=64), "shape", "leave out Resize and Pad"),
    "flat": (RIGHT.flatten(1), "shape", "view(-1, 1, 28, 28)"),
    "empty": (RIGHT[:0], "shape", "the batch is empty"),
    "double precision": (RIGHT.double(), "shape", "images.float()"),
    "half precision": (RIGHT.half(), "shape", "images.float()"),
    # range
    "from 0 to 1": (ZERO_ONE, "range", "Normalize((0.5,), (0.5,))"),
    "from 0 to 255": (BYTES, "range", "x / 127.5 - 1"),
    "bytes": (BYTES.to(torch.uint8), "range", "these are bytes"),
    "whole numbers": (BYTES.long(), "range", "these are bytes"),
    "divided twice": (ZERO_ONE / 255, "range", "divided by 255 twice"),
    "standardized": ((ZERO_ONE - 0.1307) / 0.3081, "range", "for classifiers"),
    "normalized twice": ((RIGHT - 0.5) / 0.5, "range", "Tanh cannot make these values"),
    "bytes normalized": ((BYTES - 0.5) / 0.5, "range", "these are bytes"),
    "from -0.5 to 0.5": (RIGHT / 2, "range", "only a part of [-1, 1]"),
    "inverted": (-RIGHT, "range", "white on black"),
    "padded after Normalize": (F.pad(RIGHT[..., 4:-4, 4:-4], (4, 4, 4, 4)), "range", "before Normalize"),
    "constant": (torch.full_like(RIGHT, -1.0), "range", "all pixels are the same"),
    "blank": (torch.zeros_like(RIGHT), "range", "all pixels are the same"),
    "NaN": (torch.where(RIGHT > 0.9, torch.nan, RIGHT), "range", "not finite"),
    "infinite": (RIGHT.log(), "range", "not finite"),
    # order
    "in the file's order": (unit(FILE.images[:ENOUGH]), "shuffled", "shuffle=True"),
    "the test file in order": (unit(TEST.images[:ENOUGH]), "shuffled", "shuffle=True"),
    "sorted by class": (by_class(), "shuffled", "shuffle=True"),
    "the digits in turn": (in_turn(), "shuffled", "shuffle=True"),
    # classes
    "one digit": (of(3), "classes", "filter by label"),
    "one digit in a small batch": (of(3, n=32), "classes", "filter by label"),
    "two digits": (of(0, 1), "classes", "none or hardly any of 2, "),
    "half of the digits": (of(0, 1, 2, 3, 4), "classes", "none or hardly any of 5, 6, 7, 8, 9 among"),
    "no seven": (of(0, 1, 2, 3, 4, 5, 6, 8, 9), "classes", "none or hardly any of 7"),
    "no zero among many": (of(1, 2, 3, 4, 5, 6, 7, 8, 9, n=512), "classes", "none or hardly any of 0"),
    "pixels mixed up": (mixed_up(RIGHT), "classes", "reshape in place of permute"),
    "digits on their side": (RIGHT.transpose(2, 3), "classes", "most of them no digits"),
    "one image again and again": (RIGHT[:1].repeat(ENOUGH, 1, 1, 1), "classes", "filter by label"),
}


def checked(capsys: pytest.CaptureFixture[str], given: Any) -> tuple[Report, str]:
    report = check_data(given)
    return report, capsys.readouterr().out


@pytest.mark.parametrize("name", WRONG)
def test_a_slip_fails_its_rule_alone(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    given, rule, phrase = WRONG[name]
    report, told = checked(capsys, given)
    assert report.failed == (rule,), told
    assert phrase in told
    assert report.score < 10


def test_each_rule_has_its_slip() -> None:
    assert {rule for _, rule, _ in WRONG.values()} == {rule.name for rule in DATA}


@pytest.mark.parametrize(
    ("name", "points"),
    [
        ("no channel", 8), ("the channel last", 8), ("three channels", 8), ("flat", 8),
        ("double precision", 8), ("from 0 to 1", 6), ("bytes", 6), ("standardized", 6), ("inverted", 6),
        ("in the file's order", 8), ("no seven", 8),
    ],
)  # fmt: skip
def test_what_else_is_right_keeps_its_points(
    name: str, points: float, capsys: pytest.CaptureFixture[str]
) -> None:
    assert checked(capsys, WRONG[name][0])[0].score == points


class Pair(NamedTuple):
    images: Tensor
    labels: Tensor


class Pixels(Tensor):
    """A subclass, as torchvision's images are."""


GIVEN: dict[str, Any] = {
    "a tensor": RIGHT,
    "with labels": (RIGHT, torch.zeros(ENOUGH, dtype=torch.long)),
    "a list, as loaders give": next(iter(DataLoader(TensorDataset(batch(400), torch.zeros(400)), 128))),
    "a tuple of one": (RIGHT,),
    "a named tuple": Pair(RIGHT, torch.zeros(ENOUGH)),
    "64 images": batch(64, seed=1),
    "32 images": batch(32, seed=4),
    "all images": batch(len(FILE)),
    "not contiguous": RIGHT.transpose(2, 3).contiguous().transpose(2, 3),
    "with gradients": RIGHT.clone().requires_grad_(),
    "of a subclass": RIGHT.as_subclass(Pixels),
    "noise below one gray level": RIGHT + torch.linspace(0, 1 / 128, 784).view(28, 28),
    "the test images": batch(200, data=TEST),
}  # fmt: skip


@pytest.mark.parametrize("name", GIVEN)
def test_a_right_batch_gets_full_marks(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    report, told = checked(capsys, GIVEN[name])
    assert report == Report(10, 10, ()), told


@pytest.mark.parametrize("n", [64, ENOUGH, 192])
def test_no_right_batch_fails(n: int, capsys: pytest.CaptureFixture[str]) -> None:
    reports = [checked(capsys, batch(n, seed))[0] for seed in range(10)]
    assert reports == [Report(10, 10, ())] * 10


def test_a_digit_that_a_small_batch_lacks_gets_a_remark(capsys: pytest.CaptureFixture[str]) -> None:
    report, told = checked(capsys, of(0, 1, 2, 3, 4, 5, 6, 8, 9, n=40))
    assert report == Report(10, 10, ()), told
    assert re.search(
        r"! no 7 among \d\d clear images: at this size an accident; twice as many would tell", told
    )


def test_a_batch_that_is_too_small_is_not_judged_by_its_digits(capsys: pytest.CaptureFixture[str]) -> None:
    report, told = checked(capsys, batch(16))
    assert report == Report(6, 10, ()), told
    assert "- shuffled: not reached" in told
    assert "- classes: not reached" in told
    assert "cannot be judged by 16 images: hand over 32 or more, best 128" in told


# ------------------------------------------------------------------ MNIST itself


@pytest.fixture(params=["train", "test"])
def original(request: pytest.FixtureRequest) -> ImageData:
    try:
        return mnist(request.param, download=False)
    except DataNotFound:
        pytest.skip("MNIST is not on this machine")


def test_mnist_shuffled_gets_full_marks(original: ImageData, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in range(5):
        report, told = checked(capsys, (batch(64, seed, original), torch.zeros(64)))
        assert report == Report(10, 10, ()), told


def test_mnist_in_its_order_is_noticed(original: ImageData, capsys: pytest.CaptureFixture[str]) -> None:
    assert "".join(map(str, original.labels[:20].tolist())) in ORDERS.values()
    for n in (32, 64, 128):
        report, told = checked(capsys, unit(original.images[:n]))
        assert report.failed == ("shuffled",), told
        assert "the order of MNIST's t" in told


@pytest.mark.parametrize("missing", range(10))
def test_a_class_of_mnist_that_is_missing_is_noticed(
    missing: int, original: ImageData, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = original.labels != missing
    data = ImageData(original.images[kept], original.labels[kept])
    report, told = checked(capsys, batch(128, 0, data))
    # A misread digit may stand for the missing one: then the batch passes, it never fails another rule.
    assert report.failed in (("classes",), ()), told
    report, told = checked(capsys, batch(512, 0, data))
    assert report.failed == ("classes",), told
    assert f"none or hardly any of {missing}" in told


# ------------------------------------------------------------------ blanks and hostile things


@pytest.mark.parametrize("blank", [None, ...])
def test_a_blank_is_not_yet_done(blank: Any, capsys: pytest.CaptureFixture[str]) -> None:
    report, told = checked(capsys, blank)
    assert report == Report(0, 10, (DONE,))
    assert told.startswith("check_data: not yet done: ")


class Endless(list[Tensor]):
    """A list whose first element takes for ever."""

    def __getitem__(self, index: Any) -> Any:
        while True:
            pass


class Touchy:
    """Raise whatever is asked of it."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError("do not touch")


def endless() -> Iterator[Tensor]:
    while True:
        yield RIGHT


HOSTILE: dict[str, Any] = {
    "a number": 3,
    "a text": "batch",
    "a function": lambda: RIGHT,
    "a class": DataLoader,
    "a module": torch,
    "an endless generator": endless(),
    "touchy": Touchy(),
    "an empty list": [],
    "a list of itself": (lambda loop: loop.append(loop) or loop)([]),
    "a blank in a tuple": (None, None),
    "a number as a tensor": torch.tensor(1.0),
    "complex": RIGHT.to(torch.complex64),
    "bool": RIGHT > 0,
    "sparse": RIGHT.to_sparse(),
    "without values": torch.empty(128, 1, 28, 28, device="meta"),
    "negative infinity alone": torch.full((128, 1, 28, 28), -torch.inf),
    "large": torch.full((128, 1, 28, 28), 3e38) * RIGHT,
    "five axes": RIGHT[None],
    "no pixels": torch.zeros(128, 1, 0, 0),
    "one pixel": torch.zeros(128, 1, 1, 1),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_things_do_not_crash_it(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    report, told = checked(capsys, HOSTILE[name])
    assert report.score < 10
    assert len(report.failed) == 1, told
    assert "could not go on" not in told


def test_a_list_that_does_not_answer_is_stopped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("gancourse.assignment.judge.Clock", lambda: Clock(0.3))
    assert checked(capsys, Endless([RIGHT]))[0] == Report(0, 10, ("shape",))


def test_noise_is_not_read_as_digits(capsys: pytest.CaptureFixture[str]) -> None:
    noise = torch.rand(128, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 2 - 1
    report, told = checked(capsys, noise)
    assert report == Report(2, 10, ("range",)), told


# ------------------------------------------------------------------ nothing is changed


def randomness() -> list[Any]:
    return [torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()]  # noqa: NPY002


@pytest.mark.parametrize(
    "make", [lambda: RIGHT.clone(), lambda: RIGHT.clone().requires_grad_(), lambda: -RIGHT]
)
def test_the_batch_and_the_random_states_are_left_as_they_were(
    make: Callable[[], Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    images, labels = make(), torch.arange(ENOUGH)
    before, chance = images.detach().clone(), randomness()
    checked(capsys, (images, labels))
    assert torch.equal(images, before)
    assert images.grad is None
    assert torch.equal(labels, torch.arange(ENOUGH))
    assert randomness() == chance


def test_a_loader_is_not_drawn_from(capsys: pytest.CaptureFixture[str]) -> None:
    given = iter([RIGHT])
    checked(capsys, given)
    assert next(given) is RIGHT


@pytest.mark.parametrize("name", ["from 0 to 1", "sorted by class", "no seven"])
def test_it_says_the_same_again(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        told.append(checked(capsys, WRONG[name][0]))
    assert told[0] == told[1]


def test_it_is_fast(capsys: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    checked(capsys, torch.rand(60_000, 1, 28, 28) * 2 - 1)
    assert time.monotonic() - began < 8


def test_the_notebooks_default_device_does_not_matter(capsys: pytest.CaptureFixture[str]) -> None:
    torch.set_default_device("meta")
    try:
        report, told = checked(capsys, RIGHT)
    finally:
        torch.set_default_device(None)
    assert report == Report(10, 10, ()), told


def test_its_sections_are_in_the_book() -> None:
    assert [rule.name for rule in DATA if not in_the_book(rule.reread)] == []
