"""The notebook runner: what it stores, what it stamps, and that a failure or Ctrl-C loses nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
import run_notebook
from nbformat.v4 import new_output
from notebook_clean import clean, clean_outputs, shown, without_progress
from notebook_maker import ROOT, code, display, parameters, printed, small, sound, stamped, text
from notebook_stamp import code_sha256, duration, package_sha256, run_text, stamp_text, write_stamp

RUNNER = [sys.executable, str(ROOT / "tools" / "run_notebook.py")]
RUN = {"run": "runs/05", "steps": 46_900, "steps_reused": 0, "device": "CPU, 2 threads", "wall_s": 4260.0}
RUN |= {"date": "2025-11-21T01:00:00+00:00"}


def write(folder: Path, *cells: nbformat.NotebookNode, name: str = "tiny") -> Path:
    path = folder / f"{name}.ipynb"
    nbformat.write(small([text("title", "# Tiny"), *cells]), path)
    return path


LOGGED = f"""import os

with open(os.environ["GANCOURSE_RUN_LOG"], "a") as log:
    print({json.dumps(RUN)!r}, file=log)"""
BAR = "from tqdm import tqdm\n\nfor _ in tqdm(range(3)):\n    pass\nprint('a', flush=True)\nprint('b')"
SLIDER = "import ipywidgets\n\nipywidgets.IntSlider()"


@pytest.mark.slow
def test_a_run_is_cleaned_and_stamped(tmp_path: Path) -> None:
    cells = [code("logged", LOGGED), code("bar", BAR), code("slider", SLIDER)]
    cells += [code("where", "import os\n\nos.getcwd() == r'" + str(ROOT) + "'")]
    source, output = write(tmp_path, *parameters(), *cells), tmp_path / "out.ipynb"
    before = source.read_bytes()
    command = [*RUNNER, str(source), "--profile", "full", "--output", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "1/6  parameters" in done.stdout
    assert source.read_bytes() == before
    notebook = nbformat.read(output, as_version=4)
    ran = {cell.id: cell for cell in notebook.cells if cell.cell_type == "code"}
    assert [cell.execution_count for cell in ran.values()] == [1, 2, 3, 4, 5, 6]
    assert ran["bar"].outputs == [printed("a\nb\n")]
    assert ran["slider"].outputs == []
    assert ran["where"].outputs[0].data["text/plain"] == "True"
    assert set(notebook.metadata) == {"gancourse", "kernelspec", "language_info"}
    stamp = notebook.metadata["gancourse"]
    assert stamp["profile"] == "full"
    assert stamp["runs"] == [RUN]
    assert stamp["device"]
    assert set(stamp["versions"]) == {"python", "torch", "torchvision", "numpy", "gancourse"}
    assert stamp["code_sha256"] == code_sha256(notebook)
    assert stamp["package_sha256"] == package_sha256(ROOT / "gancourse")
    assert notebook.cells[-1].source == stamp_text(stamp)


@pytest.mark.slow
def test_a_failure_names_the_cell_and_leaves_the_notebook(tmp_path: Path) -> None:
    source = write(tmp_path, code("fine", "1"), code("broken", "1 / 0"), name="planted-failure")
    before = source.read_bytes()
    done = subprocess.run(
        [*RUNNER, str(source), "--profile", "full"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "cell broken failed:" in done.stderr
    assert "ZeroDivisionError: division by zero" in done.stderr
    assert source.read_bytes() == before
    kept = ROOT / "_build" / "notebooks" / "planted-failure.failed.ipynb"
    assert "_build/notebooks/planted-failure.failed.ipynb" in done.stderr
    assert nbformat.read(kept, as_version=4).cells[1].outputs[0].data["text/plain"] == "1"
    kept.unlink()


WAITS = """import time

print("started", flush=True)
try:
    open(r"{mark}", "w").close()
    time.sleep(120)
