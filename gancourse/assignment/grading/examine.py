"""The marking of one graded cell in a process of its own: load the objects, run the cell, tell the points."""

import ast
import contextlib
import io
import json
import math
import os
import pickle
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gancourse.assignment.grading import snapshot
from gancourse.assignment.grading.processes import MARK, runs
from gancourse.assignment.guard import words
from gancourse.assignment.report import Report

CUT = "\n[the rest is left out]\n"


@dataclass(frozen=True)
class Order:
    """What is to be marked: a graded cell, what the locked cells define, and the file of the objects."""

    source: str
    statements: list[str]
    objects: str
    points: float
    folder: str
    seconds: float
    gigabytes: float
    output_bytes: int


@dataclass(frozen=True)
class Ready:
    """The instructor's definitions, run before anything of the student's is loaded, and the checks then."""

    namespace: dict[str, Any]
    late: list[str]
    before: snapshot.Snapshot
    compare: Callable[[snapshot.Snapshot], list[str]]


def ready(statements: list[str]) -> Ready:
    """Run the instructor's definitions; those that need what is not there yet are left for later."""
    namespace: dict[str, Any] = {"__name__": "__main__", "display": print}
    late = []
    for statement in statements:
        try:
            exec(compile(statement, "<locked cell>", "exec"), namespace)
        except Exception:
            late.append(statement)
    return Ready(namespace, late, snapshot.taken(), snapshot.comparison())


def examine(order: Order, given: Ready) -> dict[str, Any]:
    """Return `points`, `said` and `flag`; of two things of one name the instructor's is taken."""
    said, before, compare = io.StringIO(), given.before, given.compare
    with contextlib.suppress(OSError):  # the notebook may have removed it
        os.chdir(order.folder)  # student code may read what the notebook wrote
    os.environ[MARK] = runs(Path(order.folder))
    sys.path.append(order.folder)
    with contextlib.redirect_stdout(said):
        points, reason = _marked(order, given.namespace, given.late)
    text = said.getvalue()[: order.output_bytes]
    text += CUT if len(said.getvalue()) > len(text) else ""
    if different := compare(before):
        names = ", ".join(different[:3]) + (" and more" if len(different) > 3 else "")
        return {"points": 0.0, "said": f"{text}changed while marking: {names}", "flag": f"tampered: {names}"}
    return {"points": points, "said": text + reason, "flag": ""}


def _marked(order: Order, namespace: dict[str, Any], late: list[str]) -> tuple[float, str]:
    missing: list[str] = []
    try:
        why, missing, objects = _loaded(Path(order.objects))
        if why:
            return 0.0, why
        for name, thing in objects.items():
            namespace.setdefault(name, thing)
        for statement in late:
            exec(compile(statement, "<locked cell>", "exec"), namespace)
        return worth(_value(order.source, namespace), order.points), ""
    except NameError as error:
        if error.name in missing:
            return 0.0, f"not yet done: `{error.name}` does not exist; fill in the cell above"
        return 0.0, words(error)
    except BaseException as error:  # sys.exit() of a student's code, too
        return 0.0, words(error)


def _loaded(path: Path) -> tuple[str, list[str], dict[str, Any]]:
    """Return why the hand-over failed, the names that do not exist, and the objects by name."""
    if not path.is_file():
        return "the objects were not handed over", [], {}
    with path.open("rb") as file:
        head = json.loads(file.readline(1_000_000))
        return str(head["why"]), list(head["missing"]), {} if head["why"] else dict(pickle.load(file))


def _value(source: str, namespace: dict[str, Any]) -> Any:
    """Run a cell; return the value of its last line, None where that is no expression."""
    tree = ast.parse(source, "<graded cell>")
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<graded cell>", "exec"), namespace)
    if not isinstance(last, ast.Expr):
        return None
    return eval(compile(ast.Expression(last.value), "<graded cell>", "eval"), namespace)


def worth(value: Any, most: float) -> float:
    """Return the points for a graded cell's value: a report's share, a number as it is, all for the rest.

    False brings none. A number that is negative or NaN brings none; more than the cell is worth brings that.
    """
    if type(value) is Report:
        share = value.score / value.max_score if value.max_score else 0.0
        return _clipped(share * most, most)
    if value is True or value is False:
        return most if value else 0.0
    if type(value) in (int, float) or getattr(value, "shape", None) == ():
        return _clipped(float(value), most)
    return most


def _clipped(points: float, most: float) -> float:
    return 0.0 if math.isnan(points) else round(min(max(points, 0.0), most), 4)
