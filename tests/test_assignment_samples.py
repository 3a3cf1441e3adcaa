"""The check of a trained G: untrained and collapsed ones fail their rule, trained ones keep the bounds."""

from __future__ import annotations

import copy
import random
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from gancourse.assignment import samples
from gancourse.assignment.report import DONE, Report
from gancourse.assignment.samples import BOUNDS, SAMPLES, STATISTICS, check_samples
from gancourse.data import DataNotFound, ImageData, mnist, to_unit
from gancourse.features import classifier_hash, extract, mnist_classifier
from gancourse.losses import NON_SATURATING, smooth_real_labels
from gancourse.models import DCGANDiscriminator, DCGANGenerator
from gancourse.pretrained import pretrained
from gancourse.training import TrainConfig, fit

BOOK = Path(__file__).parent.parent / "book"

# What the bounds rest on: FD of 1,000 samples from the test digits, the rarest class, and the median squared
# distance from real digits, with one CPU thread and z of seed 0 as the check draws them. Seeds of training.
#
#                                           FD             rarest class (%)   squared distance
# 1,000 real training digits                1.0, 0.9       8.7, 8.5           1.0, 1.0
# dcgan-28: width 64, 50 epochs             6.3            7.4                1.2
# width 16, seeds 0, 1, 2:    300 steps     120, 119, -    0.0, 0.3, -        4.9, 5.2, -
#                             500 steps     73, 68, 76     2.3, 1.2, 1.2      2.7, 2.8, 2.9
#                           1,000 steps     49, 51, 58     1.9, 2.2, 1.1      2.0, 2.0, 1.9
# width 32, seed 0: 300, 400, 500, 600      95, 79, 68, 62 1.0, 1.6, 2.2, 1.7 4.2, 3.0, 2.5, 2.3
# width 16, max pooling in D, 500 steps     55, 54, 55     2.3, 3.6, 2.3      2.1, 2.1, 2.3
# width 16, no label smoothing, 500 steps   71, 65, 71     2.1, 1.9, 2.6      2.5, 2.4, 2.5
# torch's own initial weights, BCELoss, three transposed convolutions, width 32:
#                   300, 400, 500 steps     106, 81, 70    0.1, 1.9, 2.0      2.3, 2.2, 2.2
# before training, widths 16, 32, 64        450, 462, 480  0                  21, 22, 23
# uniform noise                             680            0                  30
# one z, ten z, three classes of dcgan-28   216, 61, 55    0                  1.1, 1.2, 1.1


def real(split: str) -> ImageData:
    try:
        return mnist(split, download=False)  # type: ignore[arg-type]
    except DataNotFound as error:
        pytest.skip(f"no MNIST here: {error}".splitlines()[0])


# ------------------------------------------------------------------ the statistics of real digits


def test_the_statistics_are_small_and_name_their_classifier() -> None:
    with safe_open(STATISTICS, "pt") as file:
        assert file.metadata() == {"classifier": classifier_hash(), "images": "10,000 MNIST test digits"}
        assert {name: tuple(file.get_tensor(name).shape) for name in file.keys()} == {  # noqa: SIM118
            "mean": (128,),
            "cov": (128, 128),
        }
    assert STATISTICS.stat().st_size < 200_000


@pytest.mark.slow
def test_the_statistics_are_those_of_the_test_digits() -> None:
    import digit_statistics

    real("test")
    tensors, source = digit_statistics.statistics()
    with safe_open(STATISTICS, "pt") as file:
        assert file.metadata() == source
        for name, tensor in tensors.items():
            torch.testing.assert_close(file.get_tensor(name), tensor, rtol=1e-4, atol=1e-4)


def test_statistics_of_another_classifier_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(samples, "classifier_hash", lambda: "another")
    samples._real.cache_clear()
    assert check_samples(pretrained("dcgan-28"), "full").score < 10
    assert "belongs to another classifier" in capsys.readouterr().out


class Bank(nn.Module):
    """Draws images of its own, one after another, whatever z is."""

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self.images, self.at = images, 0

    def forward(self, z: Tensor) -> Tensor:
        self.at += len(z)
        return self.images[self.at - len(z) : self.at]


@pytest.mark.parametrize("profile", ["quick", "full"])
def test_real_digits_get_full_marks(profile: Any, capsys: pytest.CaptureFixture[str]) -> None:
    digits = to_unit(real("train").images[:1000])
    assert check_samples(Bank(digits), profile) == Report(10, 10)
    said = capsys.readouterr().out
    assert "FD 1.0 of 1,000 samples" in said
    assert "a squared distance of 1.0 from real digits" in said


