"""Two directives for the pages around the chapters: `chapter-times` and `chapter-stamps`.

A Sphinx extension. Both read the notebooks, so that no page repeats by hand what a stamp says.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
from chapter_times import full_seconds, quick_text, read_quick_times
from docutils import nodes
from docutils.statemachine import StringList
from nbformat import NotebookNode
from notebook_stamp import duration, package_sha256, read_stamp
from run_notebook import ROOT, book_notebooks
from sphinx.util.docutils import SphinxDirective

Chapters = dict[Path, NotebookNode]
NOT_RUN = ["", "", "", "not run yet"]


def title(notebook: NotebookNode) -> str:
    """Return the notebook's heading up to its colon."""
    return re.sub(r"^#\s+", "", notebook.cells[0].source.partition("\n")[0]).partition(":")[0]


def place(path: Path) -> str:
    """Return a notebook's path as a page of book/ links to it."""
    return "/".join(path.parts[path.parts.index("book") + 1 :])


def whole(text: str) -> str:
    """Keep a duration or a date on one line."""
    return text.replace(" ", "\N{NO-BREAK SPACE}").replace("-", "\N{NON-BREAKING HYPHEN}")


def as_table(rows: list[list[str]]) -> list[str]:
    """Write rows as a Markdown table; the second row tells the alignment."""
    return [f"| {' | '.join(row)} |" for row in rows]


def times(chapters: Chapters) -> list[str]:
    """Tell how long each chapter takes in each profile."""
    rows = [["chapter", "quick", "full", "of this, training", "on"], [":--", "--:", "--:", "--:", ":--"]]
    for path, notebook in chapters.items():
        stamp, link = read_stamp(notebook), f"[{title(notebook)}]({place(path)})"
        if not stamp:
            rows.append([link, *NOT_RUN])
            continue
        training = sum(run["wall_s"] for run in stamp["runs"])
        spent = [full_seconds(stamp), training]
        durations = [quick_text(path.stem), *(duration(seconds) for seconds in spent)]
        rows.append([link, *map(whole, durations), stamp["device"]])
    noted = sorted({facts["device"] for facts in read_quick_times().values()})
    return [*as_table(rows), "", f"The quick times were taken on {' and '.join(noted)}."]


def stamps(chapters: Chapters) -> list[str]:
    """Tell what made the outputs of each chapter, and whether the package is still the one that did."""
    now = package_sha256(ROOT / "gancourse")
    rows = [["chapter", "date", "device", "torch", "training runs", "package"], [":--"] * 6]
    for path, notebook in chapters.items():
        stamp, link = read_stamp(notebook), f"[{title(notebook)}]({place(path)})"
        if not stamp:
            rows.append([link, *NOT_RUN, ""])
            continue
        runs, days = stamp["runs"], sorted({run["date"][:10] for run in stamp["runs"]})
        when = " to ".join(map(whole, dict.fromkeys((days[0], days[-1])))) if days else ""
        same = "today's" if stamp["package_sha256"] == now else f"`{stamp['package_sha256'][:6]}`"
        row = [link, whole(stamp["date"][:10]), stamp["device"]]
        rows.append([*row, stamp["versions"]["torch"], f"{len(runs)}, {when}" if runs else "none", same])
    return as_table(rows)


def directive(table: Callable[[Chapters], list[str]]) -> type[SphinxDirective]:
    """Make a directive of a table."""

    class Table(SphinxDirective):
        def run(self) -> list[nodes.Node]:
            paths = book_notebooks(ROOT)
            for path in paths:
                self.env.note_dependency(str(path))
            lines = table({path: nbformat.read(path, as_version=4) for path in paths})
            holder = nodes.Element()
            self.state.nested_parse(StringList(lines, self.get_source_info()[0]), self.content_offset, holder)
            return holder.children

    return Table


def setup(app: Any) -> dict[str, bool]:
    """Name the directives."""
    app.add_directive("chapter-times", directive(times))
    app.add_directive("chapter-stamps", directive(stamps))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
