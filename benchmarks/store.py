"""What the book tells of speed: book/speed.json, by the kind of device, each with what measured it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gancourse.notebook import environment

PATH = Path(__file__).resolve().parent.parent / "book" / "speed.json"


def read(path: Path = PATH) -> dict[str, Any]:
    """Return what was stored: "cpu" and "cuda", where they were measured."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def write(kind: str, facts: dict[str, Any], path: Path = PATH) -> None:
    """Store what was measured on a kind of device with its stamp; what the other kind holds stays."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    stored = read(path) | {kind: {"stamp": {**environment(), "date": now}, **facts}}
    path.write_text(json.dumps(dict(sorted(stored.items())), indent=1) + "\n", encoding="utf-8")
