"""Two ways of doing one work, timed in turn: on a busy machine only their ratio means something."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple


class Pair(NamedTuple):
    """One work done by ours and by a peer; each call does all of it once."""

    work: str
    peer: str
    ours: Callable[[], object]
    theirs: Callable[[], object]
    rounds: int = 5
    asked: float | None = None  # times faster, at least


class Result(NamedTuple):
    """Seconds a round, in the order of measurement."""

    pair: Pair
    ours: list[float]
    theirs: list[float]

    @property
    def ratio(self) -> float:
        """How many times faster ours is: the ratio of the medians."""
        return statistics.median(self.theirs) / statistics.median(self.ours)

    @property
    def spread(self) -> tuple[float, float]:
        """The smallest and the largest ratio of two neighbours."""
        ratios = [theirs / ours for ours, theirs in zip(self.ours, self.theirs, strict=True)]
        return min(ratios), max(ratios)

    def facts(self) -> dict[str, Any]:
        """Return what the book tells of a result, as JSON holds it; times in seconds."""
        low, high = self.spread
        ours, theirs = (statistics.median(times) for times in (self.ours, self.theirs))
        pair = self.pair
        return {
            "work": pair.work, "peer": pair.peer, "asked": pair.asked, "ratio": self.ratio, "low": low,
            "high": high, "ours": ours, "theirs": theirs, "rounds": len(self.ours),
        }  # fmt: skip


def seconds(work: Callable[[], object]) -> float:
    """Return how long a call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measure(pair: Pair) -> Result:
    """Time both in turn, `rounds` times, after one round that is not counted."""
    pair.ours(), pair.theirs()
    times = [(seconds(pair.ours), seconds(pair.theirs)) for _ in range(pair.rounds)]
    ours, theirs = zip(*times, strict=True)
    return Result(pair, list(ours), list(theirs))


def rows_of(results: Iterable[dict[str, Any]]) -> list[list[str]]:
    """Return the rows of a Markdown table of `Result.facts`; the second one tells the alignment."""
    rows = [
        ["work", "peer", "times faster", "rounds, from to", "aim", "ours (s)", "peer (s)"],
        [":--", ":--", "--:", "--:", "--:", "--:", "--:"],
    ]
    for facts in results:
        asked = "" if facts["asked"] is None else f"{facts['asked']:g}"
        spread = f"{facts['low']:.1f} to {facts['high']:.1f}"
        times = [f"{facts[name]:.3g}" for name in ("ours", "theirs")]
        rows.append([facts["work"], facts["peer"], f"{facts['ratio']:.1f}", spread, asked, *times])
    return rows


def table(results: Iterable[Result]) -> str:
    """Return a Markdown table: the ratio, its spread over the rounds, and the medians it comes from."""
    return "\n".join(f"| {' | '.join(row)} |" for row in rows_of(result.facts() for result in results))