# ------------------------------------------------------------------ right, in different styles


@pytest.fixture(scope="module")
def book() -> nn.Module:
    """Return the generator of chapter 5 after its 50 epochs."""
    return pretrained("dcgan-28")


@pytest.fixture(scope="module")
def bank(book: nn.Module) -> tuple[Tensor, Tensor]:
    """Return 4,000 images of that generator, and their classes."""
    images = torch.cat([book(torch.randn(500, 100, generator=seeded(i))) for i in range(8)])
    return images, extract(mnist_classifier(), images)[1]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def worse(G: nn.Module, noise: float) -> nn.Module:
    """Return G with noise in its weights, in units of each layer's deviation."""
    G, generator = copy.deepcopy(G), seeded(0)
    for weight in G.parameters():
        draw = torch.randn(weight.shape, generator=generator)
        weight.add_(noise * weight.std() * draw if weight.ndim > 1 else 0)
    return G


class Sigmoid(nn.Module):
    """The same generator, written with a sigmoid that is stretched to [-1, 1]."""

    def __init__(self, G: nn.Module) -> None:
        super().__init__()
        self.layers = copy.deepcopy(G).net[:-1]

    def forward(self, z: Tensor) -> Tensor:
        return 2 * torch.sigmoid(2 * self.layers(z)) - 1


