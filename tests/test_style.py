"""The code's and the prose's form: ruff, mypy, sizes, spelling, nothing of the author's machine."""

from __future__ import annotations

import ast
import json
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODULE_LINES, FUNCTION_LINES, MEDIAN_LINES = 250, 40, 10
PROSE = (".md", ".ipynb", ".bib", ".yml", ".py", ".toml")
# Pictures and other long runs of letters are no prose.
NO_PROSE = r'"image/[a-z+]*": "[^"]*"|[A-Za-z0-9+/=]{40,}|.*base64.*'
# Ann is nobody: the tests that plant such a path use her home.
AUTHORS_MACHINE = re.compile(r"(?<![\w.~-])/(?:home|root|Users|work|mnt|workspace)/(?!ann\b)[\w.-]+")
PACKAGE_INDEX = re.compile(r"https?://[\w.-]*(?:registry|pypi|npmjs|pythonhosted|deb\.debian)[\w.-]*")


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True)


def tracked() -> list[Path]:
    """Return the files of the project: git's, or all but what is built where there is no git."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def modules(*folders: str) -> list[Path]:
    return [path for path in tracked() if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in folders]


def functions(source: str) -> list[tuple[str, int]]:
    """Return name and length of each function, its docstring not counted."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if ast.get_docstring(node) is not None:
                text = node.body[0]
                length -= (text.end_lineno or text.lineno) - text.lineno + 1
            found.append((node.name, length))
    return found


def traces(text: str) -> list[str]:
    """Return the paths of the author's machine and the package indices that a text names."""
    return AUTHORS_MACHINE.findall(text) + PACKAGE_INDEX.findall(text)


@pytest.mark.parametrize(
    "command", [("ruff", "check"), ("ruff", "format", "--check"), ("mypy", "--strict", "gancourse")]
)
def test_tool_is_content(command: tuple[str, ...]) -> None:
    done = run(*command)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_module_is_too_long() -> None:
    lengths = {
        str(p.relative_to(ROOT)): len(p.read_text().splitlines()) for p in modules("gancourse", "tools")
    }
    assert {name: n for name, n in lengths.items() if n > MODULE_LINES} == {}


def test_functions_are_short() -> None:
    found = {p: functions(p.read_text(encoding="utf-8")) for p in modules("gancourse", "tools")}
    long = [
        f"{p.relative_to(ROOT)}: {name} ({n} lines)"
        for p, f in found.items()
        for name, n in f
        if n > FUNCTION_LINES
    ]
    assert long == []
    for folder in ("gancourse", "tools"):
        lengths = [n for p, f in found.items() if p.relative_to(ROOT).parts[0] == folder for _, n in f]
        assert statistics.median(lengths) <= MEDIAN_LINES, folder


def test_lengths_are_counted_without_the_docstring() -> None:
    assert functions('def f():\n    """Say\n    a lot."""\n    x = 1\n    return x\n') == [("f", 3)]


def test_spelling() -> None:
    files = [str(path.relative_to(ROOT)) for path in tracked() if path.suffix in PROSE]
    done = run("codespell_lib", "--ignore-regex", NO_PROSE, *files)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_misspelling_is_caught(tmp_path: Path) -> None:
    cell = {"cell_type": "markdown", "source": ["the discriminator " + "recie" + "ves an image"]}
    (tmp_path / "x.ipynb").write_text(json.dumps({"cells": [cell]}))
    assert run("codespell_lib", "--ignore-regex", NO_PROSE, str(tmp_path / "x.ipynb")).returncode != 0


def test_nothing_of_the_authors_machine() -> None:
    found = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {trace}" for trace in traces(text)]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "/" + "home/me/gancourse",
        "open('/" + "root/x')",
        "https://" + "registry.example.org/x",
        "https://" + "pypi.example",
    ],
)
def test_a_trace_is_caught(text: str) -> None:
    assert traces(f"see {text} there")


def test_large_files_stay_out() -> None:
    large = {
        str(path.relative_to(ROOT)): path.stat().st_size
        for path in tracked()
        if path.stat().st_size > (8_000_000 if path.parent.name == "weights" else 2_000_000)
    }
    assert large == {}
