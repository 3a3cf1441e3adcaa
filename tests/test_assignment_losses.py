"""check_losses: wrong losses fail their own rule, right ones in any style none, and nothing changes."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from submissions import HOSTILE, endless, in_the_book, raising, state, surroundings
from torch import Tensor, nn

from gancourse.assignment.guard import Clock
from gancourse.assignment.losses import LOSSES, check_losses
from gancourse.assignment.report import DONE, Report
from gancourse.assignment.slopes import DOUBLE, HINGE, LINEAR, LOG, NOTHING, OTHER, SQUARES, Fit, fit
from gancourse.losses import NON_SATURATING, noisy_labels, smooth_real_labels

POINTS = {rule.name: rule.points for rule in LOSSES}
Pair = tuple[Any, Any]
bce, bce_logits = F.binary_cross_entropy, F.binary_cross_entropy_with_logits


def to(out: Tensor, label: float, loss: Callable[..., Tensor] = bce, **how: Any) -> Tensor:
    """Return the cross-entropy of D's outputs and one label."""
    return loss(out, torch.full_like(out, label), **how)


def d_right(real: Tensor, fake: Tensor) -> Tensor:
    return to(real, 1) + to(fake, 0)


def g_right(fake: Tensor) -> Tensor:
    return to(fake, 1)


def d_logits(real: Tensor, fake: Tensor) -> Tensor:
    return to(real, 1, bce_logits) + to(fake, 0, bce_logits)


def g_logits(fake: Tensor) -> Tensor:
    return to(fake, 1, bce_logits)


def objects(overwrite: bool = False) -> Pair:
    criterion, real_label, fake_label = nn.BCELoss(), 0.9, 0.0

    def d_loss(real_out: Tensor, fake_out: Tensor) -> Tensor:
        label = torch.full((real_out.size(0),), real_label)
        error_real = criterion(real_out.view(-1), label)
        label = label if overwrite else label.clone()  # backward needs the old ones
        label.fill_(fake_label)
        return error_real + criterion(fake_out.view(-1), label)  # type: ignore[no-any-return]

    return d_loss, lambda fake_out: criterion(fake_out, torch.ones_like(fake_out))


class Losses:
    """Both losses as methods of one object."""

    def __init__(self) -> None:
        self.bce = nn.BCEWithLogitsLoss()

    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        out = torch.cat([real, fake])
        return self.bce(out, torch.cat([torch.ones_like(real), torch.zeros_like(fake)]))

    def g(self, fake: Tensor) -> Tensor:
        return self.bce(fake, torch.ones_like(fake))


class AsModule(nn.Module):
    def forward(self, real: Tensor, fake: Tensor) -> Tensor:
        return d_right(real, fake)


def only_flat(out: Tensor) -> Tensor:
    if out.ndim != 1:
        raise ValueError("expected (N,)")
    return out


