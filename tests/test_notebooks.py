"""Every notebook of the book is sound and reproduces itself; each check of that catches its planted fault."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest
from nbformat import NotebookNode
from notebook_checks import package_changed, problems
from notebook_maker import PNG, alt, code, display, parameters, printed, small, sound, stamped, text, written
from notebook_stamp import amend, read_stamp, write_stamp
from run_notebook import ROOT, book_notebooks

NOTEBOOKS = book_notebooks()
IDS = [path.stem for path in NOTEBOOKS]
QUICK_SECONDS = 60


def test_the_book_has_notebooks() -> None:
    assert NOTEBOOKS, "expected notebooks in book/, found none"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=IDS)
def test_notebook_is_sound(path: Path, record_property: Callable[[str, object], None]) -> None:
    if changed := package_changed(nbformat.read(path, as_version=4), ROOT / "gancourse"):
        record_property("notice", f"{path.relative_to(ROOT)}: {changed}")
    assert problems(path) == []


def run_quietly(command: list[str], **extra: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a subprocess, without progress bars, and return what it said."""
    # One thread each: two notebooks run at a time, and threads without a core stand in each other's way.
    own = {"TQDM_DISABLE": "1", "PYTHONPATH": str(ROOT / "tests"), "OMP_NUM_THREADS": "1"}
    env = os.environ | own | extra
    env = {
        name: value for name, value in env.items() if not name.startswith(("PYTEST_", "GANCOURSE_PROFILE"))
    }
    return subprocess.run([sys.executable, *command], env=env, capture_output=True, text=True, check=False)


