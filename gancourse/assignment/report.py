"""What a check of the assignment finds, told to the student and returned to the grader."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

DONE = "done"


@dataclass(frozen=True)
class Report:
    """The outcome of a check: points, and the names of the rules that are not met."""

    score: float
    max_score: float
    failed: tuple[str, ...] = ()

    def of(self, max_score: float) -> Report:
        """Return the same outcome, worth so many points."""
        return Report(self.score * max_score / self.max_score, max_score, self.failed)


@dataclass(frozen=True)
class Rule:
    """One thing that a check asks: its name, its points, what is expected, and where the book tells of it."""

    name: str
    points: float
    expected: str
    reread: str


@dataclass
class Sheet:
    """The findings of one check, a line a rule; `close` prints them and returns the report.

    A rule that was neither passed nor failed was not reached: it brings no points and is not called failed.
    """

    check: str
    rules: tuple[Rule, ...]
    found: dict[str, tuple[bool, str, str]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def passed(self, name: str, found: str) -> None:
        """Note that a rule is met, and by what."""
        self._note(name, True, found, "")

    def failed(self, name: str, found: str, hint: str) -> None:
        """Note that a rule is not met: what was found instead, and what to look at."""
        self._note(name, False, found, hint)

    def judge(self, name: str, met: bool, found: str, hint: str) -> bool:
        """Note a rule as met or not; return whether it is."""
        self._note(name, met, found, "" if met else hint)
        return met

    def remark(self, text: str) -> None:
        """Add what costs no points: unusual, harmless, worth knowing."""
        self.remarks.append(text)

    def _note(self, name: str, met: bool, found: str, hint: str) -> None:
        if name not in (rule.name for rule in self.rules):
            raise KeyError(f"expected a rule of {self.check}, got {name!r}")
        self.found[name] = (met, found, hint)

    def not_done(self, what: str) -> Report:
        """Print that the student has not filled in this part yet; return no points."""
        print(f"{self.check}: not yet done: {what}")
        return Report(0.0, self._max(), (DONE,))

    def close(self) -> Report:
        """Print a line for each rule and return the report."""
        score = sum(rule.points for rule in self.rules if self.found.get(rule.name, (False,))[0])
        print(f"{self.check}: {score:g} of {self._max():g} points")
        for line in self._lines():
            print(f"  {line}")
        failed = tuple(name for name, (met, _, _) in self.found.items() if not met)
        return Report(score, self._max(), failed)

    def _max(self) -> float:
        return sum(rule.points for rule in self.rules)

    def _lines(self) -> Iterable[str]:
        for rule in self.rules:
            if rule.name not in self.found:
                yield f"- {rule.name}: not reached"
                continue
            met, found, hint = self.found[rule.name]
            if met:
                yield f"+ {rule.name} ({rule.points:g}): {found}"
            else:
                yield f"x {rule.name} (0 of {rule.points:g}): expected {rule.expected}; found {found}"
                yield f"    hint: {hint}"
                yield f"    reread: {rule.reread}"
        yield from (f"! {remark}" for remark in self.remarks)
