"""Numbers that change while a run goes on: learning rates, penalty weights, the noise on D's inputs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Schedule:
    """A number that goes from `start` to `end` within `steps` steps of G, and stays there.

    With s = step / steps in [0, 1]: "linear" is start + s (end - start), "cosine" the same with
    (1 - cos(pi s)) / 2 in place of s, "geometric" is start^(1 - s) end^s, for which both must be positive.
    Raises ValueError for ends that are negative or not finite, steps below 1 and any other shape.
    """

    start: float
    end: float
    steps: int
    shape: Literal["linear", "cosine", "geometric"] = "linear"

    def __post_init__(self) -> None:
        if self.shape not in ("linear", "cosine", "geometric"):
            raise ValueError(f'expected shape "linear", "cosine" or "geometric", got {self.shape!r}')
        if self.steps < 1:
            raise ValueError(f"expected a schedule over at least 1 step, got {self.steps}")
        for value in (self.start, self.end):
            check_rate("a schedule's end", value)
        if self.shape == "geometric" and not (self.start > 0 and self.end > 0):
            raise ValueError(f"expected positive ends of a geometric schedule, got {self.start}, {self.end}")

    def at(self, step: int) -> float:
        """Return the value in the step that follows `step` completed ones."""
        s = min(step / self.steps, 1.0)
        if self.shape == "geometric":
            return float(self.start ** (1 - s) * self.end**s)
        if self.shape == "cosine":
            s = (1 - math.cos(math.pi * s)) / 2
        return (1 - s) * self.start + s * self.end


def value_at(value: float | Schedule, step: int) -> float:
    """Return a number that may be scheduled, after `step` completed steps of G."""
    return value.at(step) if isinstance(value, Schedule) else value


def check_rate(name: str, value: float | Schedule) -> None:
    """Raise ValueError for a number that is negative, NaN or infinite; a Schedule has checked its own."""
    if not isinstance(value, Schedule) and not 0 <= value < math.inf:  # written so that NaN fails too
        raise ValueError(f"expected {name} of at least 0 and finite, got {value}")
