"""The frame of the assignment's checks: reports, time limits, and nothing of the student's changed."""

from __future__ import annotations

import contextlib
import random
import signal
import sys
import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gancourse.assignment.guard import Clock, Outcome, attempt, limit, own_copy, plain, untouched
from gancourse.assignment.judge import ask, judged
from gancourse.assignment.report import DONE, Report, Rule, Sheet

RULES = (
    Rule("first", 4, "one", "chapter 1, there"),
    Rule("second", 6, "two", "chapter 2, here"),
)

# ------------------------------------------------------------------ the sheet


def test_a_report_counts_the_rules_that_are_met(capsys: pytest.CaptureFixture[str]) -> None:
    sheet = Sheet("check_it", RULES)
    sheet.passed("first", "1")
    sheet.failed("second", "3", "count again")
    sheet.remark("unusual, and harmless")
    assert sheet.close() == Report(4, 10, ("second",))
    assert capsys.readouterr().out.splitlines() == [
        "check_it: 4 of 10 points",
        "  + first (4): 1",
        "  x second (0 of 6): expected two; found 3",
        "      hint: count again",
        "      reread: chapter 2, here",
        "  ! unusual, and harmless",
    ]


def test_what_was_not_reached_brings_no_points_and_is_not_called_failed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    sheet = Sheet("check_it", RULES)
    sheet.failed("first", "0", "begin")
    assert sheet.close() == Report(0, 10, ("first",))
    assert "  - second: not reached\n" in capsys.readouterr().out


def test_a_rule_that_the_check_does_not_have_is_refused() -> None:
    with pytest.raises(KeyError, match="expected a rule of check_it, got 'third'"):
        Sheet("check_it", RULES).passed("third", "")


@pytest.mark.parametrize("blank", [None, ...])
def test_a_blank_is_not_yet_done(blank: object, capsys: pytest.CaptureFixture[str]) -> None:
    report = judged("check_it", RULES, lambda sheet, clock: None, blank)
    assert report == Report(0, 10, (DONE,))
    assert capsys.readouterr().out.startswith("check_it: not yet done: ")


def test_a_blank_that_raises_is_not_yet_done(capsys: pytest.CaptureFixture[str]) -> None:
    def student() -> None:
        raise NotImplementedError("write the loss")

    report = judged("check_it", RULES, lambda sheet, clock: void(ask(clock, student)), student)
    assert report == Report(0, 10, (DONE,))
    assert "not yet done: write the loss" in capsys.readouterr().out


def test_a_blank_further_up_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    def d_loss() -> None:
        raise NotImplementedError

    def step() -> None:
        d_loss()

    judged("check_step", RULES, lambda sheet, clock: void(ask(clock, step)), step)
    assert "check_step: not yet done: d_loss is still blank; fill it in" in capsys.readouterr().out


def void(_: object) -> None: ...


def test_a_fault_of_the_check_does_not_stop_the_notebook(capsys: pytest.CaptureFixture[str]) -> None:
    def body(sheet: Sheet, clock: Clock) -> None:
        sheet.passed("first", "1")
        raise ZeroDivisionError("ours")

    assert judged("check_it", RULES, body, 1) == Report(4, 10, ())
    assert "the check could not go on: ZeroDivisionError: ours" in capsys.readouterr().out


# ------------------------------------------------------------------ calls that misbehave


def forever() -> None:
    while True:
        pass


def sleeps() -> None:
    time.sleep(60)


def swallows() -> None:
    while True:
        try:
            while True:
                pass
        except BaseException:  # what a hostile student would write
            pass


def suppresses() -> None:
    while True:
        with contextlib.suppress(Exception):
            time.sleep(1)


def multiplies() -> None:
    a = torch.rand(200, 200)
    while True:
        a = a @ a / a.norm()


@pytest.mark.parametrize("call", [forever, sleeps, swallows, suppresses, multiplies])
def test_code_that_does_not_return_is_stopped(call: Callable[[], None]) -> None:
    began = time.monotonic()
    outcome = attempt(Clock(0.3), call)
    assert time.monotonic() - began < 3
    assert outcome.error == "no answer after 0.3 seconds; is there a loop that never ends?"
    assert sys.gettrace() is None or "coverage" in str(sys.gettrace())
    assert sys.exc_info() == (None, None, None)  # else it stood behind every later error of the notebook


def presses() -> None:
    signal.raise_signal(signal.SIGINT)


def swallows_the_button() -> None:
    with contextlib.suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("call", [presses, swallows_the_button])
def test_the_stop_button_stops_the_notebook_too(call: Callable[[], None]) -> None:
    with pytest.raises(KeyboardInterrupt):
        judged("check_it", RULES, lambda sheet, clock: void(ask(clock, call)))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert attempt(Clock(), raises(KeyboardInterrupt())).error is not None  # its own


