"""Make an executed notebook fit for git and for the page: only what another run would store again."""

import base64
import io
import re

from nbformat import NotebookNode
from nbformat.v4 import new_output
from PIL import Image, UnidentifiedImageError

WIDGET = "application/vnd.jupyter.widget-view+json"
KEPT_CELL_METADATA = {"tags", "mystnb", "editable", "deletable", "nbgrader", "jupyter", "slideshow"}
KEPT_NOTEBOOK_METADATA = {"gancourse", "mystnb", "myst", "nbgrader"}
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
LANGUAGE = {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"}
# `train:  50%|#####     | 5/10 [00:01<00:01,  4.2it/s]`; when the total is unknown, `5it [00:01, 4.2it/s]`
PROGRESS = re.compile(r"^.*(\d+%\|.*\|.*\[.*\]|\d+\s?\w* \[\d+:\d\d.*\]).*$")
CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def clean(notebook: NotebookNode) -> None:
    """Drop what is volatile or dead on a page: timings, widgets without a kernel, progress bars."""
    kept = {key: value for key, value in notebook.metadata.items() if key in KEPT_NOTEBOOK_METADATA}
    notebook.metadata = NotebookNode(kept | {"kernelspec": KERNEL, "language_info": LANGUAGE})
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for cell in notebook.cells:
        cell.metadata = NotebookNode({k: v for k, v in cell.metadata.items() if k in KEPT_CELL_METADATA})
        if cell.cell_type == "code":
            cell.outputs = clean_outputs(cell.outputs)


def clean_outputs(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Return the outputs without widgets and progress bars; what is left of stderr comes last, joined."""
    errors = "".join(output.text for output in outputs if _stream(output) == "stderr")
    others = [_without_widget(output) for output in outputs if _stream(output) != "stderr"]
    kept = _joined([_compact(output) for output in others if output is not None])
    # A warning stays: it is for the author to see and to settle, and the tests refuse it.
    warnings = without_progress(errors)
    return [*kept, new_output("stream", name="stderr", text=warnings)] if warnings else kept


def _stream(output: NotebookNode) -> str | None:
    return output.name if output.output_type == "stream" else None


def _joined(outputs: list[NotebookNode]) -> list[NotebookNode]:
    # How a stream is cut into pieces depends on timing, what it says does not.
    joined: list[NotebookNode] = []
    for output in outputs:
        if joined and _stream(output) and _stream(output) == _stream(joined[-1]):
            joined[-1].text += output.text
        else:
            joined.append(output)
    for output in filter(_stream, joined):
        output.text = shown(output.text)
    return joined


def _without_widget(output: NotebookNode) -> NotebookNode | None:
    if WIDGET not in output.get("data", {}):
        return output
    data = {mime: value for mime, value in output.data.items() if mime != WIDGET}
    # Beside a widget the plain text is only its repr; an HTML or image fallback is worth keeping.
    if set(data) <= {"text/plain"}:
        return None
    return NotebookNode(output | {"data": NotebookNode(data)})


def _compact(output: NotebookNode) -> NotebookNode:
    stored = output.get("data", {}).get("image/png")
    if not stored:
        return output
    data = NotebookNode({**output.data, "image/png": compact_png(stored)})
    return NotebookNode(output | {"data": data})


def compact_png(stored: str) -> str:
    """Store a PNG (base64) that shows nothing but opaque grays with one channel: same pixels, fewer bytes."""
    try:
        image, file = Image.open(io.BytesIO(base64.b64decode(stored))).convert("RGBA"), io.BytesIO()
    except UnidentifiedImageError:  # not ours to judge: what a cell stored stays as it is
        return stored
    gray = image.convert("L")
    if gray.convert("RGBA").tobytes() != image.tobytes():
        return stored
    gray.save(file, "PNG", optimize=True)
    smaller = base64.b64encode(file.getvalue()).decode()
    return smaller if len(smaller) < len(stored) else stored


def without_progress(text: str) -> str:
    """Return a text of stderr without the lines of progress bars and without blank lines."""
    lines = shown(text).splitlines(keepends=True)
    return "".join(line for line in lines if line.strip() and not PROGRESS.match(line))


def shown(text: str) -> str:
    """Return what a terminal would still show: the last text after each carriage return, no control codes."""
    text = CONTROL.sub("", text).replace("\r\n", "\n")
    return re.sub(r"[^\n]*\r(?=[^\n])", "", text).replace("\r", "")
