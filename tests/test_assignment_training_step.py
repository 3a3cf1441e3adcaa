"""The check of a training step: slips in a right one fail their rule alone, other styles get full marks."""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from submissions import in_the_book
from torch import Tensor, nn

from gancourse.assignment.guard import Clock
from gancourse.assignment.report import DONE, Report
from gancourse.assignment.training_step import STEP, check_training_step
from gancourse.losses import NON_SATURATING
from gancourse.training import d_step, g_step

SOURCE = """
def step(G, D, opt_g, opt_d, real):
    n = len(real)
    fake = G(torch.randn(n, 100))
    on_real, on_fake = D(real), D(fake.detach())
    d_loss = bce(on_real, torch.ones_like(on_real)) + bce(on_fake, torch.zeros_like(on_fake))
    opt_d.zero_grad()
    d_loss.backward()
    opt_d.step()
    g_out = D(fake)
    g_loss = bce(g_out, torch.ones_like(g_out))
    opt_g.zero_grad()
    g_loss.backward()
    opt_g.step()
    return d_loss.item(), g_loss.item()
"""
Slips = list[tuple[str, str]]
NO_D_ZERO = ("    opt_d.zero_grad()\n", "")
NO_G_ZERO = ("    opt_g.zero_grad()\n", "")
ATTACHED = ("D(fake.detach())", "D(fake)")
FRESH = ("g_out = D(fake)", "g_out = D(G(torch.randn(n, 100)))")
D_STEP, G_STEP = "    opt_d.step()\n", "    opt_g.step()\n"
D_TERMS = "bce(on_real, torch.ones_like(on_real)) + bce(on_fake, torch.zeros_like(on_fake))"
G_TERM = "bce(g_out, torch.ones_like(g_out))"
RETURN = "d_loss.item(), g_loss.item()"


def made(slips: Slips, bce: Callable[..., Tensor] = F.binary_cross_entropy) -> Callable[..., Any]:
    """Return the step of the source with some of its text replaced."""
    source = SOURCE
    for old, new in slips:
        assert old in source, old
        source = source.replace(old, new)
    space: dict[str, Any] = {"torch": torch, "F": F, "bce": bce, "nn": nn}
    exec(source, space)
    step: Callable[..., Any] = space["step"]
    return step


# ------------------------------------------------------------------ wrong