except KeyboardInterrupt:
    open(r"{mark}.saved", "w").close()
    raise"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_cell_can_save_before_it_stops(tmp_path: Path, number: signal.Signals) -> None:
    mark = tmp_path / "mark"
    source = write(tmp_path, code("waits", WAITS.format(mark=mark)), name="planted-wait")
    before = source.read_bytes()
    command = [*RUNNER, str(source), "--profile", "full"]
    runner = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 90
    while not mark.exists() and time.monotonic() < until:
        time.sleep(0.1)
    os.kill(runner.pid, number)
    _, said = runner.communicate(timeout=60)
    assert runner.returncode == 130, said
    assert "checkpoints in runs/ are kept" in said
    assert (tmp_path / "mark.saved").exists()
    assert source.read_bytes() == before
    (ROOT / "_build" / "notebooks" / "planted-wait.failed.ipynb").unlink()


def options(*arguments: str) -> Path:
    return run_notebook.target(Path("book/05-dcgan.ipynb"), run_notebook.parse(["05", *arguments]))


def test_only_a_full_run_replaces_the_notebook_unless_told_otherwise() -> None:
    own = Path("book/05-dcgan.ipynb")
    assert options("--profile", "full") == own
    assert options("--profile", "quick") == run_notebook.BUILT / "05-dcgan.quick.ipynb"
    assert options() == run_notebook.BUILT / "05-dcgan.quick.ipynb"
    assert options("--profile", "quick", "--in-place") == own
    with pytest.raises(SystemExit):
        run_notebook.parse(["--output", "x.ipynb"])


def test_a_notebook_is_found_by_number_name_or_path(tmp_path: Path) -> None:
    book = tmp_path / "book"
    (book / ".ipynb_checkpoints").mkdir(parents=True)
    for name in ("05-dcgan", "06-conditional", ".ipynb_checkpoints/05-dcgan"):
        nbformat.write(small([]), book / f"{name}.ipynb")
    assert run_notebook.find_notebook("05", tmp_path) == book / "05-dcgan.ipynb"
    assert run_notebook.find_notebook("06-conditional", tmp_path) == book / "06-conditional.ipynb"
    assert run_notebook.find_notebook(str(book / "05-dcgan.ipynb"), tmp_path) == book / "05-dcgan.ipynb"
    with pytest.raises(SystemExit, match="found 0; the book's notebooks: 05-dcgan, 06-conditional"):
        run_notebook.find_notebook("07", tmp_path)


def test_prose_edited_during_the_run_is_kept() -> None:
    executed, current = sound(), sound()
    current.cells[0].source = "# Another title"
    del current.cells[-1], current.metadata["gancourse"]
    for cell in current.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    assert run_notebook.graft(executed, current)
    assert executed.cells[0].source == "# Another title"
    assert executed.cells[1:] == sound().cells[1:]
    assert executed.metadata["gancourse"] == sound().metadata["gancourse"]


def test_code_edited_during_the_run_is_not_overwritten() -> None:
    executed, current = sound(), sound()
    current.cells[-2].source = "assert distance < 4"
    assert not run_notebook.graft(executed, current)
    assert executed == sound()


def test_runs_are_told_once_and_without_the_machines_paths(tmp_path: Path) -> None:
    log = tmp_path / "log"
    records = [RUN | {"steps_reused": 10}, RUN | {"run": str(ROOT / "runs/06")}, RUN]
    log.write_text("\n".join(map(json.dumps, records)) + "\n")
    assert run_notebook.read_run_log(log) == [RUN, RUN | {"run": "runs/06"}]


