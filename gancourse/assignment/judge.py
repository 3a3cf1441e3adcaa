"""One frame for all checks: blanks are told, nothing of the student's is changed, nothing escapes."""

from collections.abc import Callable
from typing import Any

import torch

from gancourse.assignment.blanks import Blank, Broken
from gancourse.assignment.guard import TO_DO, Clock, Outcome, attempt, untouched
from gancourse.assignment.record import modules_in
from gancourse.assignment.report import Report, Rule, Sheet

_BROKEN = "the cell above runs into this error before anything can be checked: mend that line first"


class Undone(Exception):
    """A blank that the student has not filled in."""


def judged(name: str, rules: tuple[Rule, ...], body: Callable[[Sheet, Clock], None], *given: Any) -> Report:
    """Judge what was given by `body`, which fills in the sheet; print the sheet and return its report.

    None and ... stand for blanks. The modules in what was given, also those that a function uses, are as
    before afterwards.
    """
    sheet = Sheet(name, rules)
    if any(thing is None or thing is ... for thing in given):
        return sheet.not_done(TO_DO)
    for thing in given:
        if issubclass(type(thing), Broken):  # isinstance asks the object itself
            sheet.failed(rules[0].name, thing.error, _BROKEN)
            return sheet.close()
        if issubclass(type(thing), Blank):
            return sheet.not_done(thing.waits_for)
    try:
        held = [module for thing in given for module in attempt(Clock(), modules_in, thing).value or ()]
        with torch.device("cpu"), untouched(*held):
            body(sheet, Clock())
    except Undone as blank:
        return sheet.not_done(str(blank))
    except Exception as error:  # a fault of the check must not stop a notebook
        sheet.remark(f"the check could not go on: {type(error).__name__}: {error}")
    return sheet.close()


def ask(clock: Clock, call: Callable[..., Any], *arguments: Any, **named: Any) -> Outcome:
    """Call the student's code; a NotImplementedError means that it is still blank."""
    outcome = attempt(clock, call, *arguments, **named)
    if outcome.undone:
        raise Undone(outcome.error)
    return outcome