def per_image(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Add up image by image, in a loop of Python."""
    return lambda *outs: sum(loss(*one) for one in zip(*outs, strict=True)) / len(outs[0])  # type: ignore[no-any-return]


# name -> d_loss and g_loss that take the whole mark, without a remark
RIGHT: dict[str, Pair] = {
    "cross-entropy": (d_right, g_right),
    "averaged terms": (lambda r, f: d_right(r, f) / 2, g_right),
    "one-sided smoothing": (lambda r, f: to(r, 0.9) + to(f, 0), g_right),
    "criterion objects, flat labels": objects(),
    "a module": (AsModule(), g_right),
    "logarithms, with a small number inside": (
        lambda r, f: -(torch.log(r + 1e-8) + torch.log(1 - f + 1e-8)).mean(),
        lambda f: -torch.log(f + 1e-8).mean(),
    ),
    "logarithms, clamped": (
        lambda r, f: -(r.clamp(1e-7).log().mean() + (1 - f).clamp(1e-7).log().mean()),
        lambda f: -f.clamp(1e-7).log().mean(),
    ),
    "through the logit": (lambda r, f: d_logits(logit(r), logit(f)), lambda f: g_logits(logit(f))),
    "(1,) in place of ()": (lambda r, f: d_right(r, f).view(1), lambda f: g_right(f).view(1)),
    "image by image": (per_image(d_right), per_image(g_right)),
    "for (N,) alone": (lambda r, f: d_right(only_flat(r), only_flat(f)), lambda f: g_right(only_flat(f))),
    "for (N, 1) alone": (lambda r, f: to(r[:, 0], 1) + to(f[:, 0], 0), lambda f: to(f[:, 0], 1)),
    "constants besides": (lambda r, f: d_right(r, f) + 3, lambda f: g_right(f) - 1),
    "arguments by any name": (lambda a, b, extra=1: d_right(a, b), lambda *outs: g_right(outs[0])),
    "overwrites its arguments": (lambda r, f: d_right(r.mul_(1), f.mul_(1)), lambda f: g_right(f.mul_(1))),
}


def logit(p: Tensor) -> Tensor:
    return torch.logit(p, eps=1e-6)


RIGHT_LOGITS: dict[str, Pair] = {
    "cross-entropy with logits": (d_logits, g_logits),
    "methods": (Losses().d, Losses().g),
    "softplus": (lambda r, f: (F.softplus(-r) + F.softplus(f)).mean(), lambda f: F.softplus(-f).mean()),
    "logsigmoid": (
        lambda r, f: -F.logsigmoid(r).mean() - F.logsigmoid(-f).mean(), lambda f: -F.logsigmoid(f).mean(),
    ),
    "BCELoss of the sigmoid": (
        lambda r, f: d_right(r.sigmoid(), f.sigmoid()), lambda f: g_right(f.sigmoid()),
    ),
    "smoothed": (lambda r, f: to(r, 0.9, bce_logits) + to(f, 0, bce_logits), g_logits),
    "the library's": (
        lambda r, f: NON_SATURATING.d(real=r.flatten(), fake=f.flatten()),
        lambda f: NON_SATURATING.g(fake=f.flatten()),
    ),
    "the library's, smoothed": (
        lambda r, f: smooth_real_labels(NON_SATURATING).d(real=r, fake=f), lambda f: NON_SATURATING.g(fake=f),
    ),
}  # fmt: skip
# name -> losses that take the whole mark, and what is remarked upon
UNUSUAL: dict[str, tuple[Any, Any, bool, str]] = {
    "logarithms as they are": (
        lambda r, f: -(r.log().mean() + (1 - f).log().mean()), lambda f: -f.log().mean(), False,
        "d_loss and g_loss: not finite at probabilities of exactly 0 or 1",
    ),
    "logarithm of the sigmoid": (d_logits, lambda f: -f.sigmoid().log().mean(), True, "g_loss: not finite"),
    "sums over the batch": (
        lambda r, f: to(r, 1, reduction="sum") + to(f, 0, reduction="sum"), g_right, False,
        "d_loss is a sum over the batch",
    ),
    "G's sum over the batch": (d_right, lambda f: to(f, 1, reduction="sum"), False, "g_loss is a sum"),
    "another factor": (d_right, lambda f: 3 * g_right(f), False, "g_loss is 3 times the usual one"),
    "base 2": (lambda r, f: d_right(r, f) / 0.6931472, g_right, False, "d_loss is 1.44 times the usual one"),
    "smoothing to 0.8": (lambda r, f: to(r, 0.8) + to(f, 0), g_right, False, "label 0.8; 0.9 is usual"),
    "G smoothed too": (d_right, lambda f: to(f, 0.9), False, "generator: label 0.9; smoothing is meant"),
    "labels drawn": (
        lambda r, f: bce(r, 0.8 + 0.2 * torch.rand_like(r)) + to(f, 0), g_right, False, "differ from image",
    ),
    "labels flipped": (
        lambda r, f: noisy_labels(NON_SATURATING, 0.1).d(real=r.flatten(), fake=f.flatten()), g_logits, True,
        "differ from image to image",
    ),
}  # fmt: skip
SCALAR, LOGS, REAL, FAKE, G = (("scalar",), ("log",), ("real",), ("fake",), ("generator",))
BOTH = (*REAL, *FAKE)
# name -> d_loss, g_loss, logits, the rules that fail, a part of the hint or of what was found
WRONG: dict[str, tuple[Any, Any, bool, tuple[str, ...], str]] = {
    "a float": (lambda r, f: d_right(r, f).item(), g_right, False, SCALAR, "d_loss gives a plain number"),
    "G's a float": (d_right, lambda f: float(g_right(f)), False, SCALAR, ".item() and float() cut the"),
    "a NumPy number": (lambda r, f: d_right(r, f).detach().numpy(), g_right, False, SCALAR, "a ndarray"),
    "detached": (lambda r, f: d_right(r, f).detach(), g_right, False, SCALAR, "no detach"),
    "made anew": (d_right, lambda f: torch.tensor(g_right(f).item()), False, SCALAR, "no torch.tensor"),
    "no mean": (lambda r, f: to(r, 1, reduction="none") + to(f, 0), g_right, False, SCALAR, "take the mean"),
    "a tuple": (lambda r, f: (to(r, 1), to(f, 0)), g_right, False, SCALAR, "a tuple"),
    "no return": (lambda r, f: None, g_right, False, SCALAR, "is there a return"),
    "G's has no return": (d_right, lambda f: None, False, SCALAR, "g_loss gives a NoneType"),
    "the value, not the function": (torch.tensor(0.7), g_right, False, SCALAR, "hand over two functions"),
    "one argument": (lambda out: g_right(out), g_right, False, SCALAR, "hand over two functions"),
    "the criterion itself": (d_right, nn.BCELoss(), False, SCALAR, "hand over two functions"),
    "labels of another batch size": (
        lambda r, f: bce(r, torch.ones(64, 1)) + bce(f, torch.zeros(64, 1)), g_right, False,
        SCALAR, "torch.ones_like(out)",
    ),
    "an error in a line that speaks of size": (
        d_right, lambda f: f + {}["size"], False, SCALAR, "float tensors (N, 1)",
    ),
    "labels overwritten": (*objects(overwrite=True), False, SCALAR, "new labels for each term"),
    "whole numbers for labels": (
        d_right, lambda f: bce(f, torch.ones(len(f), 1, dtype=torch.long)), False, SCALAR, "floats too",
    ),
    "logarithm of a negative number": (
        lambda r, f: -(r - 1).log().mean() - (1 - f).log().mean(), g_right, False, SCALAR, "goes into log",
    ),
    "sigmoid twice": (d_logits, g_logits, False, LOGS, "applies a sigmoid to probabilities"),
    "sigmoid twice, by hand": (
        lambda r, f: d_right(r.sigmoid(), f.sigmoid()), lambda f: g_right(f.sigmoid()), False,
        LOGS, "applies a sigmoid to probabilities",
    ),
    "sigmoid with BCEWithLogits": (
        lambda r, f: d_logits(r.sigmoid(), f.sigmoid()), lambda f: g_logits(f.sigmoid()), True,
        LOGS, "has a sigmoid of its own",
    ),
    "sigmoid twice in G's alone": (d_right, g_logits, False, LOGS, "in G's loss"),
    "sigmoid twice and smoothed": (
        lambda r, f: to(r, 0.9, bce_logits) + to(f, 0, bce_logits), g_logits, False, LOGS, "two sigmoids",
    ),
    "BCELoss on logits": (d_right, g_right, True, LOGS, "take BCEWithLogits"),
    "logarithms of logits": (
        lambda r, f: -r.log().mean() - (1 - f).log().mean(), lambda f: -f.log().mean(), True,
        LOGS, "take BCEWithLogits",
    ),
    "least squares": (
        lambda r, f: F.mse_loss(r, torch.ones_like(r)) + F.mse_loss(f, torch.zeros_like(f)),
        lambda f: F.mse_loss(f, torch.ones_like(f)), False, LOGS, "the least-squares loss",
    ),
    "least squares on logits": (
        lambda r, f: (r - 1).square().mean() + f.square().mean(), lambda f: (f - 1).square().mean(), True,
        LOGS, "the least-squares loss",
    ),
    "least squares for G alone": (d_right, lambda f: (f - 1).square().mean(), False, LOGS, "squares in G's"),
    "hinge": (
        lambda r, f: F.relu(1 - r).mean() + F.relu(1 + f).mean(), lambda f: -f.mean(), True, LOGS, "hinge",
    ),
    "Wasserstein": (lambda r, f: f.mean() - r.mean(), lambda f: -f.mean(), True, LOGS, "Wasserstein critic"),
    "Wasserstein on probabilities": (
        lambda r, f: f.mean() - r.mean(), lambda f: -f.mean(), False, LOGS, "Wasserstein critic",
    ),
    "the accuracy of D": (
        lambda r, f: ((1 - r) ** 3).mean() + (f**3).mean(), g_right, False, LOGS, "write it as binary",
    ),
    "real against fake": (lambda r, f: g_logits(r - f), g_logits, True, LOGS, "write it as binary"),
    "labels swapped": (lambda r, f: d_right(f, r), g_right, False, BOTH, "give them 1, or 0.9"),
    "labels swapped, logits": (
        lambda r, f: d_logits(f, r), g_logits, True, BOTH, "only G's loss calls them real",
    ),
    "labels swapped, a float": (
        lambda r, f: d_right(f, r).item(), g_right, False, ("scalar", "real", "fake"), "give them 1, or 0.9",
    ),
    "real images called fake": (lambda r, f: to(r, 0) + to(f, 0), g_right, False, REAL, "give them 1, or"),
    "smoothing that only weighs": (
        lambda r, f: 0.9 * to(r, 1) + to(f, 0), g_right, False, REAL, "0.9 log D(x) + 0.1 log(1 - D(x))",
    ),
    "smoothed down to one half": (lambda r, f: to(r, 0.6) + to(f, 0), g_right, False, REAL, "label 0.6"),
    "no minus on the real side": (
        lambda r, f: r.log().mean() - (1 - f).log().mean(), g_right, False, REAL, "a minus is missing",
    ),
    "no minus at all": (
        lambda r, f: r.log().mean() + (1 - f).log().mean(), g_right, False, BOTH, "a minus is missing",
    ),
    "D's loss on real images is G's minimax": (
        lambda r, f: (1 - r).log().mean() + to(f, 0), g_right, False, REAL, "not log(1 - D(x))",
    ),
    "only fakes": (lambda r, f: to(f, 0), g_right, False, REAL, "no gradient from this side"),
    "only real images": (lambda r, f: to(r, 1), g_right, False, FAKE, "is the term there"),
    "fakes detached in the loss": (
        lambda r, f: d_right(r, f.detach()), g_right, False, FAKE, "no gradient from this side",
    ),
    "fakes called real by D": (lambda r, f: to(r, 1) + to(f, 1), g_right, False, FAKE, "only G's loss calls"),
    "fakes smoothed": (lambda r, f: to(r, 0.9) + to(f, 0.1), g_right, False, FAKE, "label of fakes at 0"),
    "fakes smoothed at random": (
        lambda r, f: to(r, 1) + bce(f, 0.2 * torch.rand_like(f)), g_right, False, FAKE, "label of fakes at 0",
    ),
    "the difference of the terms": (
        lambda r, f: to(r, 1) - to(f, 0), g_right, False, FAKE, "a minus is missing",
    ),
    "D descends log D of fakes": (
        lambda r, f: to(r, 1) + f.log().mean(), g_right, False, FAKE, "not log D(G(z))",
    ),
    "terms of other weights": (lambda r, f: to(r, 1) + to(f, 0) / 4, g_right, False, FAKE, "weigh the same"),
    "a sum beside a mean": (
        lambda r, f: to(r, 1) + to(f, 0, reduction="sum"), g_right, False, FAKE, "weigh the same",
    ),
    "G with label 0": (d_right, lambda f: to(f, 0), False, G, "learns to be recognized"),
    "G with label 0, logits": (d_logits, lambda f: to(f, 0, bce_logits), True, G, "wants D to say 1"),
    "minimax": (d_right, lambda f: (1 - f).log().mean(), False, G, "the minimax loss"),
    "minimax by cross-entropy": (d_right, lambda f: -to(f, 0), False, G, "the minimax loss"),
    "minimax, logits": (d_logits, lambda f: -F.softplus(f).mean(), True, G, "the minimax loss"),
    "minimax, a float": (d_right, lambda f: -to(f, 0).item(), False, (*SCALAR, *G), "the minimax loss"),
    "G without its minus": (d_right, lambda f: f.log().mean(), False, G, "a minus is missing"),
    "G detached": (d_right, lambda f: g_right(f.detach()) + 0 * f.sum(), False, G, "no gradient"),
    "both losses wrong": (
        lambda r, f: d_right(f, r), lambda f: to(f, 0), False, (*BOTH, *G), "wants D to say 1",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "logits"), [*((name, False) for name in RIGHT), *((name, True) for name in RIGHT_LOGITS)]
)
def test_right_losses_have_full_marks_and_no_remark(
    name: str, logits: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    report = check_losses(*(RIGHT_LOGITS if logits else RIGHT)[name], logits=logits)
    said = capsys.readouterr().out
    assert report == Report(10, 10), said
    assert "!" not in said


@pytest.mark.parametrize("name", UNUSUAL)
def test_what_is_unusual_and_harmless_is_remarked_upon(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    d_loss, g_loss, logits, phrase = UNUSUAL[name]
    assert check_losses(d_loss, g_loss, logits=logits) == Report(10, 10)
    assert phrase in " ".join(line for line in capsys.readouterr().out.splitlines() if line.startswith("  !"))


@pytest.mark.parametrize("name", WRONG)
def test_wrong_losses_fail_their_rule_and_no_other(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    d_loss, g_loss, logits, failed, phrase = WRONG[name]
    report = check_losses(d_loss, g_loss, logits=logits)
    said = capsys.readouterr().out
    assert report.failed == failed, said
    assert phrase in said
    reached = [line.split()[1] for line in said.splitlines() if line.startswith("  +")]
    assert report.score == sum(POINTS[rule] for rule in reached) < 10


def labels_of_shape(*shape: int) -> Pair:
    """Return losses whose labels are made for outputs of one shape."""

    def labels(out: Tensor, value: float) -> Tensor:
        return torch.full((len(out), *shape), float(value))

    return (
        lambda r, f: F.binary_cross_entropy(r, labels(r, 1)) + F.binary_cross_entropy(f, labels(f, 0)),
        lambda f: F.binary_cross_entropy(f, labels(f, 1)),
    )


@pytest.mark.parametrize("column", [True, False])
def test_labels_are_to_fit_the_outputs_of_the_d_that_is_handed_over(
    column: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    layers = [nn.Flatten(), nn.Linear(784, 1), nn.Sigmoid()]
    D = nn.Sequential(*layers) if column else nn.Sequential(*layers, nn.Flatten(0))
    for shape in ((1,), ()):
        report = check_losses(*labels_of_shape(*shape), D=D)
        told = capsys.readouterr().out
        if len(shape) == column:
            assert report == Report(10, 10, ()), told
        else:
            assert report == Report(0, 10, ("scalar",)), told
            assert "make labels that fit the outputs: torch.ones_like(out)" in told
        assert check_losses(*labels_of_shape(*shape)).score == 10  # without a D either shape will do


def test_every_rule_is_failed_by_some_wrong_one() -> None:
    assert {rule for _, _, _, failed, _ in WRONG.values() for rule in failed} == set(POINTS)
    assert sum(POINTS.values()) == 10


def test_what_is_to_be_reread_is_in_the_book() -> None:
    assert [rule.reread for rule in LOSSES if not in_the_book(rule.reread)] == []


def test_what_is_printed_for_a_wrong_one(capsys: pytest.CaptureFixture[str]) -> None:
    check_losses(d_right, lambda f: to(f, 0))
    assert capsys.readouterr().out.splitlines() == [
        "check_losses: 8 of 10 points",
        "  + scalar (2): both are",
        "  + log (2): binary cross-entropy",
        "  + real (2): label 1",
        "  + fake (2): label 0",
        "  x generator (0 of 2): expected G's loss -log D(G(z)): fakes with label 1; found label 0",
        "      hint: with label 0 G learns to be recognized; G wants D to say 1: take -log D(G(z))",
        '      reread: chapter 2, "One sample, two weights"',
    ]


# ------------------------------------------------------------------ slopes


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (lambda a: to(a, 1, bce_logits), Fit(LOG, 1, 1)),
        (lambda a: 3 * to(a, 0.25, bce_logits), Fit(LOG, 0.25, 3)),
        (lambda a: -to(a, 0, bce_logits), Fit(LOG, 0, -1)),
        (lambda a: 2 * to(a.sigmoid(), 0.9, bce_logits), Fit(DOUBLE, 0.9, 2)),
        (lambda a: (a.sigmoid() - 0.3).square().mean(), Fit(SQUARES, 0.3, 2)),
        (lambda a: (a - 1).square().mean() / 2, Fit(SQUARES, 1, 1)),
        (lambda a: -a.mean(), Fit(LINEAR)),
        (lambda a: -a.sigmoid().mean(), Fit(LINEAR)),
        (lambda a: F.relu(1 - a).mean(), Fit(HINGE, 0, -1)),
        (lambda a: F.relu(1 + a).mean(), Fit(HINGE, 0, 1)),
        (lambda a: 0 * a.mean(), Fit(NOTHING)),
        (lambda a: a.sin().mean(), Fit(OTHER)),
        (lambda a: a.mean() / 0, Fit(OTHER)),
    ],
)
def test_slopes_tell_the_loss(loss: Callable[[Tensor], Tensor], expected: Fit) -> None:
    p = torch.linspace(0.05, 0.95, 24, dtype=torch.float64)
    a = p.logit().requires_grad_()
    loss(a).backward()
    assert a.grad is not None
    found = fit(p, 24 * a.grad, 24)
    assert (found.kind, found.varied) == (expected.kind, False)
    assert (found.label, found.weight) == pytest.approx((expected.label, expected.weight), abs=1e-9)


# ------------------------------------------------------------------ nothing changes, nothing crashes


blank = raising(NotImplementedError("write it"))


@pytest.mark.parametrize("pair", [(None, g_right), (d_right, ...), (blank, g_right), (d_right, blank)])
def test_a_blank_is_not_yet_done(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_losses(*pair) == Report(0, 10, (DONE,))
    assert capsys.readouterr().out.startswith("check_losses: not yet done: ")


def test_nothing_is_changed() -> None:
    net = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1), nn.Dropout())
    net(torch.rand(4, 1)).sum().backward()
    before, around = state(net), surroundings()
    check_losses(lambda r, f: d_right(r, f) + 0 * torch.rand(1).sum(), g_right)
    assert state(net) == before
    assert surroundings() == around


@pytest.mark.parametrize("name", ["labels drawn", "labels flipped"])
def test_two_checks_say_the_same(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    d_loss, g_loss, logits, _ = UNUSUAL[name]
    said = []
    for seed in range(2):
        torch.manual_seed(seed)
        said.append((check_losses(d_loss, g_loss, logits=logits), capsys.readouterr().out))
    assert said[0] == said[1]


@pytest.mark.parametrize("logits", [False, True])
@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_crashes_it(name: str, logits: bool, capsys: pytest.CaptureFixture[str]) -> None:
    around = surroundings()
    report = check_losses(HOSTILE[name], HOSTILE[name], logits=logits)
    assert report.score == 0, capsys.readouterr().out
    assert "scalar" in report.failed or name == "prickly"
    half = check_losses(HOSTILE[name], g_right if not logits else g_logits, logits=logits)
    assert half.score <= 4
    assert surroundings() == around


def test_losses_that_do_not_return_are_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gancourse.assignment.judge.Clock", functools.partial(Clock, 0.3))
    began = time.monotonic()
    assert check_losses(d_right, endless) == Report(6, 10, ("scalar",))
    assert check_losses(endless, endless, logits=True) == Report(0, 10, ("scalar",))
    assert time.monotonic() - began < 5


def test_a_check_is_quick() -> None:
    began = time.monotonic()
    check_losses(d_right, g_right)
    assert time.monotonic() - began < 1
