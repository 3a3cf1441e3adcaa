"""What several test files need: the built book, served, and a browser."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pages import served

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parent.parent
# Before torch is imported, here and in what the tests start: on a busy machine a thread that waits for
# another by spinning takes the core that the other one needs.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
pytest_plugins = ["plugin_notices"]


@pytest.fixture(scope="session")
def html() -> Path:
    """Build the book as `make book` does, and return its folder."""
    import build_book

    return build_book.build().parent


@pytest.fixture(scope="session")
def site(html: Path) -> Iterator[str]:
    """Serve the built book."""
    with served(html) as address:
        yield address


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start a headless Chromium; without one skip with the reason, and fail where CI=true."""
    import page_tools
    from playwright.sync_api import sync_playwright
    from visits import FLAGS

    executable = page_tools.find_chromium()
    if executable is None:
        note = ROOT / ".venv" / page_tools.CHROMIUM_MISSING
        reason = (
            note.read_text(encoding="utf-8")
            if note.exists()
            else "no Chromium: run `make test`, which installs it"
        )
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield chromium
        chromium.close()
