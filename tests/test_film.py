"""The film: its sheet, its HTML, what it refuses, and what a browser makes of it."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from bs4 import BeautifulSoup
from IPython.core.formatters import DisplayFormatter
from nbformat.v4 import new_output
from notebook_clean import clean
from notebook_maker import code, small, text
from notebook_outputs import MAX_ANIMATION, OUTPUT_CHECKS
from pages import served
from PIL import Image
from visits import AXE as RUN_AXE
from visits import describe, opened, visit

import gancourse.widgets
from gancourse.plot import use_style
from gancourse.widgets import Film, film, films

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from playwright.sync_api import Browser, Locator, Page

ROOT = Path(__file__).resolve().parent.parent
AXE = ROOT / "tools" / "node" / "node_modules" / "axe-core" / "axe.min.js"
SCREENSHOTS = ROOT / "_build" / "screenshots"
ALT = "Each of the ten frames has a color of its own, from green to red"
N = 10
browser_test = pytest.mark.browser


def color(k: int) -> tuple[int, int, int]:
    """Return the color of frame k, 25 apart."""
    return 25 * k, 250 - 25 * k, 120


def solid(ax: Axes, k: int) -> None:
    """Fill frame k with its color."""
    ax.set_facecolor([part / 255 for part in color(k)])


def made(n: int = N, *, size: tuple[float, float] = (1.0, 1.0), **options: Any) -> Film:
    captions = [f"step {400 * k:,}" for k in range(n)]
    return film(solid, captions, **{"alt": ALT, "columns": 4, "size": size} | options)


def sheet(shown: Film) -> np.ndarray:
    """Decode the sheet (H, W, 3) of a film's HTML."""
    (stored,) = re.findall(r'src="data:image/png;base64,([^"]+)"', shown.html)
    image = Image.open(io.BytesIO(base64.b64decode(stored)))
    assert (image.mode, image.info) == ("P", {})
    return np.asarray(image.convert("RGB"))


# ------------------------------------------------------------------ the sheet


