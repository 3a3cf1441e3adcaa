"""Make .venv, fill it, fetch what the pages and their tests load. Standard library only.

Each stage that ended well is noted in .venv/gancourse-setup.json together with a hash of what it was made
from, so a second call does nothing and an interrupted one goes on where it stopped.
"""

from __future__ import annotations

import csv
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from page_tools import install_chromium, install_node
from stages import (
    FULL_INSTALL_GB,
    GIGABYTE,
    LOG_NAME,
    NO_SPACE,
    SetupError,
    digest,
    python_of,
    read_stamp,
    run,
    say,
    write_stamp,
)

ROOT = Path(__file__).resolve().parent.parent
LATER_INSTALL_GB = 1.0
COMMANDS = ("book", "test", "lab")

# ------------------------------------------------------------------ Python


def healthy(venv: Path) -> bool:
    """Tell whether the environment runs, has pip, was not moved and has this Python's version."""
    code = "import pip, ssl, sys; print(sys.prefix, '%d.%d' % sys.version_info[:2])"
    try:
        answer = subprocess.run(
            [str(python_of(venv)), "-c", code], capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return answer.stdout.split("\n")[0] == "{} {}.{}".format(venv, *sys.version_info[:2])


def make_venv(root: Path) -> Path:
    """Make .venv, or make it anew when it is only half there."""
    venv = root / ".venv"
    if healthy(venv):
        return venv
    if venv.exists():
        say(".venv is incomplete or belongs to another Python: making it anew")
        shutil.rmtree(venv)
    say(f"making .venv with Python {platform.python_version()}")
    try:
        run("making .venv", [sys.executable, "-m", "venv", venv], root)
    except SetupError as error:
        log = (root / LOG_NAME).read_text(encoding="utf-8", errors="replace")
        if "ensurepip" in log.rpartition("\n$ ")[2]:
            name = "python{}.{}-venv".format(*sys.version_info[:2])
            raise SetupError(
                f"this Python cannot make environments: install {name} (apt install {name})"
            ) from error
        raise
    return venv


def site_packages(venv: Path) -> Path:
    """Return the folder that pip installs into."""
    if os.name == "nt":
        return venv / "Lib" / "site-packages"
    return venv / "lib" / "python{}.{}".format(*sys.version_info[:2]) / "site-packages"


def half_installed(site: Path) -> Iterator[Path]:
    """Yield the metadata of each package that an interruption or a full disk left incomplete."""
    for info in site.glob("*.dist-info"):
        record = info / "RECORD"
        if not record.is_file() or not (info / "INSTALLER").is_file():
            yield info
            continue
        for name, _, size in csv.reader(record.read_text(encoding="utf-8").splitlines()):
            path = site / name
            if size and (not path.is_file() or path.stat().st_size != int(size)):
                yield info
                break


def mend(site: Path) -> None:
    """Forget packages that are half there: pip would take their metadata for the whole."""
    for info in list(half_installed(site)):
        say(f"  {info.name.split('-')[0]} is only half installed: it will be installed again")
        shutil.rmtree(info)
    for left_over in site.glob("~*"):
        shutil.rmtree(left_over, ignore_errors=True)


def check_space(root: Path) -> None:
    """Refuse to begin an installation that the disk cannot hold."""
    torch_there = (site_packages(root / ".venv") / "torch" / "version.py").exists()
    needed = LATER_INSTALL_GB if torch_there else FULL_INSTALL_GB
    free = shutil.disk_usage(root).free / GIGABYTE
    if free < needed:
        raise SetupError(
            f"the disk is too full: {free:.1f} GB are free at {root}, about {needed:.0f} GB are needed:"
            " free some space, then run the same command again"
        )


def pip_line(line: str) -> str | None:
    """Show large downloads and the beginning of the long silence; the rest is in the log."""
    line = line.strip()
    if line.startswith("Downloading") and (" GB)" in line or (" MB)" in line and "." in line.split("(")[-1])):
        name = line.split()[1].rpartition("/")[2].split("-")[0]
        size = line.rpartition("(")[2].rstrip(")")
        return f"downloading {name} ({size})" if size.endswith("GB") or float(size.split()[0]) >= 50 else None
    if line.startswith("Installing collected packages"):
        return f"installing {line.count(',') + 1} packages (a few silent minutes)"
    return None


def install_python(root: Path, venv: Path) -> None:
    """Install the pinned requirements and the package itself."""
    made_from = digest(
        root / "requirements.txt", root / "pyproject.toml", str(venv), platform.python_version()
    )
    if read_stamp(venv).get("python") == made_from:
        return
    check_space(root)
    mend(site_packages(venv))
    scratch = venv / "tmp"  # not /tmp, which is often too small a disk for torch
    scratch.mkdir(exist_ok=True)
    pip = [
        python_of(venv),
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--no-input",
        "--progress-bar",
        "off",
    ]
    env = {"TMPDIR": str(scratch)}
    say("installing requirements.txt (the first time 3 GB are downloaded)")
    run("pip", [*pip, "-r", "requirements.txt"], root, show=pip_line, env=env)
    run("pip", [*pip, "--no-deps", "--no-build-isolation", "-e", "."], root, env=env)
    shutil.rmtree(scratch, ignore_errors=True)
    write_stamp(venv, "python", made_from)


# ------------------------------------------------------------------ the command


def prepare(command: str, root: Path) -> None:
    """Do what the command needs and is not done yet."""
    venv = make_venv(root)
    install_python(root, venv)
    if command in ("book", "test"):
        install_node(root, venv)
    if command == "test":
        install_chromium(root, venv)


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Prepare for one command; return the exit code."""
    if len(arguments) != 1 or arguments[0] not in COMMANDS:
        say(f"usage: python3 tools/setup.py {'|'.join(COMMANDS)}")
        return 2
    began = time.monotonic()
    try:
        prepare(arguments[0], root)
    except SetupError as error:
        say(f"gancourse: {error}")
        return 1
    except OSError as error:
        if not any(mark in str(error) for mark in NO_SPACE):
            raise
        say("gancourse: the disk is full: free some space, then run the same command again")
        return 1
    except KeyboardInterrupt:
        say("gancourse: interrupted; the same command goes on where this one stopped")
        return 130
    seconds = time.monotonic() - began
    if seconds > 5:
        say(f"everything `make {arguments[0]}` needs is there ({seconds:.0f} s, log: {LOG_NAME})")
    return 0
