"""What the theorem says of features that the check of FID hands over, and what mistakes make of it."""

from collections.abc import Callable

import torch
from torch import Tensor

from gancourse.metrics import frechet_distance

N, F = 40, 6
CLOSE = 5e-4  # of the traces: float32 is ten times as exact, the slightest mistake five times farther off

Wrong = Callable[[Tensor, Tensor], float]


def gaussian(seed: int, *, mean: float = 0.0) -> Tensor:
    """Return samples (N, F) of correlated features, of this very mean."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.eye(F) + 0.5 * torch.rand(F, F, generator=generator)  # positive: roots of entries are no NaN
    x = torch.randn(N, F, generator=generator) @ mix
    return x - x.mean(0) + mean


def covariance(x: Tensor, correction: int = 1) -> Tensor:
    """Return the covariance (F, F) of features (N, F) in float64."""
    return torch.cov(x.double().T, correction=correction)


def trace_term(cov1: Tensor, cov2: Tensor) -> float:
    """Return tr(C1 + C2 - 2 (C1 C2)^½) of covariances (F, F)."""
    zero = cov1.new_zeros(len(cov1))
    return frechet_distance(zero, cov1, zero, cov2)


def theorem(real: Tensor, fake: Tensor) -> tuple[float, float]:
    """Return the distance of features (N, F) and (M, F): covariances divided by N - 1, and by N."""
    apart = (real.double().mean(0) - fake.double().mean(0)).square().sum().item()
    unbiased, biased = (trace_term(covariance(real, c), covariance(fake, c)) for c in (1, 0))
    return apart + unbiased, apart + biased


def near(value: float, right: float, scale: float, close: float = CLOSE) -> bool:
    """Tell whether a value is right up to rounding; NaN never is."""
    return abs(value - right) <= close * max(abs(scale), 1e-6)


def is_right(value: float, real: Tensor, fake: Tensor, close: float = CLOSE) -> bool:
    """Tell whether a value is the distance of features (N, F) and (M, F), divided by N - 1 or by N."""
    return any(near(value, right, scale(real, fake), close) for right in theorem(real, fake))


def scale(real: Tensor, fake: Tensor) -> float:
    """Return the traces' sum: what the terms of the distance are as large as."""
    return (covariance(real).trace() + covariance(fake).trace()).item()


# ------------------------------------------------------------------ what mistakes make of it


def mean_mistakes(A: Tensor, B: Tensor, d: Tensor) -> dict[str, float]:
    """Return by how much the distance grows with each mistake when features B (N, F) move by d (F,)."""
    right = d.square().sum().item()
    moments = covariance(A), covariance(B), covariance(B) + torch.outer(d, d) * N / (N - 1)
    return {
        "the means are missing: add the squared distance between them": 0.0,
        "the norm of the difference of the means is to be squared": right**0.5,
        "sum the squared differences of the means, do not average them": right / F,
        "square the differences of the means before you sum them": d.sum().item() ** 2,
        "square the differences of the means, do not take their sizes": d.abs().sum().item(),
        "subtract the mean from the features before their covariance": right
        + trace_term(moments[0], moments[2])
        - trace_term(*moments[:2]),
    }


def covariance_hint(value: float, A: Tensor, B: Tensor) -> str:
    """Name the mistake that gives this value for features (N, F) of mean 0; else say what to do."""
    covs = covariance(A), covariance(B)
    hints = [hint for wrong, hint in _WRONG_TERMS if near(value, wrong(*covs), scale(A, B))]
    return next(
        iter(hints), "compare with tr(C1) + tr(C2) - 2 tr((C1 C2)^½), term by term; do both divide by N - 1?"
    )


def _root(cov: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(cov)
    root: Tensor = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    return root


def _traces(a: Tensor, b: Tensor) -> float:
    return float(a.trace() + b.trace())


_WRONG_TERMS: tuple[tuple[Wrong, str], ...] = (
    (
        lambda a, b: 0.0,
        "the covariances are missing, or one is both: add tr(C1 + C2 - 2 (C1 C2)^½)",
    ),
    (lambda a, b: _traces(a, b) - 2 * float((a @ b).trace()), "take the root of the matrix C1 C2"),
    (
        lambda a, b: _traces(a, b) - 2 * float((a @ b).diag().sqrt().sum()),
        "np.sqrt and torch.sqrt take the root of each entry; the matrix root is scipy.linalg.sqrtm, and its"
        " trace the sum of the roots of the eigenvalues",
    ),
    (lambda a, b: (_traces(a, b) + trace_term(a, b)) / 2, "the factor 2 before the root is missing"),
    (_traces, "the term -2 tr((C1 C2)^½) is missing"),
    (lambda a, b: 2 * _traces(a, b) - trace_term(a, b), "the root is subtracted, not added"),
    (
        lambda a, b: _traces(a, b) - 2 * float((_root(a) @ _root(b)).trace()),
        "the root of the product C1 C2 is not the product of the roots unless the two commute",
    ),
    (
        lambda a, b: float((a.diag().sqrt() - b.diag().sqrt()).square().sum()),
        "the variances alone do not do: features are correlated, so take whole covariances",
    ),
    (lambda a, b: float((a - b).square().sum()), "the difference of the covariances is no term of FID"),
)
