"""The check of the data, beyond one batch: two epochs of what the student's function yields."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from gancourse.assignment import Report, check_data
from gancourse.assignment.guard import Clock
from gancourse.assignment.numbered import IMAGES, numbered, numbers_of
from gancourse.data import mnist_or_digits

DATA = mnist_or_digits("train", profile="quick").images


def unit(images: Tensor) -> Tensor:
    return images.float() / 127.5 - 1


def cut(order: Tensor, images: Tensor, size: int, last: int = 0) -> Iterator[Tensor]:
    for start in range(0, len(images) - size + 1 + last, size):
        yield unit(images[order[start : start + size]])


def right(images: Tensor, batch_size: int) -> Iterator[Tensor]:
    yield from cut(torch.randperm(len(images)), images, batch_size)


def loader(images: Tensor, batch_size: int) -> Iterator[Tensor]:
    dataset = TensorDataset(unit(images))
    for (batch,) in DataLoader(dataset, batch_size, shuffle=True, drop_last=True):
        yield batch


def with_numpy(images: Tensor, batch_size: int) -> list[Tensor]:
    mixed = (images.numpy()[torch.randperm(len(images)).numpy()] - 127.5) / 127.5
    count = len(mixed) // batch_size
    return list(torch.from_numpy(mixed[: count * batch_size]).float().split(batch_size))


def endless(images: Tensor, batch_size: int) -> Iterator[Tensor]:
    while True:
        yield from right(images, batch_size)


def raising(images: Tensor, batch_size: int) -> Iterator[Tensor]:
    yield from itertools.islice(right(images, batch_size), 2)
    raise IndexError("beyond the last image")


def with_the_rest(images: Tensor, batch_size: int) -> Iterator[Tensor]:
    yield from cut(torch.randperm(len(images)), images, batch_size, last=batch_size - 1)


def with_labels(images: Tensor, batch_size: int) -> Iterator[Any]:
    yield from ((batch, torch.zeros(len(batch))) for batch in right(images, batch_size))


def of_one_size(images: Tensor, batch_size: int) -> Iterator[Tensor]:
    yield from right(images, 128)


def one_batch(images: Tensor, batch_size: int) -> Iterator[Tensor]:
    yield next(iter(right(images, batch_size)))


def replaced(images: Tensor, batch_size: int) -> Iterator[Tensor]:
    yield from cut(torch.randint(len(images), (len(images),)), images, batch_size)


def fixed_seed(images: Tensor, batch_size: int) -> Iterator[Tensor]:
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    yield from cut(order, images, batch_size)


def unmixed(images: Tensor, batch_size: int) -> Iterator[Tensor]:
    yield from cut(torch.arange(len(images)), images, batch_size)


def returned(images: Tensor, batch_size: int) -> Tensor:
    return next(right(images, batch_size))


WRONG: dict[str, tuple[Callable[[Tensor, int], Any], tuple[str, ...], str]] = {
    "endless": (endless, ("shape",), "found an epoch that does not end"),
    "an error on the way": (raising, ("shape",), "found IndexError: beyond the last image"),
    "the incomplete batch": (with_the_rest, ("shape",), "found batches of 64, 64, 64, 64, 44 images for 300"),
    "tuples": (with_labels, ("shape",), "found batches of type tuple"),
    "another size": (of_one_size, ("shape",), "found batches of 128, 128 images for 300 images"),
    "one batch": (one_batch, ("shape",), "an epoch holds all images: 4 batches here"),
    "return in place of yield": (returned, ("shape",), "found batches of 1, 1, 1, 1, 1 images"),
    "with replacement": (replaced, ("shuffled",), "found an epoch in which images come twice"),
    "one seed": (fixed_seed, ("shuffled",), "found the same order in two epochs"),
    "never mixed": (unmixed, ("shuffled",), "found the same order in two epochs"),
}


def checked(capsys: pytest.CaptureFixture[str], batches: Any) -> tuple[Report, str]:
    generator = torch.Generator().manual_seed(0)
    batch = unit(DATA[torch.randperm(len(DATA), generator=generator)[:128]])
    report = check_data(batch, batches)
    return report, capsys.readouterr().out


@pytest.mark.parametrize("batches", [right, loader, with_numpy])
def test_a_right_epoch_gets_full_marks(batches: Any, capsys: pytest.CaptureFixture[str]) -> None:
    report, told = checked(capsys, batches)
    assert report == Report(10, 10, ()), told
    assert "!" not in told


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_epoch_fails_its_rule_and_no_other(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    batches, failed, words = WRONG[name]
    report, told = checked(capsys, batches)
    assert report == Report(8, 10, failed), told
    assert words in told


def test_other_images_than_those_handed_over_are_remarked_on(capsys: pytest.CaptureFixture[str]) -> None:
    report, told = checked(capsys, lambda images, size: right(DATA[:IMAGES], size))
    assert report == Report(10, 10, ()), told
    assert "! batches(images, batch_size) gives other images than those handed over" in told


def test_a_blank_is_not_yet_done(capsys: pytest.CaptureFixture[str]) -> None:
    def blank(images: Tensor, batch_size: int) -> Iterator[Tensor]:
        raise NotImplementedError

    report, told = checked(capsys, blank)
    assert report.failed == ("done",)
    assert told.startswith("check_data: not yet done: blank is still blank; fill it in, ")


def test_an_epoch_that_does_not_answer_is_stopped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def hanging(images: Tensor, batch_size: int) -> Iterator[Tensor]:
        while True:
            pass
        yield images

    monkeypatch.setattr("gancourse.assignment.judge.Clock", lambda: Clock(2.0))
    report, told = checked(capsys, hanging)
    assert report.failed == ("shape",), told
    assert "no answer after 2 seconds" in told


def test_random_numbers_are_as_before(capsys: pytest.CaptureFixture[str]) -> None:
    before = torch.get_rng_state()
    checked(capsys, right)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("scale", [lambda x: x, unit, lambda x: x / 255, lambda x: 1 - x / 255])
def test_numbered_images_are_told_apart_on_any_scale(scale: Callable[[Tensor], Tensor]) -> None:
    order = torch.randperm(IMAGES, generator=torch.Generator().manual_seed(1))
    found = numbers_of(scale(numbered()[order]))
    assert found is not None
    assert torch.equal(found.long(), order)
    assert numbers_of(scale(DATA[:64])) is None
