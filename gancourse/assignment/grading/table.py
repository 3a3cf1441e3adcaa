"""The marks of a class, on the terminal and as CSV."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field

from gancourse.assignment.grading.marking import BY_HAND, Mark, total


@dataclass(frozen=True)
class Row:
    """What became of one submission; `problem` where it could not be marked."""

    student: str
    marks: dict[str, Mark] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    problem: str = ""

    def total(self) -> float:
        """Return the points so far; what is marked by hand is not in it."""
        return total(self.marks)

    def notes(self) -> list[str]:
        """Return what a person should look at: the problem, flags, remarks."""
        flags = [f"{name}: {mark.flag}" for name, mark in self.marks.items() if mark.flag]
        return [plain(note) for note in (*filter(None, [self.problem]), *flags, *self.remarks)]


def plain(text: str) -> str:
    """Return a text in one line, without what steers a terminal."""
    return "".join(sign if sign.isprintable() else " " for sign in text).strip()


def cells(row: Row, columns: dict[str, float | None]) -> list[str]:
    """Return a row's marks; `columns` are the points by grade_id, None for marks by hand."""
    found = []
    for name, most in columns.items():
        mark = row.marks.get(name)
        found.append(BY_HAND if most is None else f"{mark.points or 0.0:g}" if mark else "0")
    return found


def printed(rows: Sequence[Row], columns: dict[str, float | None]) -> str:
    """Return the table for the terminal, and below it what is to be looked at."""
    head = ["student", *(name if most is None else f"{name} ({most:g})" for name, most in columns.items())]
    lines = [[*head, f"total ({sum(most or 0.0 for most in columns.values()):g})"]]
    lines += [[plain(row.student), *cells(row, columns), f"{row.total():g}"] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    table = ["  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)) for line in lines]
    notes = [f"{plain(row.student)}: {note}" for row in rows for note in row.notes()]
    return "\n".join([*map(str.rstrip, table), *([""] if notes else []), *notes])


def as_csv(rows: Sequence[Row], columns: dict[str, float | None]) -> str:
    """Return the table as CSV, with the notes in the last column."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["student", *columns, "total", "notes"])
    for row in rows:
        notes = "; ".join(row.notes())
        writer.writerow([_inert(row.student), *cells(row, columns), f"{row.total():g}", _inert(notes)])
    return text.getvalue()


def _inert(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
