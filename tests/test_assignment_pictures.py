"""The checks of the sheet and of the row between two z: a mistake fails its rule, right ones full marks."""

from __future__ import annotations

import copy
import random
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.utils import make_grid

from gancourse.assignment.pictures import INTERPOLATION, PROGRESS, check_interpolation, check_progress
from gancourse.assignment.report import DONE, Report, Rule
from gancourse.models import DCGANGenerator
from gancourse.plot import tile
from gancourse.sampling import evaluating, generate, lerp, slerp

BOOK = Path(__file__).parent.parent / "book"
Wrong = dict[str, tuple[Any, tuple[str, ...], str]]  # name: submission, rules that fail, words of the hint


def yours() -> nn.Module:
    """A student's G: small, in training mode, with BatchNorm."""
    return DCGANGenerator(width=4, generator=torch.Generator().manual_seed(0)).train()


fixed_z = torch.randn(64, 100, generator=torch.Generator().manual_seed(3))
unasked = yours()  # variables of the notebook


@torch.no_grad()
def drawn(G: nn.Module, z: Tensor) -> Tensor:
    G.eval()
    images = G(z)
    G.train()
    return images


# ------------------------------------------------------------------ render: right, in different styles


def render_by_the_book(G: nn.Module) -> Tensor:
    return make_grid(drawn(G, fixed_z), nrow=8, normalize=True, value_range=(-1, 1))


def render_with_its_mode(G: nn.Module) -> Tensor:
    was = G.training
    G.eval()
    with torch.no_grad():
        sheet = make_grid(G(fixed_z), padding=1, pad_value=0.5)
    G.train(was)
    return (sheet + 1) / 2


def render_one_row_after_another(G: nn.Module) -> Tensor:
    with evaluating(G):
        rows = [torch.cat([*G(z)], dim=2) for z in fixed_z.split(8)]
    return torch.cat(rows, dim=1)


def render_a_copy(G: nn.Module) -> Tensor:
    return make_grid(copy.deepcopy(G).eval()(fixed_z).detach(), scale_each=True, normalize=True)


