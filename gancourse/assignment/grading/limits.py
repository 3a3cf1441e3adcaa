"""What a submission may use."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Seconds of a cell, of all cells together and of the marking of one cell; memory; output of a cell."""

    cell_seconds: float = 600.0
    notebook_seconds: float = 3600.0
    marking_seconds: float = 60.0
    gigabytes: float = 8.0
    output_bytes: int = 100_000
    picture_bytes: int = 2_000_000
    grace_seconds: float = 5.0  # for an interrupted cell to end

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f"expected {name} above 0, got {value}")
