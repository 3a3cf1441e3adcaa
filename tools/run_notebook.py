#!/usr/bin/env python3
"""Execute notebooks of the book in a fresh kernel, store their outputs, and stamp what made them.

A full run replaces the outputs of the notebook in book/. A quick run only shows that everything works: it is
written to _build/notebooks/, so that a minute's check never replaces hours of results. Training checkpoints
are kept in runs/: after an interruption, the same command goes on where it stopped.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
from chapter_times import note_quick_time
from notebook_clean import clean
from notebook_kernel import CellError, InterruptedRunError, NotebookRunner, Terminal
from notebook_stamp import code_sha256, duration, package_sha256, read_stamp, write_stamp

ROOT = Path(__file__).resolve().parent.parent
BUILT = ROOT / "_build" / "notebooks"
STUDENT_EDITION = Path("book") / "assignment" / "dcgan.ipynb"


def find_notebook(name: str, root: Path = ROOT) -> Path:
    """Return the notebook that a path or a chapter's number names."""
    if name.endswith(".ipynb") and Path(name).is_file():
        return Path(name).resolve()
    notebooks = book_notebooks(root)
    found = [path for path in notebooks if name in (path.stem, path.stem.partition("-")[0])]
    if len(found) == 1:
        return found[0]
    known = ", ".join(path.stem for path in notebooks) or "none yet"
    raise SystemExit(
        f"expected one notebook named {name!r}, found {len(found)}; the book's notebooks: {known}"
    )


def book_notebooks(root: Path = ROOT) -> list[Path]:
    """List the book's executed notebooks; the student edition of the assignment is made from one of them."""
    paths = sorted((root / "book").rglob("*.ipynb"), key=lambda path: (len(path.parts), path))
    made = root / STUDENT_EDITION
    return [path for path in paths if ".ipynb_checkpoints" not in path.parts and path != made]


