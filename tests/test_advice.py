"""The pages of advice: each symptom and each tip points to a cell, each mistake to a test that exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from run_notebook import ROOT

CELL = re.compile(r"\]\((?P<page>[\w-]+\.ipynb)#cell-[\w-]+\)")
TEST = re.compile(r"`(test_\w+\.py)::(test_\w+)`")


def page(name: str) -> str:
    """Return the text of a page of the book."""
    return (ROOT / "book" / f"{name}.md").read_text(encoding="utf-8")


def table(text: str) -> list[str]:
    """Return the rows of the first table, without its head."""
    rows = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert rows is not None
    return rows[0].splitlines()[2:]


def tips(text: str) -> list[str]:
    """Return the paragraphs that begin with a tip in bold."""
    return [part for part in text.split("\n\n") if part.startswith("**")]


def mistakes(text: str) -> dict[str, str]:
    """Return what stands under each heading of the third level."""
    parts = re.split(r"^### (.+)$", text, flags=re.MULTILINE)[1:]
    bodies = (re.split(r"^## ", body, flags=re.MULTILINE)[0] for body in parts[1::2])
    return dict(zip(parts[::2], bodies, strict=True))


def gone(text: str, folder: Path = ROOT / "tests") -> Iterator[str]:
    """Yield the tests that a text names and the folder does not have."""
    for file, function in TEST.findall(text):
        path = folder / file
        tree = ast.parse(path.read_text(encoding="utf-8")) if path.is_file() else ast.Module([], [])
        if function not in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}:
            yield f"{file}::{function}"


def test_each_row_of_the_symptoms_points_to_a_cell() -> None:
    rows = table(page("symptoms"))
    assert len(rows) >= 10
    assert [row for row in rows if not CELL.search(row.split("|")[-2])] == []


def test_each_row_of_the_symptoms_leads_to_its_section() -> None:
    text = page("symptoms")
    labels = set(re.findall(r"^\((sym-[\w-]+)\)=$", text, re.MULTILINE))
    assert {label for row in table(text) for label in re.findall(r"\(#(sym-[\w-]+)\)", row)} <= labels


def test_each_tip_has_a_verdict_and_a_cell() -> None:
    found = tips(page("tips"))
    assert len(found) >= 30
    assert [tip for tip in found if not re.search(r"\*\* \*.+?\*", tip) or not CELL.search(tip)] == []


def test_each_mistake_names_what_catches_it() -> None:
    found = mistakes(page("errata"))
    assert len(found) >= 20
    silent = [name for name, text in found.items() if not re.search(r"\*\*(?:Caught|Held|held) by\*\*", text)]
    assert silent == []


@pytest.mark.parametrize("name", ["errata", "symptoms", "tips"])
def test_each_named_test_exists(name: str) -> None:
    assert list(gone(page(name))) == []


def test_a_test_that_is_gone_is_seen() -> None:
    text = "`test_advice.py::test_each_named_test_exists` `test_advice.py::test_gone` `test_no.py::test_a`"
    assert list(gone(text)) == ["test_advice.py::test_gone", "test_no.py::test_a"]


def test_rows_and_tips_without_a_cell_are_seen() -> None:
    assert table("| a | b |\n| - | - |\n| x | [y](z.md) |\n\ntext")[0] == "| x | [y](z.md) |"
    assert not CELL.search("[y](01-minimax.ipynb)")
    assert tips("**Do.** *Backed.* No cell.\n\nProse.") == ["**Do.** *Backed.* No cell."]
    assert mistakes("### A\n\nx\n\n## B\n\ny\n\n### C\n\nz\n") == {"A": "\n\nx\n\n", "C": "\n\nz\n"}