def test_nothing_is_left_behind_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, code("fine", "1"))
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(run_notebook.nbformat, "write", full)
    with pytest.raises(OSError, match="No space"):
        run_notebook.write_atomically(small([]), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


WIDGET = "application/vnd.jupyter.widget-view+json"


def test_widgets_go_and_their_fallback_stays() -> None:
    slider = display(WIDGET, {"model_id": "1"})
    slider.data["text/plain"] = "IntSlider(value=0)"
    mount = display(WIDGET, {"model_id": "2"})
    mount.data["text/html"] = "<div></div>"
    assert clean_outputs([slider, mount]) == [display("text/html", "<div></div>")]
    assert clean_outputs([printed("a"), slider, printed("b\n")]) == [printed("ab\n")]


def test_progress_bars_go_and_warnings_stay() -> None:
    bar = "\rtrain:  50%|#####     | 5/10 [00:01<00:01,  4.2it/s]"
    bar += "\r100%|##########| 10/10 [00:02<00:00,  4.2it/s]\n"
    assert without_progress(bar) == ""
    assert without_progress("5it [00:01, 4.2it/s]\n") == ""
    assert without_progress("0batch [00:00, ?batch/s]\n") == ""
    warning = "UserWarning: half of 100% [sic]\n"
    assert without_progress(bar + warning) == warning
    outputs = [printed(bar, "stderr"), printed("a\n"), printed(warning, "stderr"), printed("b\n")]
    assert clean_outputs(outputs) == [printed("a\nb\n"), printed(warning, "stderr")]


def test_shown_text_is_what_a_terminal_would_show() -> None:
    assert shown("1\r2\r3\n\x1b[31mred\x1b[0m\r\n") == "3\nred\n"


def test_clean_drops_what_another_run_would_not_repeat() -> None:
    notebook = sound()
    notebook.metadata |= {
        "widgets": {},
        "papermill": {},
        "language_info": {"name": "python", "version": "3.1"},
    }
    notebook.cells[3].metadata |= {"execution": {}, "collapsed": False, "papermill": {}}
    clean(notebook)
    assert notebook == sound()
    clean(notebook)
    assert notebook == sound()


def test_stamping_twice_leaves_one_stamp() -> None:
    notebook = stamped(stamped(sound()), wall_s=2.0)
    assert [cell.id for cell in notebook.cells].count("stamp") == 1
    assert "in 2 s" in notebook.cells[-1].source


def test_the_code_hash_sees_code_and_nothing_else() -> None:
    notebook, before = sound(), code_sha256(sound())
    notebook.cells[0].source = "# Prose"
    notebook.cells[4].outputs = [new_output("stream", name="stdout", text="x")]
    assert code_sha256(notebook) == before
    first, second = (small([code("one", one), code("two", two)]) for one, two in (("a", "bc"), ("ab", "c")))
    assert code_sha256(first) != code_sha256(second)


def test_the_package_hash_sees_names_bytes_and_weights(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "a.py").write_text("x = 1")
    hashes = [package_sha256(tmp_path)]
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.py").write_text("x = 1")
    (tmp_path / "notes.txt").write_text("nothing")
    assert package_sha256(tmp_path) == hashes[0]
    (tmp_path / "weights" / "net.safetensors").write_bytes(b"1")
    hashes.append(package_sha256(tmp_path))
    (tmp_path / "a.py").write_text("x = 2")
    hashes.append(package_sha256(tmp_path))
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    hashes.append(package_sha256(tmp_path))
    assert len(set(hashes)) == 4


def test_a_run_tells_what_it_reused() -> None:
    told = "`runs/05`: 46,900 steps, trained on CPU, 2 threads on 2025-11-21 in 71 min"
    assert run_text(RUN) == f"{told}."
    assert run_text(RUN | {"steps_reused": 46_900}) == f"{told}, reused."
    assert run_text(RUN | {"steps_reused": 9_380}) == f"{told}, the first 9,380 steps reused."


def test_the_stamp_folds_a_long_list_of_runs() -> None:
    stamp = sound().metadata["gancourse"] | {"runs": [RUN | {"run": f"runs/{n}"} for n in range(7)]}
    text = stamp_text(stamp)
    assert (
        "<details>\n<summary>7 training runs</summary>\n\n- `runs/0`" in text
    )  # Markdown needs the empty line
    assert text.count("\n- ") == 7
    assert text.endswith("\n\n</details>")


def test_the_stamp_lists_its_runs() -> None:
    notebook = sound()
    write_stamp(notebook, notebook.metadata["gancourse"] | {"runs": [RUN]})
    assert notebook.cells[-1].source.endswith(f"\n\n- {run_text(RUN)}")


@pytest.mark.parametrize(
    ("seconds", "told"), [(41.6, "42 s"), (90, "1.5 min"), (4260, "71 min"), (7560, "2.1 h"), (59.7, "60 s")]
)
def test_durations_read_well(seconds: float, told: str) -> None:
    assert duration(seconds) == told
