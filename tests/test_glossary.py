"""The glossary: in order, each link leads to an entry, each entry is led to. Each check catches its fault."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest
from book_index import entries
from run_notebook import ROOT, book_notebooks

BOOK = ROOT / "book"
GLOSSARY = BOOK / "glossary.md"
NOTEBOOKS = book_notebooks()
LINK = re.compile(r"\{term\}`(?:[^`<]*<)?([^`<>]+)>?`")


def rank(name: str) -> str:
    """Return what Sphinx sorts by: letters without case, accents after their letter."""
    return unicodedata.normalize("NFD", name.lower())


def out_of_order(found: list[list[str]]) -> list[str]:
    """Return the entries whose first name does not come after the one before; a name that comes twice."""
    names = [rank(name) for entry in found for name in entry]
    firsts = [entry[0] for entry in found]
    late = [b for a, b in pairwise(firsts) if rank(a) >= rank(b)]
    return late + sorted({name for name in names if names.count(name) > 1})


def links(path: Path) -> list[str]:
    """Return what the term roles of a page lead to, as the reader meets them."""
    if path.suffix == ".md":
        return LINK.findall(path.read_text(encoding="utf-8"))
    cells = nbformat.read(path, as_version=4).cells
    return [name for cell in cells if cell.cell_type == "markdown" for name in LINK.findall(cell.source)]


def unknown(found: list[list[str]], linked: Iterable[str]) -> list[str]:
    """Return the links that no entry has the name of; like Sphinx, regardless of case."""
    known = {name.lower() for entry in found for name in entry}
    return sorted({name for name in linked if name.lower() not in known})


def repeated(found: list[list[str]], linked: Iterable[str]) -> list[str]:
    """Return the entries that several of the links lead to, under whichever name."""
    first = {name.lower(): entry[0] for entry in found for name in entry}
    met = [first.get(name.lower(), name) for name in linked]
    return sorted({name for name in met if met.count(name) > 1})


def forgotten(found: list[list[str]], linked: Iterable[str]) -> list[str]:
    """Return the entries that none of the links leads to."""
    met = {name.lower() for name in linked}
    return [entry[0] for entry in found if not met & {name.lower() for name in entry}]


# ------------------------------------------------------------------ the book's own


@pytest.fixture(scope="module")
def glossary() -> list[list[str]]:
    found = entries(GLOSSARY.read_text(encoding="utf-8"))
    assert len(found) > 100
    return found


def test_entries_are_in_alphabetical_order(glossary: list[list[str]]) -> None:
    assert out_of_order(glossary) == []


@pytest.mark.parametrize("path", [*NOTEBOOKS, *sorted(BOOK.glob("*.md"))], ids=lambda path: path.name)
def test_every_term_is_in_the_glossary(path: Path, glossary: list[list[str]]) -> None:
    assert unknown(glossary, links(path)) == []


def test_every_entry_is_linked_from_another_page(glossary: list[list[str]]) -> None:
    pages = [*NOTEBOOKS, *(path for path in BOOK.glob("*.md") if path != GLOSSARY)]
    assert forgotten(glossary, [name for path in pages for name in links(path)]) == []


# The assignment is handed out by itself, where a role would be read as it is written.
CHAPTERS = [path for path in NOTEBOOKS if path.parent == BOOK]


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_links_a_term_once(path: Path, glossary: list[list[str]]) -> None:
    linked = links(path)
    assert linked, "the chapter has no link to the glossary"
    assert repeated(glossary, linked) == []


# ------------------------------------------------------------------ the checks catch their faults

PAGE = "# Glossary\n\n```{glossary}\n:sorted:\n\nadam\n  One.\n\nGAN\ncGAN\n  Two, {term}`adam`.\n```\n"
FOUND = [["adam"], ["GAN", "cGAN"]]


def test_names_are_read() -> None:
    assert entries(PAGE) == FOUND
    assert out_of_order(FOUND) == []


@pytest.mark.parametrize(
    ("found", "late"),
    [
        ([["AdaIN"], ["aliasing"], ["Adam"]], ["Adam"]),
        ([["potential"], ["profile"], ["R1"], ["profile"]], ["profile", "profile"]),
        ([["Fréchet distance"], ["free"]], ["free"]),
        ([["GAN"], ["generator", "gan"]], ["gan"]),
    ],
)
def test_disorder_is_caught(found: list[list[str]], late: list[str]) -> None:
    assert out_of_order(found) == late


def test_faulty_links_are_caught(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "*{term}`Adam`'s*, {term}`nets <cGAN>`, **{term}`GAN`**, {term}`gone <lost>`, {ref}`no <x>`"
    )
    linked = links(page)
    assert linked == ["Adam", "cGAN", "GAN", "lost"]
    assert unknown(FOUND, linked) == ["lost"]
    assert repeated(FOUND, linked) == ["GAN"]
    assert forgotten(FOUND, linked) == []
    assert forgotten(FOUND, ["CGAN"]) == ["adam"]
