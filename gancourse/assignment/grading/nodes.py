"""nbformat's constructors, which carry no types, with types."""

from typing import Any, cast

import nbformat
from nbformat import NotebookNode

_untyped: Any = nbformat
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def node(value: dict[str, Any]) -> NotebookNode:
    """Return a deep copy of a notebook, or of a part of one."""
    return cast(NotebookNode, _untyped.from_dict(value))


def cell(kind: str, source: str) -> NotebookNode:
    """Make a cell; what is no code is text."""
    make = _untyped.v4.new_code_cell if kind == "code" else _untyped.v4.new_markdown_cell
    return cast(NotebookNode, make(source))


def output(kind: str, **content: Any) -> NotebookNode:
    """Make an output of a cell."""
    return cast(NotebookNode, _untyped.v4.new_output(kind, **content))


def notebook(cells: list[NotebookNode]) -> NotebookNode:
    """Make a notebook for the Python kernel; it is not validated."""
    return node({"cells": cells, "metadata": {"kernelspec": KERNEL}, "nbformat": 4, "nbformat_minor": 5})


def upgraded(text: str) -> NotebookNode:
    """Read a notebook of an old version as one of version 4."""
    return cast(NotebookNode, _untyped.converter.convert(_untyped.reader.reads(text), 4))


def written(notebook: NotebookNode) -> str:
    """Return a notebook as the text of its file."""
    return str(_untyped.writes(notebook)) + "\n"
