"""What every notebook of the book must be: each check yields its problems as sentences, or nothing."""

import ast
import re
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.validator import iter_validate
from notebook_outputs import OUTPUT_CHECKS
from notebook_prose import PROSE_CHECKS, load
from notebook_stamp import STAMP_ID, executed_sha256, only_asserts, package_sha256, read_stamp, stamp_text

MAX_BYTES = 800_000
CODE_CELLS = range(15, 31)
MEDIAN_LINES = 8
SLUG = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
RANDOM_ID = re.compile(r"(?=[a-f0-9-]*\d)[a-f0-9]{8}(-[a-f0-9-]+|[a-f0-9]*)")
ESCAPES = re.compile(r"NBVAL_(IGNORE_OUTPUT|SKIP|RAISES_EXCEPTION)|PYTEST_VALIDATE_IGNORE_OUTPUT")


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """List the code cells, in order."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell: NotebookNode) -> list[str]:
    """List the tags of a cell."""
    return list(cell.metadata.get("tags", []))


def code_lines(source: str) -> int:
    """Count the lines that are neither blank nor a comment."""
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in source.splitlines())


def check_format(notebook: NotebookNode) -> Iterator[str]:
    """Nbformat 4.5, valid, so that ids and outputs survive every editor."""
    version = f"{notebook.nbformat}.{notebook.nbformat_minor}"
    if version != "4.5":
        yield f"expected nbformat 4.5, got {version}"
    # Not nbformat.validate, which repairs ids on the way; other checks want to see them.
    for error in iter_validate(notebook):
        yield f"not a valid notebook: {error.message}"


def check_ids(notebook: NotebookNode) -> Iterator[str]:
    """Cell ids that a person can read in a diff, each once."""
    seen: set[str] = set()
    for number, cell in enumerate(notebook.cells, start=1):
        name = cell.get("id", "")
        if not SLUG.fullmatch(name) or RANDOM_ID.fullmatch(name):
            yield f"cell {number} has the id {name!r}; give it a readable one, such as train-dcgan"
        if name in seen:
            yield f"two cells have the id {name!r}"
        seen.add(name)


def check_executed(notebook: NotebookNode) -> Iterator[str]:
    """Every code cell ran, once, in order, without error."""
    for expected, cell in enumerate(code_cells(notebook), start=1):
        if cell.execution_count is None:
            yield f"cell {cell.id} was never executed"
        elif cell.execution_count != expected:
            yield f"cell {cell.id} ran as number {cell.execution_count}, expected {expected}: run all again"
        if any(output.output_type == "error" for output in cell.outputs):
            yield f"cell {cell.id} stores an error"


def check_parameters(notebook: NotebookNode) -> Iterator[str]:
    """One cell tagged parameters that holds `profile = None`, and a later one that resolves it."""
    cells = code_cells(notebook)
    tagged = [number for number, cell in enumerate(cells) if "parameters" in tags(cell)]
    if len(tagged) != 1:
        yield f"expected one cell tagged parameters, got {len(tagged)}"
        return
    if not re.search(r"^profile = None\b", cells[tagged[0]].source, re.MULTILINE):
        yield "the cell tagged parameters must hold `profile = None`"
    if not any(re.search(r"\bprofile\(profile\)", cell.source) for cell in cells[tagged[0] + 1 :]):
        yield "no cell after the parameters calls `gancourse.notebook.profile(profile)`"


def check_stamp(notebook: NotebookNode) -> Iterator[str]:
    """A stamp of a full run of exactly these code cells, shown in the last cell."""
    if not notebook.cells or notebook.cells[-1].get("id") != STAMP_ID:
        yield "the last cell must be the stamp; run tools/run_notebook.py"
    stamp = read_stamp(notebook)
    if not stamp:
        yield "no stamp in the metadata; run tools/run_notebook.py"
        return
    if stamp.get("profile") != "full":
        yield f"the outputs are of the {stamp.get('profile')} profile, expected full"
    if stamp.get("code_sha256") != executed_sha256(notebook, stamp):
        yield "the code cells changed since the outputs were made: run the notebook again, full profile"
    elif notebook.cells[-1].get("id") == STAMP_ID and notebook.cells[-1].source != stamp_text(stamp):
        yield "the last cell tells another stamp than the metadata"
    sources = {cell.get("id"): cell.source for cell in notebook.cells}
    for change in stamp.get("amended", []):
        if not (only_asserts(change["was"]) and only_asserts(sources.get(change["cell"], "x"))):
            yield f"the cell {change['cell']} was amended under its stamp, and does more than assert"


def check_size(notebook: NotebookNode) -> Iterator[str]:
    """Small enough to open at once."""
    size = len(nbformat.v4.writes(notebook).encode())
    if size > MAX_BYTES:
        yield f"the notebook takes {size / 1000:.0f} KB, expected at most {MAX_BYTES / 1000:.0f} KB"


def check_code(notebook: NotebookNode) -> Iterator[str]:
    """Few cells, short ones, and assertions about what was learned."""
    sources = [cell.source for cell in code_cells(notebook)]
    if len(sources) not in CODE_CELLS:
        yield f"{len(sources)} code cells, expected {CODE_CELLS.start} to {CODE_CELLS.stop - 1}"
    median = statistics.median(map(code_lines, sources)) if sources else 0
    if median > MEDIAN_LINES:
        yield f"the median code cell has {median:g} lines, expected at most {MEDIAN_LINES}"
    if not any(_asserts(source) for source in sources):
        yield "no cell asserts what was learned"


def _asserts(source: str) -> bool:
    try:
        tree = ast.parse(source)
    except SyntaxError:  # a magic or a shell line: IPython's, not Python's
        return False
    return any(isinstance(node, ast.Assert) for node in ast.walk(tree))


def check_escapes(notebook: NotebookNode) -> Iterator[str]:
    """No cell is exempt from being run and compared, except one that stores nothing (a slider)."""
    for cell in code_cells(notebook):
        if ESCAPES.search(cell.source) or {"raises-exception", "nbval-skip"} & set(tags(cell)):
            yield f"cell {cell.id} exempts itself from the tests"
        if "nbval-ignore-output" in tags(cell) and cell.outputs:
            yield f"cell {cell.id} has outputs that are never compared: drop its tag nbval-ignore-output"


Check = Callable[[NotebookNode], Iterator[str]]
STRUCTURE_CHECKS: list[Check] = [
    check_format,
    check_ids,
    check_executed,
    check_parameters,
    check_stamp,
    check_size,
    check_code,
    check_escapes,
]


def problems(path: Path) -> list[str]:
    """Apply every check to a notebook of the book."""
    notebook = load(path)
    found = [problem for check in [*STRUCTURE_CHECKS, *OUTPUT_CHECKS] for problem in check(notebook)]
    return found + [problem for check in PROSE_CHECKS for problem in check(notebook, path)]


def package_changed(notebook: NotebookNode, package: Path) -> str | None:
    """Tell that the package changed since the outputs were made; worth knowing, not a failure."""
    stamp = read_stamp(notebook)
    if not stamp or stamp.get("package_sha256") == package_sha256(package):
        return None
    return f"gancourse/ changed since the outputs were made on {stamp['date'][:10]}"
