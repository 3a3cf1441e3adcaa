"""Every page in a headless Chromium, in both color schemes, on a desk and on a telephone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from pages import served
from visits import describe, visit

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parent.parent
AXE = ROOT / "tools" / "node" / "node_modules" / "axe-core" / "axe.min.js"
SCREENSHOTS = ROOT / "_build" / "screenshots"
pytestmark = pytest.mark.browser

# What the theme itself does, by rule: the part of the element's HTML by which it is known.
KNOWN_OF_THE_THEME = {
    "label-content-name-mismatch": "btn",
    "aria-required-children": 'class="citation-list"',  # docutils' own markup of a bibliography
}


def documents() -> list[str]:
    """Return the names of the pages in _toc.yml, and of those that Sphinx adds."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    listed = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    return [toc["root"], *listed, "genindex", "search"]


@pytest.mark.parametrize("document", documents())
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page(browser: Browser, site: str, document: str, scheme: str) -> None:
    stem = SCREENSHOTS / f"{Path(document).name}-{scheme}-1280"
    with visit(browser, f"{site}/{document}.html", scheme=scheme) as seen:
        assert seen.page.locator("html").get_attribute("data-theme") == scheme
        seen.photograph(stem)
        problems = seen.problems() + seen.barriers(AXE, KNOWN_OF_THE_THEME)
    assert not problems, describe(problems)


@pytest.mark.parametrize("document", documents())
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_on_a_telephone(browser: Browser, site: str, document: str, scheme: str) -> None:
    stem = SCREENSHOTS / f"{Path(document).name}-{scheme}-390"
    with visit(browser, f"{site}/{document}.html", scheme=scheme, width=390) as seen:
        seen.photograph(stem)
        problems = seen.problems() + seen.overflow()
    assert not problems, describe(problems)


# ------------------------------------------------------------------ the checks catch their faults

MATHJAX = """<script>
MathJax = {options: {enableMenu: false}, tex: {packages: {'[-]': ['noundefined']}}}</script>
<script src="mathjax/tex-chtml-full.js"></script>"""
PAGE = "<!doctype html><html lang=en><title>t</title><body style='margin:0'><main><h1>t</h1>{}</main>"


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that has MathJax, for pages with planted faults."""
    folder = tmp_path_factory.mktemp("faults")
    (folder / "mathjax").symlink_to(ROOT / "book" / "static" / "mathjax", target_is_directory=True)
    (folder / "favicon.ico").write_bytes(b"")
    return folder


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (
            "<script src='https://cdn.example.org/x.js'></script>",
            "asked another host: https://cdn.example.org",
        ),
        ("<script>fetch('https://example.org/count').catch(() => 0)</script>", "asked another host"),
        ("<script>console.error('planted')</script>", "console: planted"),
        ("<script>throw new Error('planted')</script>", "console: planted"),
        ("<img src='gone.png' alt=''>", "console: Failed to load resource"),
        (MATHJAX + "<p class=math>\\(\\planted\\)</p>", "TeX: Undefined control sequence \\planted"),
        (
            MATHJAX + "<p class='math tex2jax_ignore mathjax_ignore'>\\(x\\)</p>",
            "1 formulas on the page, 0 were",
        ),
    ],
)
def test_a_fault_is_caught(browser: Browser, workshop: Path, body: str, complaint: str) -> None:
    (workshop / "page.html").write_text(PAGE.format(body))
    with served(workshop) as address, visit(browser, f"{address}/page.html") as seen:
        assert any(complaint in problem for problem in seen.problems()), describe(seen.problems())


def test_a_sound_page_passes(browser: Browser, workshop: Path, tmp_path: Path) -> None:
    text = MATHJAX + "<p class=math>\\(\\mathbb{E}_{z}\\)</p><div style='height:9000px'></div>"
    (workshop / "page.html").write_text(PAGE.format(text))
    with served(workshop) as address, visit(browser, f"{address}/page.html", width=390) as seen:
        assert seen.problems() + seen.overflow() + seen.barriers(AXE, {}) == []
        assert seen.math() == {"expected": 1, "rendered": 1, "errors": []}
        assert [path.name for path in seen.photograph(tmp_path / "tall")] == ["tall.png", "tall-2.png"]


@pytest.mark.parametrize("style", ["width:900px", "margin-left:300px;width:200px"])
def test_a_page_that_scrolls_sideways_is_caught(browser: Browser, workshop: Path, style: str) -> None:
    (workshop / "page.html").write_text(PAGE.format(f"<div style='{style}'>wide</div>"))
    with served(workshop) as address, visit(browser, f"{address}/page.html", width=390) as seen:
        assert len(seen.overflow()) == 1


def test_a_wide_table_in_its_own_box_is_sound(browser: Browser, workshop: Path) -> None:
    text = "<div style='overflow-x:auto'><div style='width:900px'>wide</div></div>"
    (workshop / "page.html").write_text(PAGE.format(text))
    with served(workshop) as address, visit(browser, f"{address}/page.html", width=390) as seen:
        assert seen.overflow() == []


def test_a_barrier_is_caught(browser: Browser, workshop: Path) -> None:
    (workshop / "page.html").write_text(
        PAGE.format("<img src='mathjax/LICENSE'><p style='color:#ccc'>pale</p>")
    )
    with served(workshop) as address, visit(browser, f"{address}/page.html") as seen:
        rules = {problem.split()[0] for problem in seen.barriers(AXE, {})}
    assert rules == {"image-alt", "color-contrast"}
