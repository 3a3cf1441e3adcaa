"""`python -m gancourse.assignment grade`: a folder becomes a table, and is not marked twice."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_notebook
from test_grading import cell, graded, locked, solution

from gancourse.assignment.grading.command import main
from gancourse.assignment.grading.submissions import submissions
from gancourse.assignment.grading.table import Row, as_csv, printed

CHECK = "def check(f): return 5.0 if f(1, 2) == 3 else 1.0"


def master(*more: NotebookNode) -> NotebookNode:
    essay = cell("### BEGIN SOLUTION\nmine\n### END SOLUTION", "essay", "graded solution", 3)
    return new_notebook(
        cells=[locked(CHECK), solution("f = 1", "f"), graded("check(f)", "t", 5), essay, *more]
    )


def write(notebook: NotebookNode, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


def answer(source: str) -> NotebookNode:
    return new_notebook(cells=[solution(source, "f")])


RIGHT, CRASH = answer("f = lambda a, b: a + b"), answer("import os; os._exit(0)")


@pytest.mark.slow
def test_a_class_is_marked_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "class"
    write(RIGHT, folder / "alice.ipynb")
    write(CRASH, folder / "bob" / "dcgan.ipynb")
    write(answer("f = lambda a, b: a - b"), folder / "carol" / "dcgan" / "dcgan.ipynb")
    write(RIGHT, folder / "dave" / "one.ipynb")
    write(RIGHT, folder / "dave" / "two.ipynb")
    (folder / "eve.ipynb").write_text("{no JSON")
    write(new_notebook(cells=[cell("1")]), folder / "frank.ipynb")
    (folder / "grace").mkdir()
    write(RIGHT, folder / ".ipynb_checkpoints" / "x.ipynb")
    write(master(), tmp_path / "book" / "assignment" / "dcgan-solution.ipynb")
    (tmp_path / "within").mkdir()
    monkeypatch.chdir(tmp_path / "within")  # the master is found above

    assert main(["grade", str(folder), "--jobs", "2", "--cell-seconds", "20"]) == 0
    said = capsys.readouterr().out
    marks = tmp_path / "class-marked"
    with (marks / "marks.csv").open() as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["alice", "bob", "carol", "dave", "eve", "frank", "grace"]
    assert {name: row["t"] for name, row in rows.items() if row["t"] != "0"} == {"alice": "5", "carol": "1"}
    assert {row["essay"] for row in rows.values()} == {"by hand"}
    assert [float(row["total"]) for row in rows.values()] == [5, 0, 1, 0, 0, 0, 0]
    assert "the kernel died" in rows["bob"]["notes"]
    assert "dave/one.ipynb, dave/two.ipynb" in rows["dave"]["notes"]
    assert rows["eve"]["notes"].startswith("not a notebook")
    assert rows["frank"]["notes"].startswith("no cell of the assignment")
    assert rows["grace"]["notes"] == "no notebook"
    assert "[7/7]" in said
    assert "t (5)" in said
    assert sorted(path.name for path in marks.glob("*.ipynb")) == ["alice.ipynb", "bob.ipynb", "carol.ipynb"]
    for path in marks.glob("*.ipynb"):
        nbformat.validate(nbformat.read(path, as_version=4))

    again = ["grade", str(folder), "--cell-seconds", "20"]
    before = (marks / "marks.csv").read_text()
    write(CRASH, folder / "carol" / "dcgan" / "dcgan.ipynb")  # another notebook: this one is run again
    assert main(again) == 0
    said = capsys.readouterr().out
    assert "alice: 5 points, marked before, not run again" in said
    assert "carol: 0 points, " in said
    assert (marks / "marks.csv").read_text() != before
    (marks / "bob.json").write_text(json.dumps({"key": 3}))  # half written, or of another version
    assert main(again) == 0
    said = capsys.readouterr().out
    assert said.count("not run again") == 2
    assert "/5] bob: 0 points" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "the following arguments are required: command"),
        (["grade"], "the following arguments are required: DIR"),
        (["grade", "nowhere"], "no folder nowhere"),
        (["grade", "."], "give --master"),
        (["grade", ".", "--master", "none.ipynb"], "none.ipynb"),
        (["grade", ".", "--master", "text.ipynb"], "not a notebook"),
        (
            ["grade", ".", "--master", "ungraded.ipynb"],
            "expected graded code cells in the master, found none",
        ),
        (["grade", ".", "--master", "faulty.ipynb"], "expected graded cell 't' to be Python"),
        (["grade", "empty", "--master", "master.ipynb"], "no submissions in empty"),
        (["grade", ".", "--master", "master.ipynb", "--jobs", "0"], "expected --jobs of 1 or more, got 0"),
        (["grade", ".", "--master", "master.ipynb", "--gigabytes", "-1"], "expected gigabytes above 0"),
        (["grade", ".", "--profile", "fast"], "invalid choice: 'fast'"),
        (["grade", ".", "--cell-seconds", "long"], "invalid float value: 'long'"),
    ],
)
def test_bad_arguments_are_one_line(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.ipynb").write_text("text")
    write(new_notebook(cells=[solution("1", "f")]), tmp_path / "ungraded.ipynb")
    write(new_notebook(cells=[graded("1 +", "t")]), tmp_path / "faulty.ipynb")
    write(master(), tmp_path / "master.ipynb")
    try:
        status: object = main(arguments)
    except SystemExit as exit:
        status = exit.code
    printed = capsys.readouterr()
    assert status == 2
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert said in printed.err


def test_an_interrupted_run_leaves_no_kernel(tmp_path: Path) -> None:
    folder = tmp_path / "class"
    write(answer("open('begun', 'w'); __import__('time').sleep(99)"), folder / "alice.ipynb")
    path = write(master(), tmp_path / "master.ipynb")
    command = [sys.executable, "-m", "gancourse.assignment", "grade", str(folder), "--master", str(path)]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        kernels: list[psutil.Process] = []
        ends = time.monotonic() + 60
        while not any((Path(kernel.cwd()) / "begun").exists() for kernel in kernels if kernel.is_running()):
            assert time.monotonic() < ends
            time.sleep(0.1)
            kernels = psutil.Process(run.pid).children()
        run.send_signal(signal.SIGTERM)
        _, said = run.communicate(timeout=30)
    finally:
        run.kill()
    assert run.returncode == 130
    assert "interrupted; the same command goes on with what is left" in said
    assert not any(kernel.is_running() for kernel in kernels)
    assert not (tmp_path / "class-marked" / "alice.json").exists()


def test_the_output_folder_is_no_student(tmp_path: Path) -> None:
    for name in ("alice.ipynb", "marks/alice.ipynb", "bob/x/y.ipynb"):
        write(RIGHT, tmp_path / name)
    assert [found.student for found in submissions(tmp_path, tmp_path / "marks")] == ["alice", "bob"]


def test_a_table_steers_neither_terminal_nor_spreadsheet() -> None:
    row = Row("=cmd", problem="\x1b[2Jgone\nline")
    assert "\x1b" not in printed([row], {"t": 5.0})
    assert "\n'=cmd,0,0," in as_csv([row], {"t": 5.0})
