"""What the check of interpolation judges: pictures between two z, by the z that can be read from them."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor

from gancourse.assignment.grids import SIDE, numbers
from gancourse.assignment.guard import Clock, Outcome
from gancourse.assignment.judge import ask
from gancourse.assignment.painter import LATENT_DIM, Note, Painter, judge_mode
from gancourse.assignment.report import Sheet

STEPS, OTHER = 8, 5
CLOSE = 1e-2  # of the norm of z

_T = "torch.linspace(0, 1, steps) has steps values, both ends among them"


def _ends() -> tuple[Tensor, Tensor]:
    """Return z1 and z2 (100,), of different norms and not orthogonal: shortcuts of the arc show."""
    a, b = torch.randn(2, LATENT_DIM, generator=torch.Generator().manual_seed(4))
    return 0.9 * a, 1.1 * (0.4 * a + 0.9 * b)


@dataclass
class _Row:
    """One call: what came back, its pictures (N, 1, 28, 28), G's notes, whether its mode was kept."""

    made: Outcome
    pictures: Tensor | None
    notes: list[Note]
    kept: bool

    @property
    def whole(self) -> bool:
        """Whether the shape is the right one; pictures of another shape are judged all the same."""
        shape = getattr(numbers(self.made.value), "shape", ())
        listed = isinstance(self.made.value, list | tuple)
        return listed or tuple(shape[1:]) == (1, SIDE, SIDE)


def judge_walk(sheet: Sheet, clock: Clock, interpolate: Any, arc: bool) -> None:
    """Judge all rules of the check: count and shape, ends, path (with `arc` the spherical one), mode of G."""
    if not callable(interpolate):
        hint = "hand over the function, not its pictures: check_interpolation(interpolate)"
        return sheet.failed("shape", f"a {type(interpolate).__name__}", hint)
    row = _row(clock, interpolate, STEPS)
    if not _shape(sheet, row) or row.pictures is None:
        return None
    _steps(sheet, row, _row(clock, interpolate, OTHER))
    if row.pictures.isfinite().all() and len(row.pictures) > 1:
        _walk(sheet, row, arc)
    elif len(row.pictures) > 1:
        hint = "NaN in slerp: arccos takes the cosine of z1 and z2, their dot product over both norms"
        sheet.failed("path", "pixels that are not finite", hint)
    if row.notes:
        evaluated = _row(clock, interpolate, STEPS, training=False)
        judge_mode(sheet, row.notes, training_kept=row.kept, evaluation_kept=evaluated.kept)
    return None


def _row(clock: Clock, interpolate: Any, steps: int, training: bool = True) -> _Row:
    """Call interpolate with z (100,) or (1, 100), steps by name or place: the first that gives pictures."""
    rows = []
    for (z1, z2), named in product(_shapes(), (True, False)):
        painter = Painter().train(training)
        places = () if named else (steps,)
        names = {"steps": steps} if named and steps != STEPS else {}  # 8 is the default
        made = ask(clock, interpolate, painter, z1.clone(), z2.clone(), *places, **names)
        pictures = None if made.error is not None else _pictures(made.value)
        rows.append(_Row(made, pictures, [*painter.notes], painter.keeps(training)))
        if pictures is not None:
            return rows[-1]
    return rows[0]


def _shapes() -> Iterator[tuple[Tensor, Tensor]]:
    z1, z2 = _ends()
    yield z1, z2
    yield z1[None], z2[None]


def _pictures(value: Any) -> Tensor | None:
    """Return the pictures (N, 1, 28, 28) in a tensor, an array or a list; None if there are none."""
    if isinstance(value, list | tuple):
        parts = [numbers(part) for part in value]
        sizes = {0 if part is None else part.numel() for part in parts}
        value = torch.stack([p.flatten() for p in parts if p is not None]) if sizes == {SIDE * SIDE} else None
    values = numbers(value)
    if values is None or values.ndim < 2 or len(values) == 0 or values[0].numel() != SIDE * SIDE:
        return None
    return values.reshape(-1, 1, SIDE, SIDE)


# ------------------------------------------------------------------ the rules


def _shape(sheet: Sheet, row: _Row) -> bool:
    """Judge the rule `shape`; return whether there are pictures to be judged further."""
    hint = "G takes all z at once, (steps, 100), and gives pictures (steps, 1, 28, 28): return these"
    if row.made.error is not None:
        sheet.failed("shape", row.made.error, hint)
        return False
    values = numbers(row.made.value)
    shape = "" if values is None else f" of shape {tuple(values.shape)}"
    met = row.pictures is not None and row.whole
    sheet.judge("shape", met, f"a {type(row.made.value).__name__}{shape}", hint)
    if met and not isinstance(row.made.value, Tensor):
        kind = type(row.made.value).__name__
        sheet.remark(f"the pictures come as a {kind}; one tensor (8, 1, 28, 28) is what others expect")
    elif met and row.made.value.requires_grad:
        sheet.remark("the pictures carry gradients; torch.no_grad() spares their memory")
    return row.pictures is not None


