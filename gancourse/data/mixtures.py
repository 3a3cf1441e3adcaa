"""Mixtures of Gaussians with known modes and exact density. Taught in chapters 1, 2 and 3.

What a generator learned of one can be counted: which modes it covers, how evenly, how widely.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from gancourse.checks import check_tensor, is_count, is_float

LOWEST = -1e300  # what the log-density of a mode is held above: a float64 that still has room below


@dataclass(frozen=True, eq=False)  # == of two tensors is no truth value
class Mixture:
    """Gaussians N(c, std^2 I) about centers float32 (K, D), of weights (K,) that sum to 1; None: all equal.

    `name` is what figures call it. Raises ValueError for centers of another shape or dtype or not finite,
    for a std that is not positive, for weights that are not positive or do not sum to 1.
    """

    centers: Tensor
    std: float
    weights: Tensor | None = None
    name: str = ""

    def __post_init__(self) -> None:
        _check_centers(self.centers)
        _check_positive(self.std, "std")
        if self.weights is not None:
            _check_weights(self.weights, len(self.centers))

    @property
    def dim(self) -> int:
        """Return D, the number of a point's coordinates."""
        return self.centers.shape[1]

    @property
    def probabilities(self) -> Tensor:
        """Return how probable each mode is: float64 (K,), on the centers' device."""
        given = torch.ones(len(self.centers)) if self.weights is None else self.weights
        given = given.to(self.centers.device, torch.float64)
        return given / given.sum()  # float32 weights sum to 1 only to about 1e-7

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Return n points, float32 (n, D), on the generator's device, else the centers'.

        Without a generator, torch's global one is used. Raises ValueError unless n is at least 1.
        """
        return self.sample_with_modes(n, generator=generator)[0]

    def sample_with_modes(self, n: int, *, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Return n points as `sample` does, float32 (n, D), and the mode of each, int64 (n,) in 0..K - 1."""
        _check_count(n, "number of samples")
        device = self.centers.device if generator is None else generator.device
        uniform = torch.rand(n, generator=generator, device=device, dtype=torch.float64)
        # The last end may be 1 - 1e-16 by rounding, and a draw above it would be of no mode.
        modes = torch.searchsorted(self._ends.to(device), uniform, right=True).clamp(
            max=len(self.centers) - 1
        )
        noise = torch.randn(n, self.dim, generator=generator, device=device)
        return self.centers.to(device)[modes] + self.std * noise, modes

    def log_prob(self, x: Tensor) -> Tensor:
        """Map points x (N, D) to log p(x) in nats, float64 (N,), on x's device; differentiable.

        log sum_k w_k N(x; c_k, std^2 I). Finite wherever x is: far from every mode, where float32 would say
        minus infinity, float64 goes on, and values below -1e300 are returned as about that. Raises ValueError
        for another shape, integers, NaN or infinity.
        """
        self._check_points(x)
        # Dividing before squaring keeps the square of a tiny std out of the arithmetic.
        distance = (x.double()[:, None, :] - self.centers.to(x.device)) / self.std
        exponents = (-distance.square().sum(2) / 2).clamp(min=LOWEST)
        log_unit = -self.dim * (math.log(self.std) + math.log(2 * math.pi) / 2)
        return torch.logsumexp(exponents + self.probabilities.to(x.device).log(), 1) + log_unit

    def to(self, device: torch.device | str) -> Mixture:
        """Return the same mixture with its centers (K, D) on a device: sampling there then copies nothing."""
        return replace(self, centers=self.centers.to(device))

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits that change with any center, weight or the std, not with the name."""
        digest = hashlib.sha256(f"{tuple(self.centers.shape)} {float(self.std).hex()}".encode())
        for facts in (self.centers, self.probabilities):
            digest.update(facts.detach().cpu().contiguous().numpy().data)
        return digest.hexdigest()[:16]

    @cached_property
    def _ends(self) -> Tensor:
        """Return where each mode's share of [0, 1] ends: float64 (K,)."""
        # Summed on the CPU: CUDA's cumsum is refused where deterministic algorithms are asked for.
        return self.probabilities.cpu().cumsum(0).to(self.centers.device)

    def _check_points(self, x: Tensor) -> None:
        check_tensor("points", x)
        if x.ndim != 2 or x.shape[1] != self.dim or len(x) == 0:
            raise ValueError(f"expected points (N, {self.dim}), N of at least 1, got {tuple(x.shape)}")
        if not is_float(x):
            raise ValueError(f"expected floating-point points, got {x.dtype}; convert them with .float()")
        if not x.isfinite().all():
            raise ValueError("expected finite points, got NaN or infinity; look at what made them")


