"""Run a merged notebook in a kernel of its own, then mark its graded cells in processes of their own."""

import copy
import json
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from nbformat import NotebookNode

from gancourse.assignment.grading import cells, hand_over
from gancourse.assignment.grading.cells import grade_id, is_by_hand, is_code, is_graded, is_locked
from gancourse.assignment.grading.examine import Order
from gancourse.assignment.grading.kernel import Kernel, LostError, started
from gancourse.assignment.grading.limits import Limits
from gancourse.assignment.grading.marker import Marker
from gancourse.assignment.grading.names import given, needed, python
from gancourse.assignment.grading.nodes import output
from gancourse.assignment.grading.outputs import Outputs
from gancourse.assignment.grading.processes import StoppedError, runs, sweep

BY_HAND = "by hand"
HANDING_OVER = Path(hand_over.__file__)


@dataclass(frozen=True)
class Mark:
    """Points of a graded cell, None where a person is to give them; the report; a flag to be looked at."""

    points: float | None
    max_points: float
    said: str = ""
    flag: str = ""


@dataclass
class Marked:
    """An executed notebook, in which the graded cells' outputs are the reports, and the marks by grade_id."""

    notebook: NotebookNode
    marks: dict[str, Mark]
    remarks: list[str]

    @property
    def total(self) -> float:
        """Return the points so far; what is marked by hand is not in it."""
        return total(self.marks)


def total(marks: dict[str, Mark]) -> float:
    """Return the points of marks by grade_id; what is marked by hand has none yet."""
    return sum(mark.points or 0.0 for mark in marks.values())


def mark(
    merged: NotebookNode,
    *,
    limits: Limits | None = None,
    profile: str = "quick",
    marker: Marker | None = None,
    tell: Callable[[int, int], None] = lambda done, cells: None,
) -> Marked:
    """Run a notebook whose locked and graded cells are the instructor's, and mark it.

    The kernel has ended before anything is marked. Without a `marker` a fresh marking process serves this
    notebook alone. `tell` is called with the number of cells that have run, and of all. Raises LostError
    where Jupyter lost its kernel twice.
    """
    limits = limits or Limits()
    plan = Plan.of(merged)
    try:
        return _attempt(merged, plan, limits, profile, marker, tell)
    except LostError:
        return _attempt(merged, plan, limits, profile, marker, tell)


@dataclass(frozen=True)
class Plan:
    """What the instructor's cells ask: definitions, and the names that each graded cell needs."""

    statements: list[str]
    names: dict[str, list[str]]

    @classmethod
    def of(cls, notebook: NotebookNode) -> "Plan":
        """Read the plan from a notebook; raise ValueError for graded cells that are not Python."""
        instructors = given(cell.source for cell in notebook.cells if is_locked(cell))
        names: dict[str, list[str]] = {}
        for cell in filter(is_graded, notebook.cells):
            try:
                names[str(grade_id(cell))] = needed(cell.source, instructors)
            except SyntaxError as error:
                raise ValueError(
                    f"expected graded cell {grade_id(cell)!r} to be Python, got {error}"
                ) from None
        return cls([text for text, _ in instructors.statements], names)


def _attempt(
    merged: NotebookNode,
    plan: Plan,
    limits: Limits,
    profile: str,
    marker: Marker | None,
    tell: Callable[[int, int], None],
) -> Marked:
    marked = Marked(copy.deepcopy(merged), {}, [])
    marked.remarks += merged.metadata.get("gancourse", {}).get("remarks", [])
    with tempfile.TemporaryDirectory(prefix="grading-", ignore_cleanup_errors=True) as folder:
        place = Path(folder).resolve()
        work, objects = place / "work", place / "objects"
        work.mkdir()
        objects.mkdir()
        run = Run(marked, plan, limits, objects)
        with started(limits, work, profile) as kernel:
            run.all(kernel, tell)
        try:
            with nullcontext(marker) if marker else Marker(profile) as process:
                run.mark(process, work)
        finally:
            sweep(runs(work))
    return marked