def _steps(sheet: Sheet, row: _Row, other: _Row) -> None:
    """Judge the rule `steps`: as many pictures as were asked for."""
    assert row.pictures is not None
    if other.pictures is None:
        found = f"for steps={OTHER} {other.made.error or 'no pictures'}"
        return sheet.failed("steps", found, "the fourth argument is the number of steps: steps=8")
    counts = len(row.pictures), len(other.pictures)
    hint = _T if counts[0] != STEPS else "use the argument steps, not the number 8"
    sheet.judge("steps", counts == (STEPS, OTHER), f"{counts[0]}, and {counts[1]} for steps={OTHER}", hint)
    return None


def _walk(sheet: Sheet, row: _Row, arc: bool) -> None:
    """Judge the rules `path` and `ends`; where the path is lost, ends that are not right are not judged."""
    assert row.pictures is not None
    z, off = _read(sheet, row.pictures)
    basis = torch.stack(_ends())
    weights = torch.linalg.lstsq(basis.T, z.T).solution.T
    norms = basis.norm(dim=1)
    beside = (z - weights @ basis).norm(dim=1) / norms.mean()
    far = (weights * norms)[:, 1] / (weights * norms).sum(1).clamp(min=1e-6)  # how far on the way, 0 to 1
    fault = _fault(row, z, off, beside, weights, far) or (_off_the_arc(z) if arc else None)
    found, hint = fault or ("points between z1 and z2, in order", "")
    sheet.judge("path", not fault, found, hint)
    if not fault and far.diff().abs().max() > 3 * far.diff().abs().min():
        sheet.remark("the steps are uneven; torch.linspace(0, 1, steps) makes them even")
    right = [
        bool((end - z_end).norm() < CLOSE * end.norm()) for end, z_end in zip(basis, z[[0, -1]], strict=True)
    ]
    if all(right) or not fault:
        rounded = (weights[[0, -1]] + 1e-6).tolist()  # no -0.00
        found = "from " + " to ".join(f"{a:.2f} z1 + {b:.2f} z2" for a, b in rounded)
        sheet.judge("ends", all(right), found, _hint_of_ends(far, weights[-1]))


def _read(sheet: Sheet, pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Return the z (N, 100) of pictures in [-1, 1], or in [0, 1], and how far (N,) they are from G's own."""
    painter = Painter()
    z, off = painter.read(pictures)
    scaled_z, scaled_off = painter.read(2 * pictures - 1)
    if off.max() > CLOSE >= scaled_off.max():
        sheet.remark("the pictures are in [0, 1]; G's own are in [-1, 1]")
        return scaled_z, scaled_off
    return z, off


def _fault(
    row: _Row, z: Tensor, off: Tensor, beside: Tensor, weights: Tensor, far: Tensor
) -> tuple[str, str] | None:
    """Say what is wrong with a path and where to look; nothing where it is right."""
    if not row.notes:
        return (
            "pictures without a call of the G handed over",
            "draw with the argument G, not with another one",
        )
    if off.max() > CLOSE:
        hint = (
            "mix z1 and z2, then draw: G((1 - t) * z1 + t * z2); a mixture of pictures is a double exposure"
        )
        return f"{int((off > CLOSE).sum())} pictures that G did not draw", hint
    if (z - z[0]).norm(dim=1).max() < CLOSE * z[0].norm():
        return "the same picture at each step", "does t change, and does z change with it?"
    if beside.max() > CLOSE:
        return "z that are no mixture of z1 and z2", "z depends on z1, z2 and t alone: no fresh noise between"
    if weights.min() < -CLOSE:
        hint = "weights go from 0 to 1; slerp's angle is the arccosine of dot(z1, z2) / (norm(z1) * norm(z2))"
        return f"a weight of {weights.min():.2f}", hint
    if not ((far.diff() > 1e-3).all() or (far.diff() < -1e-3).all()):
        return "steps that stand still or go back", _T
    return None


def _off_the_arc(z: Tensor) -> tuple[str, str] | None:
    """Say why a path (N, 100) is not the arc between its ends: it comes nearer to 0 than they are."""
    norms = z.norm(dim=1)
    if norms.min() < 0.98 * norms[[0, -1]].min():
        share = norms.min() / norms[[0, -1]].min()
        hint = "slerp's weights are sin((1 - t) * angle) / sin(angle) and sin(t * angle) / sin(angle)"
        return f"z on the chord: the shortest has {share:.0%} of the length of the shorter end", hint
    return None


def _hint_of_ends(far: Tensor, last: Tensor) -> str:
    if far[0] > far[-1]:
        return "from z1 to z2, not back: (1 - t) * z1 + t * z2"
    if far[0] > CLOSE or (far[-1] < 1 - CLOSE and last[1] < 1 - CLOSE):
        return f"{_T}, where range(steps) / steps and arange miss one"
    return "the weights are 1 and 0 at the start, 0 and 1 at the end, and multiply z1 and z2 themselves"