def ring(modes: int = 8, radius: float = 1.0, std: float = 0.01) -> Mixture:
    """Return modes evenly spaced on a circle about 0: centers (modes, 2), the first at (radius, 0).

    The angles are 2 pi k / modes for k < modes: a grid of angles that includes 2 pi would put two modes on
    one point. Raises ValueError unless all three are positive. Source: the defaults are the ring of Lin et
    al., "PacGAN" (2018), of variance .0001; Metz et al., "Unrolled GANs" (2017), take radius 2 and std .02.
    """
    _check_count(modes, "number of modes")
    _check_positive(radius, "radius")
    angles = [2 * math.pi * k / modes for k in range(modes)]
    centers = torch.tensor([(radius * math.cos(a), radius * math.sin(a)) for a in angles])
    return Mixture(centers, std, name=f"ring-{modes}")


def grid(side: int = 5, spacing: float = 2.0, std: float = 0.05) -> Mixture:
    """Return modes on a square lattice about 0: centers (side * side, 2), neighbours `spacing` apart.

    Side 5 and spacing 2 make {-4, -2, 0, 2, 4}^2, the grid of Srivastava et al., "VEEGAN" (2017), and, with
    variance .0025, of Lin et al., "PacGAN" (2018). Raises ValueError unless all three are positive.
    """
    _check_count(side, "side")
    _check_positive(spacing, "spacing")
    ticks = [spacing * (k - (side - 1) / 2) for k in range(side)]
    return Mixture(torch.tensor([(x, y) for x in ticks for y in ticks]), std, name=f"grid-{side * side}")


def bimodal(std: float = 0.2) -> Mixture:
    """Return two modes on the line, at -1 and +1: centers (2, 1). Raises ValueError unless std > 0."""
    return Mixture(torch.tensor([[-1.0], [1.0]]), std, name="bimodal")


def _check_count(n: int, what: str) -> None:
    if not is_count(n):
        raise ValueError(f"expected a {what} of at least 1, an integer, got {n!r}")


def _check_positive(value: float, what: str) -> None:
    if not 0 < value < math.inf:  # written so that NaN fails too
        raise ValueError(f"expected a positive, finite {what}, got {value}")


def _check_centers(centers: Tensor) -> None:
    check_tensor("centers", centers)
    if centers.ndim != 2 or centers.dtype != torch.float32 or centers.numel() == 0:
        got = f"{centers.dtype} {tuple(centers.shape)}"
        raise ValueError(f"expected centers float32 (K, D), at least one, got {got}; one row is one mode")
    if not centers.isfinite().all():
        raise ValueError("expected finite centers, got NaN or infinity")


def _check_weights(weights: Tensor, modes: int) -> None:
    check_tensor("weights", weights)
    if weights.shape != (modes,) or not is_float(weights):
        got = f"{weights.dtype} {tuple(weights.shape)}"
        raise ValueError(f"expected one weight a mode, floating-point ({modes},), got {got}")
    if not (weights > 0).all():
        raise ValueError(f"expected positive weights, got {weights.min().item()}; leave out an empty mode")
    total = weights.double().sum().item()
    if not abs(total - 1) < 1e-5:
        raise ValueError(f"expected weights that sum to 1, got {total:g}; divide them by their sum")
