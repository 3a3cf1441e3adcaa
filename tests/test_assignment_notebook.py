"""The assignment as it is used: a student edition made from the master, blank it runs; a class is graded."""

from __future__ import annotations

import csv
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbclient import NotebookClient
from nbformat import NotebookNode
from run_notebook import ROOT, STUDENT_EDITION

from gancourse.assignment.grading.command import main as command_line
from gancourse.assignment.grading.course import MASTER, make_course, nbgrader, student_edition

EDITION = ROOT / STUDENT_EDITION
SOLUTION = EDITION.with_name(MASTER)
CHECKS = {
    "check-data": 10, "check-generator": 10, "check-discriminator": 10, "check-losses": 10, "check-step": 10,
    "check-progress": 10, "check-samples": 10, "check-fid": 10, "check-interpolation": 10,
    "check-slerp": 5, "check-transition": 5,
}  # fmt: skip


def load(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def facts(cell: NotebookNode) -> dict[str, object]:
    return dict(cell.metadata.get("nbgrader", {}))


# ------------------------------------------------------------------ the two editions


@pytest.mark.slow
def test_the_student_edition_is_what_nbgrader_makes_of_the_master() -> None:
    said = "run tools/student_edition.py: the master changed, or somebody edited the student edition"
    assert student_edition(SOLUTION) == EDITION.read_text(encoding="utf-8"), said


def test_the_student_edition_reads_well_in_any_jupyter() -> None:
    prose = [cell.source for cell in load(EDITION).cells if cell.cell_type == "markdown"]
    assert [text for text in prose if re.search(r"^\s*(:::|```)\{|\{\w+(:\w+)*\}`", text, re.MULTILINE)] == []


def test_the_student_edition_gives_nothing_away() -> None:
    text = EDITION.read_text(encoding="utf-8")
    for hidden in ("BEGIN SOLUTION", "HIDDEN TESTS", "solution-only", '"stamp"', "cov_fake", "arccos("):
        assert hidden in SOLUTION.read_text(encoding="utf-8")
        assert hidden not in text
    assert not any(cell.get("outputs") for cell in load(EDITION).cells)
    assert load(EDITION).cells[0].source.startswith("# Assignment: ")


def test_points_and_locks() -> None:
    cells = {cell.id: facts(cell) for cell in load(EDITION).cells if cell.cell_type == "code"}
    assert {name: each["points"] for name, each in cells.items() if each.get("grade")} == CHECKS
    assert all(each["locked"] for each in cells.values() if each.get("grade"))
    blanks = [name for name, each in cells.items() if each.get("solution")]
    assert len(blanks) == 9
    sources = {cell.id: cell.source for cell in load(EDITION).cells}
    assert all("raise NotImplementedError()" in sources[name] for name in blanks)


# ------------------------------------------------------------------ submissions


MARKER = re.compile(r"^ *### (BEGIN|END) SOLUTION\n?", re.MULTILINE)


def solved(**changes: str | Callable[[str], str]) -> NotebookNode:
    """Return the student edition with every blank filled in; `changes` replace the source of a cell."""
    notebook = load(EDITION)
    solutions = {cell.id: cell.source for cell in load(SOLUTION).cells}
    for cell in notebook.cells:
        if facts(cell).get("solution"):
            cell.source = MARKER.sub("", solutions[cell.id])
        change = changes.get(cell.id.replace("-", "_"))
        if change is not None:
            cell.source = change if isinstance(change, str) else change(cell.source)
    return notebook


def replaced(old: str, new: str) -> Callable[[str], str]:
    def change(source: str) -> str:
        assert old in source, old
        return source.replace(old, new)

    return change


FAKE = """\
import gancourse.assignment as a
from gancourse.assignment.report import Report, Sheet

Sheet.close = lambda self: Report(10, 10)
for name in [name for name in vars(a) if name.startswith("check_")]:
    setattr(a, name, lambda *given, **named: Report(10.0, 10.0))
print("check_generator: 10 of 10 points")


def batches(images, batch_size):
    return iter([None])
"""
CLASS: dict[str, tuple[NotebookNode, dict[str, float]]] = {
    "empty": (load(EDITION), dict.fromkeys(CHECKS, 0.0)),
    "right": (solved(), dict(CHECKS)),
    "wrong": (
        solved(
            generator=replaced(", nn.Tanh()", ""),  # range: 3
            losses=replaced("torch.zeros_like(fake_out)", "torch.ones_like(fake_out)"),  # fake: 2
            render="def render(G):\n    return None",  # all but argument, and no training
            fid=replaced("2 * roots", "roots"),  # covariances, and what follows from it
            interpolate=replaced("linspace(0, 1, steps", "linspace(0, 1, 8"),  # steps: 2
        ),
        CHECKS | {
            "check-generator": 7, "check-losses": 8, "check-step": 8, "check-progress": 0, "check-samples": 0,
            "check-fid": 8, "check-interpolation": 8,
        },
    ),
    "hanging": (
        solved(
            generator=replaced("        return self.layers(z)", "        while True:\n            pass"),
            step=replaced("    fake = G(", "    while True:\n        pass\n    fake = G("),
        ),
        {
            **dict.fromkeys(("check-generator", "check-step", "check-samples"), 0),
            **dict.fromkeys(("check-losses", "check-fid", "check-interpolation"), 10),
        },
    ),
    "hostile": (
        solved(
            batches=FAKE,
            generator="def Generator():\n    return lambda z: torch.zeros(len(z), 1, 28, 28)",
            losses="print('10.0 ' * 10**7)\n\n\ndef d_loss(a, b): return 10\ndef g_loss(a): return 10",
            train="G = 0",  # locked cells, one of them graded
            check_losses="10.0",
            step="def step(G, D, opt_g, opt_d, real):\n    import os\n    os._exit(0)",
        ),
        {
            **dict.fromkeys(("check-data", "check-losses", "check-step", "check-samples"), 0.0),
            "check-generator": 4,  # of a function that draws the same gray for each z: its shape
            "check-discriminator": 10, "check-progress": 9, "check-fid": 10,
        },
    ),
}  # fmt: skip
HANGING_SECONDS = 20.0


def marks_of(course: Path, student: str) -> dict[str, float]:
    """Return what nbgrader's gradebook holds for a student."""
    ask = """
        select base_cell.name, grade.auto_score from grade
        join base_cell on base_cell.id = grade.cell_id
        join submitted_notebook on submitted_notebook.id = grade.notebook_id
        join submitted_assignment on submitted_assignment.id = submitted_notebook.assignment_id
        where submitted_assignment.student_id = ?
    """
    with sqlite3.connect(course / "gradebook.db") as book:
        return dict(book.execute(ask, (student,)).fetchall())


def asked(course: Path, task: str, *arguments: str) -> None:
    done = nbgrader(course, task, "dcgan", *arguments)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A course in which nbgrader graded the class and wrote its feedback."""
    folder = make_course(tmp_path_factory.mktemp("nbgrader") / "course", SOLUTION)
    for student, (notebook, _) in CLASS.items():
        place = folder / "submitted" / student / "dcgan" / "dcgan.ipynb"
        place.parent.mkdir(parents=True)
        nbformat.write(notebook, place)
    asked(folder, "generate_assignment")
    asked(folder, "autograde", "--CourseDirectory.student_id_exclude=hanging")
    config = folder / "nbgrader_config.py"
    config.write_text(f"{config.read_text()}c.MarkOutside.cell_seconds = {HANGING_SECONDS}\n")
    asked(folder, "autograde", "--student=hanging")
    asked(folder, "generate_feedback")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("student", CLASS)
def test_nbgrader_gives_the_marks_that_are_due(student: str, course: Path) -> None:
    found = marks_of(course, student)
    assert set(found) == set(CHECKS)
    assert {name: found[name] for name in CLASS[student][1]} == CLASS[student][1]


@pytest.mark.slow
def test_the_feedback_shows_what_the_checks_said(course: Path) -> None:
    page = (course / "feedback" / "wrong" / "dcgan" / "dcgan.html").read_text(encoding="utf-8")
    text = " ".join(BeautifulSoup(page, "html.parser").get_text(" ").split())
    assert "hint: end G with Tanh" in text
    assert "expected D's loss -log(1 - D(G(z))) on fakes: label 0; found label 1" in text
    assert 'reread: chapter 8, "The distance between two Gaussians"' in text
    assert "(Score: 7.0 / 10.0)" in text


@pytest.mark.slow
def test_the_command_gives_the_same_marks_without_nbgrader(course: Path, tmp_path: Path) -> None:
    (tmp_path / "class").mkdir()
    nbformat.write(CLASS["wrong"][0], tmp_path / "class" / "wrong.ipynb")
    command = ["-m", "gancourse.assignment", "grade", str(tmp_path / "class"), "--master", str(SOLUTION)]
    done = subprocess.run([sys.executable, *command], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "class-marked" / "marks.csv").open(encoding="utf-8") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert {name: float(rows["wrong"][name]) for name in CHECKS} == marks_of(course, "wrong")


def test_a_course_is_made_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["course", str(tmp_path / "mine"), "--master", str(SOLUTION)]
    assert command_line(arguments) == 0
    assert (tmp_path / "mine" / "source" / "dcgan" / "dcgan.ipynb").read_bytes() == SOLUTION.read_bytes()
    assert command_line(arguments) == 2
    assert "exists; give a folder of its own" in capsys.readouterr().err


# ------------------------------------------------------------------ as a student runs it


@pytest.mark.slow
def test_the_blank_edition_runs_from_top_to_bottom(tmp_path: Path) -> None:
    notebook = load(EDITION)
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}})
    client.execute(env=os.environ | {"GANCOURSE_PROFILE": "quick", "OMP_NUM_THREADS": "1"})
    for cell in notebook.cells:
        said = "".join(output.get("text", "") for output in cell.get("outputs", []))
        if facts(cell).get("grade"):
            assert re.match(r"check_\w+: not yet done: ", said), (cell.id, said)
        elif cell.id in ("train", "grids", "curves", "measure", "walks", "transition"):
            assert "not yet done: " in said, (cell.id, said)
            assert len(cell.outputs) == 1, cell.id
        elif cell.id == "total":
            assert "together          0: 90 are full marks" in said
            assert "data              0 of 10   not yet done" in said
