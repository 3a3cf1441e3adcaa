"""What a training step returns, compared with the losses that it descended."""

import math
from typing import Any

import numpy as np
from torch import Tensor

from gancourse.assignment.gradients import EXACT
from gancourse.assignment.observed import Log, Player
from gancourse.assignment.report import Sheet
from gancourse.assignment.updates import NAMES, Turns


def returned_pairs(sheet: Sheet, log: Log) -> list[tuple[float, float]] | None:
    """Return the two losses of each call; fail the rule `returns`, and return None, for anything else."""
    pairs = []
    for value in log.returned:
        pair = _pair(value)
        if pair is None:
            found = "nothing" if value is None else _words(value)
            sheet.failed("returns", found, "end the step with: return d_loss.item(), g_loss.item()")
            return None
        pairs.append(pair)
    for call, pair in enumerate(pairs):
        if not all(map(math.isfinite, pair)):
            hint = "a logarithm of 0 or less? BCELoss clamps it; logits need their own cross-entropy"
            sheet.failed("returns", f"{pair[0]:g} and {pair[1]:g} in call {call + 1}", hint)
            return None
    return pairs


def compare_losses(sheet: Sheet, turns: Turns, pairs: list[tuple[float, float]]) -> None:
    """Judge the rule `returns`: the losses are those that were descended, where those were right."""
    right = {player for player, (_, _, rule) in NAMES.items() if sheet.found.get(rule, (False,))[0]}
    wrong = _mismatch(turns, pairs, right)
    sheet.judge("returns", not wrong, wrong or "(d_loss, g_loss)", _RETURN)
    losses = [loss for pair in turns.game.log.returned for loss in pair]
    if any(isinstance(loss, Tensor) and loss.requires_grad for loss in losses):
        sheet.remark("the losses still hold their graph: .item() frees the memory if you collect them")


_RETURN = "return the two losses that were descended, D's first: return d_loss.item(), g_loss.item()"


def _words(value: Any) -> str:
    name = type(value).__name__
    if isinstance(value, tuple | list):
        return f"a {name} of {len(value)}" if len(value) != 2 else f"a {name}, not of two numbers"
    return f"one object of type {name}"


def _pair(value: Any) -> tuple[float, float] | None:
    """Return two losses as floats; None for anything else."""
    if isinstance(value, Tensor):
        value = list(value) if value.ndim == 1 else None
    if not isinstance(value, tuple | list) or len(value) != 2:
        return None
    numbers = [_number(loss) for loss in value]
    return None if numbers[0] is None or numbers[1] is None else (numbers[0], numbers[1])


def _number(loss: Any) -> float | None:
    try:
        if isinstance(loss, Tensor | np.ndarray | np.number | int | float):
            return float(loss.item() if isinstance(loss, Tensor | np.ndarray) else loss)
    except Exception:  # more numbers than one, complex ones, and what students' classes may do
        return None
    return None


def _mismatch(turns: Turns, pairs: list[tuple[float, float]], right: set[Player]) -> str:
    """Return how the returned losses differ from those that were descended, '' where they do not."""
    straight, crossed, found = True, True, ""
    for call, (d_loss, g_loss) in enumerate(pairs):
        of_d, of_g = (_values(turns, player, call) if player in right else [] for player in ("D", "G"))
        crossed = crossed and bool(of_d and of_g) and _near(d_loss, of_g) and _near(g_loss, of_d)
        for loss, player, values in ((d_loss, "D", of_d), (g_loss, "G", of_g)):
            if values and not _near(loss, values):
                straight = False
                name = f"{player.lower()}_loss"
                found = (
                    found or f"{name} {loss:.3g} in call {call + 1}, where {player} descended {values[0]:.3g}"
                )
    if straight:
        return ""
    return "g_loss first" if crossed else found


def _values(turns: Turns, player: Player, call: int) -> list[float]:
    """Return what a player's loss can be called in a call: of one step or several, of sums or means."""
    readings = [r for r in turns.of(player, call) if r.own()]
    terms = [t for r in readings for t in r.terms()]
    if any(r.unknown > EXACT for r in readings) or any(t.form == "unknown" for t in terms):
        return []
    if player == "G":
        terms = [t for t in terms if t.kind == "fake"]  # real images do not move G
    each = [sum(t.value for t in r.terms() if player == "D" or t.kind == "fake") for r in readings]
    values = [sum(each), *each, sum(each) / max(len(each), 1)] if each else []
    unit = max((abs(t.weight) for t in terms), default=1.0)
    return [value * scale for value in values for scale in (1, 0.5, 2, 1 / unit, 0.5 / unit)]


def _near(loss: float, values: list[float]) -> bool:
    return any(abs(loss - value) <= 1e-3 * abs(value) + 1e-6 for value in values)
