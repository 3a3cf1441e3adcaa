"""The check of the Fréchet distance: it is called on features whose distance the theorem gives."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gancourse.assignment.frechet_facts import (
    N,
    covariance_hint,
    gaussian,
    is_right,
    mean_mistakes,
    near,
    scale,
    theorem,
)
from gancourse.assignment.guard import Clock, Outcome, attempt
from gancourse.assignment.judge import ask, judged
from gancourse.assignment.report import Report, Rule, Sheet

FEW, MANY = 12, 32  # samples and features
CLOSE_FEW = 2e-2  # a root of a singular matrix keeps half of the digits

_GOOD = 'chapter 5, "Is it any good? A distance between sets of images"'
_THEOREM = 'chapter 8, "The distance between two Gaussians"'
_COMPLEX = 'chapter 8, "Why the root was complex"'

FID = (
    Rule("number", 1, "a real, finite number for features (N, F) and (M, F)", _GOOD),
    Rule("rows", 2, "a row to be a sample: N may differ from M, and the order is free", _GOOD),
    Rule("both", 1, "a distance between the two sets handed over", _GOOD),
    Rule("squared", 1, "the squared distance, without a last root", _THEOREM),
    Rule("means", 2, "‖d‖² more when every row of one set is moved by d", _THEOREM),
    Rule("covariances", 2, "tr(C1 + C2 - 2 (C1 C2)^½) where the means agree", _THEOREM),
    Rule("few", 1, "a real number for fewer samples than features too", _COMPLEX),
)

Call = Callable[[Tensor, Tensor], Outcome]
Measure = Callable[[Tensor, Tensor], float]


def check_fid(fid: Any) -> Report:
    """Check `fid(real_features (N, F), fake_features (M, F))` -> float. Taught in chapters 5 and 8.

    It is handed float tensors, and arrays if it cannot take tensors; a tensor of one number is a float too.
    Its values are compared with those of the theorem. Ten points, printed rule by rule.
    """
    return judged("check_fid", FID, lambda sheet, clock: _fid(sheet, clock, fid), fid)


def _fid(sheet: Sheet, clock: Clock, fid: Any) -> None:
    if not callable(fid):
        hint = "hand over the function itself, not what it returns: check_fid(fid)"
        return sheet.failed("number", f"a {type(fid).__name__}", hint)

    def call(real: Tensor, fake: Tensor) -> Outcome:
        return _asked(clock, fid, real, fake)

    X, Y = gaussian(0, mean=0.5), gaussian(1, mean=-0.5)
    first = call(X, Y)
    if _reads_columns(call):  # before all else: a root of a singular matrix may raise, or give NaN
        for name in ("number", "both", "squared", "covariances"):
            sheet.passed(name, "right for transposed features")
        return sheet.failed("rows", "the columns are taken for samples", _COLUMNS)
    if not _number(sheet, first) or not _rows(sheet, call, X, Y, first.value) or not _both(sheet, call, X, Y):
        return None
    measure = _squared(sheet, _real_part(call), X, Y)
    exact = [_means(sheet, measure), _covariances(sheet, measure)]
    return _few(sheet, call, measure if all(exact) else None, lenient=first.value.imag != 0)


def _asked(clock: Clock, fid: Any, real: Tensor, fake: Tensor) -> Outcome:
    """Return the complex number that fid gives for tensors, or for arrays if it cannot take tensors."""
    made = ask(clock, fid, real.clone(), fake.clone())
    if made.error is not None:
        arrays = ask(clock, fid, real.numpy().copy(), fake.numpy().copy())
        made = made if arrays.error is not None else arrays
    if made.error is not None:
        return made
    number = attempt(clock, complex, made.value)
    if number.error is None and type(number.value) is complex and not isinstance(made.value, str | bool):
        return number
    shape = f" {tuple(made.value.shape)}" if isinstance(made.value, Tensor | np.ndarray) else ""
    return Outcome(error=f"a {type(made.value).__name__}{shape} in place of a number")


_NUMBER = "fid takes real (N, F) and fake features (M, F); its last line returns one number"


def _number(sheet: Sheet, first: Outcome) -> bool:
    """Judge the rule `number`; what is complex can still be judged further, by its real part."""
    if first.error is not None:
        sheet.failed("number", first.error, _NUMBER)
    elif not torch.tensor(first.value).isfinite():
        hint = "print the means, the covariances and their root one by one: which is the first with a NaN?"
        sheet.failed("number", f"{first.value.real}", hint)
    else:
        hint = "the root of a product of two covariances is real but for rounding: return the real part"
        sheet.judge("number", first.value.imag == 0, _text(first.value), hint)
        return True
    return False


def _rows(sheet: Sheet, call: Call, X: Tensor, Y: Tensor, first: complex) -> bool:
    """Judge the rule `rows`: sets of different sizes, and rows in another order."""
    fewer, mixed = call(X, Y[: N // 2]), call(X.flip(0), Y.roll(7, 0))
    if fewer.error is not None:
        found = f"{fewer.error}, for {N} real and {N // 2} fake features"
        return sheet.judge("rows", False, found, _COLUMNS)
    same = mixed.error is None and near(mixed.value.real, first.real, abs(first))
    found = "the same in any order" if same else "another value for the same rows in another order"
    return sheet.judge("rows", same, found, _COLUMNS)


_COLUMNS = (
    "each row is a sample: np.cov needs rowvar=False, torch.cov the transpose, the mean is over dim 0, and no"
    " row of one set belongs to a row of the other"
)


def _reads_columns(call: Call) -> bool:
    """Tell whether fid gives for transposed features what it should give for the features themselves."""
    X, Y = gaussian(5), gaussian(6)
    Y += (X - Y).mean(1, keepdim=True)  # both means agree, over the features too
    seen = call(X.T.contiguous(), Y.T.contiguous())
    return seen.error is None and any(near(seen.value.real, t, t, CLOSE_FEW) for t in theorem(X, Y))


def _both(sheet: Sheet, call: Call, X: Tensor, Y: Tensor) -> bool:
    """Judge the rule `both`: another real or another fake set has another distance."""
    Z, measure = gaussian(2, mean=1.0), _real_part(call)
    at, other = measure(X, Y), {"real": measure(Z, Y), "fake": measure(X, Z)}
    ignored = [name for name, value in other.items() if near(value, at, at, 1e-6)]
    found = f"{at:.4g} with other {' and '.join(ignored)} features too" if ignored else "it depends on both"
    hint = "is one set used twice, or a variable of the notebook in place of an argument?"
    return sheet.judge("both", not ignored, found, hint)


def _squared(sheet: Sheet, measure: Measure, X: Tensor, Y: Tensor) -> Measure:
    """Judge the rule `squared`; return what measures the square, so that one mistake counts once."""
    pairs = [(X, Y), (gaussian(2, mean=1.0), Y)]
    values = [(measure(*pair), theorem(*pair)) for pair in pairs]
    rooted = all(any(near(v * v, t, t) for t in expected) for v, expected in values)
    found = f"{values[0][0]:.4g}, the root of {values[0][0] ** 2:.4g}" if rooted else "no root of the sum"
    hint = "leave the last square root out: its square is what FID is"
    sheet.judge("squared", not rooted, found, hint)
    return (lambda real, fake: measure(real, fake) ** 2) if rooted else measure


def _means(sheet: Sheet, measure: Measure) -> bool:
    """Judge the rule `means`: by how much the distance grows does not depend on the covariances."""
    A, B, d = gaussian(3), gaussian(4), torch.tensor([2.0, -1.0, 1.0, -1.0, 0.5, 1.0])
    grown, right = measure(A, B + d) - measure(A, B), d.square().sum().item()
    hints = [hint for hint, value in mean_mistakes(A, B, d).items() if near(grown, value, right)]
    hint = next(iter(hints), "add the sum of the squared differences of the means")
    found = f"{grown:.4g} more for d with ‖d‖² = {right:g}"
    return sheet.judge("means", near(grown, right, right), found, hint)


def _covariances(sheet: Sheet, measure: Measure) -> bool:
    """Judge the rule `covariances`: for one set twice, for the same set doubled, and for any two sets."""
    A, B = gaussian(3), gaussian(4)
    seen = [(measure(*pair), theorem(*pair), pair) for pair in ((A, B), (A, 2 * A), (A, A.clone()))]
    off = [(value, right[0]) for value, right, pair in seen if not is_right(value, *pair)]
    value, right = off[0] if off else (seen[0][0], seen[0][1][0])
    hint = covariance_hint(seen[0][0], A, B)
    met = sheet.judge("covariances", not off, f"{value:.4g}, by the theorem {right:.4g}", hint)
    if met and not near(seen[0][0], right, scale(A, B)):
        sheet.remark("the covariance is divided by N; np.cov and torch.cov divide by N - 1")
    return met


def _few(sheet: Sheet, call: Call, measure: Measure | None, *, lenient: bool) -> None:
    """Judge the rule `few`: a real number, and the right one where nothing else is wrong."""
    generator = torch.Generator().manual_seed(7)
    A, B = torch.randn(2, FEW, MANY, generator=generator) * torch.tensor([1.0, 2.0])[:, None, None]
    seen = call(A, B)
    number = complex("nan") if seen.error is not None else seen.value
    real = bool(torch.tensor(number).isfinite()) and (lenient or number.imag == 0)
    met = real and (measure is None or is_right(measure(A, B), A, B, CLOSE_FEW))
    found = f"{seen.error or _text(number)} for {FEW} samples of {MANY} features"
    found += "" if met or not real else f", by the theorem {theorem(A, B)[0]:.4g}"
    hint = "rounding turns eigenvalues of 0 into -1e-15, whose root is complex or NaN: take the real part, or"
    sheet.judge("few", met, found, f"{hint} clamp them at 0")


def _real_part(call: Call) -> Measure:
    def measure(real: Tensor, fake: Tensor) -> float:
        seen = call(real, fake)
        return float("nan") if seen.error is not None else float(seen.value.real)

    return measure


def _text(number: complex) -> str:
    return f"{number.real:.4g}" if number.imag == 0 else f"the complex {number:.4g}"
