"""How long a chapter takes: in full profile by its stamp, in quick profile by book/quick_times.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from notebook_stamp import duration

ROOT = Path(__file__).resolve().parent.parent
QUICK_TIMES = ROOT / "book" / "quick_times.json"


def full_seconds(stamp: dict[str, Any]) -> float:
    """Return what the outputs took to make in all: the last execution, and the training that it reused."""
    reused = sum(
        run["wall_s"] * min(1.0, run["steps_reused"] / max(run["steps"], 1)) for run in stamp["runs"]
    )
    return float(stamp["wall_s"] + reused)


def read_quick_times(path: Path = QUICK_TIMES) -> dict[str, dict[str, Any]]:
    """Return for each notebook, by its name without .ipynb, `seconds`, `device` and `date`."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def note_quick_time(name: str, stamp: dict[str, Any], path: Path = QUICK_TIMES) -> None:
    """Note the time of a quick run for the book's table of times."""
    facts = {"seconds": round(stamp["wall_s"]), "device": stamp["device"], "date": stamp["date"][:10]}
    times = read_quick_times(path) | {name: facts}
    path.write_text(json.dumps(dict(sorted(times.items())), indent=1) + "\n", encoding="utf-8")


def quick_text(name: str, path: Path = QUICK_TIMES) -> str:
    """Tell the time of a quick run, as people say it."""
    noted = read_quick_times(path).get(name)
    return duration(noted["seconds"]) if noted else "not measured"
