"""Small notebooks for the tests: a sound one, and ways to spoil it."""

import base64
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from notebook_clean import KERNEL, LANGUAGE
from notebook_stamp import code_sha256, package_sha256, write_stamp

ROOT = Path(__file__).resolve().parent.parent
PNG = base64.b64encode(b"\x89PNG not really").decode()


def code(name: str, source: str, *outputs: NotebookNode, **metadata: Any) -> NotebookNode:
    """Make a code cell."""
    return new_code_cell(source, id=name, outputs=list(outputs), metadata=metadata)


def text(name: str, source: str) -> NotebookNode:
    """Make a Markdown cell."""
    return new_markdown_cell(source, id=name)


def display(mime: str, value: Any) -> NotebookNode:
    """Make a display output."""
    return new_output("display_data", data={mime: value})


def printed(words: str, name: str = "stdout") -> NotebookNode:
    """Make an output of a stream."""
    return new_output("stream", name=name, text=words)


def alt(words: str) -> dict[str, Any]:
    """Make the metadata that gives a cell's image its alt text."""
    return {"mystnb": {"image": {"alt": words}}}


def parameters() -> list[NotebookNode]:
    """Make the two cells that every notebook starts with."""
    resolve = "import gancourse.notebook\n\nprofile = gancourse.notebook.profile(profile)"
    return [code("parameters", "profile = None", tags=["parameters"]), code("profile", resolve)]


def small(cells: list[NotebookNode]) -> NotebookNode:
    """Make a notebook of these cells, for the Python kernel."""
    return new_notebook(cells=cells, metadata={"kernelspec": KERNEL, "language_info": LANGUAGE})


def stamped(notebook: NotebookNode, **changes: Any) -> NotebookNode:
    """Number the code cells and stamp the notebook as the runner does."""
    for count, cell in enumerate((c for c in notebook.cells if c.cell_type == "code"), start=1):
        cell.execution_count = count
    versions = {"python": "3.11.7", "torch": "2.15.0"}
    stamp = {
        "profile": "full",
        "device": "CPU, 2 threads",
        "date": "2025-11-22T03:00:00+00:00",
        "wall_s": 71.0,
    }
    stamp |= {"versions": versions, "runs": [], "code_sha256": code_sha256(notebook)}
    write_stamp(notebook, stamp | {"package_sha256": package_sha256(ROOT / "gancourse")} | changes)
    return notebook


def sound() -> NotebookNode:
    """Make a notebook without fault: 16 code cells, two figures, an exercise, a citation, an assertion."""
    prose = [
        text(
            "title",
            "# A chapter\n\nSee {cite}`goodfellow2014`, {eq}`eq-game` and [the notation](notation.md).",
        ),
        text(
            "game",
            "$$\n\\min_G \\max_D V(D, G)\n$$ (eq-game)\n\n(sec-game)=\n## The game\n\nSee {ref}`sec-game`.",
        ),
        text(
            "exercise",
            "```{exercise}\n:label: ex-one\nWhy?\n```\n\n```{solution} ex-one\n:class: dropdown\nHence.\n```",
        ),
    ]
    figures = [
        code(
            "losses",
            "draw(1)",
            display("image/png", PNG),
            **alt("The two losses settle near ln 4 after epoch 5"),
        ),
        code(
            "samples",
            "draw(2)",
            display("image/png", PNG),
            **alt("Samples cover 6 of the 8 modes at epoch 20"),
        ),
    ]
    filling = [code(f"step-{number}", f"print({number})", printed(f"{number}\n")) for number in range(11)]
    cells = [*prose, *parameters(), *figures, *filling, code("learned", "assert distance < 3")]
    return stamped(small(cells))


def written(notebook: NotebookNode, folder: Path) -> Path:
    """Write the notebook as a chapter of a small book with a page and a bibliography."""
    book = folder / "book"
    book.mkdir(exist_ok=True)
    (book / "notation.md").write_text("(sec-notation)=\n# Notation\n")
    (book / "references.bib").write_text("@inproceedings{goodfellow2014,\n  title = {GAN},\n}\n")
    nbformat.write(notebook, book / "01-tiny.ipynb")
    return book / "01-tiny.ipynb"