def test_a_clock_is_shared_by_the_calls_of_a_check() -> None:
    clock, began = Clock(0.3), time.monotonic()
    assert [attempt(clock, forever).error is None for _ in range(5)] == [False] * 5
    assert time.monotonic() - began < 3


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def raises(error: BaseException) -> Callable[[], None]:
    def call() -> None:
        raise error

    return call


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("no"), "ValueError: no (at `raise error`)"),
        (SystemExit(3), "SystemExit: 3 (at `raise error`)"),
        (KeyboardInterrupt(), "KeyboardInterrupt: (at `raise error`)"),
        (Unprintable(), "Unprintable"),
        (StopIteration(), "StopIteration: (at `raise error`)"),
        (ValueError("one\ntwo"), "ValueError: one (at `raise error`)"),
    ],
)
def test_what_is_raised_is_told_with_its_line(error: BaseException, words: str) -> None:
    outcome = attempt(Clock(), raises(error))
    assert outcome == Outcome(error=words)


def test_an_error_within_torch_names_the_students_line() -> None:
    def student() -> Tensor:
        return torch.ones(2, 3) @ torch.ones(2, 3)

    error = attempt(Clock(), student).error
    assert error is not None
    assert "mat1 and mat2 shapes cannot be multiplied" in error
    assert error.endswith("(at `return torch.ones(2, 3) @ torch.ones(2, 3)`)")


def test_what_a_student_prints_is_dropped(capsys: pytest.CaptureFixture[str]) -> None:
    assert attempt(Clock(), lambda: print("check_generator: 10 of 10 points")) == Outcome()
    assert capsys.readouterr().out == ""


def test_a_limit_that_was_not_needed_leaves_nothing() -> None:
    with limit(0.1):
        pass
    time.sleep(0.2)  # an alarm left over would end the tests here


# ------------------------------------------------------------------ nothing is changed


def net() -> nn.Module:
    torch.manual_seed(3)
    made = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 1))
    made(torch.randn(8, 3)).sum().backward()
    made[2].eval()
    made[0].weight.requires_grad_(False)
    return made


def state(module: nn.Module) -> list[object]:
    """Return all that can be told of a module, as values that compare."""
    weights = [(name, value.tolist()) for name, value in module.state_dict().items()]
    grads = [None if w.grad is None else w.grad.tolist() for w in module.parameters()]
    return [
        weights,
        grads,
        [w.requires_grad for w in module.parameters()],
        [m.training for m in module.modules()],
    ]


def randomness() -> list[object]:
    """Return the states of the generators that students draw from."""
    return [torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()]  # noqa: NPY002


def test_modules_and_random_states_are_given_back() -> None:
    module = net()
    before, chance = state(module), randomness()
    with untouched(module, "no module"):
        module.train()
        for w in module.parameters():
            w.requires_grad_(True)
        module(torch.randn(8, 3)).sum().backward()
        torch.optim.SGD(module.parameters(), lr=1.0).step()
        module.zero_grad()
        random.random()
        np.random.rand()  # noqa: NPY002
        assert state(module) != before
        assert randomness() != chance
    assert state(module) == before
    assert randomness() == chance


def test_inside_everything_follows_from_the_seed_and_gradients_are_on() -> None:
    draws = []
    for _ in range(2):
        with torch.no_grad(), untouched():
            assert torch.is_grad_enabled()
            draws.append((torch.rand(1).item(), random.random(), np.random.rand()))  # noqa: NPY002
    assert draws[0] == draws[1]


def test_weights_are_given_back_after_an_error() -> None:
    module = net()
    before = state(module)

    def student() -> None:
        with untouched(module):
            nn.init.zeros_(module[0].weight)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        student()
    assert state(module) == before


def test_a_copy_is_another_module_and_what_cannot_be_copied_is_itself() -> None:
    module = net()
    copied = own_copy(module)
    assert copied is not module
    assert state(copied)[0] == state(module)[0]
    module.held = (n for n in range(3))  # a generator cannot be copied
    assert own_copy(module) is module
    assert own_copy(len) is len


def test_a_lazy_module_stays_lazy() -> None:
    lazy = nn.Sequential(nn.LazyLinear(2))
    with untouched(lazy):
        own_copy(lazy)(torch.randn(4, 3))
    assert isinstance(lazy[0].weight, nn.UninitializedParameter)


@pytest.mark.parametrize("value", [None, 3.0, "x", [torch.ones(1)], torch.ones(1, dtype=torch.complex64)])
def test_what_is_no_tensor_of_numbers_is_none(value: object) -> None:
    assert plain(value) is None


def test_a_tensor_becomes_plain() -> None:
    given = nn.Parameter(torch.ones(2, dtype=torch.float64))
    made = plain(given)
    assert made is not None
    assert type(made) is Tensor
    assert made.dtype == torch.float32
    assert not made.requires_grad