WRONG: dict[str, tuple[Slips, str, str]] = {
    # what is returned
    "the wrong order": ([(RETURN, "g_loss.item(), d_loss.item()")], "returns", "D's first"),
    "one number": ([(RETURN, "d_loss.item() + g_loss.item()")], "returns", "return d_loss.item(), g_loss"),
    "nothing": ([(f"return {RETURN}", "pass")], "returns", "return d_loss.item(), g_loss.item()"),
    "three numbers": ([(RETURN, RETURN + ", 0.0")], "returns", "found a tuple of 3"),
    "NaN": ([(RETURN, "float('nan'), g_loss.item()")], "returns", "logarithm of 0"),
    "losses for each image": ([(RETURN, "on_real, on_fake")], "returns", "not of two numbers"),
    "the answers, not the losses": (
        [(RETURN, "on_real.mean().item(), on_fake.mean().item()")],
        "returns",
        "the two losses that were descended",
    ),
    "half of D's loss": (
        [(RETURN, "bce(on_real, torch.ones_like(on_real)).item(), g_loss.item()")],
        "returns",
        "D descended",
    ),
    "a batch of always 64": (
        [("torch.ones_like(on_real)", "torch.ones(64, 1)")],
        "returns",
        "the last batch of an epoch is smaller, 16 here",
    ),
    "the wrong arguments": ([("opt_d, real)", "opt_d)")], "returns", "step(G, D, opt_g, opt_d, real)"),
    "item before backward": (
        [("zeros_like(on_fake))", "zeros_like(on_fake))\n    d_loss = d_loss.item()")],
        "returns",
        "call .item() only when",
    ),
    "another device": (
        [("torch.randn(n, 100)", "torch.randn(n, 100, device='meta')")],
        "returns",
        "device=real",
    ),
    # the loss
    "a second sigmoid": (
        [(f"d_loss = {D_TERMS}", f"bce = F.binary_cross_entropy_with_logits\n    d_loss = {D_TERMS}")],
        "loss",
        "D ends in a sigmoid already",
    ),
    "squares": ([("    n =", "    bce = F.mse_loss\n    n =")], "loss", "no squares"),
    # D's update
    "labels exchanged": (
        [(D_TERMS, "bce(on_real, torch.zeros_like(on_real)) + bce(on_fake, torch.ones_like(on_fake))")],
        "d_update",
        "1 for real images, 0 for G's",
    ),
    "every label 1": (
        [("torch.zeros_like(on_fake)", "torch.ones_like(on_fake)")],
        "d_update",
        "label of fakes is 0",
    ),
    "every label 0": (
        [("torch.ones_like(on_real)", "torch.zeros_like(on_real)")],
        "d_update",
        "label of real images",
    ),
    "both labels smoothed": (
        [("torch.zeros_like(on_fake)", "0.1 + torch.zeros_like(on_fake)")],
        "d_update",
        "smooth the label of real images only",
    ),
    "fakes only": (
        [(D_TERMS, "bce(on_fake, torch.zeros_like(on_fake))")],
        "d_update",
        "D(real) with label 1",
    ),
    "real images only": (
        [(D_TERMS, "bce(on_real, torch.ones_like(on_real))")],
        "d_update",
        "D(fake) with label 0",
    ),
    "backward for real images only": (
        [("d_loss.backward()", "bce(D(real), torch.ones_like(on_real)).backward()")],
        "d_update",
        "add it before backward()",
    ),
    "noise in place of fakes": ([("D(fake.detach())", "D(torch.rand_like(real))")], "d_update", "neither"),
    "D's loss goes up": ([(D_TERMS, f"-({D_TERMS})")], "d_update", "minimized"),
    "unequal weights": ([(D_TERMS, "3 * " + D_TERMS)], "d_update", "add the two means"),
    "weight decay by hand": (
        [(D_TERMS, D_TERMS + " + sum(p.square().sum() for p in D.parameters())")],
        "d_update",
        "leave out penalties",
    ),
    "opt_d never steps": ([(D_STEP, "")], "d_update", "opt_d.step() after d_loss.backward()"),
    "opt_g steps where opt_d is due": ([(D_STEP, G_STEP)], "d_update", "opt_d.step() is never called"),
    "opt_g for both": (
        [("opt_d", "opt_g"), ("opt_g, opt_g, real", "opt_g, opt_d, real")],
        "d_update",
        "opt_d.step()",
    ),
    "opt_d and opt_g exchanged": (
        [("opt_g.", "opt_x."), ("opt_d.", "opt_g."), ("opt_x.", "opt_d.")],
        "d_update",
        "opt_d.step() belongs after d_loss.backward()",
    ),
    "the steps of opt_d and opt_g exchanged": (
        [(D_STEP, "    opt_x.step()\n"), (G_STEP, D_STEP), ("opt_x", "opt_g")],
        "d_update",
        "opt_d.step() belongs after d_loss.backward()",
    ),
    "an optimizer of its own": (
        [("    n =", "    opt_d = torch.optim.SGD(D.parameters(), 0.001)\n    n =")],
        "d_update",
        "use the opt_d that is handed over",
    ),
    "no backward for D": ([("    d_loss.backward()\n", "")], "d_update", "d_loss.backward() comes before"),
    "zero_grad after D's backward": (
        [
            (
                "    opt_d.zero_grad()\n    d_loss.backward()\n",
                "    d_loss.backward()\n    opt_d.zero_grad()\n",
            )
        ],
        "d_update",
        "zero_grad() first",
    ),
    "D not thawed": (
        [("    g_out", "    D.requires_grad_(False)\n    g_out")],
        "d_update",
        "D.requires_grad_(True)",
    ),
    "D not thawed, fakes attached": (
        [("    g_out", "    D.requires_grad_(False)\n    g_out"), ATTACHED, FRESH],
        "d_update",
        "requires_grad_(True)",
    ),
    "another D of the notebook": (
        [("    n =", "    D = nn.Sequential(nn.Flatten(), nn.Linear(784, 1), nn.Sigmoid())\n    n =")],
        "d_update",
        "use the D that is handed to step",
    ),
    # G's update
    "fake labels for G": (
        [(G_TERM, "bce(g_out, torch.zeros_like(g_out))")],
        "g_update",
        "label 1 for the fakes",
    ),
    "minimax": ([(G_TERM, "torch.log(1 - g_out).mean()")], "g_update", "it saturates"),
    "minimax by minus": ([(G_TERM, "-bce(g_out, torch.zeros_like(g_out))")], "g_update", "it saturates"),
    "G's loss goes up": ([(G_TERM, "torch.log(g_out).mean()")], "g_update", "the sign"),
    "G detached": ([("g_out = D(fake)", "g_out = D(fake.detach())")], "g_update", "not fake.detach()"),
    "fakes without a graph": (
        [("    fake = G", "    with torch.no_grad():\n        fake = G")],
        "g_update",
        "not fake.detach()",
    ),
    "G detached and D frozen": (
        [("g_out = D(fake)", "D.requires_grad_(False)\n    g_out = D(fake.detach())")],
        "g_update",
        "G learns through D",
    ),
    "opt_g never steps": ([(G_STEP, "")], "g_update", "opt_g.step() after g_loss.backward()"),
    "opt_d steps where opt_g is due": ([(G_STEP, D_STEP)], "g_update", "opt_g.step() is never called"),
    "no backward for G": ([("    g_loss.backward()\n", "")], "g_update", "g_loss.backward() comes before"),
    "zero_grad after G's backward": (
        [
            (
                "    opt_g.zero_grad()\n    g_loss.backward()\n",
                "    g_loss.backward()\n    opt_g.zero_grad()\n",
            )
        ],
        "g_update",
        "zero_grad() first",
    ),
    "the graph used twice": ([ATTACHED], "g_update", "D's turn takes fake.detach()"),
    "D's old answer": (
        [
            ATTACHED,
            ("g_out = D(fake)", "g_out = on_fake"),
            ("d_loss.backward()", "d_loss.backward(retain_graph=True)"),
        ],
        "g_update",
        "a new D(fake) after opt_d.step()",
    ),
    "G frozen": (
        [("    g_out", "    G.requires_grad_(False)\n    g_out"), FRESH],
        "g_update",
        "requires_grad_(True)",
    ),
    "another G of the notebook": (
        [
            (
                "    n =",
                "    G = nn.Sequential(nn.Linear(100, 784), nn.Unflatten(1, (1, 28, 28)))\n    n =",
            )
        ],
        "g_update",
        "use the G that is handed to step",
    ),
    # gradients left over
    "fakes attached, G not cleared": (
        [ATTACHED, FRESH, NO_G_ZERO, ("    return", "    opt_g.zero_grad()\n    return")],
        "clean",
        "give D fake.detach()",
    ),
    "D not cleared": ([NO_D_ZERO], "clean", "g_loss.backward() leaves gradients in D too"),
    "G not cleared": ([NO_G_ZERO], "clean", "opt_g.zero_grad() right before"),
    "nothing cleared": ([NO_D_ZERO, NO_G_ZERO], "clean", "opt_d.zero_grad() right before"),
    "D cleared by the wrong optimizer": (
        [NO_D_ZERO, ("    opt_d.step", "    opt_g.zero_grad()\n    opt_d.step")],
        "clean",
        "opt_d.zero_grad()",
    ),
    "G's loss in D's step": (
        [(D_STEP, ""), (G_STEP, G_STEP + D_STEP)],
        "clean",
        "opt_d.zero_grad() right before d_loss.backward()",
    ),
    "both losses, then both steps": (
        [
            (D_STEP, ""),
            NO_G_ZERO,
            ("    opt_d.zero", "    opt_g.zero_grad()\n    opt_d.zero"),
            (G_STEP, G_STEP + D_STEP),
        ],
        "clean",
        "gradients of G's loss too at opt_d.step()",
    ),
    "the losses in one sum": (
        [
            ("    opt_d.zero_grad()\n    d_loss.backward()\n" + D_STEP, ""),
            ("g_loss.backward()", "(d_loss + g_loss).backward()"),
            ("    opt_g.zero", "    opt_d.zero_grad()\n    opt_g.zero"),
            (G_STEP, G_STEP + D_STEP),
        ],
        "clean",
        "gradients of G's loss too at opt_d.step()",
    ),
    "two steps on one gradient": ([(D_STEP, D_STEP + D_STEP)], "clean", "opt_d.zero_grad()"),
    # modes
    "D in eval mode": ([("    n =", "    D.eval()\n    n =")], "modes", "D.train()"),
    "G in eval mode": ([("    n =", "    G.eval()\n    n =")], "modes", "G.train()"),
    "G in eval mode for D's turn": (
        [
            ("    n =", "    G.eval()\n    n ="),
            ("    g_out = D(fake)", "    G.train()\n    g_out = D(G(torch.randn(n, 100)))"),
        ],
        "modes",
        "G in eval mode",
    ),
    "left in eval mode": (
        [("    n =", "    G.train()\n    n ="), ("    return", "    G.eval()\n    return")],
        "modes",
        "after the step",
    ),
    # inputs
    "z too wide": ([("randn(n, 100)", "randn(n, 128)")], "inputs", "z is (N, 100)"),
    "z with axes of an image": ([("randn(n, 100)", "randn(n, 100, 1, 1)")], "inputs", "z is (N, 100)"),
    "uniform z": ([("randn(n, 100)", "rand(n, 100)")], "inputs", "not rand"),
    "uniform z from -1 to 1": ([("torch.randn(n, 100)", "torch.rand(n, 100) * 2 - 1")], "inputs", "not rand"),
    "uniform z of deviation 1": (
        [("torch.randn(n, 100)", "(torch.rand(n, 100) - .5) * 12 ** .5")],
        "inputs",
        "not rand",
    ),
    "the same z": ([("    n =", "    torch.manual_seed(0)\n    n =")], "inputs", "set the seed once"),
    "one z for all": (
        [("torch.randn(n, 100)", "torch.randn(1, 100).expand(n, 100)")],
        "inputs",
        "a z for each image",
    ),
    "real images scaled in place": (
        [("    n =", "    real.mul_(2).sub_(1)\n    n =")],
        "inputs",
        "used again",
    ),
    "noise on real in place": (
        [("    n =", "    real += 0.1 * torch.randn_like(real)\n    n =")],
        "inputs",
        "in place",
    ),
    "real images scaled": ([("D(real)", "D(real * 2 - 1)")], "inputs", "one scale"),
    "fakes scaled": (
        [("D(fake.detach())", "D(fake.detach() / 2 + .5)"), ("D(fake)", "D(fake / 2 + .5)")],
        "inputs",
        "one scale",
    ),
}


