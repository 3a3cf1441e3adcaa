"""Mixtures of Gaussians: where their modes are, their density, their samples, and what they refuse."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from gancourse.data import Mixture, bimodal, grid, ring

UNEQUAL = Mixture(torch.tensor([[0.0, 1.0], [2.0, -1.0], [-1.5, 0.5]]), 0.4, torch.tensor([0.5, 0.3, 0.2]))
ALL = [ring(), ring(5, 2.0, 0.3), grid(), grid(4, 0.5, 0.1), bimodal(), UNEQUAL]


def name(mixture: object) -> str:
    return getattr(mixture, "name", "") or "unequal"


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# Where the modes are


def evenly_spaced(centers: Tensor, modes: int, radius: float) -> bool:
    """Tell whether the centers are `modes` points of a circle, each one chord from the next."""
    gaps = torch.cdist(centers.double(), centers.double()) + 10 * torch.eye(len(centers)) * radius
    chord = torch.tensor(2 * radius * math.sin(math.pi / modes), dtype=torch.float64)
    on_circle = torch.allclose(centers.double().norm(dim=1), torch.tensor(radius).double(), atol=1e-6)
    return len(centers) == modes and on_circle and torch.allclose(gaps.min(1).values, chord, atol=1e-6)


@pytest.mark.parametrize("modes", [2, 3, 8, 25])
@pytest.mark.parametrize("radius", [1.0, 2.0])
def test_a_ring_has_distinct_modes_at_equal_spacing(modes: int, radius: float) -> None:
    assert evenly_spaced(ring(modes, radius).centers, modes, radius)


@pytest.mark.parametrize(
    "angles",
    [torch.linspace(0, 2 * math.pi, 8), torch.arange(8) * 2 * math.pi / 7, torch.linspace(0, 360, 9)[:8]],
    ids=["the end point twice", "a seventh of the circle", "degrees"],
)
def test_a_wrong_ring_is_caught(angles: Tensor) -> None:
    assert not evenly_spaced(torch.stack([angles.cos(), angles.sin()], 1), 8, 1.0)


def test_the_ring_starts_on_the_right_and_goes_round_counterclockwise() -> None:
    torch.testing.assert_close(ring(4, 3.0).centers, 3 * torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0, -1]]))
    assert ring(1).centers.tolist() == [[1.0, 0.0]]


def test_the_grid_of_the_papers() -> None:
    ticks = (-4.0, -2.0, 0.0, 2.0, 4.0)
    assert {tuple(c) for c in grid().centers.tolist()} == {(x, y) for x in ticks for y in ticks}
    assert len(grid().centers) == 25


@pytest.mark.parametrize("side", [1, 2, 5])
def test_a_grid_is_centered_and_its_neighbours_lie_one_spacing_apart(side: int) -> None:
    centers = grid(side, 0.5).centers
    torch.testing.assert_close(centers.mean(0), torch.zeros(2))
    for axis in centers.T:
        torch.testing.assert_close(axis.unique().diff(), torch.full((side - 1,), 0.5))


def test_defaults() -> None:
    """The variances that PacGAN names: .0001 for the ring, .0025 for the grid."""
    assert ring().std ** 2 == pytest.approx(1e-4)
    assert grid().std ** 2 == pytest.approx(0.0025)
    assert (bimodal().centers.tolist(), bimodal().std, bimodal().dim) == ([[-1.0], [1.0]], 0.2, 1)
    assert (ring().dim, ring().centers.shape, ring().centers.dtype) == (2, (8, 2), torch.float32)


# The density


def peer(mixture: Mixture) -> MixtureSameFamily:
    centers = mixture.centers.double()
    normal = Independent(Normal(centers, torch.tensor(mixture.std).double()), 1)
    return MixtureSameFamily(Categorical(mixture.probabilities), normal)


@pytest.mark.parametrize("mixture", ALL, ids=name)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_log_prob_agrees_with_torch_distributions(mixture: Mixture, dtype: torch.dtype) -> None:
    x = 2 * torch.randn(50, mixture.dim, generator=seeded(1), dtype=dtype)
    x[:10] = mixture.sample(10, generator=seeded(2))
    torch.testing.assert_close(mixture.log_prob(x), peer(mixture).log_prob(x.double()), rtol=1e-6, atol=1e-6)


def integral(density: Callable[[Tensor], Tensor], mixture: Mixture, ticks: int) -> float:
    """Return the sum of a density over a lattice that reaches 8 deviations beyond the modes."""
    reach = mixture.centers.abs().max().item() + 8 * mixture.std
    axis = torch.linspace(-reach, reach, ticks, dtype=torch.float64)
    points = torch.cartesian_prod(*[axis] * mixture.dim).reshape(-1, mixture.dim)
    return (density(points).sum() * (axis[1] - axis[0]) ** mixture.dim).item()


COARSE = [
    (bimodal(), 400),
    (bimodal(0.05), 400),
    (ring(5, 2.0, 0.3), 120),
    (grid(3, 1.0, 0.2), 120),
    (UNEQUAL, 120),
]


@pytest.mark.parametrize(("mixture", "ticks"), COARSE, ids=name)
def test_the_density_integrates_to_one(mixture: Mixture, ticks: int) -> None:
    assert integral(lambda x: mixture.log_prob(x).exp(), mixture, ticks) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    "shift",
    [lambda m: math.log(m.std), lambda m: math.log(len(m.centers)), lambda m: m.dim * math.log(2 * math.pi)],
    ids=["std not to the power D", "modes summed, not averaged", "2 pi not under the root"],
)
def test_a_wrong_constant_is_caught(shift: Callable[[Mixture], float]) -> None:
    mixture = ring(5, 2.0, 0.3)
    total = integral(lambda x: (mixture.log_prob(x) + shift(mixture)).exp(), mixture, 120)
    assert total != pytest.approx(1, abs=1e-2)


def test_the_density_of_one_gaussian_in_closed_form() -> None:
    one = Mixture(torch.zeros(1, 3), 2.0)
    x = torch.tensor([[0.0, 0, 0], [2.0, 0, 0]])
    at_center = -3 * math.log(2) - 1.5 * math.log(2 * math.pi)
    assert one.log_prob(x).tolist() == pytest.approx([at_center, at_center - 0.5])


@pytest.mark.parametrize("far", [50.0, 1e10, 3e38])
@pytest.mark.parametrize("std", [0.01, 1e-30, 1e-200])
def test_log_prob_is_finite_wherever_x_is(far: float, std: float) -> None:
    """In float32 already the point 50, 5,000 deviations away, has density zero, and 1e10 log-density -inf."""
    x = torch.tensor([[far, -far], [0.0, 0.0], [1.0, 0.0]])
    value = ring(std=std).log_prob(x)
    assert value.dtype == torch.float64
    assert value.isfinite().all()
    assert value[0] < value[1] < value[2] or value[0] == value[1], "further away cannot be more probable"
    double = torch.tensor([[1e300, 0.0]], dtype=torch.float64)
    assert ring(std=std).log_prob(double).isfinite().all()


def test_far_away_the_log_density_is_still_exact() -> None:
    value = ring().log_prob(torch.tensor([[1001.0, 0.0]])).item()
    expected = -math.log(8) - math.log(2 * math.pi * 1e-4) - 0.5 * (1000 / 0.01) ** 2
    assert value == pytest.approx(expected, rel=1e-9)


def test_the_score_points_to_the_mode() -> None:
    """Of one Gaussian, grad log p(x) = (c - x) / std^2."""
    x = torch.tensor([[0.5, -1.0]], dtype=torch.float64, requires_grad=True)
    one = Mixture(torch.tensor([[2.0, 1.0]]), 0.5)
    (score,) = torch.autograd.grad(one.log_prob(x).sum(), x)
    torch.testing.assert_close(score, torch.tensor([[1.5, 2.0]], dtype=torch.float64) / 0.25)


# Samples


@pytest.mark.parametrize("mixture", ALL, ids=name)
def test_samples_have_the_mixtures_moments(mixture: Mixture) -> None:
    """Mean sum_k w_k c_k; covariance std^2 I plus the centers' own; both within 5 standard errors."""
    n = 40_000
    x = mixture.sample(n, generator=seeded(3)).double()
    w, centers = mixture.probabilities, mixture.centers.double()
    mean = w @ centers
    off = centers - mean
    cov = (w[:, None] * off).T @ off + mixture.std**2 * torch.eye(mixture.dim)
    error = 5 * (cov.diagonal() / n).sqrt()
    assert ((x.mean(0) - mean).abs() < error).all()
    scale = 5 * cov.diagonal().max() * math.sqrt(3 / n)
    assert ((torch.cov(x.T).reshape(cov.shape) - cov).abs() < scale).all()


