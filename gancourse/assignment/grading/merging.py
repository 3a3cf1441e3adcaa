"""Merge a submission into the master: the instructor's cells, the student's solutions and helpers."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from nbformat import NotebookNode

from gancourse.assignment.grading import nodes
from gancourse.assignment.grading.cells import (
    SOLUTION_ONLY,
    facts,
    grade_id,
    is_code,
    is_locked,
    is_solution,
    tags,
)

STUB = "# YOUR CODE HERE\nraise NotImplementedError()"
TEXT_STUB = "YOUR ANSWER HERE"
PLAIN_ID = re.compile(r"[a-zA-Z0-9_-]{1,60}")


class UnreadableError(Exception):
    """A file that is no notebook of the assignment."""


def read(data: bytes) -> NotebookNode:
    """Return the notebook in a file's bytes; of any format since 1, whatever else is wrong in it."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"not a notebook: {error}") from error
    try:
        # Version 4 is read as it is: nbformat refuses a notebook for one faulty cell.
        return _plain(found["cells"] if found["nbformat"] == 4 else nodes.upgraded(json.dumps(found)).cells)
    except Exception as error:  # nbformat raises many kinds for what is JSON and no notebook
        raise UnreadableError(f"not a notebook: {type(error).__name__}: {error}") from error


def _plain(cells: Iterable[Any]) -> NotebookNode:
    """Return a notebook of the cells' types, sources, tags and nbgrader metadata; the rest is dropped."""
    made = []
    for cell in cells:
        kind, source, metadata = cell.get("cell_type"), cell.get("source"), cell.get("metadata")
        source = "".join(source) if isinstance(source, list) else source
        if kind not in ("code", "markdown", "raw") or not isinstance(source, str):
            continue
        new = nodes.cell(kind, source)
        new.id = str(cell.get("id", ""))
        new.metadata = nodes.node({"nbgrader": metadata["nbgrader"]} if _has_facts(metadata) else {})
        if isinstance(metadata, dict) and tags(cell):
            new.metadata["tags"] = tags(cell)
        made.append(new)
    return nodes.notebook(made)


def _has_facts(metadata: Any) -> bool:
    return isinstance(metadata, dict) and isinstance(metadata.get("nbgrader"), dict)


# ------------------------------------------------------------------ the submission, taken apart


@dataclass
class Parts:
    """A submission by the master's names: sources of cells, and what follows each cell of the master."""

    sources: dict[str, str] = field(default_factory=dict)
    following: dict[str, list[NotebookNode]] = field(default_factory=lambda: {"": []})
    remarks: list[str] = field(default_factory=list)


def parts(master: list[tuple[str, NotebookNode]], submission: NotebookNode) -> Parts:
    """Take a submission apart; a cell of the master without nbgrader metadata is known by id or source."""
    found, at = Parts(), ""
    names = {name for name, _ in master}
    unnamed = [(name, cell) for name, cell in master if grade_id(cell) is None]
    for cell in submission.cells:
        name = grade_id(cell) or _same(unnamed, cell)
        if name in names and name in found.sources:
            found.remarks.append(f"a second cell {name!r}: the first one counts")
        elif name in names:
            found.sources[name], at = cell.source, name
        else:
            if name is not None:
                found.remarks.append(
                    f"cell {name!r} is not in the master: taken as a cell of the student's own"
                )
            found.following.setdefault(at, []).append(cell)
    return found


def _same(unnamed: list[tuple[str, NotebookNode]], cell: NotebookNode) -> str | None:
    for name, known in unnamed:
        same_id = bool(known.id) and known.id == cell.id
        if is_code(cell) and (same_id or known.source.strip() == cell.source.strip()):
            return name
    return None


# ------------------------------------------------------------------ the notebook that is run


def merge(master: NotebookNode, submission: NotebookNode) -> NotebookNode:
    """Return the master with the submission's solutions, and after each cell what the student added there.

    Code of the master is in the master's order. A solution that is missing is left blank, as nbgrader's
    ClearSolutions does: the master's own never runs for a student. Text cells come from the submission. Both
    notebooks may be as `read` or nbformat gives them; remarks are in the metadata, under `gancourse`.
    """
    backbone = _backbone(_plain(master.cells))
    found = parts(backbone, _plain(submission.cells))
    if not any(grade_id(cell) for cell in submission.cells):
        raise UnreadableError("no cell of the assignment in it: another notebook, or saved without metadata")
    made = list(found.following[""])
    for name, cell in backbone:
        made.append(_filled(name, cell, found))
        made.extend(found.following.get(name, []))
    notebook = nodes.notebook(_named(made, backbone))
    notebook.metadata["gancourse"] = nodes.node({"remarks": found.remarks})
    return notebook


def _backbone(master: NotebookNode) -> list[tuple[str, NotebookNode]]:
    """Return names and cells: code, and text with nbgrader metadata, unless it is for the solution only."""
    ours = (cell for cell in master.cells if SOLUTION_ONLY not in tags(cell))
    kept = [cell for cell in ours if is_code(cell) or grade_id(cell)]
    named = [(grade_id(cell) or f"locked-{number}", cell) for number, cell in enumerate(kept)]
    names = [name for name, _ in named]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"expected each grade_id once in the master, got twice: {', '.join(twice)}")
    return named


def _filled(name: str, cell: NotebookNode, found: Parts) -> NotebookNode:
    new = nodes.node(cell)
    if is_solution(cell):
        if name not in found.sources:
            found.remarks.append(f"cell {name!r} is missing: left blank")
        new.source = found.sources.get(name, blank(cell))
    elif is_code(cell):
        known = facts(cell) or {"grade": False, "solution": False, "schema_version": 3, "task": False}
        new.metadata["nbgrader"] = known | {"grade_id": name, "locked": True}
        if is_locked(cell) and name in found.sources and found.sources[name].strip() != cell.source.strip():
            found.remarks.append(f"locked cell {name!r} was edited: the master's runs")
    return new


def _named(cells: list[NotebookNode], backbone: list[tuple[str, NotebookNode]]) -> list[NotebookNode]:
    """Give each cell an id of its own; what is not in the master loses its nbgrader metadata."""
    names = {name for name, _ in backbone}
    for number, cell in enumerate(cells):
        name = grade_id(cell)
        if name not in names:
            name, cell.metadata = None, nodes.node({})
        plain = name if name and PLAIN_ID.fullmatch(name) else f"cell-{number}"
        cell.id = plain if name else f"own-{number}"
    return cells


def blank(cell: NotebookNode) -> str:
    """Return a solution cell's source without the solution, as nbgrader's ClearSolutions leaves it."""
    stub, lines, inside, replaced = STUB if is_code(cell) else TEXT_STUB, [], False, False
    for line in cell.source.split("\n"):
        if "BEGIN SOLUTION" in line:
            indent = line[: len(line) - len(line.lstrip())]
            lines += [indent + part for part in stub.split("\n")]
            inside = replaced = True
        elif "END SOLUTION" in line:
            inside = False
        elif not inside:
            lines.append(line)
    return "\n".join(lines) if replaced else stub
