"""Build the HTML book into _build/html; any warning fails. `.venv/bin/python tools/build_book.py`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import playground_script

ROOT = Path(__file__).resolve().parent.parent
WARNING = re.compile(r"(?:WARNING|ERROR|CRITICAL)(?::|\b)")
EXCEPTION = re.compile(r"^[\w.]*(?:Error|Exception): .+", re.MULTILINE)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
SHOWN = 20


class BuildError(Exception):
    """What kept the book from being built, one line a warning."""


def warnings_in(output: str, root: Path) -> list[str]:
    """Return what Sphinx complained about, each line once, with paths as seen from the root."""
    lines = (COLOUR.sub("", line).strip().replace(f"{root}/", "") for line in output.splitlines())
    found = [line for line in lines if WARNING.search(line) and "build finished" not in line]
    return list(dict.fromkeys(found))


def build(root: Path = ROOT) -> Path:
    """Build every page anew, return the index page; raise BuildError with the warnings otherwise.

    Anew, because Sphinx repeats no warning about a page that it takes from its cache.
    """
    if not (root / "book" / "static" / "mathjax").is_dir():
        raise BuildError("MathJax is not there yet: run `make book` (or python3 tools/setup.py book) first")
    playground_script.write(root)
    shutil.rmtree(
        root / "_build" / "html", ignore_errors=True
    )  # what is left over would hide what is missing
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", str(root)]
    done = subprocess.run(
        [*command, "--all", "-W", "-n", "--keep-going"],
        cwd=root,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
    )
    output = done.stdout + done.stderr
    problems = warnings_in(output, root)
    index = root / "_build" / "html" / "index.html"
    if done.returncode != 0 or problems or not index.is_file():
        crash = list(dict.fromkeys(EXCEPTION.findall(output)))
        raise BuildError("\n".join(problems[:SHOWN] or [*output.splitlines()[-SHOWN:], *crash]))
    return index


def main() -> int:
    """Build, and print the path to open."""
    print("building the book", flush=True)
    try:
        index = build()
    except BuildError as error:
        print(f"{error}\ngancourse: the book was not built: mend the lines above", file=sys.stderr)
        return 1
    print(f"the book is ready, open it: {index}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