@pytest.mark.parametrize("mixture", ALL, ids=name)
def test_modes_come_as_often_as_their_weights_say(mixture: Mixture) -> None:
    n = 40_000
    x, modes = mixture.sample_with_modes(n, generator=seeded(4))
    w = mixture.probabilities
    shares = torch.bincount(modes, minlength=len(w)).double() / n
    assert ((shares - w).abs() < 5 * (w * (1 - w) / n).sqrt()).all()
    noise = (x - mixture.centers[modes]).double() / mixture.std
    assert noise.std().item() == pytest.approx(1, abs=5 / math.sqrt(2 * noise.numel()))
    assert abs(noise.mean().item()) < 5 / math.sqrt(noise.numel())


@pytest.mark.parametrize("mixture", [ring(), grid()], ids=name)
def test_the_share_within_three_deviations(mixture: Mixture) -> None:
    """In two dimensions it is 1 - exp(-4.5) = .98889: what no generator can honestly exceed."""
    n = 40_000
    x = mixture.sample(n, generator=seeded(5)).double()
    near = torch.cdist(x, mixture.centers.double()).min(1).values <= 3 * mixture.std
    p = 1 - math.exp(-4.5)
    assert near.double().mean().item() == pytest.approx(p, abs=4 * math.sqrt(p * (1 - p) / n))


