"""What the metrics refuse: the same words everywhere for features that cannot be measured."""

from __future__ import annotations

from torch import Tensor

from gancourse.checks import check_tensor, is_float


def checked_rows(rows: Tensor, at_least: int = 1, name: str = "features (N, F)") -> Tensor:
    """Return rows (N, F), detached. Raises ValueError for another shape or dtype, N < at_least, NaN.

    Raises TypeError for what is no tensor.
    """
    check_tensor(name, rows)
    if rows.ndim != 2 or len(rows) < at_least or rows.shape[1] == 0:
        raise ValueError(f"expected {name} with N of at least {at_least}, got {tuple(rows.shape)}")
    if not is_float(rows):
        raise ValueError(
            f"expected {name} of floats, got {rows.dtype}; call .float() if these are the values"
        )
    if not rows.isfinite().all():
        raise ValueError(
            f"expected finite {name.split()[0]}, got NaN or infinity; look at what they were computed from"
        )
    return rows.detach()


def checked_pair(real: Tensor, fake: Tensor, at_least: int = 1) -> tuple[Tensor, Tensor]:
    """Return features real (N, F) and fake (M, F), detached, on the device of real.

    Raises ValueError for what `checked_rows` refuses and where the dimensions F differ.
    """
    real, fake = checked_rows(real, at_least), checked_rows(fake, at_least)
    if real.shape[1] != fake.shape[1]:
        raise ValueError(
            f"expected real (N, F) and fake (M, F) of one dimension, got {tuple(real.shape)} and "
            f"{tuple(fake.shape)}; each row is a sample"
        )
    return real, fake.to(real.device)