def checked(capsys: pytest.CaptureFixture[str], step: Any, **named: Any) -> tuple[Report, str]:
    report = check_training_step(step, **named)
    return report, capsys.readouterr().out


@pytest.mark.parametrize("name", WRONG)
def test_a_slip_fails_its_rule_alone(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    slips, rule, phrase = WRONG[name]
    report, told = checked(capsys, made(slips))
    assert report.failed == (rule,), told
    assert phrase in told
    assert report.score < 10


def test_each_rule_has_its_slip() -> None:
    assert {rule for _, rule, _ in WRONG.values()} == {rule.name for rule in STEP}


LOGITS_WRONG: dict[str, tuple[Slips, Callable[..., Tensor], str, str]] = {
    "a cross-entropy of probabilities": ([], F.binary_cross_entropy, "loss", "D gives logits here"),
    "a sigmoid before the one of the loss": (
        [],
        lambda out, label: F.binary_cross_entropy_with_logits(out.sigmoid(), label),
        "loss",
        "has its own sigmoid",
    ),
    "logarithms of logits": (
        [],
        lambda out, label: -(label * out.log() + (1 - label) * (1 - out).log()).mean(),
        "returns",
        "logits need their own cross-entropy",
    ),
    "a critic's means": (
        [(D_TERMS, "on_fake.mean() - on_real.mean()"), (G_TERM, "-g_out.mean()")],
        F.binary_cross_entropy_with_logits,
        "loss",
        "binary_cross_entropy_with_logits(D(x), labels)",
    ),
    "minimax": (
        [(G_TERM, "-bce(g_out, torch.zeros_like(g_out))")],
        F.binary_cross_entropy_with_logits,
        "g_update",
        "it saturates",
    ),
}


@pytest.mark.parametrize("name", LOGITS_WRONG)
def test_a_slip_with_logits_fails_its_rule_alone(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    slips, bce, rule, phrase = LOGITS_WRONG[name]
    report, told = checked(capsys, made(slips, bce), logits=True)
    assert report.failed == (rule,), told
    assert phrase in told


# ------------------------------------------------------------------ right, in other styles


def ones(out: Tensor) -> Tensor:
    return torch.ones_like(out)


def zeros(out: Tensor) -> Tensor:
    return torch.zeros_like(out)


def by_logarithms(G, D, opt_g, opt_d, real):
    opt_d.zero_grad()
    d_loss = -(D(real).log() + (1 - D(G(torch.randn(real.size(0), 100)).detach())).log()).mean()
    d_loss.backward()
    opt_d.step()
    opt_g.zero_grad()
    g_loss = -D(G(torch.randn(real.size(0), 100))).log().mean()
    g_loss.backward()
    opt_g.step()
    return d_loss.item(), g_loss.item()


def as_in_the_tutorial(G, D, opt_g, opt_d, real):
    """Two backward passes for D, net.zero_grad(), one label tensor that is refilled."""
    D.zero_grad()
    label = torch.full((real.size(0),), 1.0)
    out = D(real).view(-1)
    real_loss = F.binary_cross_entropy(out, label)
    real_loss.backward()
    fake = G(torch.randn(real.size(0), 100))
    label.fill_(0.0)
    fake_loss = F.binary_cross_entropy(D(fake.detach()).view(-1), label)
    fake_loss.backward()
    opt_d.step()
    G.zero_grad()
    label.fill_(1.0)
    g_loss = F.binary_cross_entropy(D(fake).view(-1), label)
    g_loss.backward()
    opt_g.step()
    return (real_loss + fake_loss).detach(), g_loss.detach()


def g_first(G, D, opt_g, opt_d, real):
    fake = G(torch.randn(len(real), 100))
    out = D(fake)
    g_loss = F.binary_cross_entropy(out, ones(out))
    opt_g.zero_grad()
    g_loss.backward()
    opt_g.step()
    opt_d.zero_grad()
    on_real, on_fake = D(real), D(fake.detach())
    halves = (F.binary_cross_entropy(on_real, ones(on_real)), F.binary_cross_entropy(on_fake, zeros(on_fake)))
    d_loss = sum(halves) / 2
    d_loss.backward()
    opt_d.step()
    return [d_loss.item(), g_loss.item()]


def both_at_once(G, D, opt_g, opt_d, real):
    """Both gradients at the same weights, each by itself, then both steps."""
    fake = G(torch.randn(len(real), 100))
    on_real, on_fake = D(real), D(fake)
    d_loss = F.binary_cross_entropy(on_real, ones(on_real)) + F.binary_cross_entropy(on_fake, zeros(on_fake))
    g_loss = F.binary_cross_entropy(on_fake, ones(on_fake))
    opt_d.zero_grad()
    opt_g.zero_grad()
    d_loss.backward(inputs=list(D.parameters()), retain_graph=True)
    g_loss.backward(inputs=list(G.parameters()))
    opt_g.step()
    opt_d.step()
    return np.float32(d_loss.item()), np.float64(g_loss.item())


def by_hand(G, D, opt_g, opt_d, real):
    """Gradients by torch.autograd.grad, put where the optimizers look for them."""
    z = torch.randn(len(real), 100)
    d_loss = -(0.9 * D(real).log() + 0.1 * (1 - D(real)).log()).mean() - (1 - D(G(z).detach())).log().mean()
    for p, grad in zip(D.parameters(), torch.autograd.grad(d_loss, list(D.parameters())), strict=True):
        p.grad = grad
    opt_d.step()
    g_loss = -D(G(z)).log().mean()
    for p, grad in zip(G.parameters(), torch.autograd.grad(g_loss, list(G.parameters())), strict=True):
        p.grad = grad
    opt_g.step()
    return d_loss.item(), g_loss.item()


def with_freezing(G, D, opt_g, opt_d, real):
    G.requires_grad_(False)
    fake = G(torch.randn(len(real), 100))
    d_loss = -D(real).log().mean() - (1 - D(fake)).log().mean()
    opt_d.zero_grad(set_to_none=False)
    d_loss.backward()
    opt_d.step()
    G.requires_grad_(True)
    D.requires_grad_(False)
    g_loss = -D(G(torch.randn(len(real), 100))).log().mean()
    opt_g.zero_grad(set_to_none=False)
    g_loss.backward()
    opt_g.step()
    D.requires_grad_(True)
    return d_loss.item(), g_loss.item()


def with_a_look(G, D, opt_g, opt_d, real):
    """Look at samples in evaluation mode on the way; no gradient comes of it."""
    G.eval()
    with torch.no_grad():
        D(G(torch.zeros(4, 100)))
    G.train()
    return RIGHT_STEP(G, D, opt_g, opt_d, real)


RIGHT_STEP = made([])


class Trainer:
    """Keep what is needed, as a class."""

    def __init__(self) -> None:
        self.criterion = nn.BCELoss()
        self.losses: list[tuple[float, float]] = []

    def __call__(self, G, D, opt_g, opt_d, real):
        z = torch.randn(len(real), 100)
        with torch.no_grad():
            fake = G(z)
        on_real, on_fake = D(real), D(fake)
        d_loss = self.criterion(on_real, 0.9 * ones(on_real)) + self.criterion(on_fake, zeros(on_fake))
        for p in D.parameters():
            p.grad = None
        d_loss.backward()
        opt_d.step()
        out = D(G(z))
        g_loss = self.criterion(out, ones(out))
        for p in G.parameters():
            p.grad = None
        g_loss.backward()
        opt_g.step()
        self.losses.append((d_loss.item(), g_loss.item()))
        return self.losses[-1]

    def step(self, *given):
        return self(*given)


def of_parts(d_turn: Callable[..., Tensor], g_turn: Callable[..., Tensor]) -> Callable[..., Any]:
    def step(G, D, opt_g, opt_d, real):
        z = torch.randn(len(real), 100)
        return d_turn(G, D, opt_d, real, z).item(), g_turn(G, D, opt_g, z).item()

    return step


def d_turn(G, D, opt_d, real, z):
    loss = F.binary_cross_entropy(D(real), torch.ones(len(real), 1))
    loss = loss + F.binary_cross_entropy(D(G(z).detach()), torch.zeros(len(real), 1))
    opt_d.zero_grad()
    loss.backward()
    opt_d.step()
    return loss


def g_turn(G, D, opt_g, z):
    loss = F.binary_cross_entropy(D(G(z)), torch.ones(len(z), 1))
    opt_g.zero_grad()
    loss.backward()
    opt_g.step()
    return loss


def drawing_from(generator: torch.Generator) -> Callable[..., Any]:
    def step(G, D, opt_g, opt_d, real):
        z = torch.randn(len(real), 100, generator=generator)
        return d_turn(G, D, opt_d, real, z).item(), g_turn(G, D, opt_g, z).item()

    return step


def the_books(G, D, opt_g, opt_d, real):
    d = d_step(G, D, opt_d, real=real, z=torch.randn(len(real), 100), loss=NON_SATURATING)
    g = g_step(G, D, opt_g, z=torch.randn(len(real), 100), loss=NON_SATURATING)
    return d.loss, g.loss


def by_softplus(G, D, opt_g, opt_d, real):
    d_loss = F.softplus(-D(real)).mean() + F.softplus(D(G(torch.randn(len(real), 100)).detach())).mean()
    opt_d.zero_grad()
    d_loss.backward()
    opt_d.step()
    g_loss = F.softplus(-D(G(torch.randn(len(real), 100)))).mean()
    opt_g.zero_grad()
    g_loss.backward()
    opt_g.step()
    return d_loss.item(), g_loss.item()


RIGHT: dict[str, tuple[Any, bool]] = {
    "the source": (RIGHT_STEP, False),
    "fresh z for G": (made([FRESH]), False),
    "a smoothed label": (made([("torch.ones_like(on_real)", "torch.full_like(on_real, 0.9)")]), False),
    "the mean of the two terms": (made([(D_TERMS, f"({D_TERMS}) / 2")]), False),
    "the mean descended, the sum returned": (made([("d_loss.backward", "(d_loss / 2).backward")]), False),
    "the sum of logarithms": (by_logarithms, False),
    "a small number in the logarithm": (
        made([], lambda p, y: -(y * (p + 1e-8).log() + (1 - y) * (1 - p + 1e-8).log()).mean()),
        False,
    ),
    "as in the tutorial": (as_in_the_tutorial, False),
    "G first": (g_first, False),
    "both at once": (both_at_once, False),
    "gradients by hand": (by_hand, False),
    "with freezing": (with_freezing, False),
    "with a look at samples": (with_a_look, False),
    "a callable object": (Trainer(), False),
    "a method": (Trainer().step, False),
    "a closure": (of_parts(d_turn, g_turn), False),
    "a partial": (functools.partial(lambda f, *given: f(*given), RIGHT_STEP), False),
    "a generator of its own": (drawing_from(torch.Generator().manual_seed(3)), False),
    "answers (N,)": (
        made([("torch.ones_like(on_real)", "torch.ones(n)"), ("torch.ones_like(g_out)", "torch.ones(n)")]),
        False,
    ),
    "one number as a tensor (1,)": (made([(RETURN, "d_loss.detach()[None], g_loss.detach()[None]")]), False),
    "a tensor of two": (made([(RETURN, "torch.stack([d_loss, g_loss]).detach()")]), False),
    "zero_grad after each step": (
        made(
            [NO_D_ZERO, NO_G_ZERO, ("    return", "    opt_g.zero_grad()\n    opt_d.zero_grad()\n    return")]
        ),
        False,
    ),
    "logits": (made([], F.binary_cross_entropy_with_logits), True),
    "logits through a sigmoid": (made([], lambda out, y: F.binary_cross_entropy(out.sigmoid(), y)), True),
    "logits by softplus": (by_softplus, True),
    "the book's steps": (the_books, True),
}


@pytest.mark.parametrize("name", RIGHT)
def test_another_style_gets_full_marks(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    step, logits = RIGHT[name]
    report, told = checked(capsys, step, logits=logits)
    assert report == Report(10, 10, ()), told
    assert "!" not in told


CLIP = "torch.nn.utils.clip_grad_norm_(D.parameters(), 0.1)\n"
REMARKED: dict[str, tuple[Slips, str]] = {
    "fakes attached, G cleared before its step": ([ATTACHED, FRESH], "fake.detach() saves that time"),
    "fakes attached, the graph kept": (
        [ATTACHED, ("d_loss.backward()", "d_loss.backward(retain_graph=True)")],
        "fake.detach() saves that time",
    ),
    "losses that hold their graph": ([(RETURN, "d_loss, g_loss")], ".item() frees the memory"),
    "one batch for D": (
        [
            ("on_real, on_fake = D(real), D(fake.detach())", "both = D(torch.cat([real, fake.detach()]))"),
            (D_TERMS, "bce(both, torch.cat([torch.ones(n, 1), torch.zeros(n, 1)]))"),
        ],
        "real and fake in one batch",
    ),
    "the norm clipped": ([(D_STEP, "    " + CLIP + D_STEP)], "D's gradient is clipped"),
    "values clipped": (
        [(D_STEP, "    " + CLIP.replace("norm_", "value_").replace("0.1", "0.01") + D_STEP)],
        "D's gradient is clipped",
    ),
    "sums over the batch": (
        [
            (
                "    n =",
                "    bce_ = lambda p, y: F.binary_cross_entropy(p, y, reduction='sum')\n    n =",
            ),
            ("= bce(", "= bce_("),
            ("+ bce(", "+ bce_("),
        ],
        "sums over the batch",
    ),
    "two steps of G": (
        [
            (
                "    return",
                "    g_loss = -D(G(torch.randn(n, 100))).log().mean()\n    opt_g.zero_grad()\n"
                "    g_loss.backward()\n    opt_g.step()\n    return",
            )
        ],
        "2 steps of G in a call",
    ),
    "two steps of D": (
        [
            (
                "    g_out",
                "    opt_d.zero_grad()\n"
                "    d_loss = -D(real).log().mean() - (1 - D(fake.detach())).log().mean()\n"
                "    d_loss.backward()\n    opt_d.step()\n    g_out",
            )
        ],
        "2 steps of D in a call",
    ),
    "a step on real images, a step on fakes": (
        [
            (
                f"d_loss = {D_TERMS}\n    opt_d.zero_grad()\n    d_loss.backward()",
                "on = bce(on_real, torch.ones_like(on_real))\n    opt_d.zero_grad()\n"
                "    on.backward()\n    opt_d.step()\n"
                "    off = bce(D(fake.detach()), torch.zeros_like(on_fake))\n    opt_d.zero_grad()\n"
                "    off.backward()\n"
                "    d_loss = on + off",
            )
        ],
        "2 steps of D in a call",
    ),
    "noise on D's images": (
        [
            ("D(real)", "D(real + 0.1 * torch.randn_like(real))"),
            ("D(fake", "D(0.1 * torch.randn_like(real) + fake"),
        ],
        "carry noise",
    ),
    "labels drawn at random": (
        [("torch.ones_like(on_real)", "1 - 0.3 * torch.rand_like(on_real)")],
        "drawn at random",
    ),
    "fakes of a fixed number": (
        [("torch.randn(n, 100)", "torch.randn(64, 100)"), ("bce", "bce")],
        "64 images of G beside 16 real ones",
    ),
    "G's label smoothed": ([(G_TERM, "bce(g_out, 0.9 * torch.ones_like(g_out))")], "it needs no smoothing"),
}


@pytest.mark.parametrize("name", REMARKED)
def test_what_is_unusual_and_harmless_gets_a_remark_and_full_marks(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    slips, phrase = REMARKED[name]
    report, told = checked(capsys, made(slips))
    assert report == Report(10, 10, ()), told
    assert [line for line in told.splitlines() if line.startswith("  !") and phrase in line], told
    assert told.count("!") == 1, told


def test_a_step_that_is_given_a_closure_is_right(capsys: pytest.CaptureFixture[str]) -> None:
    def step(G, D, opt_g, opt_d, real):
        def d_closure():
            opt_d.zero_grad()
            loss = -D(real).log().mean() - (1 - D(G(torch.randn(len(real), 100)).detach())).log().mean()
            loss.backward()
            return loss

        def g_closure():
            opt_g.zero_grad()
            loss = -D(G(torch.randn(len(real), 100))).log().mean()
            loss.backward()
            return loss

        return opt_d.step(d_closure).item(), opt_g.step(g_closure).item()

    report, told = checked(capsys, step)
    assert report == Report(10, 10, ()), told


def test_a_step_for_the_gpu_is_tried_on_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tried = []

    def step(G, D, opt_g, opt_d, real):
        tried.append(len(real))
        if len(tried) <= 2:  # the first device, with both shapes of D's answers
            raise RuntimeError("Expected all tensors to be on the same device")
        return RIGHT_STEP(G, D, opt_g, opt_d, real)

    monkeypatch.setattr("gancourse.assignment.observed.devices", lambda: ["cpu", "cpu"])
    report, told = checked(capsys, step)
    assert report == Report(10, 10, ()), told
    assert tried == [64, 64, 64, 64, 16]


# ------------------------------------------------------------------ blanks and hostile things


def blank(G, D, opt_g, opt_d, real): ...


def half_blank(G, D, opt_g, opt_d, real):
    D(real)
    d_loss = ...
    d_loss.backward()


def not_implemented(G, D, opt_g, opt_d, real):
    raise NotImplementedError("write the step")


@pytest.mark.parametrize("given", [None, ..., blank, half_blank, not_implemented])
def test_a_blank_is_not_yet_done(given: Any, capsys: pytest.CaptureFixture[str]) -> None:
    report, told = checked(capsys, given)
    assert report == Report(0, 10, (DONE,))
    assert told.startswith("check_training_step: not yet done: ")
    assert told.count("\n") == 1


class Touchy:
    """Raise whatever is asked of it."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError("do not touch")

    def __call__(self, *given: Any) -> Any:
        raise RuntimeError("do not call")


def exits(*given: Any) -> Any:
    raise SystemExit(0)


def interrupts(*given: Any) -> Any:
    raise KeyboardInterrupt


def passes_without_end(G, D, opt_g, opt_d, real):
    while True:
        D(real)


def wrecks_the_nets(G, D, opt_g, opt_d, real):
    del D.body
    G.body = None
    opt_d.param_groups.clear()
    return 0.0, 0.0


def wrecks_the_weights(G, D, opt_g, opt_d, real):
    for p in D.parameters():
        p.data = torch.full_like(p, torch.nan)
    return RIGHT_STEP(G, D, opt_g, opt_d, real)


class Number(float):
    """A float that cannot be converted."""

    def __float__(self) -> float:
        raise RuntimeError


def returning(value: Any) -> Callable[..., Any]:
    def step(*given: Any) -> Any:
        RIGHT_STEP(*given)
        return value

    return step


HOSTILE: dict[str, Any] = {
    "a number": 3,
    "a text": "step",
    "the losses of a call": (0.1, 0.2),
    "a class": Trainer,
    "a net": nn.Linear(2, 2),
    "a module": torch,
    "touchy": Touchy(),
    "exits": exits,
    "interrupts": interrupts,
    "no arguments": lambda: (0.0, 0.0),
    "passes without end": passes_without_end,
    "numbers alone": lambda *given: (0.5, 0.5),
    "wrecks the nets": wrecks_the_nets,
    "wrecks the weights": wrecks_the_weights,
    "returns an object": returning(object()),
    "returns a dictionary": returning({"d_loss": 0.5, "g_loss": 0.5}),
    "returns complex numbers": returning((1j, 1j)),
    "returns complex tensors": returning((torch.ones((), dtype=torch.complex64),) * 2),
    "returns texts": returning(("0.5", "0.5")),
    "returns an odd float": returning((Number(1), Number(2))),
    "returns much": returning([0.0] * 100_000),
    "returns sparse": returning(torch.eye(2).to_sparse()),
    "returns blanks": returning((None, ...)),
    "returns infinities": returning((float("inf"), -float("inf"))),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_things_do_not_crash_it(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    report, told = checked(capsys, HOSTILE[name])
    assert report.score < 10
    assert len(report.failed) == 1, told
    assert "could not go on" not in told


def test_a_loop_without_end_is_stopped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("gancourse.assignment.judge.Clock", lambda: Clock(0.5))
    began = time.monotonic()
    report, told = checked(capsys, made([("n = len(real)", "while True: pass")]))
    assert time.monotonic() - began < 3
    assert report == Report(0, 10, ("returns",))
    assert "the loop over the loader belongs outside" in told


# ------------------------------------------------------------------ nothing is changed


def of_a_notebook() -> tuple[list[Any], Callable[..., Any]]:
    """Return nets, optimizers and a generator, and a step that uses them in place of what it is given."""
    torch.manual_seed(5)
    G = nn.Sequential(nn.Linear(100, 784), nn.BatchNorm1d(784), nn.Tanh(), nn.Unflatten(1, (1, 28, 28)))
    D = nn.Sequential(nn.Flatten(), nn.Linear(784, 1), nn.Sigmoid())
    opt_g, opt_d = (torch.optim.Adam(net.parameters(), 0.01) for net in (G, D))
    seed = torch.Generator().manual_seed(6)

    def step(_G, _D, _opt_g, _opt_d, real):
        z = torch.randn(len(real), 100, generator=seed)
        return d_turn(G, D, opt_d, real, z).item(), g_turn(G, D, opt_g, z).item()

    step(None, None, None, None, torch.rand(8, 1, 28, 28))
    G[1].eval()
    D[1].bias.requires_grad_(False)
    return [G, D, opt_g, opt_d, seed], step


def state(things: list[Any]) -> list[Any]:
    """Return all that can be told of nets, optimizers, generators and the global random states."""
    G, D, opt_g, opt_d, seed = things
    told: list[Any] = [seed.get_state().tolist(), torch.get_rng_state().tolist(), random.getstate()]
    told += [np.random.get_state()[1].tolist()]  # noqa: NPY002
    for net in (G, D):
        told += [[(name, value.tolist()) for name, value in net.state_dict().items()]]
        told += [[None if p.grad is None else p.grad.tolist() for p in net.parameters()]]
        told += [[p.requires_grad for p in net.parameters()], [m.training for m in net.modules()]]
    for opt in (opt_g, opt_d):
        moments = [[(k, torch.as_tensor(v).tolist()) for k, v in opt.state[p].items()] for p in opt.state]
        told += [moments, [{k: v for k, v in group.items() if k != "params"} for group in opt.param_groups]]
    return told


def test_what_the_step_reaches_is_left_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    things, step = of_a_notebook()
    before = state(things)
    report, told = checked(capsys, step)
    assert report.failed == ("d_update",), told
    assert "use the D that is handed to step" in told
    assert state(things) == before
    step(None, None, None, None, torch.rand(8, 1, 28, 28))
    assert state(things) != before  # the comparison sees what a step does


@pytest.mark.parametrize("name", ["D not cleared", "minimax", "the answers, not the losses"])
def test_it_says_the_same_again(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    step, told = made(WRONG[name][0]), []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        told.append(checked(capsys, step))
    assert told[0] == told[1]


def test_it_is_fast(capsys: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    checked(capsys, RIGHT_STEP)
    assert time.monotonic() - began < 5


def test_the_notebooks_default_device_does_not_matter(capsys: pytest.CaptureFixture[str]) -> None:
    torch.set_default_device("meta")
    try:
        report, told = checked(capsys, RIGHT_STEP)
    finally:
        torch.set_default_device(None)
    assert report == Report(10, 10, ()), told


def test_its_sections_are_in_the_book() -> None:
    assert [rule.name for rule in STEP if not in_the_book(rule.reread)] == []
