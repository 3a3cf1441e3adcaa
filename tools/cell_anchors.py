"""Give each code cell of a notebook page an anchor: `[cell](05-dcgan.ipynb#cell-losses)` leads to it.

A Sphinx extension. The anchor of a cell is `cell-` and the cell's id. A link to a cell that is not there is
reported by the build as a link to a section that is not there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from docutils import nodes

ANCHOR = "cell-"


def mark(app: Any, doctree: nodes.document) -> None:
    """Put the anchors on a page's cells, and tell MyST, which resolves links, of them."""
    name = app.env.docname
    source = Path(app.env.doc2path(name))
    if source.suffix != ".ipynb":
        return
    cells = json.loads(source.read_text(encoding="utf-8"))["cells"]
    # MyST keeps its headings' anchors here: name -> (line, id, text of a link that has none).
    known = app.env.metadata[name].setdefault("myst_slugs", {})
    for node in doctree.findall(nodes.container):
        if node.get("nb_element") == "cell_code":
            anchor = ANCHOR + cells[node["cell_index"]]["id"]
            node["ids"].append(anchor)
            known[anchor] = (node.line or 0, anchor, anchor)


def setup(app: Any) -> dict[str, bool]:
    """Hang `mark` into the build."""
    app.connect("doctree-read", mark)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
