"""The stamp of an executed notebook: what produced its outputs, and whether they are still of its code.

The same facts are written twice: in the notebook's metadata for the tests, in its last cell for the reader.
"""

import ast
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

STAMP_ID = "stamp"
MANY_RUNS = 6
PACKAGE_FILES = {".py", ".safetensors", ".json"}


def _digest(parts: Iterable[bytes]) -> str:
    # Each part is preceded by its length, so that text moved from one part to the next changes the hash.
    total = hashlib.sha256()
    for part in parts:
        total.update(len(part).to_bytes(8, "big") + part)
    return total.hexdigest()


def code_sources(notebook: NotebookNode) -> list[str]:
    """List the source of each code cell, in order."""
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def code_sha256(notebook: NotebookNode) -> str:
    """Hash the code cells: prose may change under a stamp, code may not."""
    return _digest(source.encode() for source in code_sources(notebook))


def executed_sha256(notebook: NotebookNode, stamp: dict[str, Any]) -> str:
    """Hash the code cells as they ran: an assertion that was amended since counts as it was."""
    was = {change["cell"]: change["was"] for change in stamp.get("amended", [])}
    cells = (cell for cell in notebook.cells if cell.cell_type == "code")
    return _digest(was.get(cell.get("id"), cell.source).encode() for cell in cells)


def only_asserts(source: str) -> bool:
    """Tell whether a cell does nothing but assert, and print a sentence: no output depends on it."""
    found = [node.value if isinstance(node, ast.Expr) else node for node in ast.parse(source).body]
    return all(
        isinstance(node, ast.Assert)
        or (isinstance(node, ast.Call) and ast.unparse(node).startswith("print('") and not node.keywords)
        for node in found
    )


def amend(notebook: NotebookNode, cell_id: str, source: str, *, date: str, why: str) -> None:
    """Change a cell of assertions under its stamp, which records the old source, the date and the reason.

    For an assertion that fails where it should not, when executing the notebook again would cost hours.
    The next execution makes a new stamp, without amendments.
    """
    cell = next(cell for cell in notebook.cells if cell.get("id") == cell_id)
    if not (only_asserts(cell.source) and only_asserts(source)):
        raise ValueError(f"expected {cell_id} to do nothing but assert and print; execute the notebook again")
    stamp = read_stamp(notebook)
    change = {"cell": cell_id, "was": cell.source, "date": date, "why": why}
    cell.source = source
    write_stamp(notebook, stamp | {"amended": [*stamp.get("amended", []), change]})


def package_sha256(package: Path) -> str:
    """Hash the package's code and weights: each file's path and bytes, sorted by path."""
    files = sorted(
        (path.relative_to(package).as_posix(), path)
        for path in package.rglob("*")
        if path.suffix in PACKAGE_FILES and "__pycache__" not in path.parts
    )
    return _digest(part for name, path in files for part in (name.encode(), path.read_bytes()))


def read_stamp(notebook: NotebookNode) -> dict[str, Any]:
    """Return the stamp in the notebook's metadata; empty if there is none."""
    return dict(notebook.metadata.get("gancourse", {}))


def write_stamp(notebook: NotebookNode, stamp: dict[str, Any]) -> None:
    """Put the stamp into the metadata and into the last cell, which is made when missing."""
    notebook.metadata["gancourse"] = stamp
    cells = [cell for cell in notebook.cells if cell.get("id") != STAMP_ID]
    last = new_markdown_cell(stamp_text(stamp), id=STAMP_ID, metadata={"tags": [STAMP_ID]})
    notebook.cells = [*cells, last]


def stamp_text(stamp: dict[str, Any]) -> str:
    """Tell the reader what made the outputs, in plain Markdown."""
    versions = ", ".join(f"{name} {version}" for name, version in sorted(stamp["versions"].items()))
    lines = [
        f"**How these outputs were made.** In the {stamp['profile']} profile, on {stamp['device']}, "
        f"{stamp['date'][:10]}, in {duration(stamp['wall_s'])}, with {versions}. "
        f"Code cells `{stamp['code_sha256'][:12]}`, package `{stamp['package_sha256'][:12]}`."
    ]
    lines += [
        f"Amended on {change['date']}: `{change['cell']}`, which only asserts; {change['why']}."
        for change in stamp.get("amended", [])
    ]
    return "\n".join([*lines, *_runs_text([f"- {run_text(run)}" for run in stamp["runs"]])])


def _runs_text(items: list[str]) -> list[str]:
    """List the training runs, folded where there are more than a reader takes in."""
    if len(items) <= MANY_RUNS:
        return ["", *items] if items else []
    return ["", "<details>", f"<summary>{len(items)} training runs</summary>", "", *items, "", "</details>"]


def run_text(run: dict[str, Any]) -> str:
    """Tell one training run: its steps, and where its time was spent."""
    steps, reused = run["steps"], run["steps_reused"]
    made = f"trained on {run['device']} on {run['date'][:10]} in {duration(run['wall_s'])}"
    if reused >= steps:
        made += ", reused"
    elif reused:
        made += f", the first {reused:,} steps reused"
    return f"`{run['run']}`: {steps:,} steps, {made}."


def duration(seconds: float) -> str:
    """Write a duration as people say it: 42 s, 1.5 min, 71 min, 2.1 h."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.1f} min" if seconds < 600 else f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
