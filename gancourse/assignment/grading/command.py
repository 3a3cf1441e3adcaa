"""The commands `python -m gancourse.assignment grade` and `course`."""

import argparse
import contextlib
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from gancourse.assignment.grading.classroom import Classroom
from gancourse.assignment.grading.limits import Limits
from gancourse.assignment.grading.merging import UnreadableError
from gancourse.assignment.grading.submissions import Submission, submissions
from gancourse.assignment.grading.table import Row, as_csv, plain, printed

MASTER = Path("book", "assignment", "dcgan-solution.ipynb")
DONE, WRONG, INTERRUPTED = 0, 2, 130
PROFILES = "default: quick; full trains for 50 epochs, for which the seconds below are too few on a CPU"


class UsageError(Exception):
    """What was asked cannot be done; the words say why."""


class OneLineParser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """End with exit status 2."""
        self.exit(WRONG, f"{self.prog}: {message}\n")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    limits = Limits()
    made = OneLineParser(
        prog="python -m gancourse.assignment", description="The assignment, for instructors."
    )
    commands = made.add_subparsers(dest="command", required=True)
    course = commands.add_parser("course", help="make a course folder for nbgrader")
    course.add_argument("folder", type=Path, metavar="DIR", help="the course, to be made")
    course.add_argument("--master", type=Path, help=f"the notebook with solutions; default: {MASTER}")
    grade = commands.add_parser(
        "grade", help="mark a folder of submissions", description="Mark a folder of submissions."
    )
    grade.add_argument("folder", type=Path, metavar="DIR", help="alice.ipynb, or alice/..., for each student")
    grade.add_argument("--master", type=Path, help=f"the notebook with solutions; default: {MASTER}")
    grade.add_argument("--output", type=Path, help="where the marks go; default: DIR-marked")
    grade.add_argument("--profile", choices=("quick", "full"), default="quick", help=PROFILES)
    grade.add_argument("--cell-seconds", type=float, default=limits.cell_seconds, metavar="N")
    grade.add_argument("--notebook-seconds", type=float, default=limits.notebook_seconds, metavar="N")
    grade.add_argument(
        "--gigabytes", type=float, default=limits.gigabytes, metavar="X", help="memory at most"
    )
    grade.add_argument("--jobs", type=int, default=1, metavar="N", help="submissions at a time; default: 1")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status: 0 when all was graded, whatever the marks."""
    given = parser().parse_args(arguments)
    try:
        with _terminated_as_interrupted():
            return course(given) if given.command == "course" else grade(given)
    except UsageError as error:
        print(f"gancourse.assignment {given.command}: {plain(str(error))}", file=sys.stderr)
        return WRONG
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on with what is left", file=sys.stderr)
        return INTERRUPTED


@contextlib.contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Take SIGTERM like Ctrl-C, so that no kernel outlives the command."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def course(given: argparse.Namespace) -> int:
    """Make a course folder for nbgrader, with the master in it; nbgrader takes seconds to import."""
    from gancourse.assignment.grading.course import ASSIGNMENT, make_course

    try:
        made = make_course(given.folder, _master(given.master))
    except OSError as error:
        raise UsageError(str(error)) from error
    print(f"{made}: now, in this folder, nbgrader generate_assignment {ASSIGNMENT}")
    return DONE


def grade(given: argparse.Namespace) -> int:
    """Mark a folder; print the table, write marks.csv and the executed notebooks."""
    if given.jobs < 1:
        raise UsageError(f"expected --jobs of 1 or more, got {given.jobs}")
    if not given.folder.is_dir():
        raise UsageError(f"no folder {given.folder}")
    output = given.output or given.folder.resolve().with_name(given.folder.resolve().name + "-marked")
    classroom = _classroom(given, output)
    try:
        columns = classroom.columns()
        output.mkdir(parents=True, exist_ok=True)
    except (ValueError, UnreadableError, OSError) as error:
        raise UsageError(f"{given.master or MASTER}, {output}: {error}") from error
    all_of_them = submissions(given.folder, output)
    if not all_of_them:
        raise UsageError(f"no submissions in {given.folder}")
    rows = sorted(_rows(classroom, all_of_them, given.jobs), key=lambda row: row.student)
    (output / "marks.csv").write_text(as_csv(rows, columns), encoding="utf-8")
    print(f"\n{printed(rows, columns)}\n\n{output / 'marks.csv'}")
    return DONE


def _classroom(given: argparse.Namespace, output: Path) -> Classroom:
    numbers = (given.cell_seconds, given.notebook_seconds)
    try:
        limits = Limits(cell_seconds=numbers[0], notebook_seconds=numbers[1], gigabytes=given.gigabytes)
        return Classroom(_master(given.master).read_bytes(), output, given.profile, limits)
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from error


def _master(given: Path | None) -> Path:
    """Return the master: as given, or the book's in the working directory or a parent of it."""
    if given is not None:
        return given
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / MASTER).is_file():
            return folder / MASTER
    raise UsageError(f"no {MASTER} in {here} or above it: give --master")


def _rows(classroom: Classroom, given: list[Submission], jobs: int) -> list[Row]:
    known = {submission: classroom.known(submission) for submission in given}
    rows = [row for row in known.values() if row is not None]
    for row in rows:
        print(f"{plain(row.student)}: {row.total():g} points, marked before, not run again")
    left = [submission for submission, row in known.items() if row is None]
    for number, (row, seconds) in enumerate(classroom.rows(left, jobs, _tell), start=1):
        said = plain(row.problem) or f"{row.total():g} points"
        _line(f"[{number}/{len(left)}] {plain(row.student)}: {said}, {seconds:.0f} s\n")
        rows.append(row)
    return rows


def _tell(student: str, done: int, cells: int) -> None:
    if sys.stdout.isatty():
        _line(f"{plain(student)}: cell {done} of {cells}")


def _line(text: str) -> None:
    """Write over the line of the progress."""
    print(("\r\x1b[2K" if sys.stdout.isatty() else "") + text, end="", flush=True)
