"""The submissions in a folder: one notebook a student, or the reason why there is none."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Submission:
    """A student's notebook; `problem` says what is wrong where it is not one."""

    student: str
    path: Path | None = None
    problem: str = ""


def submissions(folder: Path, output: Path) -> list[Submission]:
    """Find `alice.ipynb`, `alice/dcgan.ipynb` and nbgrader's `alice/dcgan/dcgan.ipynb` below a folder.

    The student is the first part of the path. What grading itself wrote is left out, as is what is hidden.
    """
    held: dict[str, list[Path]] = {}
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith((".", "__")) or entry.resolve() == output.resolve():
            continue
        if entry.is_dir():
            held.setdefault(entry.name, []).extend(_notebooks(entry))
        elif entry.suffix == ".ipynb":
            held.setdefault(entry.stem, []).append(entry)
    return [_submission(student, paths, folder) for student, paths in sorted(held.items())]


def _notebooks(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.rglob("*.ipynb") if path.is_file())
    return [
        path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]


def _submission(student: str, paths: list[Path], folder: Path) -> Submission:
    if not paths:
        return Submission(student, problem="no notebook")
    if len(paths) > 1:
        names = ", ".join(str(path.relative_to(folder)) for path in paths)
        return Submission(student, problem=f"{len(paths)} notebooks: {names}; leave one")
    return Submission(student, paths[0])