def test_the_same_seed_gives_the_same_points() -> None:
    first, again, other = (UNEQUAL.sample(100, generator=seeded(s)) for s in (6, 6, 7))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert (first.dtype, first.shape) == (torch.float32, (100, 2))
    assert torch.equal(first, UNEQUAL.sample_with_modes(100, generator=seeded(6))[0])


def test_a_generator_leaves_the_global_one_alone() -> None:
    before = torch.get_rng_state()
    ring().sample(10, generator=seeded(0))
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(8)
    assert torch.equal(ring().sample(10), ring().sample(10, generator=seeded(8)))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")
def test_samples_and_densities_stay_on_their_device() -> None:
    generator = torch.Generator("cuda").manual_seed(1)
    assert ring().sample(5, generator=generator).is_cuda
    x, modes = ring().to("cuda").sample_with_modes(5)
    assert x.is_cuda
    assert modes.is_cuda
    torch.testing.assert_close(ring().log_prob(x).cpu(), ring().log_prob(x.cpu()))


# What identifies it


def test_the_fingerprint_changes_with_every_fact() -> None:
    centers = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
    moved = centers.clone()
    moved[1, 1] = torch.nextafter(moved[1, 1], torch.tensor(9.0))
    different = [
        Mixture(centers, 0.1),
        Mixture(moved, 0.1),
        Mixture(centers.flip(0), 0.1),
        Mixture(centers.reshape(4, 1), 0.1),
        Mixture(centers, math.nextafter(0.1, 1)),
        Mixture(centers, 0.1, torch.tensor([0.4, 0.6])),
        Mixture(centers, 0.1, torch.tensor([0.6, 0.4])),
    ]
    prints = [mixture.fingerprint() for mixture in different]
    assert len(set(prints)) == len(different)
    assert all(len(p) == 16 and int(p, 16) >= 0 for p in prints)


