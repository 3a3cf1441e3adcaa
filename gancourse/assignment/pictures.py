"""Checks of the pictures that a generator is watched by: a sheet of fixed noise, a row between two z."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gancourse.assignment.grids import as_picture, layouts, numbers, recognized, tiles, without_figures
from gancourse.assignment.guard import Clock, Outcome, attempt
from gancourse.assignment.judge import ask, judged
from gancourse.assignment.painter import Note, Painter, judge_mode
from gancourse.assignment.record import modules_in
from gancourse.assignment.report import Report, Rule, Sheet
from gancourse.assignment.walks import judge_walk

_TRAINING = 'chapter 5, "Training"'
_BETWEEN = 'chapter 5, "Between two latent vectors"'
_BATCH = 'chapter 5, "What BatchNorm costs: samples that know each other"'
_MODE = "G in evaluation mode while it draws, and in its own mode afterwards"

PROGRESS = (
    Rule("picture", 3, "one picture (C, H, W): eight rows of eight images of G", _TRAINING),
    Rule("noise", 3, "the same noise at each call", _TRAINING),
    Rule("variety", 1, "64 different z", _TRAINING),
    Rule("mode", 2, _MODE, _BATCH),
    Rule("argument", 1, "the images of the G that is handed over", _TRAINING),
)
INTERPOLATION = (
    Rule("shape", 1, "one tensor of pictures (8, 1, 28, 28)", _BETWEEN),
    Rule("steps", 2, "8 pictures, and 5 for steps=5", _BETWEEN),
    Rule("ends", 2, "the first picture to be G(z1), the last G(z2)", _BETWEEN),
    Rule("path", 3, "each picture to be drawn by G, from points on the way from z1 to z2", _BETWEEN),
    Rule("mode", 2, _MODE, _BATCH),
)


def check_progress(render: Any, G: Any) -> Report:
    """Check `render(G)` -> one picture (C, H, W): eight rows of eight images, of the same noise at each call.

    One or three channels, in [0, 1], [-1, 1] or bytes, with gaps or without, as `make_grid` makes it. It is
    judged with a generator of the check's own, then called with yours, which is left as it was. Taught in
    chapter 5. Ten points, printed rule by rule.
    """
    held = attempt(Clock(), modules_in, render).value or []

    def body(sheet: Sheet, clock: Clock) -> None:
        with without_figures():
            _progress(sheet, clock, render, G)

    return judged("check_progress", PROGRESS, body, render, G, *held)


def check_interpolation(interpolate: Any, arc: bool = False) -> Report:
    """Check `interpolate(G, z1 (100,), z2 (100,), steps=8)` -> pictures (8, 1, 28, 28). Taught in chapter 5.

    The G is the check's own; the z come as (1, 100) to whom (100,) does not suit. Straight lines and arcs are
    right, with `arc` arcs alone. Ten points, printed rule by rule.
    """
    held = attempt(Clock(), modules_in, interpolate).value or []

    def body(sheet: Sheet, clock: Clock) -> None:
        with without_figures():
            judge_walk(sheet, clock, interpolate, arc)

    return judged("check_interpolation", INTERPOLATION, body, interpolate, *held)


# ------------------------------------------------------------------ a sheet of fixed noise


@dataclass
class _Call:
    """One call of render: what came back, G's notes, whether its mode was kept, torch's state then."""

    made: Outcome
    notes: list[Note]
    kept: bool
    state: Tensor

    @property
    def z(self) -> Tensor:
        return torch.cat([torch.zeros(0, 100), *(note.z for note in self.notes)])


def _call(clock: Clock, render: Any) -> _Call:
    painter = Painter().train()
    made = ask(clock, render, painter)
    return _Call(made, [*painter.notes], painter.keeps(training=True), torch.get_rng_state())


def _progress(sheet: Sheet, clock: Clock, render: Any, G: Any) -> None:
    if not callable(render):
        hint = "hand over the function and G, not the picture: check_progress(render, G)"
        return sheet.failed("picture", f"a {type(render).__name__}", hint)
    before, first = torch.get_rng_state(), _call(clock, render)
    if first.made.error is not None:
        hint = "render takes G alone, and its last line returns the picture"
        return sheet.failed("picture", first.made.error, hint)
    second = _call(clock, render)
    images = _picture(sheet, first.made.value)
    if first.notes:
        _shown(sheet, images, first.z)
        judge_mode(sheet, first.notes, training_kept=first.kept, G=G)
    _noise(sheet, before, first, second)
    _argument(sheet, clock, render, G, called=bool(first.notes), finite=images is not None)
    return None


def _picture(sheet: Sheet, value: Any) -> Tensor | None:
    """Judge the rule `picture` by its form; return the 64 images (64, 28, 28)."""
    values = numbers(value)
    picture, unusual = (None, "") if values is None else as_picture(values)
    images = None if picture is None else tiles(picture)
    hint = "torchvision.utils.make_grid(images, nrow=8) makes one picture of 64 images: return it"
    if picture is None:
        found = f"a {type(value).__name__}" if values is None else f"the shape {tuple(values.shape)}"
        sheet.failed("picture", found, hint)
    elif images is None:
        rows = [f", {r} by {c} images" for r, c, _, _ in layouts(*picture.shape[1:])]
        sheet.failed("picture", f"the shape {tuple(picture.shape)}{next(iter(rows), '')}", hint)
    elif not images.isfinite().all():
        sheet.failed("picture", "pixels that are not finite", "how are the pixels scaled?")
    else:
        sheet.passed("picture", f"eight rows of eight, {tuple(picture.shape)}")
        for remark in _oddities(value, picture, unusual):
            sheet.remark(remark)
        return images
    return None


def _oddities(value: Any, picture: Tensor, unusual: str) -> Iterable[str]:
    """Yield what is unusual about a picture and harmless."""
    if unusual:
        yield unusual
    if not isinstance(value, Tensor):
        yield f"the picture is a {type(value).__name__}; the tensor of make_grid will do"
    elif value.requires_grad:
        yield "the picture carries gradients; torch.no_grad() spares their memory"
    if picture.min() < -1e-3:
        yield "values below 0 are all black in imshow: make_grid(..., normalize=True, value_range=(-1, 1))"


def _shown(sheet: Sheet, images: Tensor | None, z: Tensor) -> None:
    """Judge the rule `variety`, and `picture` once more: whether the 64 images are those that G drew."""
    if images is None:
        return
    which = recognized(images, Painter().paint(z))
    if (which < 0).any():
        found = f"{int((which < 0).sum())} of 64 places without an image that G drew"
        sheet.failed("picture", found, "draw 64 images and lay out these, unchanged")
    else:
        different = len(which.unique())
        hint = "give each place a vector of its own: torch.randn(64, 100)"
        sheet.judge("variety", different == len(which), f"{different} different", hint)


def _noise(sheet: Sheet, before: Tensor, first: _Call, second: _Call) -> None:
    """Judge the rule `noise`: the same G gives the same picture, however far the random numbers have come."""
    one, other = numbers(first.made.value), numbers(second.made.value)
    if second.made.error is not None or (one is None and not first.notes):
        return
    if one is None or other is None:
        one, other = first.z, second.z
    same = one.shape == other.shape and torch.allclose(one, other, atol=1e-3, equal_nan=True)
    hint = "draw the noise by a torch.Generator of a fixed seed, or once, in a line before the function"
    sheet.judge("noise", same, "the same twice" if same else "another picture of the same G", hint)
    if same and torch.equal(first.state, second.state) and not torch.equal(before, first.state):
        sheet.remark("each call seeds torch anew, training's noise too: use a torch.Generator of your own")


def _argument(sheet: Sheet, clock: Clock, render: Any, G: Any, *, called: bool, finite: bool) -> None:
    """Judge the rule `argument`: the check's G was called, and the student's can be drawn too.

    Its picture is to be `finite` if that of the check's G was.
    """
    if not called:
        hint = "the function draws with a variable of the notebook: let it use its argument"
        return sheet.failed("argument", "a picture without a call of the G handed over", hint)
    if isinstance(G, type):
        hint = f"hand over a network, not its class: G = {G.__name__}()"
        return sheet.failed("argument", f"the class {G.__name__}", hint)
    made = ask(clock, render, G)
    values = numbers(made.value)
    fine = made.error is None and (values is None or not finite or bool(values.isfinite().all()))
    found = made.error or ("a picture of your G" if fine else "a picture of your G that is not finite")
    sheet.judge("argument", fine, found, "does check_generator(G) give full marks?")
    return None