RIGHT: dict[str, Callable[[nn.Module], Any]] = {
    "the book's": lambda G: G,
    "in training mode, with gradients": lambda G: copy.deepcopy(G).train().requires_grad_(True),
    "a function": lambda G: lambda z: G(z),
    "layers in a row": lambda G: copy.deepcopy(G).net,
    "a stretched sigmoid": Sigmoid,
    "float64 images": lambda G: lambda z: G(z).double(),
    "z of another scale": lambda G: lambda z: G(1.5 * z),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_trained_generator_gets_full_marks(name: str, book: nn.Module) -> None:
    assert check_samples(RIGHT[name](book), "full") == Report(10, 10)


def test_what_is_measured_is_what_the_table_says(book: nn.Module, capsys: pytest.CaptureFixture[str]) -> None:
    check_samples(book, "full")
    said = capsys.readouterr().out
    assert "; the bound is 20," in said
    for words, value, off in (
        (r"FD ([\d.]+) of 1,000", 6.3, 0.1),
        (r"([\d.]+) % for the rarest class, 2", 7.4, 0.2),  # two images
        (r"distance of ([\d.]+) from real", 1.2, 0.05),
    ):
        assert float(re.search(words, said)[1]) == pytest.approx(value, abs=off)


@pytest.mark.slow
def test_500_steps_of_a_narrow_net_keep_the_quick_bounds(capsys: pytest.CaptureFixture[str]) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the quick profile does
    G = DCGANGenerator(width=16, generator=(seed := seeded(0)))
    D = DCGANDiscriminator(width=16, generator=seed)
    loss = smooth_real_labels(NON_SATURATING, 0.9)
    run = fit(G, D, real("train"), loss=loss, config=TrainConfig(steps=500))
    torch.set_num_threads(threads)
    assert check_samples(run.G, "quick") == Report(10, 10)
    assert check_samples(run.G, "full") == Report(8, 10, ("distance",))
    told = [float(fd) for fd in re.findall(r"FD ([\d.]+) of", capsys.readouterr().out)]
    assert told[0] == told[1]
    assert 50 < told[0] < 90


# ------------------------------------------------------------------ wrong


def untrained(width: int) -> nn.Module:
    return DCGANGenerator(width=width, generator=seeded(0))


def one_of_a_class(bank: Tensor, classes: Tensor) -> Tensor:
    """Return the images with the first of the threes in place of each of them."""
    images = bank.clone()
    images[classes == 3] = images[classes == 3][0]
    return images


def with_noise(bank: Tensor) -> Tensor:
    """Return 1,000 images, two in five of them noise."""
    noise = torch.rand(1000, 1, 28, 28, generator=seeded(1)) * 2 - 1
    return torch.where((torch.arange(1000) % 5 < 2).view(-1, 1, 1, 1), noise, bank[:1000])


class Noise(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return torch.rand(len(z), 1, 28, 28) * 2 - 1


Made = Callable[[nn.Module, Tensor, Tensor], Any]  # of the book's G, 4,000 images of it and their classes
WRONG: dict[str, tuple[Made, str, tuple[str, ...], str]] = {
    # name: (submission, profile, the rules that fail, words of the hint)
    "the class": (lambda G, x, y: DCGANGenerator, "quick", ("images",), "not its class"),
    "another size": (
        lambda G, x, y: lambda z: torch.zeros(len(z), 1, 32, 32), "quick", ("images",), "check_generator(G)",
    ),
    "an error": (lambda G, x, y: lambda z: 1 / 0, "quick", ("images",), "check_generator(G)"),
    "0 to 255": (lambda G, x, y: lambda z: 255 * G(z), "full", ("images",), "end G with Tanh"),
    "NaN": (lambda G, x, y: lambda z: G(z) / 0 * 0, "full", ("images",), "end G with Tanh"),
    "untrained": (lambda G, x, y: untrained(32), "quick", ("digits",), "is this the G that was trained"),
    "untrained, full": (lambda G, x, y: untrained(64), "full", ("digits",), "the ground is gray"),
    "untrained, narrow": (lambda G, x, y: untrained(16), "quick", ("digits",), "the ground is gray"),
    "noise": (lambda G, x, y: Noise(), "quick", ("digits",), "the ground is gray"),
    "data in [0, 1]": (lambda G, x, y: lambda z: (G(z) + 1) / 2, "quick", ("digits",), "divided by 127.5"),
    "inverted": (lambda G, x, y: lambda z: -G(z), "quick", ("digits",), "are the images inverted"),
    "blurred": (
        lambda G, x, y: lambda z: avg_pool2d(G(z), 5, 1, 2), "full", ("digits",), "which digits can you read",
    ),
    "one z": (
        lambda G, x, y: lambda z: G(z[:1]).expand(len(z), -1, -1, -1), "quick", ("variety",), "mode collapse",
    ),
    "ten z": (
        lambda G, x, y: lambda z: G(z[:10]).repeat(25, 1, 1, 1), "full", ("variety",), "drawn alike",
    ),
    "z ignored": (
        lambda G, x, y: Bank(x[:1].expand(1000, -1, -1, -1)), "full", ("variety",), "mode collapse",
    ),
    "a hundred images": (lambda G, x, y: Bank(x[:100].repeat(10, 1, 1, 1)), "full", ("variety",), "alike"),
    "hardly any noise": (
        lambda G, x, y: lambda z: G(ONE_Z + 0.02 * z), "quick", ("variety",), "mode collapse",
    ),
    "one image of the threes": (
        lambda G, x, y: Bank(one_of_a_class(x, y)), "quick", ("variety",), "drawn alike",
    ),
    "three classes": (
        lambda G, x, y: Bank(x[y < 3]), "quick", ("classes",), "too few images of 3, 4, 5, 6, 7, 8, 9",
    ),
    "three classes, full": (lambda G, x, y: Bank(x[y < 3]), "full", ("classes",), "of 3, 4, 5, 6, 7, 8, 9"),
    "no eights and nines": (lambda G, x, y: Bank(x[y < 8]), "quick", ("classes",), "too few images of 8, 9"),
    "no ones, full": (lambda G, x, y: Bank(x[y != 1]), "full", ("classes",), "too few images of 1"),
    "some are no digits": (lambda G, x, y: Bank(with_noise(x)), "quick", ("distance",), "train longer"),
    "trained for quick, in full": (lambda G, x, y: worse(G, 0.5), "full", ("distance",), "train longer"),
}  # fmt: skip
ONE_Z = torch.randn(1, 100, generator=seeded(5))


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_generator_fails_its_rule_and_no_other(
    name: str, book: nn.Module, bank: tuple[Tensor, Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    make, profile, failed, words = WRONG[name]
    report = check_samples(make(book, *bank), profile)  # type: ignore[arg-type]
    said = capsys.readouterr().out
    assert report.failed == failed, said
    hints = [line for line in said.splitlines() if "hint: " in line]
    assert len(hints) == 1
    assert words in hints[0]
    assert report.score == 2 * [rule.name for rule in SAMPLES].index(failed[0])  # rules build on each other


def test_a_quick_generator_is_enough_for_the_quick_profile(book: nn.Module) -> None:
    assert check_samples(worse(book, 0.5), "quick") == Report(10, 10)


def test_each_rule_has_its_mistake() -> None:
    assert {failed for _, _, rules, _ in WRONG.values() for failed in rules} == {
        rule.name for rule in SAMPLES
    }
    assert sum(rule.points for rule in SAMPLES) == 10


def test_rereading_leads_to_headings_of_the_book() -> None:
    for rule in SAMPLES:
        chapter, heading = re.fullmatch(r'chapter (\d+b?), "(.+)"', rule.reread).groups()
        (file,) = BOOK.glob(f"{int(chapter):02d}-*.ipynb")
        cells = nbformat.read(file, as_version=4).cells
        lines = [line for c in cells if c.cell_type == "markdown" for line in c.source.splitlines()]
        assert any(re.fullmatch(rf"#+ {re.escape(heading)}", line) for line in lines), rule.reread


# ------------------------------------------------------------------ the profile


def test_the_profile_is_the_notebooks(book: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    middling, threads = worse(book, 0.5), torch.get_num_threads()
    monkeypatch.setenv("GANCOURSE_PROFILE", "quick")
    assert check_samples(middling) == Report(10, 10)
    monkeypatch.setenv("GANCOURSE_PROFILE", "full")
    assert check_samples(middling) == Report(8, 10, ("distance",))
    assert check_samples(middling, "quick") == Report(10, 10)
    assert torch.get_num_threads() == threads


def test_a_profile_that_does_not_exist_is_named(book: nn.Module, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_samples(book, "fast").score == 2  # type: ignore[arg-type]
    assert 'expected profile to be "quick" or "full", got \'fast\'' in capsys.readouterr().out


def test_full_asks_for_more_than_quick() -> None:
    assert BOUNDS["full"].distance < BOUNDS["quick"].distance
    assert BOUNDS["full"].share > BOUNDS["quick"].share


# ------------------------------------------------------------------ blanks, hostility, repeatability


def blank(z: Tensor) -> Tensor:
    raise NotImplementedError


@pytest.mark.parametrize("G", [None, ..., blank])
def test_a_blank_is_not_yet_done(G: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_samples(G, "quick") == Report(0, 10, (DONE,))
    assert capsys.readouterr().out.startswith("check_samples: not yet done: ")


class Hostile(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, z: Tensor) -> Any:
        self.calls += 1
        return torch.zeros(len(z), 1, 28, 28) if self.calls < 3 else "enough"

    def __deepcopy__(self, memo: object) -> Any:
        raise RuntimeError("no copies")


def endless(z: Tensor) -> None:
    while True:
        time.sleep(0.1)


HOSTILE: dict[str, Any] = {
    "a number": 3.0, "a string": "G", "a module": torch, "changes its mind": Hostile(),
    "exit": lambda z: sys.exit(0), "nothing": lambda z: None, "a list": lambda z: [z],
    "complex": lambda z: torch.zeros(len(z), 1, 28, 28, dtype=torch.complex64),
    "zeros": lambda z: torch.zeros(len(z), 1, 28, 28), "black": lambda z: -torch.ones(len(z), 1, 28, 28),
    "one image": lambda z: torch.zeros(1, 1, 28, 28), "the net": nn.Linear(100, 784),
    "infinite": lambda z: torch.full((len(z), 1, 28, 28), float("inf")),
    "recursion": lambda z: HOSTILE["recursion"](z),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_crashes_it(name: str) -> None:
    report = check_samples(HOSTILE[name], "quick")
    assert report.score < 10
    assert report.failed


def test_what_does_not_return_is_stopped(capsys: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    assert check_samples(endless, "quick") == Report(0, 10, ("images",))
    assert time.monotonic() - began < 10
    assert "is there a loop that never ends?" in capsys.readouterr().out


@pytest.mark.parametrize("mode", [True, False])
def test_nothing_is_changed_and_it_takes_seconds(book: nn.Module, mode: bool) -> None:
    G = copy.deepcopy(book).train(mode).requires_grad_(True)
    with torch.random.fork_rng():
        G(torch.randn(4, 100)).sum().backward()
    state = {name: value.clone() for name, value in G.state_dict().items()}
    grads = [weight.grad.clone() for weight in G.parameters()]
    numbers = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    began = time.monotonic()
    check_samples(G, "full")
    assert time.monotonic() - began < 10
    assert all(torch.equal(value, state[name]) for name, value in G.state_dict().items())
    assert all(torch.equal(w.grad, grad) for w, grad in zip(G.parameters(), grads, strict=True))
    assert [part.training for part in G.modules()] == [mode] * len([*G.modules()])
    assert torch.equal(torch.get_rng_state(), numbers[0])
    assert (np.random.get_state()[1] == numbers[1]).all()  # noqa: NPY002
    assert random.getstate() == numbers[2]


def test_the_same_generator_is_told_the_same(book: nn.Module, capsys: pytest.CaptureFixture[str]) -> None:
    told = []
    for _ in range(2):
        told.append((check_samples(worse(book, 0.5), "full"), capsys.readouterr().out))
        torch.randn(5)
    assert told[0] == told[1]
