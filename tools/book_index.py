"""What the book's pages can be referred to by, with the numbers that Sphinx gives in reading order."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import yaml
from notebook_prose import LABELS, directives, load, prose
from plain_markdown import NUMBERED, Target

ROOT = Path(__file__).resolve().parent.parent
HEADING = re.compile(r"^#+\s+(.+)$", re.MULTILINE)
SECTION = re.compile(r"^\(([^()\s]+)\)=\s*\n+#+\s+(.+)$", re.MULTILINE)


def pages(root: Path = ROOT) -> list[str]:
    """List the pages in reading order, without their endings."""
    contents = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    return [contents["root"], *(page["file"] for part in contents["parts"] for page in part["chapters"])]


def texts(root: Path = ROOT) -> dict[str, str]:
    """Return the prose of each page, notebooks without their code."""
    found = {}
    for page in pages(root):
        notebook = root / f"{page}.ipynb"
        markdown = (root / f"{page}.md").read_text if not notebook.exists() else None
        found[page] = markdown(encoding="utf-8") if markdown else prose(load(notebook))
    return found


def titles(root: Path = ROOT) -> dict[str, str]:
    """Return the heading of each page."""
    headings = {page: HEADING.search(text) for page, text in texts(root).items()}
    return {page: found[1] for page, found in headings.items() if found}


def entries(text: str) -> list[list[str]]:
    """Return the names of each entry of the glossary, in the order of the page: one name a line."""
    (body,) = re.findall(r"^```\{glossary\}\n(?::sorted:\n)?\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    blocks = (block.splitlines() for block in body.strip().split("\n\n"))
    named = ([line for line in block if not line.startswith(" ")] for block in blocks)
    return [names for names in named if names]  # a definition may go on after an empty line


def terms(root: Path = ROOT) -> dict[str, str]:
    """Return the anchor of each name of the glossary, by the name in lower case."""
    found = {}
    for name in chain(*entries((root / "book" / "glossary.md").read_text(encoding="utf-8"))):
        plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
        found[name.lower()] = "term-" + re.sub(r"[^\w.]+", "-", plain).strip("-")
    return found


def targets(root: Path = ROOT) -> dict[str, Target]:
    """Return what each label of the book stands for: theorems, exercises, equations, sections."""
    counts: Counter[str] = Counter()
    found = {}
    for page, text in texts(root).items():
        for label, kind in numbered(text):
            counts[kind] += 1
            words = f"({counts[kind]})" if kind == "equation" else f"{kind.capitalize()} {counts[kind]}"
            found[label] = Target(page, words, f"equation-{label}" if kind == "equation" else label)
        for label, heading in SECTION.findall(text):
            found[label] = Target(page, heading, label)
    return found


def numbered(text: str) -> Iterator[tuple[str, str]]:
    """Yield the label and the kind of all that is counted on a page, each kind in its order."""
    for name, _, options in directives(text):
        if name in NUMBERED:
            yield options["label"], name.removeprefix("prf:")
    yield from ((label, "equation") for label in LABELS[2].findall(text))