def papermill(source: Path, folder: Path) -> Path:
    """Execute a notebook in quick profile with papermill, in an empty folder; return what it wrote."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    written_to = folder / f"{source.stem}.quick.ipynb"
    where = ["--cwd", str(folder), "--no-progress-bar", "-k", "python3", "-p", "profile", "quick"]
    done = run_quietly(["-m", "papermill", str(source), str(written_to), *where])
    assert done.returncode == 0, done.stderr[-3000:]
    return written_to


def nbval(notebook: Path) -> subprocess.CompletedProcess[str]:
    """Run a notebook again and compare each output, images too; training starts anew."""
    shutil.rmtree(notebook.parent / "runs", ignore_errors=True)
    plugins = ["-p", "nbval_images", "-p", "no:cacheprovider"]
    # An ini file of its own keeps this project's pytest settings, made for its tests, out of nbval's run.
    settings = notebook.parent / "nbval.ini"
    settings.write_text("[pytest]\n")
    where = ["-c", str(settings), "--rootdir", str(notebook.parent), "--color=no", "-q"]
    return run_quietly(["-m", "pytest", "--nbval", *plugins, *where, str(notebook)])


def warnings_of(notebook: Path) -> list[str]:
    """List what cells wrote to stderr: with progress bars off, that is warnings."""
    cells = nbformat.read(notebook, as_version=4).cells
    streams = [(cell.id, out) for cell in cells for out in cell.get("outputs", []) if "name" in out]
    return [f"{name}: {out.text}" for name, out in streams if out.name == "stderr"]


class Reproduction(NamedTuple):
    """What two runs of a notebook in quick profile gave: the first, its seconds, and the comparison."""

    quick: Path
    seconds: float
    again: subprocess.CompletedProcess[str]


def reproduce(path: Path) -> Reproduction:
    """Run a notebook in quick profile, and what came out a second time."""
    started = time.monotonic()
    quick = papermill(path, ROOT / "_build" / "notebooks" / path.stem)
    return Reproduction(quick, time.monotonic() - started, nbval(quick))


@pytest.fixture(scope="module")
def reproductions(request: pytest.FixtureRequest) -> Iterator[dict[Path, Future[Reproduction]]]:
    """Start the notebooks that the selected tests ask for, two at a time."""
    asking = [item for item in request.session.items if "reproductions" in getattr(item, "fixturenames", ())]
    paths = [item.callspec.params["path"] for item in asking]
    pool = ThreadPoolExecutor(2)
    yield {path: pool.submit(reproduce, path) for path in paths}
    pool.shutdown(cancel_futures=True)  # after a failure under -x nobody asks for the others


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=IDS)
def test_notebook_reproduces_itself(
    path: Path,
    reproductions: dict[Path, Future[Reproduction]],
    record_property: Callable[[str, object], None],
) -> None:
    quick, seconds, again = reproductions[path].result()
    record_property(
        "notice", f"{path.name}: quick profile in {seconds:.0f} s on one core (aim: {QUICK_SECONDS} s on two)"
    )
    assert warnings_of(quick) == []
    assert again.returncode == 0, again.stdout[-6000:] + again.stderr[-2000:]


DRAW = "import matplotlib.pyplot as plt\n\nplt.plot([0, 1], [{last}, 2])\nplt.show()"
WARN = "import warnings\n\nwarnings.warn('look at me', stacklevel=1)"


@pytest.mark.slow
def test_nondeterministic_cells_are_caught(tmp_path: Path) -> None:
    """A number and a figure of chance, and a warning, are found; what is the same twice is not."""
    cells = [
        *parameters(),
        code("resolved", "assert profile == 'quick'\nprofile"),
        code("same-figure", DRAW.format(last=1)),
        code("chance", "import random\n\nprint(random.random())"),
        code("chance-figure", DRAW.format(last="__import__('random').random()")),
        code("warning", WARN),
    ]
    source = written(stamped(small(cells)), tmp_path)
    quick = papermill(source, tmp_path / "quick")
    assert [line.split(":")[0] for line in warnings_of(quick)] == ["warning"]
    again = nbval(quick)
    failed = re.findall(r"^FAILED .*::Cell (\d+)", again.stdout, re.MULTILINE)
    assert again.returncode == 1, again.stdout
    assert failed == ["5", "6", "7"], again.stdout  # papermill adds a cell after the parameters
    assert "mismatch 'image/png'" in again.stdout


def test_a_sound_notebook_has_no_problems(tmp_path: Path) -> None:
    assert problems(written(sound(), tmp_path)) == []


def cell(notebook: NotebookNode, name: str) -> NotebookNode:
    """Return the cell with an id."""
    return next(found for found in notebook.cells if found.id == name)


def shows(mime: str, value: object) -> Callable[[NotebookNode], None]:
    """Make a fault: the cell step-3 stores this output."""
    return lambda notebook: cell(notebook, "step-3").outputs.append(display(mime, value))


def prints(words: str, stream: str = "stdout") -> Callable[[NotebookNode], None]:
    """Make a fault: the cell step-3 printed this."""
    return lambda notebook: cell(notebook, "step-3").outputs.append(printed(words, stream))


def says(source: str) -> Callable[[NotebookNode], None]:
    """Make a fault: a Markdown cell holds this."""
    return lambda notebook: notebook.cells.insert(1, text("more", source))


def sets(name: str, **changes: object) -> Callable[[NotebookNode], None]:
    """Make a fault: a cell is changed."""
    return lambda notebook: cell(notebook, name).update(changes)


def restamps(**changes: object) -> Callable[[NotebookNode], None]:
    """Make a fault: the stamp says something else."""
    return lambda notebook: notebook.metadata["gancourse"].update(changes)


def codes(*cells: NotebookNode, drop: int = 0) -> Callable[[NotebookNode], None]:
    """Make a fault in the code itself, under a fresh stamp: cells more or cells fewer."""

    def fault(notebook: NotebookNode) -> None:
        fillings = [found for found in notebook.cells if found.id.startswith("step-")][:drop]
        notebook.cells = [*(found for found in notebook.cells if found not in fillings), *cells]
        stamped(notebook)

    return fault


def edits(name: str, **changes: object) -> Callable[[NotebookNode], None]:
    """Make a fault in a cell, under a fresh stamp."""

    def fault(notebook: NotebookNode) -> None:
        cell(notebook, name).update(changes)
        stamped(notebook)

    return fault


WIDGET = {"model_id": "3f", "version_major": 2, "version_minor": 0}
ANIMATION = "<div>" + "x" * 400_001
UNFOLDED = "```{exercise}\n:label: b\nWhy?\n```\n\n```{solution} b\nHence.\n```"
LONG = "\n".join(f"x = {number}" for number in range(9))
MORE = [code(f"more-{number}", "1") for number in range(20)]
FAULTS: dict[str, tuple[Callable[[NotebookNode], object], str]] = {
    "old format": (lambda nb: nb.update(nbformat_minor=4), "expected nbformat 4.5"),
    "hex id": (sets("step-3", id="3f9a01bc"), "has the id '3f9a01bc'"),
    "uuid": (sets("step-3", id="3f9a01bc-0d1e-4f5a-8b7c-112233445566"), "give it a readable one"),
    "capital id": (sets("step-3", id="aXb_9"), "give it a readable one"),
    "two ids": (sets("step-3", id="step-4"), "two cells have the id 'step-4'"),
    "never executed": (sets("step-3", execution_count=None), "step-3 was never executed"),
    "out of order": (sets("step-3", execution_count=3), "step-3 ran as number 3, expected 8"),
    "error stored": (
        lambda nb: cell(nb, "step-3").outputs.append(nbformat.v4.new_output("error", ename="E")),
        "stores an error",
    ),
    "no parameters": (sets("parameters", metadata={}), "expected one cell tagged parameters, got 0"),
    "fixed profile": (edits("parameters", source="profile = 'quick'"), "must hold `profile = None`"),
    "profile unused": (edits("profile", source="profile = 'full'"), "no cell after the parameters calls"),
    "stale code": (sets("step-3", source="print(4)"), "the code cells changed since"),
    "stale text": (sets("stamp", source="**How.** Code `000000000000`."), "tells another stamp"),
    "no stamp": (lambda nb: nb.metadata.pop("gancourse"), "no stamp in the metadata"),
    "stamp not last": (lambda nb: nb.cells.append(text("after", "More.")), "the last cell must be the stamp"),
    "quick outputs": (restamps(profile="quick"), "are of the quick profile, expected full"),
    "heavy notebook": (says("x" * 800_000), "the notebook takes"),
    "too few cells": (codes(drop=5), "11 code cells, expected 15 to 30"),
    "too many cells": (codes(*MORE), "36 code cells, expected 15 to 30"),
    "long cells": (
        codes(*[code(f"long-{n}", LONG) for n in range(18)], drop=11),
        "median code cell has 9 lines",
    ),
    "nothing asserted": (edits("learned", source="print('fine')"), "no cell asserts"),
    "exempt by comment": (edits("step-3", source="# NBVAL_IGNORE_OUTPUT\nprint(3)"), "exempts itself"),
    "exempt by tag": (sets("step-3", metadata={"tags": ["raises-exception"]}), "exempts itself"),
    "never compared": (sets("step-3", metadata={"tags": ["nbval-ignore-output"]}), "never compared"),
    "no alt": (sets("losses", metadata={}), "losses: its image has no alt text"),
    "short alt": (sets("losses", metadata=alt("Two curves")), "too short"),
    "file as alt": (sets("losses", metadata=alt("_images/3f9a01bc0d1e4f5a8b7c.png")), "is a file's name"),
    "no finding": (
        sets("losses", metadata=alt("Figure of the two losses over the epochs")),
        "announces a picture",
    ),
    "same alt": (
        sets("losses", metadata=alt("Samples cover 6 of the 8 modes at epoch 20")),
        "the same alt text",
    ),
    "two images": (lambda nb: cell(nb, "losses").outputs.append(display("image/png", PNG)), "shows 2 images"),
    "html without alt": (shows("text/html", "<img src='data:image/png;base64,AA'>"), "an image in its HTML"),
    "heavy output": (prints("x" * 100_001), "an output of 100 KB"),
    "heavy animation": (shows("text/html", ANIMATION), "an output of 400 KB"),
    "widget state": (lambda nb: nb.metadata.update(widgets={}), "stores widget state"),
    "widget": (shows("application/vnd.jupyter.widget-view+json", WIDGET), "step-3 stores a widget"),
    "external script": (
        shows("text/html", '<script src="https://cdn.example/x.js"></script>'),
        "another host",
    ),
    "external style": (shows("text/html", "<link rel=stylesheet href=//cdn.example/x.css>"), "another host"),
    "external import": (
        shows("text/html", '<script>import("https://cdn.example/x")</script>'),
        "another host",
    ),
    "javascript": (shows("application/javascript", "alert(1)"), "stores a script"),
    "warning": (prints("UserWarning: look at me\n", "stderr"), "wrote to stderr"),
    "machine path": (prints("saved /home/ann/gan/runs\n"), "a path of this machine"),
    "address": (prints("<object object at 0x7f5a3c0d1e40>\n"), "a memory address"),
    "no solution": (says("```{exercise}\n:label: ex-two\nWhy?\n```"), "exercise 'ex-two' has no solution"),
    "no exercise": (
        says("```{solution} ex-no\n:class: dropdown\nHence.\n```"),
        "solution 'ex-no' has no exercise",
    ),
    "unfolded": (says(UNFOLDED), "solution of 'b' is not folded"),
    "unknown citation": (says("See {cite:p}`goodfellow2014,nobody1900`."), "'nobody1900' is cited"),
    "dead equation": (says("By {eq}`eq-none`."), "'eq-none', which the book does not have"),
    "dead figure": (says("{numref}`Figure %s <fig-none>`"), "'fig-none', which the book does not have"),
    "dead theorem": (says("{prf:ref}`thm-none`"), "'thm-none', which the book does not have"),
    "dead link": (says("[there](nowhere.md#at-all)"), "'nowhere.md#at-all' leads nowhere"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_planted_fault_is_caught(name: str, tmp_path: Path) -> None:
    fault, message = FAULTS[name]
    notebook = sound()
    fault(notebook)
    path = written(sound(), tmp_path)
    path.write_text(nbformat.v4.writes(notebook), encoding="utf-8")
    found = problems(path)
    assert any(message in problem for problem in found), found


SOUND_PROSE = [
    "Inline `[x](no.md)`, math $\\mathbb{E}[D](x)$, and [a page](notation.md#sec-notation).",
    "[elsewhere](https://example.org/x) and [below](#sec-game)",
    "```python\n[x](no.md) {cite}`nobody`\n```\n\nThen {ref}`the notation <sec-notation>`.",
    "````{exercise-start}\n:label: ex-gated\n````\nDo.\n````{exercise-end}\n````\n\n"
    "````{solution-start} ex-gated\n:class: dropdown\n````\nDone.\n````{solution-end}\n````",
]


@pytest.mark.parametrize("prose", SOUND_PROSE)
def test_sound_prose_passes(prose: str, tmp_path: Path) -> None:
    notebook = sound()
    says(prose)(notebook)
    assert problems(written(notebook, tmp_path)) == []


def test_an_assertion_may_be_amended_and_the_stamp_tells_it(tmp_path: Path) -> None:
    notebook = sound()
    amend(notebook, "learned", "assert 2 + 2 == 4", date="2026-01-02", why="the quick profile missed it")
    assert problems(written(notebook, tmp_path)) == []
    assert "Amended on 2026-01-02: `learned`, which only asserts; the quick" in notebook.cells[-1].source
    cell(notebook, "learned").source = "assert 3 + 3 == 6\nx = 1"
    assert problems(written(notebook, tmp_path)) == [
        "the cell learned was amended under its stamp, and does more than assert"
    ]
    cell(notebook, "step-3").source = "print(4)"
    assert any("the code cells changed since" in found for found in problems(written(notebook, tmp_path)))


@pytest.mark.parametrize("source", ["x = 1", "assert x\nprint(f'{x}')", "print('a', file=f)", "print(x)"])
def test_what_computes_cannot_be_amended(source: str) -> None:
    notebook = sound()
    for name, new in (("step-3", source), ("learned", source)):
        with pytest.raises(ValueError, match="execute the notebook again"):
            amend(notebook, name, new, date="2026-01-02", why="no reason")


def test_a_changed_package_is_told_and_no_problem(tmp_path: Path) -> None:
    notebook = sound()
    assert package_changed(notebook, ROOT / "gancourse") is None
    write_stamp(notebook, read_stamp(notebook) | {"package_sha256": "0" * 64})
    assert problems(written(notebook, tmp_path)) == []
    assert package_changed(notebook, ROOT / "gancourse") == (
        "gancourse/ changed since the outputs were made on 2025-11-22"
    )