def test_the_fingerprint_is_of_the_distribution() -> None:
    assert ring().fingerprint() == ring(8, 1.0, 0.01).fingerprint()
    even = Mixture(ring().centers, 0.01, torch.full((8,), 0.125), "another name")
    assert even.fingerprint() == ring().fingerprint()
    assert ring().to("cpu").fingerprint() == ring().fingerprint()


def test_a_mixture_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        ring().std = 1.0  # type: ignore[misc]


# What is refused

TWO = torch.zeros(2, 2)


@pytest.mark.parametrize(
    ("centers", "message"),
    [
        (torch.zeros(2), r"centers float32 \(K, D\).*got torch.float32 \(2,\); one row is one mode"),
        (TWO.double(), r"float32 .*got torch.float64 \(2, 2\)"),
        (TWO.long(), r"float32 .*got torch.int64"),
        (torch.zeros(0, 2), r"at least one, got .* \(0, 2\)"),
        (torch.zeros(2, 0), r"at least one, got .* \(2, 0\)"),
        (torch.tensor([[0.0], [math.nan]]), "finite centers"),
        (torch.tensor([[0.0], [math.inf]]), "finite centers"),
    ],
)
def test_other_centers_are_refused(centers: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Mixture(centers, 0.1)


@pytest.mark.parametrize("std", [0.0, -0.1, math.nan, math.inf])
def test_a_std_that_is_not_positive_is_refused(std: float) -> None:
    for make in (
        lambda: Mixture(TWO, std),
        lambda: ring(std=std),
        lambda: grid(std=std),
        lambda: bimodal(std),
    ):
        with pytest.raises(ValueError, match=f"positive, finite std, got {std}"):
            make()


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (torch.ones(3) / 3, r"one weight a mode, floating-point \(2,\), got torch.float32 \(3,\)"),
        (torch.ones(2, 1) / 2, r"\(2,\), got torch.float32 \(2, 1\)"),
        (torch.tensor([1, 1]), "got torch.int64"),
        (torch.tensor([1.5, -0.5]), "positive weights, got -0.5; leave out"),
        (torch.tensor([1.0, 0.0]), "positive weights, got 0.0; leave out an empty mode"),
        (torch.tensor([1.0, math.nan]), "positive weights, got nan"),
        (torch.tensor([1.0, 3.0]), "sum to 1, got 4; divide them by their sum"),
        (torch.tensor([1.0, math.inf]), "sum to 1, got inf"),
    ],
)
def test_other_weights_are_refused(weights: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Mixture(TWO, 0.1, weights)


@pytest.mark.parametrize("n", [0, -3, 2.0, "5", None])
def test_other_counts_are_refused(n: int) -> None:
    with pytest.raises(ValueError, match=f"number of samples of at least 1, an integer, got {n!r}"):
        ring().sample(n)
    with pytest.raises(ValueError, match="number of modes of at least 1"):
        ring(n)
    with pytest.raises(ValueError, match="side of at least 1"):
        grid(n)


@pytest.mark.parametrize("length", [0.0, -1.0, math.nan, math.inf])
def test_other_lengths_are_refused(length: float) -> None:
    with pytest.raises(ValueError, match=f"positive, finite radius, got {length}"):
        ring(radius=length)
    with pytest.raises(ValueError, match=f"positive, finite spacing, got {length}"):
        grid(spacing=length)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(2), r"points \(N, 2\), N of at least 1, got \(2,\)"),
        (torch.zeros(5, 3), r"got \(5, 3\)"),
        (torch.zeros(0, 2), r"got \(0, 2\)"),
        (torch.zeros(1, 5, 2), r"got \(1, 5, 2\)"),
        (torch.zeros(5, 2, dtype=torch.int64), r"floating-point points, got torch.int64; .*\.float\(\)"),
        (torch.tensor([[0.0, math.nan]]), "finite points, got NaN or infinity"),
        (torch.tensor([[0.0, -math.inf]]), "finite points, got NaN or infinity"),
    ],
)
def test_other_points_are_refused(x: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ring().log_prob(x)
