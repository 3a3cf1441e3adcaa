"""Run the set-up's commands, explain their failures in one line, note what is done. Standard library only."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

LOG_NAME = ".setup.log"
STAMP_NAME = "gancourse-setup.json"
GIGABYTE = 10**9
FULL_INSTALL_GB = 8.0  # torch with CUDA's libraries is 5.4 GB, and pip unpacks beside it
NO_SPACE = ("No space left on device", "ENOSPC", "Errno 28", "Disk quota exceeded")
NO_NETWORK = (
    "NewConnectionError",
    "NameResolutionError",
    "Temporary failure in name resolution",
    "Network is unreachable",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "Read timed out",
    "Max retries exceeded",
    "ProxyError",
    "ENOTFOUND",
    "EAI_AGAIN",
    "ECONNREFUSED",
    "ETIMEDOUT",
    "ENETUNREACH",
    "Temporary failure resolving",
)


class SetupError(Exception):
    """One line that says what is wrong and what to do."""


def say(text: str) -> None:
    """Print one line of progress at once, also into a pipe."""
    print(text, flush=True)


# ------------------------------------------------------------------ running other programs


def explain(what: str, output: str, root: Path) -> SetupError:
    """Turn a failed command's output into the one line that helps."""
    if any(mark in output for mark in NO_SPACE):
        free = shutil.disk_usage(root).free / GIGABYTE
        return SetupError(
            f"the disk is full ({what} stopped; {free:.1f} GB are free at {root}, a whole set-up needs about"
            f" {FULL_INSTALL_GB:.0f} GB): free some space, then run the same command again"
        )
    if any(mark in output for mark in NO_NETWORK):
        return SetupError(
            f"no network: {what} could not reach its package index: connect, then run the same command again;"
            " it goes on where it stopped"
        )
    errors = (
        [line for line in output.splitlines() if "error" in line.lower()] or output.splitlines()[-1:] or ["?"]
    )
    return SetupError(f"{what} failed: {errors[-1].strip()} (everything it said is in {LOG_NAME})")


def run(
    what: str,
    command: Sequence[str | Path],
    root: Path,
    *,
    show: Callable[[str], str | None] = lambda line: None,
    env: dict[str, str] | None = None,
) -> str:
    """Run a command, keep all it says in the log, show the lines worth showing, and explain a failure."""
    said: list[str] = []
    with (
        (root / LOG_NAME).open("a", encoding="utf-8") as log,
        subprocess.Popen(
            [str(part) for part in command],
            cwd=root,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process,
    ):
        log.write(f"\n$ {' '.join(map(str, command))}\n")
        for line in process.stdout or ():
            said.append(line)
            log.write(line)
            if shown := show(line):
                say(f"  {shown}")
    if process.returncode != 0:
        raise explain(what, "".join(said), root)
    return "".join(said)


# ------------------------------------------------------------------ what is done already


def digest(*parts: str | Path) -> str:
    """Hash texts and the contents of files."""
    total = hashlib.sha256()
    for part in parts:
        total.update(part.read_bytes() if isinstance(part, Path) else part.encode())
        total.update(b"\0")
    return total.hexdigest()


def read_stamp(venv: Path) -> dict[str, str]:
    """Return stage -> hash of what it was made from; nothing when there is no readable stamp."""
    try:
        stamp = json.loads((venv / STAMP_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def write_stamp(venv: Path, stage: str, made_from: str) -> None:
    """Note a finished stage; the replacement is atomic, so the stamp is never half-written."""
    fresh = venv / (STAMP_NAME + ".new")
    fresh.write_text(json.dumps({**read_stamp(venv), stage: made_from}, indent=1), encoding="utf-8")
    fresh.replace(venv / STAMP_NAME)


def python_of(venv: Path) -> Path:
    """Return the environment's own interpreter."""
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
