"""A virtual environment that holds a few distributions of this one and nothing else, made in seconds.

What is linked into it is what pip would have installed: torch alone would be minutes to unpack.
"""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

from environment import site_packages
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from stages import python_of


def closure(names: list[str]) -> dict[str, metadata.Distribution]:
    """Return the distributions and all that they need, by name."""
    found: dict[str, metadata.Distribution] = {}
    waiting = list(names)
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in found:
            continue
        found[name] = metadata.distribution(name)
        needs = (Requirement(text) for text in found[name].requires or ())
        waiting += [need.name for need in needs if not need.marker or need.marker.evaluate({"extra": ""})]
    return found


def make(folder: Path, names: list[str]) -> Path:
    """Make the environment in the folder; return its Python."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    site = site_packages(folder)
    for distribution in closure(names).values():
        for part in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            if not (site / part).exists():
                (site / part).symlink_to(Path(str(distribution.locate_file(part))))
    return python_of(folder)


def installed(python: Path) -> dict[str, str]:
    """Return the versions of all that the environment holds, by name."""
    ask = "from importlib.metadata import distributions as d; print(*(f'{x.name}=={x.version}' for x in d()))"
    # -I: neither PYTHONPATH nor the working directory adds to what is there.
    done = subprocess.run([python, "-I", "-c", ask], capture_output=True, text=True, check=True)
    pairs = (line.partition("==") for line in done.stdout.split())
    return {canonicalize_name(name): version for name, _, version in pairs}
