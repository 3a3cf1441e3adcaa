"""Mark the submissions of a class, each once: what was marked before is read from the output folder."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from jupyter_core.utils import ensure_event_loop
from nbformat import NotebookNode

import gancourse
from gancourse.assignment.grading.cells import grade_id, is_by_hand, is_graded, points
from gancourse.assignment.grading.kernel import InterruptedGradingError, LostError, stopping
from gancourse.assignment.grading.limits import Limits
from gancourse.assignment.grading.marking import Mark, Plan, mark
from gancourse.assignment.grading.merging import UnreadableError, merge, read
from gancourse.assignment.grading.nodes import written
from gancourse.assignment.grading.submissions import Submission
from gancourse.assignment.grading.table import Row

Tell = Callable[[str, int, int], None]  # the student, cells that have run, all cells


@dataclass(frozen=True)
class Classroom:
    """What all submissions of a class have in common."""

    master: bytes
    output: Path
    profile: str
    limits: Limits

    def columns(self) -> dict[str, float | None]:
        """Return the points by grade_id, None for what is marked by hand; ValueError for a faulty master."""
        notebook = self.notebook()
        Plan.of(merge(notebook, notebook))
        found = {
            str(grade_id(cell)): None if is_by_hand(cell) else points(cell)
            for cell in notebook.cells
            if is_graded(cell) or is_by_hand(cell)
        }
        if all(most is None for most in found.values()):
            raise ValueError("expected graded code cells in the master, found none")
        return found

    def notebook(self) -> NotebookNode:
        """Return the master."""
        return read(self.master)

    def key(self, submission: bytes) -> str:
        """Return what changes with the submission, the master, profile, limits and the checks."""
        parts = [self.master, submission, self.profile.encode(), json.dumps(asdict(self.limits)).encode()]
        hashes = [hashlib.sha256(part).hexdigest() for part in parts]
        return hashlib.sha256("".join([*hashes, package()]).encode()).hexdigest()

    # -------------------------------------------------------------- one submission

    def known(self, submission: Submission) -> Row | None:
        """Return the row of a submission that was marked before, as it is now."""
        if submission.path is None or not self._file(submission, ".ipynb").is_file():
            return None
        with suppress(OSError, ValueError, KeyError, TypeError):
            stored = json.loads(self._file(submission, ".json").read_text(encoding="utf-8"))
            if stored["key"] == self.key(submission.path.read_bytes()):
                marks = {name: Mark(**facts) for name, facts in stored["marks"].items()}
                return Row(submission.student, marks, tuple(stored["remarks"]))
        return None

    def row(self, submission: Submission, tell: Tell) -> Row:
        """Mark a submission and store what was found; whatever is wrong with it becomes its problem."""
        if submission.path is None:
            return Row(submission.student, problem=submission.problem)
        try:
            return self._marked(submission, submission.path.read_bytes(), tell)
        except InterruptedGradingError:
            raise
        except LostError as error:
            problem = f"Jupyter lost its kernel twice, grade again: {error}"
        except (UnreadableError, OSError) as error:
            problem = str(error)
        except Exception as error:  # one submission must not stop the others
            problem = f"could not be marked: {type(error).__name__}: {error}"
        return Row(submission.student, problem=problem)

    def _marked(self, submission: Submission, data: bytes, tell: Tell) -> Row:
        merged = merge(self.notebook(), read(data))
        found = mark(
            merged,
            limits=self.limits,
            profile=self.profile,
            tell=lambda done, cells: tell(submission.student, done, cells),
        )
        stored = {
            "key": self.key(data),
            "marks": {name: asdict(facts) for name, facts in found.marks.items()},
            "remarks": found.remarks,
        }
        self._file(submission, ".ipynb").write_text(written(found.notebook), encoding="utf-8")
        self._file(submission, ".json").write_text(json.dumps(stored, indent=1), encoding="utf-8")
        return Row(submission.student, found.marks, tuple(found.remarks))

    def _file(self, submission: Submission, suffix: str) -> Path:
        return self.output / f"{submission.student}{suffix}"

    # -------------------------------------------------------------- all of them

    def rows(self, given: list[Submission], jobs: int, tell: Tell) -> Iterator[tuple[Row, float]]:
        """Mark submissions, so many at a time; yield each row when it is there, and its seconds."""
        with ThreadPoolExecutor(jobs) as pool:
            try:
                yield from (
                    done.result() for done in as_completed(pool.submit(self._timed, s, tell) for s in given)
                )
            except BaseException:
                stopping.set()
                pool.shutdown(cancel_futures=True)
                raise
            finally:
                stopping.clear()

    def _timed(self, submission: Submission, tell: Tell) -> tuple[Row, float]:
        started = time.monotonic()
        try:
            return self.row(submission, tell), time.monotonic() - started
        finally:
            ensure_event_loop().close()  # that of this thread, which jupyter_client opens and leaves


@cache
def package() -> str:
    """Return a hash of gancourse's sources: other checks may give other marks."""
    folder, found = Path(gancourse.__file__).parent, hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        found.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return found.hexdigest()
