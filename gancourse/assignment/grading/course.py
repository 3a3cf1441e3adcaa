"""A course for nbgrader: the student edition is made from the master, and marks are computed outside."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nbconvert.preprocessors import ClearMetadataPreprocessor
from nbformat import NotebookNode
from nbgrader.preprocessors import (
    AssignLatePenalties,
    CheckCellMetadata,
    ClearHiddenTests,
    ClearOutput,
    ClearSolutions,
    ComputeChecksums,
    LimitOutput,
    LockCells,
    NbGraderPreprocessor,
    SaveAutoGrades,
    SaveCells,
)
from traitlets import Float, Unicode

from gancourse.assignment.grading import Limits, mark, merge, read
from gancourse.assignment.grading.cells import SOLUTION_ONLY, tags

ASSIGNMENT = "dcgan"
MASTER = "dcgan-solution.ipynb"
FOLDED, STAMP = "hide-input", "stamp"
SOLUTION_TITLE, TITLE = "# Solution of the assignment: ", "# Assignment: "

CONFIG = f'''"""nbgrader's settings for the assignment; what they do is told on its page in the book."""

from pathlib import Path

from gancourse.assignment.grading.course import FOR_AUTOGRADE, FOR_GENERATE

c = get_config()  # noqa: F821 (nbgrader provides it)
c.CourseDirectory.course_id = "gancourse"
c.CourseDirectory.root = str(Path(__file__).resolve().parent)
c.GenerateAssignment.preprocessors = FOR_GENERATE
c.Autograde.autograde_preprocessors = FOR_AUTOGRADE
c.MarkOutside.source = str(Path(__file__).resolve().parent / "source")
# "full" trains for 50 epochs, which took 78 minutes of one CPU core: raise the seconds below with it.
c.MarkOutside.profile = "quick"
c.MarkOutside.cell_seconds = {Limits.cell_seconds}
c.MarkOutside.notebook_seconds = {Limits.notebook_seconds}
c.MarkOutside.gigabytes = {Limits.gigabytes}
'''


class StudentEdition(NbGraderPreprocessor):  # type: ignore[misc]
    """Take out of the master what is not for students: cells of the solution only, folds, the stamp."""

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        """Return the notebook without them."""
        nb.cells = [cell for cell in nb.cells if not {SOLUTION_ONLY, STAMP} & set(tags(cell))]
        for cell in nb.cells:
            cell.source = cell.source.replace(SOLUTION_TITLE, TITLE)
            cell.metadata.pop("mystnb", None)  # the words for a figure that is not there
            kept = [tag for tag in tags(cell) if tag != FOLDED]
            cell.metadata.pop("tags", None)
            if kept:
                cell.metadata["tags"] = kept
        nb.metadata.pop("gancourse", None)
        return nb, resources


class MarkOutside(NbGraderPreprocessor):  # type: ignore[misc]
    """Run a submission in a kernel of its own and mark it in another process, in place of nbgrader's Execute.

    Locked and graded cells are those of the master in the course's source folder.
    """

    source = Unicode(help="folder of the masters, source/ of the course").tag(config=True)
    profile = Unicode("quick", help='"quick" or "full"').tag(config=True)
    cell_seconds = Float(Limits.cell_seconds, help="seconds that a cell may take").tag(config=True)
    notebook_seconds = Float(Limits.notebook_seconds, help="seconds that all cells may take").tag(config=True)
    gigabytes = Float(Limits.gigabytes, help="memory that a kernel may take").tag(config=True)

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        """Return the executed notebook, with points and reports as outputs of the graded cells."""
        names = resources["nbgrader"]
        master = read((Path(self.source) / names["assignment"] / f"{names['notebook']}.ipynb").read_bytes())
        limits = Limits(
            cell_seconds=self.cell_seconds,
            notebook_seconds=self.notebook_seconds,
            gigabytes=self.gigabytes,
        )
        marked = mark(merge(master, nb), limits=limits, profile=self.profile)
        for name, one in marked.marks.items():
            if one.flag:
                self.log.warning("%s, %s: %s; look at it by hand", names["student"], name, one.flag)
        return marked.notebook, resources


# The order is nbgrader's own: hidden tests are saved with the cells before they are cleared.
FOR_GENERATE: Sequence[type] = [
    StudentEdition,
    LockCells,
    ClearSolutions,
    ClearOutput,
    CheckCellMetadata,
    ComputeChecksums,
    SaveCells,
    ClearHiddenTests,
    ComputeChecksums,
    CheckCellMetadata,
]
FOR_AUTOGRADE: Sequence[type] = [
    MarkOutside,
    ClearMetadataPreprocessor,
    LimitOutput,
    SaveAutoGrades,
    AssignLatePenalties,
    CheckCellMetadata,
]


def make_course(folder: Path, master: Path) -> Path:
    """Make a folder that nbgrader takes for a course, with the master in it; return the folder.

    Raises FileExistsError where there is a course already.
    """
    config, source = folder / "nbgrader_config.py", folder / "source" / ASSIGNMENT
    if config.exists():
        raise FileExistsError(f"{config} exists; give a folder of its own to a new course")
    source.mkdir(parents=True)
    (source / f"{ASSIGNMENT}.ipynb").write_bytes(master.read_bytes())
    config.write_text(CONFIG, encoding="utf-8")
    return folder


def nbgrader(course: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run an nbgrader command in a course."""
    command = [sys.executable, "-m", "nbgrader", *arguments]
    # nbgrader calls alembic by its name: it must be found though this environment may not be activated.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    env = os.environ | {"PATH": path, "JUPYTER_CONFIG_DIR": str(course / ".jupyter")}
    return subprocess.run(command, cwd=course, env=env, capture_output=True, text=True, check=False)


def student_edition(master: Path) -> str:
    """Return the text of the student edition, as `nbgrader generate_assignment` makes it from the master."""
    with tempfile.TemporaryDirectory() as scratch:
        course = make_course(Path(scratch) / "course", master)
        done = nbgrader(course, "generate_assignment", ASSIGNMENT)
        made = course / "release" / ASSIGNMENT / f"{ASSIGNMENT}.ipynb"
        if done.returncode or not made.exists():
            raise RuntimeError(f"nbgrader generate_assignment failed:\n{done.stderr}")
        notebook = json.loads(made.read_text(encoding="utf-8"))
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
