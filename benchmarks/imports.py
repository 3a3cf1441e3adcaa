"""What importing the library costs on top of importing torch."""

from __future__ import annotations

import statistics
import subprocess
import sys

from benchmarks.pairs import seconds

MODULES = ("gancourse", "gancourse.training", "gancourse.data", "gancourse.metrics", "gancourse.models")


def start(code: str) -> float:
    """Return the seconds that a fresh Python takes for some code."""
    return seconds(lambda: subprocess.run([sys.executable, "-c", code], check=True))


def report(rounds: int = 5) -> str:
    """Return a table: milliseconds that an import adds to `import torch`, median of rounds in turn."""
    lines = ["| import | adds (ms) |", "| - | - |"]
    for module in MODULES:
        added = [start(f"import torch, {module}") - start("import torch") for _ in range(rounds)]
        lines += [f"| {module} | {1000 * statistics.median(added):.0f} |"]
    return "\n".join(lines)
