"""Checks of a notebook's prose: what it refers to exists. The book's build checks the same, slower."""

import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import nbformat
from nbformat import NotebookNode

FENCE = re.compile(r"^(?P<mark>`{3,}|~{3,}|:{3,})\s*(?P<rest>\S.*)$")
DIRECTIVE = re.compile(r"\{(?P<name>[\w:-]+)\}\s*(?P<argument>.*)")
EXERCISE, SOLUTION = {"exercise", "exercise-start"}, {"solution", "solution-start"}
CITE = re.compile(r"\{cite(?::\w+)?\}`([^`]+)`")
REFERENCE = re.compile(r"\{(numref|eq|ref|prf:ref)\}`([^`]+)`")
LABELS = (
    re.compile(r"^\(([^()\s]+)\)=\s*$", re.MULTILINE),
    re.compile(r"^\s*:(?:label|name):\s*(\S+)\s*$", re.MULTILINE),
    re.compile(r"\$\$\s*\(([^()\s]+)\)"),
)
LINK = re.compile(r"(?<!\\)\]\(\s*<?([^)>\s]+)>?(?:\s+\"[^\"]*\")?\s*\)")
MATH = re.compile(r"\$\$.*?\$\$|\$[^$\n]+\$", re.DOTALL)
CODE = re.compile(r"(?<![`{}])`[^`\n]+`")


def load(path: Path) -> NotebookNode:
    """Read a notebook as it is; nbformat.read would repair some of what the checks look for."""
    return nbformat.v4.reads(path.read_text(encoding="utf-8"))


def prose(notebook: NotebookNode) -> str:
    """Return the Markdown cells as one text, without code blocks (directives are no code blocks)."""
    text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    return _without_code_blocks(text)


def _without_code_blocks(text: str) -> str:
    kept, fence = [], ""
    for line in text.splitlines():
        match = FENCE.match(line)
        opens = match and not fence and match["mark"][0] != ":" and not match["rest"].startswith("{")
        bare = re.fullmatch(r"(`{3,}|~{3,})\s*", line)
        if opens and match:
            fence = match["mark"]
        elif not fence:
            kept.append(line)
        elif bare and line.strip().startswith(fence):
            fence = ""
    return "\n".join(kept)


def directives(text: str) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield each directive's name, argument and `:key: value` options."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        fence = FENCE.match(line)
        found = DIRECTIVE.fullmatch(fence["rest"].strip()) if fence else None
        if not found:
            continue
        options = {}
        for option in lines[number + 1 :]:
            match = re.fullmatch(r"\s*:([\w-]+):\s*(.*)", option)
            if not match:
                break
            options[match[1]] = match[2].strip()
        yield found["name"], found["argument"].strip(), options


def check_exercises(notebook: NotebookNode, path: Path) -> Iterator[str]:
    """Each exercise has a folded solution, each solution an exercise."""
    found = list(directives(prose(notebook)))
    exercises = [options.get("label", "") for name, _, options in found if name in EXERCISE]
    solutions = [(argument, options) for name, argument, options in found if name in SOLUTION]
    solved = [argument for argument, _ in solutions]
    yield from (
        f"exercise {label or 'without a label'!r} has no solution"
        for label in exercises
        if label not in solved
    )
    yield from (f"solution {label!r} has no exercise" for label in solved if label not in exercises)
    for label, options in solutions:
        if "dropdown" not in options.get("class", "").split():
            yield f"the solution of {label!r} is not folded; add `:class: dropdown`"


def check_citations(notebook: NotebookNode, path: Path) -> Iterator[str]:
    """Each cited key is in the bibliography."""
    known = bibliography(_book(path) / "references.bib")
    for found in CITE.finditer(prose(notebook)):
        for key in (key.strip() for key in found[1].split(",")):
            if key not in known:
                yield f"{key!r} is cited and not in references.bib"


def check_references(notebook: NotebookNode, path: Path) -> Iterator[str]:
    """Each reference to a figure, equation, section or theorem has its target in the book."""
    targets = labels(notebook) | book_labels(_book(path))
    for found in REFERENCE.finditer(prose(notebook)):
        titled = re.search(r"<([^<>]+)>\s*$", found[2])
        target = titled[1] if titled else found[2].strip()
        if target not in targets:
            yield f"{{{found[1]}}} refers to {target!r}, which the book does not have"


def check_links(notebook: NotebookNode, path: Path) -> Iterator[str]:
    """Each relative link leads to a file."""
    for found in LINK.finditer(CODE.sub("", MATH.sub("", prose(notebook)))):
        place = found[1].partition("#")[0]
        if place and not re.match(r"[a-z][a-z0-9+.-]*:", place) and not (path.parent / place).exists():
            yield f"the link to {found[1]!r} leads nowhere"


def labels(notebook: NotebookNode) -> set[str]:
    """Collect what a notebook can be referred to by, in its prose and in its cells' metadata."""
    found = _labels(prose(notebook))
    for cell in notebook.cells:
        options = cell.metadata.get("mystnb", {})
        found |= {
            options[kind]["name"] for kind in ("figure", "image", "table") if "name" in options.get(kind, {})
        }
    return found


def _labels(text: str) -> set[str]:
    return {found for pattern in LABELS for found in pattern.findall(text)}


@cache
def book_labels(book: Path) -> frozenset[str]:
    """Collect the targets of all pages of the book."""
    found: set[str] = set()
    for page in sorted(book.rglob("*.md")):
        found |= _labels(_without_code_blocks(page.read_text(encoding="utf-8")))
    for page in sorted(book.rglob("*.ipynb")):
        found |= labels(load(page))
    return frozenset(found)


def bibliography(path: Path) -> set[str]:
    """Return the keys of a BibTeX file; none when it is missing."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return set(re.findall(r"^\s*@\w+\s*\{\s*([^,\s]+)\s*,", text, re.MULTILINE))


def _book(path: Path) -> Path:
    return next((folder for folder in path.parents if folder.name == "book"), path.parent)


PROSE_CHECKS: list[Callable[[NotebookNode, Path], Iterator[str]]] = [
    check_exercises,
    check_citations,
    check_references,
    check_links,
]
