"""Directives for the page on speed, made from book/speed.json: `speed-table`, `speed-curves`, `speed-limits`.

A Sphinx extension: no page repeats by hand what a benchmark measured.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from chapter_tables import as_table
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from benchmarks.pairs import rows_of

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "book" / "speed.json"
NAMES = {"cpu": "CPU", "cuda": "CUDA GPU"}


def results(path: Path = RESULTS) -> dict[str, Any]:
    """Return what `make bench` stored, by the kind of device."""
    return dict(json.loads(path.read_text(encoding="utf-8")))


def stamp_line(stamp: dict[str, Any]) -> str:
    """Tell what measured a table."""
    versions = ", ".join(f"{name} {version}" for name, version in sorted(stamp["versions"].items()))
    return f"*Measured on {stamp['device']}, {stamp['date'][:10]}, with {versions}.*"


def comparison(kind: str, stored: dict[str, Any]) -> list[str]:
    """Write the table of a kind of device, or say that there is none."""
    if kind not in stored:
        return [f"Not measured yet on a {NAMES[kind]}: `make bench` there fills this table."]
    facts = stored[kind]
    lines = [*as_table(rows_of(facts["rows"])), "", stamp_line(facts["stamp"])]
    if "whole_training" in facts:
        whole = facts["whole_training"]
        lines += ["", f"{whole['epochs']} epochs of MNIST took {whole['seconds']:.1f} s."]
    return lines


def growth(kind: str, stored: dict[str, Any]) -> list[str]:
    """Write the curves of a kind of device as tables: each value, its time, the time of a unit."""
    if kind not in stored:
        return [f"Not measured yet on a {NAMES[kind]}."]
    lines: list[str] = []
    for name, curve in stored[kind]["curves"].items():
        what, _, by = name.partition(", by ")
        rows = [[by, f"{what} (ms)", "times the one before"], ["--:", "--:", "--:"]]
        before = None
        for value, seconds in zip(curve["values"], curve["seconds"], strict=True):
            ratio = "" if before is None else f"{seconds / before:.1f}"
            rows.append([f"{value:,.0f}", f"{1000 * seconds:.3g}", ratio])
            before = seconds
        lines += [*as_table(rows), ""]
    return lines


def limits(kind: str, stored: dict[str, Any]) -> list[str]:
    """Tell how far a step is from the device's measured limits."""
    if kind not in stored:
        return [f"Not measured yet on a {NAMES[kind]}."]
    facts = stored[kind]["limits"]
    return [
        f"A step of DCGAN-28 at batch 64 takes {1000 * facts['step_seconds']:.3g} ms and "
        f"{facts['step_flops'] / 1e9:.2f} billion operations. The largest rate that a matrix product reached "
        f"on this {NAMES[kind]} is {facts['peak_flops'] / 1e12:.2f} trillion a second, a copy moves "
        f"{facts['bandwidth'] / 1e9:.0f} GB a second. The step reaches {100 * facts['of_peak']:.0f} % of the "
        f"one; weights, gradients and moments alone take {100 * facts['of_bandwidth']:.1f} % of the other."
    ]


TABLES = {"speed-table": comparison, "speed-curves": growth, "speed-limits": limits}


def directive(name: str) -> type[SphinxDirective]:
    """Make a directive of a table; its argument is the kind of device."""

    class Table(SphinxDirective):
        required_arguments = 1

        def run(self) -> list[nodes.Node]:
            self.env.note_dependency(str(RESULTS))
            lines = TABLES[name](self.arguments[0], results())
            holder = nodes.Element()
            self.state.nested_parse(StringList(lines, self.get_source_info()[0]), self.content_offset, holder)
            return holder.children

    return Table


def setup(app: Any) -> dict[str, bool]:
    """Name the directives."""
    for name in TABLES:
        app.add_directive(name, directive(name))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