def shown_path(path: Path) -> str:
    """Write a path as the reader would type it."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def write_atomically(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write the notebook, or leave the file at path as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=".tmp")
    os.close(handle)
    try:
        nbformat.write(notebook, name)
        os.chmod(name, path.stat().st_mode if path.exists() else 0o644)  # mkstemp's are private
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


def read_run_log(path: Path) -> list[dict[str, Any]]:
    """Return one record a training run, the last where a run was fitted twice, in the order of first use."""
    records = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    runs = {}
    for record in records:
        given = Path(record["run"])
        # An absolute path would tell about the machine, and nothing about the run.
        name = os.path.relpath(given, ROOT) if given.is_absolute() else given.as_posix()
        runs[name] = record | {"run": name}
    return list(runs.values())


def execute(source: Path, profile: str, timeout: float | None, cwd: Path = ROOT) -> nbformat.NotebookNode:
    """Return the executed, cleaned and stamped notebook; on failure keep what ran in _build/notebooks/."""
    notebook = nbformat.read(source, as_version=4)
    started, package = time.time(), package_sha256(ROOT / "gancourse")
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "runs.jsonl"
        log.touch()
        env = os.environ | {"GANCOURSE_PROFILE": profile, "GANCOURSE_RUN_LOG": str(log)}
        runner = NotebookRunner(notebook, Terminal(), timeout=timeout)
        try:
            facts = asyncio.run(runner.run(cwd=str(cwd), env=env))
        except (CellError, InterruptedRunError):
            write_atomically(notebook, BUILT / f"{source.stem}.failed.ipynb")
            raise
        runs = read_run_log(log)
    clean(notebook)
    stamp = {"profile": profile, "device": facts["device"], "wall_s": round(time.time() - started, 1)}
    stamp |= {"date": datetime.now(UTC).isoformat(timespec="seconds"), "versions": facts["versions"]}
    stamp |= {"peak_mib": facts["peak_mib"]}
    stamp |= {"code_sha256": code_sha256(notebook), "package_sha256": package, "runs": runs}
    write_stamp(notebook, stamp)
    return notebook


def graft(executed: nbformat.NotebookNode, current: nbformat.NotebookNode) -> bool:
    """Take over prose that was edited during the run; False, and nothing is changed, if code was edited."""
    if code_sha256(executed) != code_sha256(current):
        return False
    done = iter([cell for cell in executed.cells if cell.cell_type == "code"])
    stamp, cells = executed.cells[-1], [cell for cell in current.cells if cell.id != executed.cells[-1].id]
    for cell in cells:
        if cell.cell_type == "code":
            ran = next(done)
            cell.outputs, cell.execution_count = ran.outputs, ran.execution_count
    executed.cells = [*cells, stamp]
    clean(executed)
    return True


def run(source: Path, profile: str, timeout: float | None, output: Path, note_time: bool = False) -> bool:
    """Execute one notebook and write it; False if it failed, said in the terminal."""
    print(f"{shown_path(source)}, {profile} profile", flush=True)
    try:
        notebook = execute(source, profile, timeout)
    except CellError as failure:
        kept = shown_path(BUILT / f"{source.stem}.failed.ipynb")
        print(f"\n{failure}\n\n{shown_path(source)} is as it was; what ran is in {kept}", file=sys.stderr)
        return False
    if output == source and not graft(notebook, nbformat.read(source, as_version=4)):
        output = BUILT / f"{source.stem}.executed.ipynb"
        print(
            f"the code of {shown_path(source)} was edited during the run; it is left as it is",
            file=sys.stderr,
        )
    write_atomically(notebook, output)
    report(notebook, output)
    if note_time:
        note_quick_time(source.stem, read_stamp(notebook))
    return True


def report(notebook: nbformat.NotebookNode, output: Path) -> None:
    """Say what was written, and which cells left something on stderr."""
    for cell in notebook.cells:
        texts = [out.text for out in cell.get("outputs", []) if out.get("name") == "stderr"]
        if texts:
            print(
                f"cell {cell.id} warns, which the tests refuse:\n{''.join(texts).rstrip()}", file=sys.stderr
            )
    stamp = notebook.metadata["gancourse"]
    print(f"{duration(stamp['wall_s'])} on {stamp['device']}; written to {shown_path(output)}", flush=True)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("notebooks", nargs="*", metavar="NB", help='a number ("05") or a path; none: all')
    parser.add_argument("--profile", choices=["quick", "full"], default="quick", help="default: quick")
    parser.add_argument(
        "--timeout", type=float, metavar="S", help="seconds allowed a cell; default: no limit"
    )
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--output", type=Path, metavar="PATH", help="write here instead; one notebook only")
    place.add_argument(
        "--in-place", action="store_true", help="let a quick run, too, replace the notebook itself"
    )
    parser.add_argument(
        "--note-time", action="store_true", help="note a quick run's time for the book's table of times"
    )
    options = parser.parse_args(arguments)
    if options.output and len(options.notebooks) != 1:
        parser.error(f"expected one notebook with --output, got {len(options.notebooks) or 'all of them'}")
    if options.note_time and options.profile != "quick":
        parser.error("expected --note-time with the quick profile only: a full run's time is in its stamp")
    return options


def target(source: Path, options: argparse.Namespace) -> Path:
    """Return where the executed notebook goes."""
    if options.output:
        return options.output.resolve()
    if options.profile == "full" or options.in_place:
        return source
    return BUILT / f"{source.stem}.quick.ipynb"


def main(arguments: list[str] | None = None) -> int:
    """Execute what the command line names; the exit status is 1 if a notebook failed, 130 if interrupted."""
    options = parse(arguments)
    sources = [find_notebook(name) for name in options.notebooks] or book_notebooks()
    if not sources:
        raise SystemExit("expected notebooks in book/, found none")
    try:
        done = [
            run(path, options.profile, options.timeout, target(path, options), options.note_time)
            for path in sources
        ]
    except (InterruptedRunError, KeyboardInterrupt):
        print(
            "\ninterrupted; checkpoints in runs/ are kept: the same command goes on from there",
            file=sys.stderr,
        )
        return 130
    return 0 if all(done) else 1


if __name__ == "__main__":
    raise SystemExit(main())