@pytest.mark.parametrize("columns", [1, 3, 4, 30])
@pytest.mark.parametrize("size", [(1.0, 1.0), (0.3, 0.55)])
def test_frame_k_lies_in_row_k_over_columns(columns: int, size: tuple[float, float]) -> None:
    width, height = (round(side * films.DPI) for side in size)
    across = min(columns, N)
    pixels = sheet(made(columns=columns, size=size))
    assert pixels.shape == (-(-N // across) * height, across * width, 3)
    for k in range(-(-N // across) * across):
        row, column = divmod(k, across)
        cell = pixels[row * height : (row + 1) * height, column * width : (column + 1) * width]
        assert (cell[1:-1, 1:-1] == (color(k) if k < N else 255)).all(), k
        for line in (cell[0], cell[-1], cell[:, 0], cell[:, -1]):
            assert (line == 255).all(), "a white hair line keeps the neighbors apart"


def test_nothing_spills_into_the_next_frame() -> None:
    def spilling(ax: Axes, k: int) -> None:
        solid(ax, k)
        ax.set_title("a title above", y=1.02)
        ax.text(-0.5, -0.5, "far out", clip_on=False, fontsize=40)
        ax.plot([-9, 9], [0, 0], clip_on=False)
        ax.set(xlim=(0, 1), ylim=(1, 2))

    assert (
        sheet(film(spilling, ["a", "b", "c"], alt=ALT)) == sheet(film(solid, ["a", "b", "c"], alt=ALT))
    ).all()


def test_the_style_disturbs_nothing() -> None:
    plain = made()
    with plt.rc_context():
        use_style()
        assert made().html == plain.html


@pytest.mark.parametrize("fails", [False, True])
def test_no_figure_is_left_open(fails: bool) -> None:
    def failing(ax: Axes, k: int) -> None:
        raise RuntimeError("drawn badly")

    own = plt.figure()
    try:
        if fails:
            with pytest.raises(RuntimeError, match="drawn badly"):
                film(failing, ["a"], alt=ALT)
        else:
            made()
        assert (plt.get_fignums(), plt.gcf()) == ([own.number], own)
    finally:
        plt.close(own)


def test_rare_colors_stay_and_frequent_ones_are_exact() -> None:
    generator = np.random.default_rng(0)
    crowd = np.full((200, 200, 3), (40, 90, 200), np.uint8)
    crowd[:100] = generator.integers(0, 256, (100, 200, 1)) // np.array((1, 2, 4))  # 256 shades of one color
    crowd[150, 150], crowd[:20] = (213, 94, 0), 255
    places, palette = films._palette(crowd)
    assert len(palette) <= 256
    found = palette[places].astype(int)
    assert tuple(found[150, 150]) == (213, 94, 0)
    assert (found[:20] == 255).all()
    assert tuple(found[199, 0]) == (40, 90, 200)
    assert abs(found - crowd).max() <= 255 / (films.SHADES[0] - 1) + 1


def test_any_colors_fit_the_palette() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (100, 100, 3)).astype(np.uint8)
    places, palette = films._palette(noise)
    assert len(palette) <= 256
    assert abs(palette[places].astype(int) - noise).max() <= 255 / (films.SHADES[-1] - 1) + 1


# ------------------------------------------------------------------ the HTML


def test_the_html_is_one_image_and_its_controls() -> None:
    soup = BeautifulSoup(made(poster=3).html, "html.parser")
    (figure,) = soup.select("figure.gancourse-film")
    (image,) = soup.select("img")
    assert image["alt"] == ALT
    assert soup.select("script, [id], [href], link") == []
    (slider,) = soup.select("label > input[type=range]")
    assert (slider["min"], slider["max"], slider["value"], slider["step"]) == ("0", "9", "3", "1")
    assert slider["aria-valuetext"] == soup.select_one("output").get_text() == "step 1,200"
    assert [item.get_text() for item in soup.select("li")] == [f"step {400 * k:,}" for k in range(N)]
    variables = "--columns:4;--rows:3;--width:110;--height:110;--column:3;--row:0"
    assert figure["style"] == variables
    (box,) = soup.select("label > input[type=checkbox]")
    assert box.parent.get_text(strip=True) == "all frames"


def test_the_poster_is_the_last_frame_unless_given() -> None:
    assert "--column:1;--row:2" in made().html
    assert "--column:0;--row:0" in made(poster=0).html


def test_captions_and_alt_text_are_no_markup() -> None:
    awkward = ['<b>"D" & G</b>', "D's turn", "{alt}"]
    alt = 'D\'s loss is "flat" where p_g < p_data & nowhere {else}'
    soup = BeautifulSoup(film(solid, awkward, alt=alt).html, "html.parser")
    assert [item.get_text() for item in soup.select("li")] == awkward
    assert (soup.img["alt"], soup.b) == (alt, None)
    assert soup.select_one("[type=range]")["aria-valuetext"] == "{alt}"


def test_the_same_frames_give_the_same_bytes() -> None:
    assert made().html == made().html
    assert made().html != made(poster=0).html


@pytest.mark.parametrize(
    ("n", "words"), [(24, "Film(24 frames, 'c 0' to 'c 23')"), (1, "Film(1 frame, 'c 0' to 'c 0')")]
)
def test_its_words(n: int, words: str) -> None:
    assert repr(film(lambda ax, k: None, [f"c {k}" for k in range(n)], alt=ALT, size=(0.2, 0.2))) == words


def stored(shown: Film) -> nbformat.NotebookNode:
    """Return a notebook as a kernel leaves it that showed a film."""
    data, metadata = DisplayFormatter().format(shown)
    cell = code("scrub", "film(draw, captions)")
    cell.outputs = [new_output("execute_result", data, metadata=metadata, execution_count=1)]
    return small([text("title", "# Tiny"), cell])


def test_a_notebook_may_store_it() -> None:
    notebook = stored(made())
    clean(notebook)
    (output,) = notebook.cells[1].outputs
    assert set(output.data) == {"text/plain", "text/html"}
    assert output.data["text/plain"] == "Film(10 frames, 'step 0' to 'step 3,600')"
    assert [problem for check in OUTPUT_CHECKS for problem in check(notebook)] == []


def test_the_largest_film_is_not_too_large_for_a_notebook() -> None:
    shown = film(lambda ax, k: None, [f"after {k} steps" for k in range(40)], alt=ALT, size=(0.2, 0.2))
    (output,) = stored(shown).cells[1].outputs
    around = len(json.dumps(output, ensure_ascii=False).encode()) - len(shown.html.encode())
    assert films.LARGEST + around <= MAX_ANIMATION


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("captions", "options", "error", "words"),
    [
        ([], {}, ValueError, "expected at least 1 frame, got no captions"),
        ("step", {}, TypeError, "expected one caption a frame, got one text: 'step'"),
        (
            ["a", 400],
            {},
            TypeError,
            "expected captions that are strings, got int 400 for frame 1; f'step {n:,}'",
        ),
        (["a", " "], {}, ValueError, "expected a caption for each frame, got ' ' for frame 1"),
        (["a"], {"alt": " "}, ValueError, "expected an alt text, got none; tell what the film shows"),
        (["a"], {"alt": None}, TypeError, "expected an alt text, a string, got NoneType"),
        (["a"], {"columns": 0}, ValueError, "expected at least 1 column, an integer, got 0"),
        (["a"], {"columns": 2.0}, ValueError, "expected at least 1 column, an integer, got 2.0"),
        (["a", "b"], {"poster": 2}, ValueError, "expected a poster from 0 to 1, the frame seen first, got 2"),
        (
            ["a", "b"],
            {"poster": -1},
            ValueError,
            "expected a poster from 0 to 1, the frame seen first, got -1",
        ),
        (["a"], {"size": (2.0, 0.1)}, ValueError, "inches, each from 0.2 to 10, got (2.0, 0.1)"),
        (["a"], {"size": (float("nan"), 2)}, ValueError, "inches, each from 0.2 to 10, got (nan, 2)"),
        (["a"], {"size": 2.0}, ValueError, "expected a size (width, height) in inches"),
        (["a"], {"size": ("2", "2")}, ValueError, "expected a size (width, height) in inches"),
    ],
)
def test_what_is_no_film_is_refused(captions: Any, options: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=re.escape(words)):
        film(solid, captions, **{"alt": ALT} | options)


def test_what_draws_nothing_is_refused() -> None:
    with pytest.raises(TypeError, match=re.escape("expected a function draw(ax, k), got Figure")):
        film(plt.Figure(), ["a"], alt=ALT)  # type: ignore[arg-type]


def test_a_heavy_film_is_refused_and_the_advice_is_good() -> None:
    noise = np.random.default_rng(0).random((8, 230, 230, 3))

    def noisy(ax: Axes, k: int) -> None:
        ax.imshow(noise[k], aspect="auto", interpolation="nearest")

    with pytest.raises(ValueError, match=r"expected a film of at most 395 KB of HTML, got \d+ KB") as refused:
        film(noisy, list("abcdefgh"), alt=ALT)
    advice = re.search(
        r"about (\d+) of 8\), smaller ones \(size=\(([\d.]+), ([\d.]+)\)\)", str(refused.value)
    )
    assert advice is not None
    film(noisy, list("abcdefgh")[: int(advice[1])], alt=ALT)
    film(noisy, list("abcdefgh"), alt=ALT, size=(float(advice[2]), float(advice[3])))


def test_the_film_is_had_late_and_without_anywidget(monkeypatch: pytest.MonkeyPatch) -> None:
    heavy = "{'matplotlib', 'PIL', 'gancourse.widgets.films'} & set(sys.modules)"
    lines = f"import sys, gancourse.widgets.game\nassert not {heavy}, {heavy}"
    done = subprocess.run([sys.executable, "-c", lines], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    monkeypatch.setitem(sys.modules, "anywidget", None)
    assert gancourse.widgets.film is film
    assert {"film", "Film"} <= set(gancourse.widgets.__all__)


# ------------------------------------------------------------------ in a browser

PAGE = """<!doctype html><html lang="en"{theme}><meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,"><title>Films</title>{styles}
<body style="padding:8px"><div class="bd-content"><main><article class="bd-article">
<h1>Films</h1>{films}</article></main></div>"""
OUTPUT = '<div class="cell_output docutils container"><div class="output text_html">{}</div></div>'


def theme() -> list[Path]:
    """Return the style sheets of the book's pages, in their order; the last is the book's own."""
    found = []
    for package, pattern in (
        ("pydata_sphinx_theme", "theme/**/pydata-sphinx-theme.css"),
        ("sphinx_book_theme", "theme/**/sphinx-book-theme.css"),
        ("myst_nb", "static/mystnb.css"),
    ):
        spec = find_spec(package)
        assert spec is not None
        assert spec.origin is not None
        found += sorted(Path(spec.origin).parent.glob(pattern))
    assert len(found) == 3
    return [*found, ROOT / "book" / "static" / "gancourse.css"]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve pages with two films, bare and in both of the theme's schemes."""
    folder = tmp_path_factory.mktemp("films")
    for path in theme():
        shutil.copy(path, folder)
    # The second is wider than a telephone: there it is shown smaller than it was drawn.
    both = "".join(OUTPUT.format(shown.html) for shown in (made(), made(size=(4.0, 3.0), poster=0)))
    styles = "".join(f'<link rel="stylesheet" href="{path.name}">' for path in theme())
    for name in ("light", "dark"):
        page = PAGE.format(theme=f' data-theme="{name}"', styles=styles, films=both)
        (folder / f"{name}.html").write_text(page, encoding="utf-8")
    (folder / "bare.html").write_text(PAGE.format(theme="", styles="", films=both), encoding="utf-8")
    with served(folder) as found:
        yield found


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The films, opened; nothing may be asked of another host, nothing may go wrong."""
    with visit(browser, f"{address}/light.html") as seen:
        yield seen.page
        assert seen.problems() == []


def shot(film: Locator) -> np.ndarray:
    """Return what the window of a film shows, (H, W, 3)."""
    taken = film.locator(".window").screenshot(animations="disabled")
    return np.asarray(Image.open(io.BytesIO(taken)).convert("RGB")).astype(int)


def assert_shows(film: Locator, k: int, dimmed: float = 1.0) -> None:
    """The window is of frame k's color, edge to edge but for the hair line."""
    inner = shot(film)[3:-3, 3:-3]
    off = abs(inner - np.array(color(k)) * dimmed).max()
    assert off <= 2, (
        f"expected {color(k)}, got {inner.reshape(-1, 3).min(0)} to {inner.reshape(-1, 3).max(0)}"
    )


def assert_shows_all(film: Locator, dimmed: float = 1.0) -> None:
    """The window is of the whole sheet: each cell has its frame's color, in its lower half."""
    pixels = shot(film)
    height, width = pixels.shape[0] / 3, pixels.shape[1] / 4
    for k in range(N):
        middle = pixels[int((k // 4 + 0.75) * height), int((k % 4 + 0.5) * width)]
        assert abs(middle - np.array(color(k)) * dimmed).max() <= 2, k


def first(page: Page) -> Locator:
    return page.locator(".gancourse-film").nth(0)


def second(page: Page) -> Locator:
    return page.locator(".gancourse-film").nth(1)


def caption(film: Locator) -> str:
    return film.locator("output").inner_text()


@browser_test
def test_sliding_moves_the_film_and_no_other(page: Page) -> None:
    assert_shows(first(page), 9)
    assert_shows(second(page), 0)
    slider = first(page).get_by_role("slider", name="Frame")
    for k in (0, 3, 4, 8):
        slider.fill(str(k))
        assert caption(first(page)) == slider.get_attribute("aria-valuetext") == f"step {400 * k:,}"
        assert_shows(first(page), k)
    second(page).get_by_role("slider").fill("5")
    assert_shows(second(page), 5)
    assert_shows(first(page), 8)
    first(page).get_by_label("all frames").check()
    assert_shows_all(first(page))
    assert_shows(second(page), 5)


PLANT = """([right, wrong]) => document.querySelectorAll('.gancourse-film style').forEach(style => {
  style.sound ??= style.textContent;
  style.textContent = style.sound.replace(right, wrong);
})"""
PLANTED = {
    "the theme's padding": ("padding: 0 !important", ""),
    "the theme's filter, on top of the window's": ("filter: none !important", ""),
    "rows for columns": ("--x: var(--column); --y: var(--row)", "--x: var(--row); --y: var(--column)"),
    "the wrong way": ("left: calc(-100%", "left: calc(100%"),
    "too wide a sheet": ("width: calc(100% * var(--columns)", "width: calc(101% * var(--columns)"),
}


@browser_test
def test_a_planted_fault_is_seen(browser: Browser, address: str) -> None:
    with visit(browser, f"{address}/dark.html", scheme="dark") as seen:
        assert all(right in seen.page.content() for right, _ in PLANTED.values())
        film = first(seen.page)
        film.get_by_role("slider").fill("6")
        assert_shows(film, 6, 0.86)
        for right, wrong in PLANTED.values():
            seen.page.evaluate(PLANT, [right, wrong])
            with pytest.raises(AssertionError, match="expected"):
                assert_shows(film, 6, 0.86)
        seen.page.evaluate(PLANT, ["", ""])
        assert_shows(film, 6, 0.86)


@browser_test
def test_by_keyboard(page: Page) -> None:
    page.keyboard.press("Tab")
    assert page.locator(":focus").inner_text() == "Play"
    page.keyboard.press("Tab")
    for key, k in {"Home": 0, "ArrowRight": 1, "ArrowUp": 2, "ArrowLeft": 1, "End": 9}.items():
        page.keyboard.press(key)
        assert caption(first(page)) == f"step {400 * k:,}"
    assert_shows(first(page), 9)
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert_shows_all(first(page))
    for name in ("button", "[type=range]", "[type=checkbox]"):
        control = second(page).locator(name)
        page.keyboard.press("Tab")
        assert (
            control.evaluate("e => e.matches(':focus-visible') && getComputedStyle(e).outlineStyle")
            == "solid"
        )


@browser_test
def test_it_plays_when_asked_and_pauses(page: Page) -> None:
    page.wait_for_timeout(400)
    assert caption(first(page)) == "step 3,600", "it must not start by itself"
    button, slider = first(page).get_by_role("button"), first(page).get_by_role("slider")
    button.click()  # from the end it starts over
    assert button.inner_text() == "Pause"
    page.wait_for_function("+document.querySelector('[type=range]').value >= 2")
    button.click()
    at = slider.input_value()
    assert button.inner_text() == "Play"
    page.wait_for_timeout(400)
    assert slider.input_value() == at != "9"
    assert caption(first(page)) == f"step {400 * int(at):,}"
    assert_shows(first(page), int(at))
    assert_shows(second(page), 0)
    slider.fill("7")
    button.click()
    page.wait_for_function("!document.querySelector('.gancourse-film').dataset.playing")
    assert (slider.input_value(), button.inner_text()) == ("9", "Play"), "it stops at the end"


@browser_test
def test_a_hand_or_its_end_stops_it(page: Page) -> None:
    button, slider = first(page).get_by_role("button"), first(page).get_by_role("slider")
    button.click()
    slider.press("ArrowRight")
    at = slider.input_value()
    page.wait_for_timeout(400)
    assert (slider.input_value(), button.inner_text()) == (at, "Play")
    button.click()
    first(page).evaluate(
        "e => e.remove()"
    )  # as Jupyter does when the cell runs again; the fixture sees errors
    page.wait_for_timeout(400)


@browser_test
def test_with_reduced_motion_it_steps(browser: Browser, address: str) -> None:
    with opened(browser, f"{address}/light.html", reduced_motion="reduce") as page:
        button = first(page).get_by_role("button", name="Next")
        for k in (0, 1, 2):
            button.click()
            assert caption(first(page)) == f"step {400 * k:,}"
        page.wait_for_timeout(400)
        assert_shows(first(page), 2)


@browser_test
def test_by_touch(browser: Browser, address: str) -> None:
    size = {"width": 360, "height": 780}
    with opened(browser, f"{address}/light.html", has_touch=True, is_mobile=True, viewport=size) as page:
        box = first(page).get_by_role("slider").bounding_box()
        assert box is not None
        page.touchscreen.tap(box["x"] + 10, box["y"] + box["height"] / 2)
        assert_shows(first(page), 0)
        assert (
            min(
                box["height"],
                *first(page).locator(".controls > *").evaluate_all("all => all.map(e => e.offsetHeight)"),
            )
            >= 44
        )
        first(page).get_by_text("all frames").tap()
        assert_shows_all(first(page))


@browser_test
def test_without_scripts_the_poster_and_the_sheet_are_there(browser: Browser, address: str) -> None:
    with opened(browser, f"{address}/light.html", java_script_enabled=False) as page:
        assert_shows(first(page), 9)
        assert_shows(second(page), 0)
        assert caption(first(page)) == "step 3,600"
        for name in ("button", "[type=range]"):
            assert not first(page).locator(name).is_visible(), "what would be dead is not shown"
        first(page).get_by_label("all frames").check()
        assert_shows_all(first(page))
        assert first(page).get_by_text("step 1,600").is_visible()
        first(page).get_by_label("all frames").uncheck()
        assert_shows(first(page), 9)


@browser_test
def test_on_paper_it_is_the_sheet(page: Page) -> None:
    page.emulate_media(media="print")
    assert_shows_all(first(page))
    assert not first(page).get_by_role("slider").is_visible()


@browser_test
@pytest.mark.parametrize(("name", "width"), [("light", 1280), ("dark", 360), ("bare", 360)])
def test_it_fits_and_bars_nobody(browser: Browser, address: str, name: str, width: int) -> None:
    dimmed = 0.86 if name == "dark" else 1.0
    scheme = "light" if name == "bare" else name
    with visit(browser, f"{address}/{name}.html", scheme=scheme, width=width) as seen:
        first(seen.page).get_by_role("slider").fill("6")
        second(seen.page).get_by_role("slider").fill("6")
        assert_shows(first(seen.page), 6, dimmed)
        assert_shows(second(seen.page), 6, dimmed)
        first(seen.page).get_by_label("all frames").check()
        assert_shows_all(first(seen.page), dimmed)
        seen.photograph(SCREENSHOTS / f"film-{name}-{width}")
        seen.page.evaluate(AXE.read_text(encoding="utf-8"))
        violations = [found["id"] for found in seen.page.evaluate(RUN_AXE)]
        problems = seen.problems() + seen.overflow() + violations
    assert not problems, describe(problems)
