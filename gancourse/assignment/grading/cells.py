"""What nbgrader's metadata say of a cell."""

import math
from typing import Any

from nbformat import NotebookNode

SOLUTION_ONLY = "solution-only"


def tags(cell: NotebookNode) -> list[str]:
    """Return the tags of a cell."""
    found = cell.get("metadata", {}).get("tags")
    return [tag for tag in found if isinstance(tag, str)] if isinstance(found, list) else []


def facts(cell: NotebookNode) -> dict[str, Any]:
    """Return a cell's nbgrader metadata, {} without a grade_id; whoever wrote them, they are a dict."""
    found = cell.get("metadata", {}).get("nbgrader")
    return dict(found) if isinstance(found, dict) and isinstance(found.get("grade_id"), str) else {}


def grade_id(cell: NotebookNode) -> str | None:
    """Return a cell's name in nbgrader."""
    return facts(cell).get("grade_id")


def is_code(cell: NotebookNode) -> bool:
    """Tell whether a cell is code."""
    return bool(cell.cell_type == "code")


def is_solution(cell: NotebookNode) -> bool:
    """Tell whether the student writes this cell."""
    return bool(facts(cell).get("solution"))


def is_graded(cell: NotebookNode) -> bool:
    """Tell whether this cell is marked by running it."""
    return is_code(cell) and bool(facts(cell).get("grade")) and not is_solution(cell)


def is_by_hand(cell: NotebookNode) -> bool:
    """Tell whether a person marks this cell."""
    return not is_graded(cell) and any(facts(cell).get(kind) for kind in ("grade", "task"))


def is_locked(cell: NotebookNode) -> bool:
    """Tell whether this code is the instructor's, a graded cell left out."""
    return is_code(cell) and bool(facts(cell).get("locked")) and not (is_solution(cell) or is_graded(cell))


def points(cell: NotebookNode) -> float:
    """Return the points that a cell is worth."""
    worth = float(facts(cell).get("points") or 0)
    if not (math.isfinite(worth) and worth >= 0):
        raise ValueError(f"expected cell {grade_id(cell)!r} to be worth 0 points or more, got {worth}")
    return worth
