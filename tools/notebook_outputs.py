"""Checks of what a notebook stores as output: it goes onto the page as it is."""

import json
import re
from collections.abc import Callable, Iterator

from nbformat import NotebookNode
from notebook_clean import WIDGET

MAX_OUTPUT, MAX_ANIMATION = 100_000, 400_000
MIN_ALT = 25
IMAGES = ("image/png", "image/jpeg", "image/svg+xml", "image/gif")
NOT_A_FINDING = re.compile(
    r"(an? |the )?(figure|plot|image|picture|graph|chart|screenshot)\b( of|:)", re.IGNORECASE
)
FILE_NAME = re.compile(r"\S+\.(png|jpe?g|svg|gif|ipynb|pdf)\b", re.IGNORECASE)
MACHINE_PATH = re.compile(r"(?<![\w.:/-])/(home|root|work|tmp|Users|private|content)/|\b[A-Z]:\\\\?Users")
ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]{6,}")
DATA_URI = re.compile(r"data:[\w/+.-]+;base64,[A-Za-z0-9+/=\s\\]+")
EXTERNAL = re.compile(
    r"""\b(src|srcset|poster|data)\s*=\s*["']?\s*(https?:)?//"""
    r"""|<link\b[^>]*\bhref\s*=\s*["']?\s*(https?:)?//"""
    r"""|\burl\(\s*["']?\s*(https?:)?//"""
    r"""|@import\s+["']?(url\()?["']?(https?:)?//"""
    r"""|\b(import|fetch|require|from)\b\s*\(?\s*\[?["'](https?:)?//""",
    re.IGNORECASE,
)


def outputs(notebook: NotebookNode) -> Iterator[tuple[NotebookNode, NotebookNode]]:
    """Yield each output with its cell."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            yield cell, output


def texts(output: NotebookNode) -> Iterator[tuple[str, str]]:
    """Yield each text of an output with its mime type; images in base64 are left out, also those in HTML."""
    if output.output_type == "stream":
        yield "text/plain", output.text
    elif output.output_type == "error":
        yield "text/plain", "\n".join(output.traceback)
    for mime, value in output.get("data", {}).items():
        if mime not in IMAGES or mime == "image/svg+xml":
            text = value if isinstance(value, str) else json.dumps(value)
            yield mime, DATA_URI.sub("data:", text)


def figures(notebook: NotebookNode) -> Iterator[tuple[NotebookNode, int]]:
    """Yield each cell that stores images, with their number."""
    for cell in notebook.cells:
        number = sum(bool(set(IMAGES) & set(output.get("data", {}))) for output in cell.get("outputs", []))
        if number:
            yield cell, number


def check_alt(notebook: NotebookNode) -> Iterator[str]:
    """Each figure's alt text tells its finding, in words of its own."""
    seen: dict[str, str] = {}
    for cell, number in figures(notebook):
        if number > 1:
            yield f"cell {cell.id} shows {number} images, which share one alt text: one figure a cell"
        alt = str(cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")).strip()
        yield from (f"cell {cell.id}: {problem}" for problem in alt_problems(alt))
        if alt and alt in seen:
            yield f"cells {seen[alt]} and {cell.id} have the same alt text"
        seen[alt] = cell.id


def alt_problems(alt: str) -> Iterator[str]:
    """Say what keeps an alt text from telling a finding."""
    if not alt:
        yield "its image has no alt text; set mystnb.image.alt in the cell's metadata"
    elif len(alt) < MIN_ALT:
        yield f"its alt text {alt!r} is too short to tell a finding"
    if FILE_NAME.search(alt):
        yield f"its alt text {alt!r} is a file's name"
    if NOT_A_FINDING.match(alt):
        yield f"its alt text {alt!r} announces a picture; tell what the picture shows"


def check_html_images(notebook: NotebookNode) -> Iterator[str]:
    """An image inside an HTML output needs words, too."""
    for cell, output in outputs(notebook):
        for image in re.findall(r"<img\b[^>]*>", "".join(output.get("data", {}).get("text/html", ""))):
            if not re.search(rf"\balt\s*=\s*[\"'][^\"']{{{MIN_ALT},}}", image):
                yield f"cell {cell.id}: an image in its HTML has no alt text that tells a finding"


def check_output_size(notebook: NotebookNode) -> Iterator[str]:
    """No output is heavier than its kind may be."""
    for cell, output in outputs(notebook):
        size = len(json.dumps(output, ensure_ascii=False).encode())
        limit = MAX_ANIMATION if "text/html" in output.get("data", {}) else MAX_OUTPUT
        if size > limit:
            yield f"cell {cell.id}: an output of {size / 1000:.0f} KB, expected at most {limit / 1000:.0f} KB"


def check_widgets(notebook: NotebookNode) -> Iterator[str]:
    """No widget that is dead without its kernel, and would ask other hosts for its scripts."""
    if "widgets" in notebook.metadata:
        yield "the metadata stores widget state"
    for cell, output in outputs(notebook):
        if WIDGET in output.get("data", {}):
            yield f"cell {cell.id} stores a widget"


def check_external(notebook: NotebookNode) -> Iterator[str]:
    """Nothing that makes the page ask another host."""
    for cell, output in outputs(notebook):
        for mime, text in texts(output):
            if mime == "application/javascript":
                yield f"cell {cell.id} stores a script"
            found = EXTERNAL.search(text) if mime not in ("text/plain", "text/latex") else None
            if found:
                shown = text[found.start() : found.start() + 60]
                yield f"cell {cell.id}: its output asks another host: {shown!r}"


def check_machine(notebook: NotebookNode) -> Iterator[str]:
    """Nothing that is of one machine or one process: its paths, its addresses, its warnings."""
    for cell, output in outputs(notebook):
        if output.get("name") == "stderr":
            yield f"cell {cell.id} wrote to stderr: {output.text.strip()[:100]!r}"
        for _, text in texts(output):
            for pattern, what in ((MACHINE_PATH, "a path of this machine"), (ADDRESS, "a memory address")):
                if found := pattern.search(text):
                    shown = text[max(0, found.start() - 20) : found.end() + 20]
                    yield f"cell {cell.id}: its output shows {what}: {shown!r}"


OUTPUT_CHECKS: list[Callable[[NotebookNode], Iterator[str]]] = [
    check_alt,
    check_html_images,
    check_output_size,
    check_widgets,
    check_external,
    check_machine,
]
