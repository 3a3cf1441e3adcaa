"""The check of the two losses, by their slopes: a loss is what its gradient makes of D and G."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gancourse.assignment.blanks import Blank
from gancourse.assignment.guard import Clock, attempt, own_copy, plain, untouched
from gancourse.assignment.judge import ask, judged
from gancourse.assignment.networks import SIZE
from gancourse.assignment.report import Report, Rule, Sheet
from gancourse.assignment.slopes import (
    FAKE,
    GENERATOR,
    LOG,
    REAL,
    Fit,
    fit,
    judge_log,
    judge_side,
    judge_weights,
)

BATCHES, N = 3, 8

LOSSES = (
    Rule("scalar", 2, "one number each, a tensor with a gradient", 'chapter 1, "Algorithm 1"'),
    Rule(
        "log",
        2,
        "logarithms of D's probabilities, through one sigmoid",
        'chapter 5, "The loss: log D, smoothed on one side"',
    ),
    Rule(REAL, 2, "D's loss -log D(x) on real images: label 1, or 0.9", 'chapter 1, "The value of the game"'),
    Rule(FAKE, 2, "D's loss -log(1 - D(G(z))) on fakes: label 0", 'chapter 2, "Softening the labels"'),
    Rule(GENERATOR, 2, "G's loss -log D(G(z)): fakes with label 1", 'chapter 2, "One sample, two weights"'),
)


def check_losses(d_loss: Any, g_loss: Any, logits: bool = False, D: Any = None) -> Report:
    """Check `d_loss(real_out, fake_out)` and `g_loss(fake_out)`: outputs of D (N, 1) or (N,) to a scalar.

    D's outputs are probabilities, or logits when `logits=True`. D's two terms may be added or averaged, the
    label of real images may be 0.9. With `D` the losses are to take outputs of its shape, else of either. Ten
    points, printed rule by rule. Taught in chapters 1, 2 and 5.
    """

    def body(sheet: Sheet, clock: Clock) -> None:
        _check(sheet, clock, d_loss, g_loss, bool(logits), _shapes(clock, D))

    return judged("check_losses", LOSSES, body, d_loss, g_loss)


def _shapes(clock: Clock, D: Any) -> tuple[tuple[int, ...], ...]:
    """Return the shape of D's outputs for N images, where D has one of the two that are right, else both."""
    known = ((N, 1), (N,))
    out = None
    if not issubclass(type(D), Blank):
        with untouched(D):
            out = plain(attempt(clock, own_copy(D), torch.zeros(N, *SIZE)).value)
    return tuple(shape for shape in known if out is not None and out.shape == shape) or known


def _check(
    sheet: Sheet, clock: Clock, d_loss: Any, g_loss: Any, logits: bool, shapes: tuple[tuple[int, ...], ...]
) -> None:
    even = torch.linspace(0.05, 0.95, BATCHES * 2 * N, dtype=torch.float64)
    p = even[torch.randperm(len(even))].reshape(BATCHES, 2, N)  # what D says to real and to fake images
    of_d = _asked(clock, "d_loss", d_loss, p, logits, shapes)
    of_g = _asked(clock, "g_loss", g_loss, p[:, 1:], logits, shapes)
    troubles = [asked.trouble for asked in (of_d, of_g) if asked.trouble]
    hint = troubles[0][1] if troubles else ""
    sheet.judge("scalar", not troubles, "; ".join(found for found, _ in troubles) or "both are", hint)
    fits = _fits((REAL, FAKE), of_d, p) | _fits((GENERATOR,), of_g, p[:, 1:])
    judge_log(sheet, fits, logits, of_d.raw or of_g.raw)
    for place in fits:
        judge_side(sheet, place, fits)
    judge_weights(sheet, fits, N)
    if fits and all(one.kind == LOG for one in fits.values()):
        _certain(sheet, clock, d_loss, g_loss, logits)


# ------------------------------------------------------------------ what a loss answers


@dataclass(frozen=True)
class Asked:
    """What a loss answers to probabilities (BATCHES, S, N) on S sides: values (BATCHES,), slopes as those.

    The slopes are those with respect to the logits, times N. `trouble` keeps it from being one number with a
    gradient: found and hint. It `refused` what it was given; `raw` says that it took no logits.
    """

    values: Tensor | None = None
    slopes: Tensor | None = None
    trouble: tuple[str, str] | None = None
    refused: bool = False
    raw: bool = False


def _asked(
    clock: Clock, name: str, loss: Any, p: Tensor, logits: bool, shapes: tuple[tuple[int, ...], ...]
) -> Asked:
    """Ask a loss with outputs of each shape; one that refuses logits, with probabilities."""
    refused = []
    for raw in (False, True) if logits else (False,):
        for shape in shapes:
            asked = _ask(clock, name, loss, p, logits and not raw, shape)
            if not asked.refused:
                return replace(asked, raw=raw)
            refused.append(asked)
    return refused[0]


