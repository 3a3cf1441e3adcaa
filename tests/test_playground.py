"""The latent playground: its arithmetic against the library's and the script's, and its page, driven."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import playground_script
import pytest
import torch
from nbformat.v4 import new_output
from notebook_clean import WIDGET, clean
from notebook_maker import code, small, text
from notebook_outputs import OUTPUT_CHECKS
from pages import served
from torch import nn
from visits import AXE as RUN_AXE
from visits import describe, opened, visit

from gancourse.data import bimodal
from gancourse.losses import MINIMAX, NON_SATURATING
from gancourse.training import d_step, g_step
from gancourse.widgets import LatentPlayground, game

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

ROOT = Path(__file__).resolve().parent.parent
AXE = ROOT / "tools" / "node" / "node_modules" / "axe-core" / "axe.min.js"
SCREENSHOTS = ROOT / "_build" / "screenshots"
MODULE = playground_script.MODULE.read_text(encoding="utf-8")
browser_test = pytest.mark.browser
TELEPHONE = {"width": 360, "height": 780}

# ------------------------------------------------------------------ the arithmetic in Python


class Line(nn.Module):
    """Map (N, 1) to slope x + shift: as D its logits (N,), as G its samples (N, 1)."""

    def __init__(self, slope: float, shift: float, *, flat: bool) -> None:
        super().__init__()
        self.slope, self.shift = (nn.Parameter(torch.tensor(v, dtype=torch.float64)) for v in (slope, shift))
        self.flat = flat

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.slope * x + self.shift
        return out.squeeze(1) if self.flat else out


def column(values: tuple[float, ...]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


@pytest.mark.parametrize(("minimax", "loss"), [(False, NON_SATURATING), (True, MINIMAX)])
def test_steps_are_the_librarys_on_the_same_batches(minimax: bool, loss: Any) -> None:
    here = game.start(5)
    G, D = Line(here.w, here.b, flat=False), Line(here.a, here.c, flat=True)
    rates = ((D, game.RATE_D), (G, game.RATE_G))
    opt_d, opt_g = (torch.optim.SGD(net.parameters(), lr=rate) for net, rate in rates)
    for _ in range(20):
        seen = d_step(G, D, opt_d, real=column(here.real), z=column(here.z), loss=loss)
        assert seen.loss.item() == pytest.approx(here.losses[-1].d, abs=1e-12)
        here = game.step_d(here)
        lost = g_step(G, D, opt_g, z=column(here.z), loss=loss).loss.item()
        expected = here.losses[-1].minimax if minimax else here.losses[-1].non_saturating
        assert lost == pytest.approx(expected, abs=1e-12)
        here = game.step_g(here, minimax=minimax)
    numbers = [p.item() for net in (G, D) for p in net.parameters()]
    assert numbers == pytest.approx([here.w, here.b, here.a, here.c], abs=1e-12)


def test_the_game_starts_as_the_chapter_says() -> None:
    here = game.start()
    assert (here.w, here.b, here.a, here.c) == (0.6, 0.0, 0.5, 0.0)
    assert (game.BATCH, game.RATE_D, game.RATE_G) == (len(here.real), 0.12, 0.08) == (len(here.z), 0.12, 0.08)
    assert (here.d_steps, here.g_steps, len(here.losses)) == (0, 0, 1)


def test_mulberry32_draws_its_known_numbers() -> None:
    uniform, _ = game._mulberry32(0)
    known = [0.26642920868471265, 0.0003297457005828619, 0.2232720274478197]
    assert [uniform() for _ in known] == known


def test_batches_are_of_the_stated_distributions() -> None:
    here = game.start(3)
    real, z = list(here.real), list(here.z)
    while here.d_steps < 400:
        here = game.step_d(here)
        real, z = real + list(here.real), z + list(here.z)
    assert set(real) == {-1.0, 1.0}
    n = len(z)  # 6,416: four standard errors each
    assert sum(real) / n == pytest.approx(0, abs=4 / n**0.5)
    assert sum(z) / n == pytest.approx(0, abs=4 / n**0.5)
    assert sum(v * v for v in z) / n == pytest.approx(1, abs=4 * (2 / n) ** 0.5)
    assert sum(abs(v) < 1 for v in z) / n == pytest.approx(0.6827, abs=4 * 0.466 / n**0.5)


def test_d_alone_comes_to_rest_at_one_half_and_loses_log_4() -> None:
    here = game.start()
    while here.d_steps < 1500:
        here = game.step_d(here)
    # A line cannot tell two modes from a Gaussian between them: the means agree, and it sees nothing else.
    assert abs(here.a) < 0.1
    assert [here.D(x) for x in (-1.0, 0.0, 1.0)] == pytest.approx([0.5] * 3, abs=0.03)
    late = [entry.d for entry in here.losses[-500:]]
    assert sum(late) / len(late) == pytest.approx(torch.log(torch.tensor(4.0)).item(), abs=0.01)


def test_alternating_is_stepping_both() -> None:
    both = alternating = game.start(9)
    for _ in range(25):
        both, alternating = game.step_both(both), game.step_g(game.step_d(alternating))
    assert both == alternating


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, "7", None])
def test_what_is_no_seed_is_refused(seed: Any) -> None:
    for make in (game.start, LatentPlayground):
        with pytest.raises(
            ValueError, match=re.escape("expected a seed from 0 to 2^32 - 1, an integer, got")
        ):
            make(seed)


# ------------------------------------------------------------------ in a notebook


def stored(seed: int = game.SEED) -> nbformat.NotebookNode:
    """Return a notebook as a kernel leaves it that showed a playground."""
    data, metadata = LatentPlayground(seed)._repr_mimebundle_()
    cell = code("play", "LatentPlayground()")
    cell.outputs = [new_output("execute_result", data, metadata=metadata, execution_count=1)]
    notebook = small([text("title", "# Tiny"), cell])
    notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {}}
    return notebook


def test_a_notebook_shows_the_widget_and_stores_the_mount() -> None:
    notebook = stored()
    (output,) = notebook.cells[1].outputs
    assert set(output.data) == {"text/plain", "text/html", WIDGET}
    assert output.data["text/plain"] == "LatentPlayground(seed=2014)"
    clean(notebook)
    (output,) = notebook.cells[1].outputs
    assert WIDGET not in output.data
    assert "widgets" not in notebook.metadata
    assert "<svg" in output.data["text/html"]
    assert len(json.dumps(output)) < 100_000
    assert [problem for check in OUTPUT_CHECKS for problem in check(notebook)] == []


def test_the_widget_runs_the_module() -> None:
    widget = LatentPlayground(7)
    assert str(widget._esm) == MODULE
    assert (widget.seed, widget.state) == (7, {})


def test_without_anywidget_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import gancourse.widgets

    monkeypatch.setitem(sys.modules, "anywidget", None)
    monkeypatch.delitem(sys.modules, "gancourse.widgets.playground")
    with pytest.raises(ModuleNotFoundError, match="pip install anywidget"):
        _ = gancourse.widgets.LatentPlayground
    with pytest.raises(AttributeError, match="no attribute 'Playground'"):
        _ = gancourse.widgets.Playground


def test_the_game_needs_neither_torch_nor_anywidget() -> None:
    heavy = "{'torch', 'numpy', 'anywidget', 'traitlets', 'gancourse.widgets'} & set(sys.modules)"
    lines = (
        "import sys, gancourse",
        f"assert not {heavy}, {heavy}",
        "import gancourse.widgets.game",
        f"assert {heavy} == {{'gancourse.widgets'}}, {heavy}",
    )
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_package_carries_the_module_and_the_picture() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["gancourse"]
    carried = {path for pattern in patterns for path in (ROOT / "gancourse").glob(pattern)}
    assert carried >= {playground_script.MODULE, playground_script.PICTURE}


# ------------------------------------------------------------------ the script


def test_the_script_is_the_module_wrapped() -> None:
    script = playground_script.wrapped(MODULE)
    assert not re.search(r"^\s*(import|export)\b", script, re.MULTILINE)
    assert "function render(" in script
    assert not re.search(r"https?:|//\w+\.\w+/|fetch\(|XMLHttp", script)


@pytest.mark.parametrize("line", ['import x from "./x.js";', "export { start };", 'export * from "./x.js";'])
def test_a_form_that_cannot_be_wrapped_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="expected exports of const, let, function or class alone"):
        playground_script.wrapped(f"const a = 1;\n{line}\n")


def luminance(color: str) -> float:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("selector", [r"\.game", r"\.game\.dark"])
def test_colors_stand_out_from_the_sheet(selector: str) -> None:
    block = re.search(rf"^{selector} {{(.*?)}}", MODULE, re.MULTILINE | re.DOTALL)
    assert block is not None
    colors = {name: luminance(value) for name, value in re.findall(r"--game-(\w+): (#\w{6})", block[1])}
    for name, least in {"ink": 7, "soft": 4.5, "real": 4.5, "fake": 4.5, "judge": 4.5, "border": 3}.items():
        light, dark = sorted((colors[name], colors["sheet"]), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= least, name


# ------------------------------------------------------------------ in a browser

PAGE = """<!doctype html><html lang="en"><meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,"><title>Play</title>
<body style="margin:0"><main style="margin:auto;max-width:45rem;padding:8px"><h1>Play</h1>{}</main>"""
SCRIPT = '<script src="latent_playground.js"></script>'
PRESS = """names => {
  const root = document.querySelector('.gancourse-playground > div').shadowRoot;
  for (const name of names) root.querySelector(`[data-do=${name}]`).click();
}"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with a stored playground and the script, without it, and the module as Jupyter has it."""
    made = tmp_path_factory.mktemp("play")
    mount = stored().cells[1].outputs[0].data["text/html"]
    (made / "play.html").write_text(PAGE.format(mount + SCRIPT), encoding="utf-8")
    (made / "bare.html").write_text(PAGE.format("<div id='cell'></div>"), encoding="utf-8")
    (made / "latent_playground.js").write_text(playground_script.wrapped(MODULE), encoding="utf-8")
    (made / "module.mjs").write_text(MODULE, encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with served(folder) as found:
        yield found


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The playground, opened; nothing may be asked of another host, nothing may go wrong."""
    with visit(browser, f"{address}/play.html") as seen:
        yield seen.page
        assert seen.problems() == []


def state(page: Page) -> dict[str, Any]:
    return dict(page.evaluate("document.querySelector('.gancourse-playground').model.get('state')"))


def press(page: Page, *names: str) -> None:
    page.evaluate(PRESS, list(names))


def numbers(here: game.Game, *, minimax: bool = False) -> dict[str, Any]:
    """Return the state that the page must show."""
    last = here.losses[-1]
    shown = {name: getattr(here, name) for name in ("w", "b", "a", "c", "d_steps", "g_steps")}
    batch = {"real": here.real, "z": here.z, "generated": here.generated}
    return shown | batch | {"loss_d": last.d, "loss_g": last.minimax if minimax else last.non_saturating}


def assert_same(shown: dict[str, Any], expected: dict[str, Any]) -> None:
    assert shown.keys() - {"slider"} == expected.keys()
    for name, value in expected.items():
        value = list(value) if isinstance(value, tuple) else value
        assert shown[name] == pytest.approx(value, abs=1e-6), name


@browser_test
@pytest.mark.parametrize("minimax", [False, True])
@pytest.mark.parametrize(
    "presses", [["d", "g"] * 25, ["both"] * 50, ["d"] * 50, ["d", "d", "g", "both"] * 13]
)
def test_fifty_steps_are_pythons(page: Page, presses: list[str], minimax: bool) -> None:
    moves: dict[str, Callable[[game.Game], game.Game]] = {
        "d": game.step_d,
        "g": lambda here: game.step_g(here, minimax=minimax),
        "both": lambda here: game.step_both(here, minimax=minimax),
    }
    if minimax:
        page.get_by_label("minimax").check()
    here = game.start()
    assert_same(state(page), numbers(here, minimax=minimax))
    press(page, *presses)
    for name in presses:
        here = moves[name](here)
    assert_same(state(page), numbers(here, minimax=minimax))


@browser_test
def test_all_losses_and_any_seed_are_pythons(page: Page) -> None:
    for seed in (0, 1, 2**31, 2**32 - 1):
        theirs = playground_script.evaluated(
            page, f"Array.from({{length: 50}}).reduce((g) => stepBoth(g), start({seed}))"
        )
        here = game.start(seed)
        for _ in range(50):
            here = game.step_both(here)
        assert theirs["draws"] == here.draws
        assert [entry["d"] for entry in theirs["losses"]] == pytest.approx(
            [e.d for e in here.losses], abs=1e-9
        )
        found = [entry["nonSaturating"] for entry in theirs["losses"]]
        assert found == pytest.approx([entry.non_saturating for entry in here.losses], abs=1e-9)


PLANTED = [
    ("RATE_D = 0.12", "RATE_D = 0.08"),
    ("mean(up) - mean(down)", "mean(up) + mean(down)"),
    ("(minimax ? D(game, x) : 1 - D(game, x))", "(minimax ? 1 - D(game, x) : D(game, x))"),
    ("Math.cos(2", "Math.sin(2"),
    ("stepG(stepD(game), minimax)", "stepD(stepG(game, minimax))"),
    ("b: game.b + RATE_G", "b: game.b - RATE_G"),
    ("61 | t", "60 | t"),
]


@browser_test
@pytest.mark.parametrize(("right", "wrong"), PLANTED)
def test_a_planted_fault_is_seen(page: Page, right: str, wrong: str) -> None:
    assert MODULE.count(right) == 1
    expression = "Array.from({length: 50}).reduce((g) => stepBoth(g), start())"
    faulty = playground_script.evaluated(page, expression, MODULE.replace(right, wrong))
    here = game.start()
    for _ in range(50):
        here = game.step_both(here)
    found = [faulty[name] for name in "wbac"]
    assert found != pytest.approx([here.w, here.b, here.a, here.c], abs=1e-6)


@browser_test
@pytest.mark.parametrize(("w", "b"), [(0.6, 0.0), (-0.3, 1.0), (2.0, -2.0), (0.05, 0.4)])
def test_the_dashed_curve_is_the_best_d(page: Page, w: float, b: float) -> None:
    x = torch.linspace(-2.5, 2.5, 41, dtype=torch.float64)
    call = f"{json.dumps(x.tolist())}.map((x) => bestD({{w: {w}, b: {b}}}, x))"
    real = bimodal().log_prob(x[:, None])
    fake = torch.distributions.Normal(torch.tensor(b).double(), abs(w)).log_prob(x)
    expected = (real - fake).sigmoid().tolist()
    assert playground_script.evaluated(page, call) == pytest.approx(expected, abs=1e-6)


@browser_test
def test_the_stored_picture_is_what_the_module_draws(page: Page) -> None:
    picture = playground_script.PICTURE.read_text(encoding="utf-8")
    message = "run .venv/bin/python tools/playground_script.py --picture"
    assert playground_script.drawn_by(page) == picture, message


@browser_test
@pytest.mark.parametrize("b", [0.0, 1.8, -1.7, 40.0, -40.0])
def test_samples_beyond_the_picture_are_counted(page: Page, b: float) -> None:
    drawn = playground_script.evaluated(page, f"drawGame({{...start(), b: {b}}}, 1, false, 460)")
    there = replace(game.start(), b=b).generated
    left, right = sum(x < -2.5 for x in there), sum(x > 2.5 for x in there)
    notes = [f"\u25c2 {left} beyond"] * (left > 0) + [f"{right} beyond \u25b8"] * (right > 0)
    assert re.findall("[^>]*beyond[^<]*", drawn) == notes
    # What leads to them ends at the edge of the picture.
    assert all(0 <= float(x) <= 460 for x in re.findall(r"[ML](-?[\d.]+) ", drawn))


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def picture(page: Page) -> str:
    return page.locator(".plot svg").get_attribute("aria-label") or ""


@browser_test
def test_by_mouse(page: Page) -> None:
    before = picture(page)
    button(page, "Step D").click()
    assert (state(page)["d_steps"], state(page)["g_steps"]) == (1, 0)
    assert page.get_by_role("status").inner_text() == "D: 1 step, G: 0 steps"
    button(page, "Step G").click()
    button(page, "Step both").click()
    assert (state(page)["d_steps"], state(page)["g_steps"]) == (2, 2)
    assert picture(page) != before
    box = page.get_by_role("slider").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert state(page)["slider"] == 0
    assert "G sends z = 0.00" in picture(page)
    button(page, "Reset").click()
    assert_same(state(page), numbers(game.start()))
    assert page.get_by_role("status").inner_text() == "D: 0 steps, G: 0 steps"


@browser_test
def test_by_keyboard_alone(page: Page) -> None:
    page.keyboard.press("Tab")
    assert page.get_by_role("slider").evaluate("e => e.matches(':focus-visible')")
    page.keyboard.press("ArrowLeft")
    assert state(page)["slider"] == pytest.approx(0.95)
    page.keyboard.press("Home")
    assert state(page)["slider"] == -2.5
    assert (page.get_by_role("slider").get_attribute("aria-valuetext") or "").startswith("z = \u22122.50")
    for name, key in {"Step D": "Enter", "Step G": "Space", "Step both": "Enter"}.items():
        page.keyboard.press("Tab")
        assert button(page, name).evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
        page.keyboard.press(key)
    assert (state(page)["d_steps"], state(page)["g_steps"]) == (2, 2)
    assert button(page, "Step both").evaluate("e => e.matches(':focus')"), "drawing anew keeps the focus"
    for _ in range(3):
        page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    assert page.get_by_label("minimax").is_checked()
    assert state(page)["loss_g"] < 0


@browser_test
def test_by_touch(browser: Browser, address: str) -> None:
    with opened(
        browser, f"{address}/play.html", has_touch=True, viewport={"width": 360, "height": 780}
    ) as page:
        button(page, "Step D").tap()
        button(page, "Step both").tap()
        assert (state(page)["d_steps"], state(page)["g_steps"]) == (2, 1)
        box = page.get_by_role("slider").bounding_box()
        assert box is not None
        page.touchscreen.tap(box["x"] + box["width"] - 20, box["y"] + box["height"] / 2)
        assert state(page)["slider"] > 2
        sizes = page.locator(".game button").evaluate_all("all => all.map(e => e.offsetHeight)")
        assert min(sizes) >= 44


@browser_test
@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_it_runs_only_when_asked_and_pauses(browser: Browser, address: str, motion: Any) -> None:
    with opened(browser, f"{address}/play.html", reduced_motion=motion) as page:
        page.wait_for_timeout(600)
        assert state(page)["d_steps"] == 0
        button(page, "Run slowly").click()
        said = page.get_by_role("status").inner_text()
        page.wait_for_function(
            "document.querySelector('.gancourse-playground').model.get('state').d_steps >= 3"
        )
        assert page.get_by_role("status").inner_text() == said, "a run is not read out step by step"
        button(page, "Pause").click()
        at = state(page)["d_steps"]
        assert page.get_by_role("status").inner_text() == f"D: {at} steps, G: {at} steps"
        page.wait_for_timeout(600)
        assert state(page)["d_steps"] == state(page)["g_steps"] == at
        button(page, "Run slowly").click()
        button(page, "Reset").click()
        page.wait_for_timeout(400)
        assert state(page)["d_steps"] == 0


@browser_test
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360, 270])
def test_it_fits_and_bars_nobody(browser: Browser, address: str, scheme: str, width: int) -> None:
    with visit(browser, f"{address}/play.html", scheme=scheme, width=width) as seen:
        press(seen.page, *["both"] * 30)
        seen.photograph(SCREENSHOTS / f"playground-{scheme}-{width}")
        assert seen.page.locator(".game.dark").count() == (scheme == "dark")
        sticking_out = seen.page.locator(".game").evaluate(
            """game => {
              const right = e => e.getBoundingClientRect().right;
              const all = [...game.querySelectorAll('*')].filter(e => !e.closest('.said'));
              const limit = e => e.ownerSVGElement ? right(e.ownerSVGElement) : right(game);
              return all.filter(e => right(e) > limit(e)).map(e => e.outerHTML);
            }"""
        )
        seen.page.evaluate(AXE.read_text(encoding="utf-8"))
        violations = [found["id"] for found in seen.page.evaluate(RUN_AXE)]
        problems = seen.problems() + seen.overflow() + sticking_out + violations
    assert not problems, describe(problems)


@browser_test
def test_it_follows_the_theme_that_the_page_names(page: Page) -> None:
    root, dark = page.locator("html"), page.locator(".game.dark")
    for name, value, count in [("data-theme", "dark", 1), ("data-theme", "light", 0)]:
        root.evaluate("(e, [name, value]) => e.setAttribute(name, value)", [name, value])
        dark.wait_for(state="attached" if count else "detached")
    root.evaluate("e => e.removeAttribute('data-theme')")
    page.locator("body").evaluate("e => e.dataset.jpThemeLight = 'false'")
    dark.wait_for(state="attached")


@browser_test
def test_it_is_redrawn_for_another_width(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 780})
    page.wait_for_function(
        """() => { const root = document.querySelector('.gancourse-playground > div').shadowRoot;
          return root.querySelector('.plot svg').getAttribute('width') < 340; }"""
    )


@browser_test
def test_it_works_from_a_file(browser: Browser, folder: Path) -> None:
    with visit(browser, (folder / "play.html").as_uri()) as seen:
        press(seen.page, *["both"] * 3)
        assert state(seen.page)["d_steps"] == 3
        assert seen.problems() == []


@browser_test
def test_without_scripts_the_picture_is_there(browser: Browser, address: str) -> None:
    with opened(browser, f"{address}/play.html", java_script_enabled=False, viewport=TELEPHONE) as page:
        still = page.locator(".gancourse-playground svg[role=img]")
        box = still.bounding_box()
        assert box is not None
        assert 300 < box["width"] <= 360
        assert "D goes from 0.22" in (still.get_attribute("aria-label") or "")
        assert page.get_by_text("The game at its start").is_visible()
        assert page.locator("button").count() == 0


@browser_test
def test_jupyter_renders_the_same_module(browser: Browser, address: str) -> None:
    with visit(browser, f"{address}/bare.html") as seen:
        saved = seen.page.evaluate(
            """async () => {
              const { default: widget } = await import('./module.mjs');
              const values = { seed: 7, state: {} }, el = document.querySelector('#cell');
              let saves = 0;
              const set = (name, value) => { values[name] = value; };
              const model = { get: name => values[name], set, save_changes: () => { saves += 1; } };
              const leave = widget.render({ model, el });
              el.firstChild.shadowRoot.querySelector('[data-do=both]').click();
              leave();
              return { state: values.state, saves };
            }"""
        )
        assert saved["saves"] == 2
        assert_same(saved["state"], numbers(game.step_both(game.start(7))))
        assert seen.problems() == []


@browser_test
def test_the_books_pages_load_the_script(html: Path) -> None:
    script = html / "_static" / "latent_playground.js"
    assert script.read_text(encoding="utf-8") == playground_script.wrapped(MODULE)
    assert "latent_playground.js" in (html / "book" / "index.html").read_text(encoding="utf-8")