@dataclass
class Run:
    """One pass through a notebook: first its cells, then its marks."""

    marked: Marked
    plan: Plan
    limits: Limits
    objects: Path
    reasons: dict[str, str] = field(default_factory=dict)

    def all(self, kernel: Kernel, tell: Callable[[int, int], None]) -> None:
        """Run the code cells in order; after the kernel's end the others are left out."""
        code = [cell for cell in self.marked.notebook.cells if is_code(cell)]
        stopped = ""
        for number, cell in enumerate(code, start=1):
            cell.outputs, cell.execution_count = [], None if stopped else number
            if stopped:
                self._left_out(cell, stopped)
                continue
            try:
                self._hand_over(kernel, cell) if is_graded(cell) else self._run(kernel, cell)
            except StoppedError as error:
                stopped = f"the kernel was ended at cell {cell.id!r}: {error}"
                self.marked.remarks.append(stopped)
                self._left_out(cell, stopped)
            tell(number, len(code))

    def _left_out(self, cell: NotebookNode, why: str) -> None:
        if is_graded(cell):
            self.reasons.setdefault(str(grade_id(cell)), f"not marked: {why}")
        else:
            cell.outputs.append(output("stream", name="stdout", text=f"\n[{why}]\n"))

    def _run(self, kernel: Kernel, cell: NotebookNode) -> None:
        outputs = Outputs(self.limits)
        try:
            if not kernel.run(cell.source, self.limits.cell_seconds, outputs):
                words = f"cell {cell.id!r} was interrupted after {self.limits.cell_seconds:g} seconds"
                self.marked.remarks.append(words)
        finally:
            cell.outputs = outputs.made
        if is_locked(cell) and (error := outputs.error()):
            self.marked.remarks.append(f"the instructor's cell {cell.id!r} raised {error}")

    def _hand_over(self, kernel: Kernel, cell: NotebookNode) -> None:
        name = str(grade_id(cell))
        source = HANDING_OVER.read_text(encoding="utf-8")
        call = f"s['hand_over'](globals(), {self.plan.names[name]!r}, {self._file(name)!r})"
        # In a namespace of its own: the notebook's names are not used, nor are any left in it.
        code = f"(lambda s: (exec({source!r}, s), {call}) and None)({{}})"
        if not kernel.run(code, self.limits.marking_seconds, Outputs(self.limits)):
            self.reasons[name] = "it took too long to save the objects that are marked"

    def _file(self, name: str) -> str:
        return str(self.objects / str(list(self.plan.names).index(name)))

    def mark(self, marker: Marker, work: Path) -> None:
        """Mark what was handed over, write the reports into the notebook."""
        for cell in self.marked.notebook.cells:
            name = str(grade_id(cell))
            if is_by_hand(cell):
                self.marked.marks[name] = Mark(None, cells.points(cell), BY_HAND)
            elif is_graded(cell) and name in self.marked.marks:
                self.marked.remarks.append(f"a second graded cell {name!r}: the first one counts")
            elif is_graded(cell):
                self.marked.marks[name] = self._mark(marker, cell, name, work)
                cell.outputs = _report(self.marked.marks[name], cell.execution_count)

    def _mark(self, marker: Marker, cell: NotebookNode, name: str, work: Path) -> Mark:
        most = cells.points(cell)
        if name in self.reasons:
            return Mark(0.0, most, self.reasons[name])
        order = Order(
            source=python(cell.source),
            statements=self.plan.statements,
            objects=self._file(name),
            points=most,
            folder=str(work),
            seconds=self.limits.marking_seconds,
            gigabytes=self.limits.gigabytes,
            output_bytes=self.limits.output_bytes,
        )
        answer = marker.mark(order)
        return Mark(answer["points"], most, answer["said"].strip(), answer["flag"])


def _report(found: Mark, count: int | None) -> list[NotebookNode]:
    """Return the outputs from which nbgrader reads the points: text, then a plain number as the result."""
    said = "\n".join(filter(None, (found.said, f"[{found.flag}]" if found.flag else "")))
    text = [output("stream", name="stdout", text=said + "\n")] if said else []
    number = json.dumps(float(found.points or 0.0))
    return [*text, output("execute_result", data={"text/plain": number}, execution_count=count)]