def render_with_frozen_norms(G: nn.Module) -> Tensor:
    norms = [m for m in G.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    for norm in norms:
        norm.eval()
    images = G(fixed_z).detach()
    for norm in norms:
        norm.train()
    return make_grid(images)


def render_with_a_generator(G: nn.Module) -> Tensor:
    z = torch.randn(64, 100, generator=torch.Generator().manual_seed(7))
    return tile(generate(G, z))


def render_bytes(G: nn.Module) -> Tensor:
    return make_grid((drawn(G, fixed_z) * 127.5 + 127.5).round().to(torch.uint8))


def render_seeding(G: nn.Module) -> Tensor:
    torch.manual_seed(0)
    return make_grid(drawn(G, torch.randn(64, 100)))


def render_for_imshow(G: nn.Module) -> np.ndarray:
    return render_by_the_book(G).permute(1, 2, 0).numpy()


class Sheet:
    """Holds its noise from the first call on."""

    z: Tensor | None = None

    def __call__(self, G: nn.Module) -> Tensor:
        self.z = torch.randn(64, 100) if self.z is None else self.z
        return make_grid(drawn(G, self.z), nrow=8, padding=4)


def with_gradients(G: nn.Module) -> Tensor:
    G.eval()
    rows = [torch.cat([*G(z)], dim=2) for z in fixed_z.split(8)]
    G.train()
    return torch.cat(rows, dim=1)  # make_grid would have dropped the gradients


def render_and_show(G: nn.Module) -> Tensor:
    sheet = render_by_the_book(G)
    plt.subplots()[1].imshow(sheet.permute(1, 2, 0))
    return sheet


RIGHT_SHEETS: dict[str, tuple[Any, str]] = {  # name: submission, words of its remark
    "by the book": (render_by_the_book, ""),
    "its mode": (render_with_its_mode, ""),
    "rows": (render_one_row_after_another, "values below 0"),
    "a copy": (render_a_copy, ""),
    "frozen norms": (render_with_frozen_norms, "values below 0"),
    "a generator of its own": (render_with_a_generator, ""),
    "bytes": (render_bytes, ""),
    "seeding": (render_seeding, "seeds torch anew"),
    "an array": (render_for_imshow, "the channels are last"),
    "no channels": (lambda G: render_by_the_book(G)[0], "without channels"),
    "a batch of one": (lambda G: render_by_the_book(G)[None], ""),
    "PIL": (lambda G: Image.fromarray(render_bytes(G).permute(1, 2, 0).numpy()), "the tensor of make_grid"),
    "an object": (Sheet(), ""),
    "gradients": (with_gradients, "carries gradients"),
    "shown too": (render_and_show, ""),
}


@pytest.mark.parametrize("name", RIGHT_SHEETS)
def test_a_right_sheet_gets_full_marks(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    render, remark = RIGHT_SHEETS[name]
    report = check_progress(render, yours())
    said = capsys.readouterr().out
    assert report == Report(10, 10), said
    assert not remark or re.search(f"  ! .*{re.escape(remark)}", said), said


def test_a_usual_sheet_has_no_remark(capsys: pytest.CaptureFixture[str]) -> None:
    check_progress(render_by_the_book, yours())
    assert "!" not in capsys.readouterr().out


def test_a_generator_that_is_a_function_has_no_modes() -> None:
    weights = torch.randn(100, 784)

    def draw(z: Tensor) -> Tensor:
        return torch.tanh(z @ weights).view(-1, 1, 28, 28)

    assert check_progress(lambda G: make_grid(G(fixed_z)), draw) == Report(10, 10)


# ------------------------------------------------------------------ render: wrong


def new_noise(G: nn.Module) -> Tensor:
    return make_grid(drawn(G, torch.randn(64, 100)))


def training_mode(G: nn.Module) -> Tensor:
    with torch.no_grad():
        return make_grid(G(fixed_z))


def left_on(G: nn.Module) -> Tensor:
    G.eval()
    with torch.no_grad():
        return make_grid(G(fixed_z))


def norms_left_on(G: nn.Module) -> Tensor:
    G.apply(lambda m: m.eval() if "BatchNorm" in type(m).__name__ else m)
    return make_grid(G(fixed_z).detach())


def shown(G: nn.Module) -> None:
    drawn(G, fixed_z)  # and plt.imshow, whose figure is not returned


def another_picture(G: nn.Module) -> Tensor:
    drawn(G, fixed_z)
    return make_grid(torch.linspace(-1, 1, 64 * 784).view(64, 1, 28, 28))


WRONG_SHEETS: Wrong = {
    "not a function": (torch.zeros(3, 242, 242), ("picture",), "not the picture"),
    "an error": (lambda G: G(fixed_z, 1), ("picture",), "render takes G alone"),
    "two arguments": (lambda G, z: make_grid(G(z)), ("picture",), "render takes G alone"),
    "wrong noise": (lambda G: make_grid(drawn(G, fixed_z[:, :64])), ("picture",), "render takes G alone"),
    "shown, not returned": (shown, ("picture",), "return it"),
    "a stack": (lambda G: drawn(G, fixed_z), ("picture",), "make_grid(images, nrow=8)"),
    "four by four": (lambda G: make_grid(drawn(G, fixed_z[:16]), nrow=4), ("picture",), "make_grid(images"),
    "sixteen in two rows": (lambda G: make_grid(drawn(G, fixed_z[:16])), ("picture",), "of 64 images"),
    "one row of 64": (lambda G: make_grid(drawn(G, fixed_z), nrow=64), ("picture",), "nrow=8"),
    "ten rows": (lambda G: make_grid(drawn(G, torch.cat([fixed_z, fixed_z[:16]]))), ("picture",), "of 64"),
    "a list": (lambda G: [*drawn(G, fixed_z)], ("picture",), "one picture of 64 images"),
    "another picture": (another_picture, ("picture",), "lay out these"),
    "63 images": (lambda G: make_grid(drawn(G, fixed_z[:63])), ("picture",), "draw 64 images"),
    "NaN": (lambda G: make_grid(drawn(G, fixed_z)) / 0, ("picture",), "how are the pixels scaled"),
    "new noise": (new_noise, ("noise",), "in a line before the function"),
    "one z": (lambda G: make_grid(drawn(G, fixed_z[:1].repeat(64, 1))), ("variety",), "a vector of its own"),
    "eight z": (
        lambda G: make_grid(drawn(G, fixed_z[:8].repeat(8, 1))),
        ("variety",),
        "torch.randn(64, 100)",
    ),
    "training mode": (training_mode, ("mode",), "call G.eval() before"),
    "another G in evaluation mode": (
        lambda G: unasked.eval() and training_mode(G),
        ("mode",),
        "G.eval() before",
    ),
    "evaluation mode left on": (left_on, ("mode",), "G.train(was) after drawing"),
    "norms left in evaluation mode": (norms_left_on, ("mode",), "G.train(was) after drawing"),
    "another G": (lambda G: render_by_the_book(unasked), ("argument",), "let it use its argument"),
}


@pytest.mark.parametrize("name", WRONG_SHEETS)
def test_a_wrong_sheet_fails_its_rule_and_no_other(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    render, failed, words = WRONG_SHEETS[name]
    judge(check_progress(render, yours()), failed, words, capsys.readouterr().out, PROGRESS)


def judge(report: Report, failed: tuple[str, ...], words: str, said: str, rules: tuple[Rule, ...]) -> None:
    assert report.failed == failed, said
    hints = [line for line in said.splitlines() if "hint: " in line]
    assert len(hints) == 1
    assert words in hints[0]
    assert report.score <= 10 - next(rule.points for rule in rules if rule.name == failed[0])


@pytest.mark.parametrize("G", [nn.Linear(3, 3), DCGANGenerator, 3.0, lambda z: 1 / 0])
def test_a_generator_that_does_not_draw_fails_the_argument(G: Any) -> None:
    assert check_progress(render_with_its_mode, G) == Report(9, 10, ("argument",))


@pytest.mark.parametrize(
    ("name", "score"),
    [("shown, not returned", 6), ("four by four", 6), ("new noise", 7), ("training mode", 8), ("one z", 9)],
)
def test_what_a_wrong_sheet_costs(name: str, score: float) -> None:
    assert check_progress(WRONG_SHEETS[name][0], yours()).score == score


def test_two_mistakes_fail_two_rules() -> None:
    report = check_progress(lambda G: make_grid(G(torch.randn(64, 100)).detach()), yours())
    assert report == Report(5, 10, ("mode", "noise"))


# ------------------------------------------------------------------ interpolate: right, in different styles


def by_the_book(G: nn.Module, z1: Tensor, z2: Tensor, steps: int = 8) -> Tensor:
    t = torch.linspace(0, 1, steps)[:, None]
    return drawn(G, (1 - t) * z1 + t * z2)


def in_a_loop(G: nn.Module, z1: Tensor, z2: Tensor, steps: int = 8) -> Tensor:
    was, images = G.training, []
    G.eval()
    with torch.no_grad():
        for i in range(steps):
            images.append(G((z1 + (z2 - z1) * i / (steps - 1)).unsqueeze(0))[0])
    G.train(was)
    return torch.stack(images)


def of_batches(G: nn.Module, z1: Tensor, z2: Tensor, steps: int = 8) -> Tensor:
    assert z1.shape == z2.shape == (1, 100)
    z = torch.cat([torch.lerp(z1, z2, float(t)) for t in np.linspace(0, 1, steps)])
    with evaluating(G):
        return G(z)


def along_the_arc(G: nn.Module, z1: Tensor, z2: Tensor, steps: int = 8) -> Tensor:
    return generate(G, slerp(z1, z2, torch.linspace(0, 1, steps)))


def by_norm_and_direction(G: nn.Module, z1: Tensor, z2: Tensor, steps: int = 8) -> Tensor:
    u1, u2 = z1 / z1.norm(), z2 / z2.norm()
    angle = torch.acos((u1 * u2).sum())
    t = torch.linspace(0, 1, steps)[:, None]
    u = (torch.sin((1 - t) * angle) * u1 + torch.sin(t * angle) * u2) / torch.sin(angle)
    return drawn(G, u * ((1 - t) * z1.norm() + t * z2.norm()))


def of_another_name(G: nn.Module, z1: Tensor, z2: Tensor, n: int = 8) -> Tensor:
    return by_the_book(G, z1, z2, n)


def without_default(G: nn.Module, z1: Tensor, z2: Tensor, steps: int) -> Tensor:
    return by_the_book(G, z1, z2, steps)


def eased(G: nn.Module, z1: Tensor, z2: Tensor, steps: int = 8) -> Tensor:
    t = torch.linspace(0, 1, steps) ** 2
    return generate(G, lerp(z1, z2, t))


@torch.inference_mode()
def in_inference_mode(G: nn.Module, z1: Tensor, z2: Tensor, steps: int = 8) -> Tensor:
    return along_the_arc(G, z1, z2, steps)


class Walk:
    def between(self, G: nn.Module, z1: Tensor, z2: Tensor, steps: int = 8) -> Tensor:
        return copy.deepcopy(G).eval()(lerp(z1, z2, torch.linspace(0, 1, steps)))


RIGHT_ROWS: dict[str, tuple[Any, str]] = {
    "by the book": (by_the_book, "G.train(was) gives back either"),
    "in a loop": (in_a_loop, ""),
    "z of shape (1, 100)": (of_batches, ""),
    "along the arc": (along_the_arc, ""),
    "norm and direction": (by_norm_and_direction, ""),
    "steps by place": (of_another_name, ""),
    "no default": (without_default, ""),
    "inference mode": (in_inference_mode, ""),
    "uneven": (eased, "the steps are uneven"),
    "a method": (Walk().between, "carry gradients"),
    "a list": (lambda G, z1, z2, steps=8: [*along_the_arc(G, z1, z2, steps)], "come as a list"),
    "an array": (lambda G, z1, z2, steps=8: by_the_book(G, z1, z2, steps).numpy(), "come as a ndarray"),
    "in [0, 1]": (lambda G, z1, z2, steps=8: (along_the_arc(G, z1, z2, steps) + 1) / 2, "are in [0, 1]"),
}


@pytest.mark.parametrize("name", RIGHT_ROWS)
def test_a_right_row_gets_full_marks(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    interpolate, remark = RIGHT_ROWS[name]
    report = check_interpolation(interpolate)
    said = capsys.readouterr().out
    assert report == Report(10, 10), said
    assert not remark or re.search(f"  ! .*{re.escape(remark)}", said), said


def test_a_usual_row_has_no_remark(capsys: pytest.CaptureFixture[str]) -> None:
    check_interpolation(along_the_arc)
    assert "!" not in capsys.readouterr().out


# ------------------------------------------------------------------ interpolate: wrong


def at(times: Callable[[int], Tensor]) -> Any:
    """Return an interpolation at other times t."""

    def interpolate(G: nn.Module, z1: Tensor, z2: Tensor, steps: int = 8) -> Tensor:
        t = times(steps)[:, None]
        return drawn(G, (1 - t) * z1 + t * z2)

    return interpolate


def with_weights(weights: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]) -> Any:
    """Return an interpolation with other weights of z1 and z2."""

    def interpolate(G: nn.Module, z1: Tensor, z2: Tensor, steps: int = 8) -> Tensor:
        a, b = weights(torch.linspace(0, 1, steps)[:, None], z1, z2)
        return drawn(G, a * z1 + b * z2)

    return interpolate


def arc(angle: Callable[[Tensor, Tensor], Tensor], divide: bool = True) -> Any:
    def weights(t: Tensor, z1: Tensor, z2: Tensor) -> tuple[Tensor, Tensor]:
        omega = angle(z1, z2)
        by = torch.sin(omega) if divide else torch.ones(())
        return torch.sin((1 - t) * omega) / by, torch.sin(t * omega) / by

    return with_weights(weights)


def cosine(z1: Tensor, z2: Tensor) -> Tensor:
    return (z1 * z2).sum() / (z1.norm() * z2.norm())


def in_pixels(G: nn.Module, z1: Tensor, z2: Tensor, steps: int = 8) -> Tensor:
    x1, x2 = drawn(G, z1[None]), drawn(G, z2[None])
    t = torch.linspace(0, 1, steps).view(-1, 1, 1, 1)
    return (1 - t) * x1 + t * x2


def noise_between(G: nn.Module, z1: Tensor, z2: Tensor, steps: int = 8) -> Tensor:
    return drawn(G, torch.cat([z1[None], torch.randn(steps - 2, 100), z2[None]]))


def noise_only(G: nn.Module, z1: Tensor, z2: Tensor, steps: int = 8) -> Tensor:
    return drawn(G, torch.randn(steps, 100))


def of_unit_norm(G: nn.Module, z1: Tensor, z2: Tensor, steps: int = 8) -> Tensor:
    return generate(G, slerp(z1 / z1.norm(), z2 / z2.norm(), torch.linspace(0, 1, steps)))


def in_training_mode(G: nn.Module, z1: Tensor, z2: Tensor, steps: int = 8) -> Tensor:
    with torch.no_grad():
        return G(lerp(z1, z2, torch.linspace(0, 1, steps)))


def eval_left_on(G: nn.Module, z1: Tensor, z2: Tensor, steps: int = 8) -> Tensor:
    return in_training_mode(G.eval(), z1, z2, steps)


def back_and_forth(n: int) -> Tensor:
    t = torch.linspace(0, 1, n)
    t[[2, 3]] = t[[3, 2]]
    return t


def reshaped(*shape: int) -> Any:
    return lambda G, z1, z2, steps=8: along_the_arc(G, z1, z2, steps).reshape(*shape)


WRONG_ROWS: Wrong = {
    "not a function": (torch.zeros(8, 1, 28, 28), ("shape",), "not its pictures"),
    "an error": (lambda G, z1, z2, steps=8: z1[200], ("shape",), "G takes all z at once"),
    "no return": (lambda G, z1, z2, steps=8: None, ("shape",), "return these"),
    "one picture": (lambda G, z1, z2, steps=8: make_grid(along_the_arc(G, z1, z2)), ("shape",), "(steps, 1,"),
    "no channels": (reshaped(-1, 28, 28), ("shape",), "(steps, 1, 28, 28)"),
    "flat": (reshaped(-1, 784), ("shape",), "(steps, 1, 28, 28)"),
    "seven": (at(lambda n: torch.linspace(0, 1, n - 1)), ("steps",), "torch.linspace(0, 1, steps)"),
    "nine": (at(lambda n: torch.arange(n + 1) / n), ("steps",), "torch.linspace(0, 1, steps)"),
    "always eight": (at(lambda n: torch.linspace(0, 1, 8)), ("steps",), "not the number 8"),
    "no steps": (lambda G, z1, z2: by_the_book(G, z1, z2), ("steps",), "the fourth argument"),
    "misses the end": (at(lambda n: torch.arange(n) / n), ("ends",), "range(steps) / steps and arange miss"),
    "misses the start": (at(lambda n: (torch.arange(n) + 1) / n), ("ends",), "both ends among them"),
    "misses both": (at(lambda n: (torch.arange(n) + 1) / (n + 1)), ("ends",), "both ends among them"),
    "back from z2": (at(lambda n: torch.linspace(1, 0, n)), ("ends",), "from z1 to z2, not back"),
    "z1 stays": (with_weights(lambda t, z1, z2: (t * 0 + 1, t)), ("ends",), "1 and 0 at the start, 0 and 1"),
    "arc of unit vectors": (of_unit_norm, ("ends",), "multiply z1 and z2 themselves"),
    "sine of the angle left out": (
        arc(lambda z1, z2: torch.acos(cosine(z1, z2)), divide=False), ("ends",), "1 and 0 at the start",
    ),
    "in pixels": (in_pixels, ("path",), "mix z1 and z2, then draw"),
    "all alike": (at(lambda n: torch.zeros(n)), ("path",), "does t change"),
    "integer division": (at(lambda n: torch.arange(n) // n), ("path",), "does t change"),
    "noise between": (noise_between, ("path",), "no fresh noise"),
    "noise only": (noise_only, ("path",), "no fresh noise"),
    "two pictures": (at(lambda n: (torch.arange(n) >= n // 2).float()), ("path",), "torch.linspace"),
    "back and forth": (at(back_and_forth), ("path",), "torch.linspace(0, 1, steps)"),
    "arc without norms": (arc(lambda z1, z2: torch.acos((z1 * z2).sum())), ("path",), "over both norms"),
    "arc, dot for an angle": (arc(lambda z1, z2: (z1 * z2).sum()), ("path",), "the arccosine of dot"),
    "arc in degrees": (
        arc(lambda z1, z2: torch.rad2deg(torch.acos(cosine(z1, z2)))), ("path",), "slerp's angle",
    ),
    "another G": (lambda G, z1, z2, steps=8: along_the_arc(unasked, z1, z2, steps), ("path",), "argument G"),
    "training mode": (in_training_mode, ("mode",), "call G.eval() before"),
    "evaluation mode left on": (eval_left_on, ("mode",), "G.train(was) after drawing"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG_ROWS)
def test_a_wrong_row_fails_its_rule_and_no_other(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    interpolate, failed, words = WRONG_ROWS[name]
    judge(check_interpolation(interpolate), failed, words, capsys.readouterr().out, INTERPOLATION)


@pytest.mark.parametrize(
    ("name", "score"),
    [
        ("flat", 9),
        ("seven", 8),
        ("misses the end", 8),
        ("in pixels", 7),
        ("all alike", 5),
        ("training mode", 8),
    ],
)
def test_what_a_wrong_row_costs(name: str, score: float) -> None:
    assert check_interpolation(WRONG_ROWS[name][0]).score == score


def test_two_mistakes_of_a_row_fail_two_rules() -> None:
    def interpolate(G: nn.Module, z1: Tensor, z2: Tensor, steps: int = 8) -> Tensor:
        return G(lerp(z1, z2, torch.arange(8) / 8)).detach()

    assert check_interpolation(interpolate) == Report(4, 10, ("steps", "ends", "mode"))


# ------------------------------------------------------------------ both checks


def test_each_rule_has_its_mistake() -> None:
    for wrong, rules in ((WRONG_SHEETS, PROGRESS), (WRONG_ROWS, INTERPOLATION)):
        assert {failed for _, names, _ in wrong.values() for failed in names} == {rule.name for rule in rules}
        assert sum(rule.points for rule in rules) == 10


def test_rereading_leads_to_headings_of_the_book() -> None:
    for rule in (*PROGRESS, *INTERPOLATION):
        chapter, heading = re.fullmatch(r'chapter (\d+b?), "(.+)"', rule.reread).groups()
        (file,) = BOOK.glob(f"{int(chapter):02d}-*.ipynb")
        cells = nbformat.read(file, as_version=4).cells
        lines = [line for c in cells if c.cell_type == "markdown" for line in c.source.splitlines()]
        assert any(re.fullmatch(rf"#+ {re.escape(heading)}", line) for line in lines), rule.reread


def check_either(submission: Any) -> list[Report]:
    return [check_progress(submission, yours()), check_interpolation(submission)]


def blank(*_: Any, **__: Any) -> Any:
    raise NotImplementedError


@pytest.mark.parametrize("submission", [None, ..., blank])
def test_a_blank_is_not_yet_done(submission: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_either(submission) == [Report(0, 10, (DONE,))] * 2
    assert capsys.readouterr().out.count(": not yet done: ") == 2


@pytest.mark.parametrize("G", [None, ...])
def test_a_blank_generator_is_not_yet_done(G: Any) -> None:
    assert check_progress(render_by_the_book, G) == Report(0, 10, (DONE,))


class Hostile:
    def __call__(self, *_: object, **__: object) -> Any:
        return self

    def __getattr__(self, name: str) -> Any:
        raise SystemExit("no")

    def __str__(self) -> str:
        raise KeyboardInterrupt

    __repr__ = __str__


def endless(*_: object, **__: object) -> None:
    while True:
        time.sleep(0.1)


def spoils(G: nn.Module, *_: object, **__: object) -> Tensor:
    sheet = render_by_the_book(G)
    for weight in G.parameters():
        weight.data.zero_()
        weight.grad = None
    G.requires_grad_(False)
    return sheet


def interrupts(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


SHEET_OF_ZEROS = torch.zeros(1, 242, 242)
HOSTILE: dict[str, Any] = {
    "a class": Hostile, "an object": Hostile(), "a string": "render", "a module": torch,
    "a net": nn.Linear(3, 3),
    "exit": lambda *_, **__: sys.exit(0), "interrupt": interrupts,
    "a string back": lambda *_, **__: "picture", "nothing": lambda *_, **__: torch.zeros(0),
    "empty pictures": lambda *_, **__: torch.zeros(0, 1, 28, 28), "a number": lambda *_, **__: 1.5,
    "complex": lambda *_, **__: torch.zeros(8, 1, 28, 28, dtype=torch.complex64),
    "booleans": lambda *_, **__: torch.zeros(3, 242, 242, dtype=torch.bool),
    "objects": lambda *_, **__: np.array([[None, 1]]), "ragged": lambda *_, **__: [torch.zeros(3), None],
    "zeros": lambda *_, **__: torch.zeros(8, 1, 28, 28), "a black sheet": lambda *_, **__: SHEET_OF_ZEROS,
    "infinite": lambda *_, **__: torch.full((8, 1, 28, 28), float("inf")),
    "large": lambda *_, **__: torch.full((8, 1, 28, 28), 1e30),
    "no picture": lambda *_, **__: torch.zeros(1, 1, 1),
    "the net back": lambda G, *_, **__: G, "spoils": lambda *a, **k: 0 * spoils(*a, **k),
    "recursion": lambda *a, **k: HOSTILE["recursion"](*a, **k),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_crashes_them(name: str) -> None:
    for report in check_either(HOSTILE[name]):
        assert report.score < 10
        assert report.failed


def test_what_does_not_return_is_stopped(capsys: pytest.CaptureFixture[str]) -> None:
    for check, rule in (
        (lambda: check_progress(endless, yours()), "picture"),
        (lambda: check_interpolation(endless), "shape"),
    ):
        began = time.monotonic()
        assert check() == Report(0, 10, (rule,))
        assert time.monotonic() - began < 10
        assert "is there a loop that never ends?" in capsys.readouterr().out


def snapshot(G: nn.Module) -> list[Any]:
    state = [value.clone() for value in G.state_dict().values()]
    grads = [None if w.grad is None else w.grad.clone() for w in G.parameters()]
    modes = [part.training for part in G.modules()]
    return [state, grads, modes, [w.requires_grad for w in G.parameters()]]


def same(a: Any, b: Any) -> bool:
    if isinstance(a, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return torch.equal(a, b) if isinstance(a, Tensor) else a == b


@pytest.mark.parametrize("mode", [True, False])
@pytest.mark.parametrize("render", [render_by_the_book, left_on, training_mode, spoils, new_noise])
def test_the_students_generator_is_left_as_it_was(render: Any, mode: bool) -> None:
    G = yours().train(mode)
    G(fixed_z).sum().backward()
    before = snapshot(G)
    check_progress(render, G)
    assert same(snapshot(G), before)


@pytest.mark.parametrize("submission", [WRONG_SHEETS["another G"][0], WRONG_ROWS["another G"][0]])
def test_a_generator_of_the_notebook_is_left_as_it_was(submission: Any) -> None:
    unasked.train()
    before = snapshot(unasked)
    check_either(submission)
    assert same(snapshot(unasked), before)


def test_figures_of_the_check_are_not_left_open() -> None:
    figure = plt.figure()
    open_before = plt.get_fignums()
    assert check_progress(render_and_show, yours()) == Report(10, 10)
    assert plt.get_fignums() == open_before
    plt.close(figure)


def test_random_numbers_are_left_as_they_were_and_it_takes_a_moment() -> None:
    def draws(*_: Any, **__: Any) -> Any:
        torch.randn(3), np.random.rand(3), random.random()  # noqa: NPY002
        torch.manual_seed(0)

    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    check_interpolation(draws), check_progress(draws, unasked)
    began = time.monotonic()
    check_progress(render_by_the_book, unasked), check_interpolation(in_a_loop)
    assert time.monotonic() - began < 2
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (np.random.get_state()[1] == states[1]).all()  # noqa: NPY002
    assert random.getstate() == states[2]


@pytest.mark.parametrize("submission", [new_noise, training_mode, noise_between, in_pixels, eased])
def test_the_same_submission_is_told_the_same(submission: Any, capsys: pytest.CaptureFixture[str]) -> None:
    told = []
    for _ in range(2):
        reports = check_either(submission)
        told.append((reports, capsys.readouterr().out))
        torch.randn(5)
    assert told[0] == told[1]
