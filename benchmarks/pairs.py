"""Two ways of doing one work, timed in turn: on a busy machine only their ratio means something."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple


class Pair(NamedTuple):
    """One work done by ours and by a peer; each call does all of it once."""

    work: str
    peer: str
    ours: Callable[[], object]
    theirs: Callable[[], object]
    rounds: int = 5


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


def table(results: Iterable[Result]) -> str:
    """Return a Markdown table: the ratio, its spread over the rounds, and the medians it comes from."""
    lines = [
        "| work | peer | times faster | rounds, from to | ours (s) | peer (s) |",
        "| - | - | - | - | - | - |",
    ]
    for result in results:
        low, high = result.spread
        medians = [statistics.median(times) for times in (result.ours, result.theirs)]
        lines += [
            f"| {result.pair.work} | {result.pair.peer} | {result.ratio:.1f} | {low:.1f} to {high:.1f} "
            f"| {medians[0]:.3g} | {medians[1]:.3g} |"
        ]
    return "\n".join(lines)
