"""Weights that lie in the package and never change: read only after a look at their hash."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

WEIGHTS = Path(__file__).parent / "weights"


class WeightsError(RuntimeError):
    """Weights are missing or are not the published ones."""


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def published_weights(file: Path, card: Path) -> tuple[dict[str, Tensor], str]:
    """Return a file's tensors and SHA-256. Raises WeightsError unless its card names the same hash."""
    if not file.exists():
        raise WeightsError(f"{file.name} is missing; install gancourse again")
    found, expected = file_sha256(file), json.loads(card.read_text())["sha256"]
    if found != expected:
        raise WeightsError(
            f"{file.name} has SHA-256 {found[:12]}..., expected {expected[:12]}...: figures of other weights "
            "cannot be compared with the published ones; install gancourse again"
        )
    return load_file(file), found
