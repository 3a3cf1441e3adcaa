"""Make of the latent playground's module what the pages load: `.venv/bin/python tools/playground_script.py`.

The module is wrapped in a function that plays every playground of the page: unlike a module, such a script
also runs on a page that was opened as a file. With --picture, Chromium also draws the start of the game anew,
which is what is seen where no script runs; do so after each change of the drawing.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parent.parent
MODULE = ROOT / "gancourse" / "widgets" / "latent_playground.js"
PICTURE = MODULE.with_suffix(".svg")
SCRIPT = Path("book", "static", MODULE.name)
PICTURE_WIDTH = 460  # legible on a telephone, too
EXPORT = re.compile(r"^export (?=(?:async )?(?:const|let|function|class)\b)", re.MULTILINE)
DEFAULT = re.compile(r"^export default .*\n", re.MULTILINE)
LEFT = re.compile(r"^\s*(?:import|export)\b.*", re.MULTILINE)
END = """
if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", () => mount());
else mount();
})();
"""


def plain(module: str) -> str:
    """Return a module's text without its exports; raise ValueError for imports and other exports."""
    text = EXPORT.sub("", DEFAULT.sub("", module))
    if left := LEFT.search(text):
        raise ValueError(
            f"expected exports of const, let, function or class alone, got {left.group().strip()!r}"
        )
    return text


def wrapped(module: str) -> str:
    """Return a module's text as a script that plays every mount of its page."""
    return '(() => {\n"use strict";\n' + plain(module) + END


def write(root: Path = ROOT) -> Path:
    """Write the script to the book's static folder and return its path."""
    target = root / SCRIPT
    target.write_text(wrapped(MODULE.read_text(encoding="utf-8")), encoding="utf-8")
    return target


def picture() -> str:
    """Return the start of the game, as the module itself draws it in Chromium."""
    from page_tools import find_chromium
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        drawn = drawn_by(browser.new_page())
        browser.close()
    return drawn


def drawn_by(page: Page) -> str:
    """Return the picture that the module draws on an open page of Chromium."""
    return str(evaluated(page, f"drawGame(start(), 1, false, {PICTURE_WIDTH})")) + "\n"


def evaluated(page: Page, expression: str, module: str | None = None) -> Any:
    """Return what an expression is worth among the names of the module, or of another text of it."""
    text = plain(MODULE.read_text(encoding="utf-8") if module is None else module)
    return page.evaluate(f"() => {{ {text}\nreturn {expression}; }}")


if __name__ == "__main__":
    print(write())
    if "--picture" in sys.argv[1:]:
        PICTURE.write_text(picture(), encoding="utf-8")
        print(PICTURE)
