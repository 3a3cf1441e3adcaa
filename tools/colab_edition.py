"""Write the Colab edition: the book's notebooks with plain Markdown and a first cell that installs gancourse.

    .venv/bin/python tools/colab_edition.py _build/colab

The publish workflow puts what this makes on the branch `colab`, which the pages' Colab buttons open. Nothing
in it is edited by hand. The package comes from the one address of _config.yml, at the present commit.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import book_index
import nbformat
import works
from chapter_times import full_seconds, quick_text, read_quick_times
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell
from notebook_stamp import STAMP_ID, duration, read_stamp
from plain_markdown import EditionError, Prose
from repository import current, owner_and_name, spellings
from run_notebook import ROOT, STUDENT_EDITION, book_notebooks, write_atomically

FIRST = """\
# @title Run this cell first: it installs gancourse and says what to expect
# @markdown Keep the checkpoints of long runs on your Google Drive, so that a disconnect costs minutes:
drive = False  # @param {{type:"boolean"}}

import subprocess
import sys
from importlib import invalidate_caches, metadata, util
from pathlib import Path

if util.find_spec("gancourse"):
    print("gancourse is already installed")
else:
    # The versions that are here stay: everything else on this machine was made to fit them.
    here = {{found.name.lower(): found.version for found in metadata.distributions()}}
    names = ("torch", "torchvision", "numpy", "pillow")
    kept = [f"{{name}}=={{here[name]}}" for name in names if name in here]
    Path("kept-versions.txt").write_text("\\n".join(kept))
    book = "gancourse[widgets] @ {address}"
    install = ["install", "--quiet", "--constraint", "kept-versions.txt", book]
    done = subprocess.run([sys.executable, "-m", "pip", *install], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"pip could not install gancourse; try this cell again:\\n{{done.stderr}}")
    invalidate_caches()
    print("installed gancourse; kept", ", ".join(kept))

import gancourse.notebook

gancourse.notebook.prepare(
    quick="{quick}",
    full="{full}",
    drive=drive,
)"""
README = """\
The Colab edition of [{name}](https://github.com/{name}), made by `tools/colab_edition.py` from the notebooks
at {commit}. Corrections belong on the branch `main`; this branch is replaced at each publication.
"""


def commit(root: Path = ROOT) -> str:
    """Return the hash of the commit that is checked out."""
    asked = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True)
    return asked.stdout.strip()


def expected_times(name: str, stamp: dict[str, Any]) -> dict[str, str]:
    """Say what each profile took, and on what."""
    noted = read_quick_times().get(name)
    quick = f"{quick_text(name)} on {noted['device']}" if noted else quick_text(name)
    return {"quick": quick, "full": f"{duration(full_seconds(stamp))} on {stamp['device']}"}


def edition(path: Path, address: str, prose: Prose, executed: Path) -> NotebookNode:
    """Return the notebook with plain Markdown, a first cell that installs `address`, and its references.

    `executed` is the notebook whose times are told: the same, or the master of a student edition.
    """
    notebook = nbformat.read(path, as_version=4)
    stamp = read_stamp(nbformat.read(executed, as_version=4))
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = prose.convert(cell.source)
    source = FIRST.format(address=address, **expected_times(executed.stem, stamp))
    first = new_code_cell(source, id="colab", metadata={"cellView": "form"})
    listed = "\n".join(["## References", "", *works.references(prose.cited)])
    at = next((n for n, cell in enumerate(notebook.cells) if cell.id == STAMP_ID), len(notebook.cells))
    notebook.cells.insert(at, new_markdown_cell(listed, id="references"))
    notebook.cells.insert(0, first)
    notebook.metadata |= {"accelerator": "GPU", "colab": {"provenance": [], "gpuType": "T4"}}
    return notebook


def sources(root: Path = ROOT) -> dict[Path, Path]:
    """Return the notebooks that have an edition, each with the notebook that was executed for it."""
    found = {path: path for path in book_notebooks(root)}
    student = root / STUDENT_EDITION
    if student.exists():
        found[student] = student.with_name(f"{student.stem}-solution.ipynb")
    return found


def write(folder: Path, address: str, root: Path = ROOT) -> list[Path]:
    """Write every notebook's edition into the folder, under the notebook's own path; return the files."""
    owner, name = owner_and_name(current(root))
    site = f"https://{spellings(owner, name)[1]}"
    index = (book_index.targets(root), book_index.titles(root), book_index.terms(root))
    written = []
    for path, executed in sources(root).items():
        place = path.relative_to(root)
        prose = Prose(place.with_suffix("").as_posix(), site, *index)
        write_atomically(edition(path, address, prose, executed), folder / place)
        written.append(folder / place)
    text = README.format(name=f"{owner}/{name}", commit=commit(root))
    (folder / "README.md").write_text(text, encoding="utf-8")
    return written


def main(arguments: list[str] | None = None) -> int:
    """Write the edition and say where it is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where to write")
    parser.add_argument(
        "--address", help="what pip installs; default: the repository of _config.yml at this commit"
    )
    options = parser.parse_args(arguments)
    address = options.address or f"git+{current(ROOT)}@{commit()}"
    try:
        written = write(options.folder, address)
    except EditionError as error:
        print(f"gancourse: {error}", file=sys.stderr)
        return 1
    print(f"{len(written)} notebooks written to {options.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
