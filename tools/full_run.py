#!/usr/bin/env python3
"""Execute every notebook of the book in full profile, in order; an interrupted run goes on where it stopped.

A notebook whose outputs are of today's code, of today's library and of this kind of device is left as it is,
unless --all asks for it. Training goes on from the checkpoints in runs/. At the end a table tells what each
notebook took and reached.
"""

from __future__ import annotations

import argparse
import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
from chapter_tables import title
from chapter_times import full_seconds
from nbformat import NotebookNode
from notebook_kernel import InterruptedRunError
from notebook_stamp import code_sha256, code_sources, duration, package_sha256, read_stamp
from run_notebook import ROOT, book_notebooks, run

ASK = "import json; from gancourse.notebook import device_name; print(json.dumps(device_name()))"
HEAD = ["notebook", "time", "peak memory", "assertions", "what the last cell says"]


def this_device() -> str:
    """Return the name of the device that a notebook would use, asked in a process of its own."""
    done = subprocess.run([sys.executable, "-c", ASK], cwd=ROOT, capture_output=True, text=True, check=True)
    return str(json.loads(done.stdout))


def is_current(notebook: NotebookNode, device: str) -> bool:
    """Tell whether a notebook's outputs are of its code, of today's library and of this kind of device."""
    stamp = read_stamp(notebook)
    if not stamp or stamp["profile"] != "full":
        return False
    same_kind = stamp["device"].startswith("CPU") == device.startswith("CPU")
    same_code = stamp["code_sha256"] == code_sha256(notebook)
    return same_kind and same_code and stamp["package_sha256"] == package_sha256(ROOT / "gancourse")


def assertions(notebook: NotebookNode) -> int:
    """Count the assertions of the code cells."""
    trees = [ast.parse(source) for source in code_sources(notebook)]
    return sum(isinstance(node, ast.Assert) for tree in trees for node in ast.walk(tree))


def last_words(notebook: NotebookNode) -> str:
    """Return the last line that the notebook prints."""
    texts = [
        out.text for cell in notebook.cells for out in cell.get("outputs", []) if out.get("name") == "stdout"
    ]
    lines = [line.strip() for text in texts for line in text.splitlines() if line.strip()]
    return lines[-1][:60] if lines else ""


def row(path: Path, done: bool | None) -> list[str]:
    """Tell of a notebook: done, failed, or not reached (None)."""
    notebook = nbformat.read(path, as_version=4)
    stamp = read_stamp(notebook)
    if not done:
        return [path.stem, "failed" if done is False else "not reached", "", "", ""]
    peaks = stamp.get("peak_mib", {})
    memory = ", ".join(f"{name} {mib / 1024:.1f} GiB" for name, mib in peaks.items())
    counted = f"{assertions(notebook)} hold"
    return [path.stem, duration(full_seconds(stamp)), memory, counted, last_words(notebook)]


def aligned(rows: list[list[str]]) -> str:
    """Write rows in columns as wide as they need."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(r, widths, strict=True)).rstrip() for r in rows
    )


def estimate(paths: list[Path], device: str) -> str:
    """Say how long notebooks will take, by their stamps: what they took last."""
    stamps: list[dict[str, Any]] = [read_stamp(nbformat.read(path, as_version=4)) for path in paths]
    known = [stamp for stamp in stamps if stamp]
    took = sum(full_seconds(stamp) for stamp in known)
    where = sorted({stamp["device"] for stamp in known})
    text = f"{len(paths)} notebooks to run on {device}; they took {duration(took)}, on {' and '.join(where)}"
    new = len(stamps) - len(known)
    return text + (f"; {new} ran never" if new else "") + ". Checkpoints in runs/ are used."


def main(arguments: list[str] | None = None) -> int:
    """Run what is not current; the exit status is 1 if a notebook failed, 130 after an interruption."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--all", action="store_true", help="run also what is current")
    parser.add_argument(
        "--list", action="store_true", help="say what would be run, and how long it took last"
    )
    options = parser.parse_args(arguments)
    device, every = this_device(), book_notebooks()
    notebooks = {path: nbformat.read(path, as_version=4) for path in every}
    todo = [path for path, notebook in notebooks.items() if options.all or not is_current(notebook, device)]
    for path in todo:
        print(f"  {path.stem}: {title(notebooks[path])}")
    print(estimate(todo, device) if todo else "every notebook is current; --all runs them anyway", flush=True)
    if options.list or not todo:
        return 0
    done: dict[Path, bool | None] = dict.fromkeys(todo)
    interrupted = False
    try:
        for path in todo:
            done[path] = run(path, "full", None, path)
    except (InterruptedRunError, KeyboardInterrupt):
        interrupted = True
    print(f"\n{aligned([HEAD, *(row(path, done[path]) for path in todo)])}")
    if interrupted:
        print("\ninterrupted; the same command goes on from there", file=sys.stderr)
        return 130
    return 0 if all(done.values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
