"""The works that the book cites: how prose names them, where they are, how a list shows them."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from pybtex.database import Entry, parse_file
from pybtex.plugin import find_plugin
from pybtex.richtext import Text

ROOT = Path(__file__).resolve().parent.parent
BIBLIOGRAPHY = ROOT / "book" / "references.bib"
ESCAPED = re.compile(r"\\([.()\-!#+])")  # the Markdown that pybtex writes escapes what needs no escape


@cache
def works(file: Path = BIBLIOGRAPHY) -> dict[str, Entry]:
    """Return the entries of the bibliography by their keys."""
    return dict(parse_file(str(file), "bibtex").entries)


def last_names(entry: Entry) -> list[str]:
    """List the authors' last names."""
    people = entry.persons.get("author", [])
    return [str(Text.from_latex(" ".join(p.prelast_names + p.last_names))) for p in people]


def short_names(entry: Entry) -> str:
    """Name the authors as prose does: one, two, or the first et al."""
    names = last_names(entry)
    return " and ".join(names) if len(names) < 3 else f"{names[0]} et al."


def address(entry: Entry) -> str | None:
    """Return where a work can be read: arXiv, its DOI, its page; None if no address is known."""
    fields = entry.fields
    if "eprint" in fields:
        return f"https://arxiv.org/abs/{fields['eprint']}"
    if "doi" in fields:
        return f"https://doi.org/{fields['doi']}"
    return str(fields["url"]) if "url" in fields else None


def references(keys: set[str]) -> list[str]:
    """Write the works as a list of references in Markdown, sorted by author and year."""
    style = find_plugin("pybtex.style.formatting", "unsrt")()
    backend = find_plugin("pybtex.backends", "markdown")()
    entries = sorted((works()[key] for key in keys), key=lambda e: (last_names(e), e.fields["year"]))
    shown = (item.text.render(backend) for item in style.format_entries(entries))
    return ["- " + ESCAPED.sub(r"\1", " ".join(text.split())) for text in shown]
