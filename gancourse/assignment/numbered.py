"""What the check of the data judges beyond one batch: two epochs of images that can be told apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from gancourse.assignment.guard import Clock, Outcome, attempt, plain
from gancourse.assignment.judge import ask
from gancourse.assignment.report import Sheet

Batches = Callable[[Tensor, int], Iterable[Any]]
IMAGES, BATCH = 300, 64
WHOLE = IMAGES // BATCH  # batches of an epoch
BITS = 9  # of an image's number


def numbered() -> Tensor:
    """Return bytes (300, 1, 28, 28): row b of image i is white where bit b of i is 1, the last row too."""
    images = torch.zeros(IMAGES, 1, 28, 28, dtype=torch.uint8)
    for bit in range(BITS):
        images[:, :, bit] = 255 * (torch.arange(IMAGES) >> bit & 1).to(torch.uint8)[:, None, None]
    images[:, :, -1] = 255
    return images


def numbers_of(batch: Tensor) -> Tensor | None:
    """Return the numbers (N,) of such images (N, ...) on any scale; None for other images."""
    if batch.numel() % 784 or batch.numel() != 784 * len(batch):
        return None
    rows = batch.reshape(-1, 28, 28).double()
    low, high = rows[:, -2:-1], rows[:, -1:]
    bits = (rows - low).div(high - low)
    if not torch.allclose(bits, bits.round(), atol=1e-3):  # NaN is close to nothing
        return None
    return (bits[:, :BITS].mean(2).round() * 2.0 ** torch.arange(BITS)).sum(1)


def judge_epochs(sheet: Sheet, clock: Clock, batches: Batches) -> None:
    """Judge `shape` and `shuffled` once more, by two epochs of `batches`; what is right is not told again."""

    def epoch() -> list[Any]:
        return list(islice(batches(numbered(), BATCH), WHOLE + 2))

    made = ask(clock, epoch)
    if wrong := _wrong_batches(made):
        return sheet.failed("shape", *wrong)
    first, again = (_order(epoch.value) for epoch in (made, attempt(clock, epoch)))
    if first is None or again is None:
        return sheet.remark("batches(images, batch_size) gives other images than those handed over")
    if len(first.unique()) < len(first):
        hint = "each image once in an epoch: torch.randperm, where randint draws some twice and some never"
        return sheet.failed("shuffled", "an epoch in which images come twice", hint)
    if torch.equal(first, again):
        hint = "draw the order inside the function, anew at each call, and fix no seed there"
        return sheet.failed("shuffled", "the same order in two epochs", hint)
    return None


def _wrong_batches(made: Outcome) -> tuple[str, str] | None:
    """Return what is wrong with the batches of an epoch, and a hint."""
    asked = f"for {IMAGES} images and batch_size={BATCH}"
    if made.error is not None:
        return f"{made.error}, {asked}", "an epoch is all batches that one call of batches yields"
    kinds = [type(batch).__name__ for batch in made.value if plain(batch) is None]
    if kinds:
        return f"batches of type {kinds[0]}", "yield the images alone: the step takes one tensor"
    sizes = [len(batch) for batch in made.value]
    found = f"batches of {', '.join(map(str, sizes[: WHOLE + 1]))} images {asked}"
    if any(size != BATCH for size in sizes[:WHOLE]):
        return found, "the batches have batch_size images, whatever that is"
    if len(sizes) > WHOLE + 1:
        return "an epoch that does not end", "yield each image once, then return: no `while True`"
    if len(sizes) > WHOLE:
        return found, "leave out what is left at the end: drop_last=True, or a range that ends before it"
    if len(sizes) < WHOLE:
        return found, f"an epoch holds all images: {WHOLE} batches here"
    return None


def _order(epoch: Any) -> Tensor | None:
    """Return the numbers of an epoch's images in their order; None for other images."""
    found = [numbers_of(value) for value in map(plain, epoch or []) if value is not None]
    known = [numbers for numbers in found if numbers is not None]
    return torch.cat(known) if known and len(known) == len(found) else None
