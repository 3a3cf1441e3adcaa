"""Let a folded cell be called what it says: "Show code cell source".

A Sphinx extension. MyST-NB gives the fold a label of its own, "Toggle hidden content", which hides the
visible words from a screen reader and from whoever clicks by voice.
"""

from __future__ import annotations

from typing import Any

LABELLED, PLAIN = '<summary aria-label="Toggle hidden content">', "<summary>"


def unlabel(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Take the label away from the folds of a page."""
    if "body" in context:
        context["body"] = context["body"].replace(LABELLED, PLAIN)


def setup(app: Any) -> dict[str, bool]:
    """Hang `unlabel` into the build."""
    app.connect("html-page-context", unlabel)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
