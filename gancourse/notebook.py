"""What a notebook asks before it starts: how much to compute."""

import os
from typing import Literal, cast

import torch

Profile = Literal["quick", "full"]


def profile(value: str | None = None) -> Profile:
    """Return "quick" or "full": the given value, else GANCOURSE_PROFILE, else "full" on a CUDA GPU and "quick" on a CPU.

    Quick shows within a minute that everything runs; full makes the results that the book shows.
    """
    source = "profile"
    if value is None:
        source, value = "GANCOURSE_PROFILE", os.environ.get("GANCOURSE_PROFILE") or None
    if value is None:
        return "full" if torch.cuda.is_available() else "quick"
    if value not in ("quick", "full"):
        raise ValueError(f'expected {source} to be "quick" or "full", got {value!r}; set one of the two, or neither')
    return cast(Profile, value)
