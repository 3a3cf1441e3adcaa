"""Samples that do not depend on their batch, and walks between latent vectors."""

from __future__ import annotations

import math

import pytest
import torch
from tiny import nets, same_bits, state
from torch import Tensor, nn

from gancourse.sampling import evaluating, generate, lerp, sample, slerp


@pytest.fixture(name="G")
def generator() -> nn.Module:
    G, _ = nets()
    with torch.no_grad():  # running statistics that are not those of any batch
        for seed in range(3):
            G(torch.randn(16, 3, generator=torch.Generator().manual_seed(seed)))
    return G


def noise(n: int) -> Tensor:
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(9))


@pytest.mark.parametrize("batch_size", [1, 2, 5, 500])
def test_no_image_depends_on_its_batch(G: nn.Module, batch_size: int) -> None:
    z = noise(5)
    images = generate(G, z, batch_size=batch_size)
    alone = torch.cat([generate(G, z[i : i + 1]) for i in range(5)])
    assert images.shape == (5, 1, 28, 28)
    torch.testing.assert_close(images, alone, rtol=1e-5, atol=1e-6)
    with torch.no_grad():
        assert (G(z) - images).abs().max() > 1e-3, "in training mode the batch does matter"


def test_sampling_leaves_the_net_as_it_was(G: nn.Module) -> None:
    G.net[1].eval()  # a part that someone froze
    modes, before = [m.training for m in G.modules()], state(G)
    assert not generate(G, noise(4)).requires_grad
    assert [m.training for m in G.modules()] == modes
    assert same_bits(state(G), before), "the running statistics moved"


def test_the_mode_returns_even_after_an_error(G: nn.Module) -> None:
    with pytest.raises(ValueError, match="expected z"):
        generate(G, torch.zeros(4, 7))
    assert G.training
    assert torch.is_grad_enabled()


def test_inside_the_block_the_net_evaluates(G: nn.Module) -> None:
    with evaluating(G):
        assert not any(m.training for m in G.modules())
        assert not torch.is_grad_enabled()


def test_the_seed_decides_the_sample(G: nn.Module) -> None:
    torch.manual_seed(1)
    first = sample(G, 6, seed=4)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    assert torch.equal(first, sample(G, 6, seed=4))
    assert torch.equal(before, torch.get_rng_state()), "the global generator was used"
    assert not torch.equal(first, sample(G, 6, seed=5))
    z = torch.randn(6, 3, generator=torch.Generator().manual_seed(4))
    assert torch.equal(first, generate(G, z))


@pytest.mark.parametrize("n", [0, -1])
def test_no_samples_are_refused(G: nn.Module, n: int) -> None:
    with pytest.raises(ValueError, match=f"expected at least 1 sample, got {n}"):
        sample(G, n, seed=0)


# Walks

FRACTIONS = torch.linspace(0, 1, 9)


@pytest.mark.parametrize("walk", [lerp, slerp])
def test_walks_begin_and_end_at_their_ends(walk: object) -> None:
    assert callable(walk)
    z0, z1 = torch.randn(2, 100, generator=torch.Generator().manual_seed(0))
    points = walk(z0, z1, FRACTIONS)
    assert points.shape == (9, 100)
    torch.testing.assert_close(points[0], z0)
    torch.testing.assert_close(points[-1], z1)
    back = walk(z1, z0, 1 - FRACTIONS)
    torch.testing.assert_close(back, points)


def unit_ends(angle: float) -> tuple[Tensor, Tensor]:
    return torch.tensor([1.0, 0.0]), torch.tensor([math.cos(angle), math.sin(angle)])


@pytest.mark.parametrize("angle", [0.1, 1.0, math.pi / 2, 3.0])
def test_between_ends_of_one_norm_the_arc_keeps_it_and_the_angle_grows_evenly(angle: float) -> None:
    points = slerp(*unit_ends(angle), FRACTIONS)
    torch.testing.assert_close(points.norm(dim=1), torch.ones(9), rtol=1e-4, atol=0)
    torch.testing.assert_close(
        torch.atan2(points[:, 1], points[:, 0]), angle * FRACTIONS, rtol=1e-3, atol=1e-4
    )


def test_a_quarter_of_a_right_angle() -> None:
    """At t = 1/3 of 90 degrees: 30 degrees, so (cos 30, sin 30)."""
    (point,) = slerp(*unit_ends(math.pi / 2), torch.tensor([1 / 3]))
    torch.testing.assert_close(point, torch.tensor([math.sqrt(3) / 2, 0.5]))


def test_the_straight_line_cuts_through_the_ball() -> None:
    (middle,) = lerp(*unit_ends(math.pi / 2), torch.tensor([0.5]))
    assert middle.norm().item() == pytest.approx(math.sqrt(0.5))


def test_norms_of_latent_vectors_on_both_walks() -> None:
    """In 100 dimensions z has a norm near 10; half-way the line is at 10 / sqrt 2, which z hardly ever is."""
    z0, z1 = torch.randn(2, 100, generator=torch.Generator().manual_seed(1))
    low, high = sorted((z0.norm().item(), z1.norm().item()))
    assert low * 0.97 < slerp(z0, z1, FRACTIONS).norm(dim=1).min()
    assert slerp(z0, z1, FRACTIONS).norm(dim=1).max() < high * 1.03
    assert lerp(z0, z1, FRACTIONS).norm(dim=1).min() < low * 0.8


@pytest.mark.parametrize(
    ("z0", "z1"),
    [
        (torch.ones(4), torch.ones(4)),
        (torch.ones(4), 3 * torch.ones(4)),
        (torch.ones(4), -torch.ones(4)),
        (torch.ones(4), torch.zeros(4)),
    ],
    ids=["equal", "parallel", "opposite", "zero"],
)
def test_ends_that_no_single_arc_joins_are_refused(z0: Tensor, z1: Tensor) -> None:
    with pytest.raises(ValueError, match=r"expected ends that are not parallel, got cosine .*; use lerp"):
        slerp(z0, z1, FRACTIONS)


@pytest.mark.parametrize("walk", [lerp, slerp])
@pytest.mark.parametrize(
    ("z0", "z1", "t"),
    [
        (torch.ones(2, 4), torch.ones(2, 4), FRACTIONS),
        (torch.ones(4), torch.ones(5), FRACTIONS),
        (torch.ones(4), torch.ones(4), torch.tensor(0.5)),
    ],
    ids=["batches", "dimensions", "scalar t"],
)
def test_other_shapes_are_refused(walk: object, z0: Tensor, z1: Tensor, t: Tensor) -> None:
    assert callable(walk)
    with pytest.raises(ValueError, match=r"expected z0 \(Z,\), z1 \(Z,\) and t \(T,\), got "):
        walk(z0, z1, t)