def _ask(clock: Clock, name: str, loss: Any, p: Tensor, logits: bool, shape: tuple[int, ...]) -> Asked:
    values, slopes, trouble = [], [], None
    for batch in p:
        outs = [(side.logit() if logits else side).float().view(shape) for side in batch]
        outcome = ask(clock, _sloped, loss, outs)
        if outcome.error is not None:
            return Asked(trouble=(f"{name}: {outcome.error}", _error_hint(outcome.error)), refused=True)
        value, grads = outcome.value
        number = _number(value)
        trouble = trouble or _trouble(name, value, number)
        if number is None or not torch.tensor(number).isfinite():
            return Asked(trouble=trouble, refused=number is not None)
        values.append(number)
        to_logits = 1 if logits else batch * (1 - batch)
        slopes.append(N * to_logits * torch.stack(grads).view_as(batch) if grads else None)
    sloped = [slope for slope in slopes if slope is not None]
    return Asked(torch.tensor(values), torch.stack(sloped) if len(sloped) == BATCHES else None, trouble)


def _sloped(loss: Callable[..., Any], outs: Sequence[Tensor]) -> tuple[Any, list[Tensor]]:
    """Return the value of a loss and its gradients with respect to D's outputs; none for a value without."""
    torch.manual_seed(0)
    leaves = [out.clone().requires_grad_() for out in outs]
    value = loss(*(leaf.clone() for leaf in leaves))
    if not isinstance(value, Tensor) or not value.requires_grad or value.numel() != 1:
        return value, []
    grads = torch.autograd.grad(value.sum(), leaves, allow_unused=True)
    return value, [torch.zeros_like(o) if g is None else g for o, g in zip(leaves, grads, strict=True)]


def _number(value: Any) -> float | None:
    tensor = plain(value)
    if tensor is not None and tensor.numel() == 1:
        return tensor.item()
    return float(value) if isinstance(value, float | int) else None


def _trouble(name: str, value: Any, number: float | None) -> tuple[str, str] | None:
    """Say what keeps a value from being one number with a gradient."""
    if number is not None and number != number:
        return f"{name} gives nan", "a logarithm of a negative number? Look at what goes into log"
    if isinstance(value, Tensor) and value.numel() != 1:
        found = f"{name} gives a tensor of shape {tuple(value.shape)}"
        return found, "take the mean over the batch, so that one number is left"
    if isinstance(value, Tensor) and value.requires_grad:
        return None
    if isinstance(value, Tensor):
        return f"{name} gives a number without gradient", "backward needs it: no detach, no torch.tensor(...)"
    if number is not None:
        return f"{name} gives a plain number", "return the tensor: .item() and float() cut the gradient"
    return f"{name} gives a {type(value).__name__}", "return one number, as a tensor: is there a return?"


def _error_hint(error: str) -> str:
    said = error.split(" (at `")[0]  # without the student's line
    if "positional argument" in said or "not callable" in said:
        return "hand over two functions: d_loss takes D's outputs on real and on fake images, g_loss on fakes"
    if "inplace" in said:
        return "make new labels for each term: fill_ overwrites those that backward still needs"
    if "size" in said or "shape" in said:
        return "make labels that fit the outputs: torch.ones_like(out), torch.zeros_like(out)"
    if "between 0 and 1" in said:
        return "BCELoss takes probabilities; is everything that goes into it between 0 and 1?"
    return "the arguments are D's outputs, float tensors (N, 1); labels are floats too: torch.ones_like(out)"


# ------------------------------------------------------------------ what its slopes say


def _fits(places: tuple[str, ...], asked: Asked, p: Tensor) -> dict[str, Fit]:
    if asked.slopes is not None:
        return {place: fit(p[:, i], asked.slopes[:, i], N) for i, place in enumerate(places)}
    return _by_value(places, asked.values, p) if asked.values is not None else {}


def _by_value(places: tuple[str, ...], values: Tensor, p: Tensor) -> dict[str, Fit]:
    """Look for labels and a weight that give the values, which are all there is without a gradient."""
    for labels in product((1.0, 0.9, 0.0, 0.1), repeat=len(places)):
        for weight in (1.0, 0.5, -1.0, -0.5, float(N), N / 2):
            target = torch.tensor(labels, dtype=p.dtype)[None, :, None].expand_as(p)
            terms = F.binary_cross_entropy(p, target, reduction="none").mean(2).sum(1)
            if torch.allclose(weight * terms, values.double(), rtol=1e-4):
                return {place: Fit(LOG, t, weight) for place, t in zip(places, labels, strict=True)}
    return {}


def _certain(sheet: Sheet, clock: Clock, d_loss: Any, g_loss: Any, logits: bool) -> None:
    """Remark on losses that are not finite where D is certain."""
    out = torch.tensor([[0.0], [1.0], [0.5], [0.5]])
    real, fake = (300 * (2 * o - 1) if logits else o for o in (out, out.flip(0)))
    endless = []
    for name, loss, outs in (("d_loss", d_loss, (real, fake)), ("g_loss", g_loss, (fake,))):
        value, grads = attempt(clock, _sloped, loss, outs).value or (0.0, [])
        if any(not torch.as_tensor(x).isfinite().all() for x in (_number(value) or 0.0, *grads)):
            endless.append(name)
    if endless:
        where = "logits of 300" if logits else "probabilities of exactly 0 or 1"
        remedy = (
            "BCEWithLogits stays finite" if logits else "BCELoss stays finite, since it cuts the logarithm"
        )
        sheet.remark(f"{' and '.join(endless)}: not finite at {where}; {remedy}")
