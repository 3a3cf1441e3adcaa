"""Penalties as theorems: closed forms, finite differences, what happens at a zero gradient, planted bugs."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from scipy.stats import kstest
from torch import Tensor, nn

from gancourse.models import DCGANDiscriminator
from gancourse.penalties import (
    Critic,
    check_per_sample,
    clip_weights_,
    gradient_norms,
    gradient_penalty,
    interpolate,
    r1,
    r1_r2,
    r2,
)

Penalty = Callable[[Critic, Tensor, Tensor], Tensor]
ALL: list[Penalty] = [gradient_penalty, r1, r2, r1_r2]
SHAPES = [(2,), (7,), (1, 28, 28), (3, 8, 6)]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batches(*shape: int, n: int = 5, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    real, fake = torch.randn(2, n, *shape, dtype=torch.float64, generator=seeded(0)).to(dtype)
    return real, fake


def linear(w: Tensor) -> Critic:
    return lambda x: (x * w).flatten(1).sum(1) + 3


def half_square(x: Tensor) -> Tensor:
    """||x||^2 / 2, whose gradient is x."""
    return x.square().flatten(1).sum(1) / 2


def mlp(inputs: int, dtype: torch.dtype = torch.float64, width: int = 6) -> nn.Sequential:
    layers = [
        nn.Linear(inputs, width),
        nn.Tanh(),
        nn.Linear(width, width),
        nn.Softplus(),
        nn.Linear(width, 1),
    ]
    net = nn.Sequential(*layers, nn.Flatten(0)).to(dtype)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, dtype=torch.float64, generator=seeded(1)))
    return net


# Closed forms


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_linear_critic_pays_for_the_norm_of_its_weights(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    w = torch.randn(shape, dtype=torch.float64, generator=seeded(2)).to(dtype)
    real, fake = batches(*shape, dtype=dtype)
    norm = w.norm().item()
    torch.testing.assert_close(gradient_norms(linear(w), real), torch.full((5,), norm, dtype=dtype))
    assert gradient_penalty(linear(w), real, fake).item() == pytest.approx((norm - 1) ** 2, rel=1e-5)
    assert gradient_penalty(linear(w / norm), real, fake).item() == pytest.approx(0, abs=1e-10)
    for zero_centered in (r1, r2):
        assert zero_centered(linear(w), real, fake).item() == pytest.approx(norm**2 / 2, rel=1e-5)
    assert r1_r2(linear(w), real, fake).item() == pytest.approx(norm**2, rel=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_quadratic_critic_pays_for_where_the_samples_are(shape: tuple[int, ...]) -> None:
    real, fake = batches(*shape)
    at = {"real": real.square().sum() / 10, "fake": fake.square().sum() / 10}  # half the mean of 5 squares
    torch.testing.assert_close(r1(half_square, real, fake), at["real"])
    torch.testing.assert_close(r2(half_square, real, fake), at["fake"])
    torch.testing.assert_close(r1_r2(half_square, real, fake), at["real"] + at["fake"])
    torch.testing.assert_close(gradient_norms(half_square, real), real.flatten(1).norm(dim=1))


def test_r2_is_r1_with_the_sides_swapped_and_each_sees_its_side_only() -> None:
    critic, (real, fake) = mlp(3), batches(3)
    assert torch.equal(r1(critic, real, fake), r2(critic, fake, real))
    assert torch.equal(r1(critic, real, fake), r1(critic, real, fake[:2] + 9))
    assert torch.equal(r2(critic, real, fake), r2(critic, real[:2] + 9, fake))
    assert not torch.isclose(r1(critic, real, fake), r2(critic, real, fake))


def test_norms_agree_with_finite_differences() -> None:
    critic, (x, _), h = mlp(4), batches(4), 1e-5
    steps = h * torch.eye(4, dtype=torch.float64)
    by_hand = torch.stack([(critic(x + e) - critic(x - e)) / (2 * h) for e in steps], 1)
    torch.testing.assert_close(gradient_norms(critic, x), by_hand.norm(dim=1), rtol=1e-6, atol=0)
    expected = by_hand.square().sum(1).mean() / 2
    torch.testing.assert_close(r1(critic, x, x), expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(r2(critic, x, x), expected, rtol=1e-6, atol=0)
    expected = (by_hand.norm(dim=1) - 1).square().mean()
    torch.testing.assert_close(gradient_penalty(critic, x, x), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("penalty", ALL)
def test_gradients_in_the_weights_agree_with_finite_differences(penalty: Penalty) -> None:
    """What D descends: each penalty differentiates the gradient once more."""
    real, fake = batches(3, n=4)
    w = torch.randn(3, dtype=torch.float64, generator=seeded(3)).requires_grad_()

    def value(w: Tensor) -> Tensor:
        torch.manual_seed(0)  # every evaluation has the same points on the segments
        return penalty(lambda x: (x @ w).tanh() + (x.square() @ w), real, fake)

    with torch.random.fork_rng():
        assert torch.autograd.gradcheck(value, (w,))


@pytest.mark.parametrize("penalty", ALL)
@pytest.mark.parametrize(("size", "channels"), [(28, 1), (32, 3)])
def test_every_weight_of_a_discriminator_is_reached(penalty: Penalty, size: int, channels: int) -> None:
    D = DCGANDiscriminator(size, channels, width=2, batch_norm=False, generator=seeded(4))
    penalty(D, *batches(channels, size, size, n=2, dtype=torch.float32)).backward()
    for name, parameter in D.named_parameters():
        if name.endswith("weight"):
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all()
            assert parameter.grad.abs().sum() > 0, name


# At a zero gradient


def zero_at_zero(w: Tensor) -> Critic:
    return lambda x: (w * x).flatten(1).sum(1)


@pytest.mark.parametrize("penalty", ALL)
def test_a_zero_gradient_gives_numbers(penalty: Penalty) -> None:
    """The root has an infinite slope at 0; times a zero it would be NaN. Also one derivative further."""
    w = torch.zeros(3, requires_grad=True)
    value = penalty(zero_at_zero(w), *batches(3, dtype=torch.float32))
    assert value.item() == (1 if penalty is gradient_penalty else 0)
    (first,) = torch.autograd.grad(value, w, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), w, materialize_grads=True)
    assert first.tolist() == [0, 0, 0]
    assert second.isfinite().all()


def test_one_sample_at_zero_does_not_spoil_the_others() -> None:
    critic = mlp(2)
    x = torch.zeros(3, 2, dtype=torch.float64)
    x[1] = 1
    norms = gradient_norms(lambda x: half_square(x) * critic[0].weight.sum(), x)
    norms.sum().backward()
    assert norms[0] == norms[2] == 0
    assert norms[1] > 0
    grad = critic[0].weight.grad
    assert grad is not None
    assert grad.isfinite().all()


def test_a_constant_critic_has_norm_zero() -> None:
    level = torch.ones(1, requires_grad=True)
    real, fake = batches(2)
    assert gradient_penalty(lambda x: level.expand(len(x)), real, fake).item() == 1
    assert r1(lambda x: level.expand(len(x)), real, fake).item() == 0


# Where on the segments


@pytest.mark.parametrize("shape", SHAPES)
def test_points_lie_on_their_own_segments_one_share_for_a_sample(shape: tuple[int, ...]) -> None:
    real, fake = batches(*shape, n=50)
    between = interpolate(real, fake, generator=seeded(5))
    share = ((between - fake) / (real - fake)).flatten(1)
    torch.testing.assert_close(share, share[:, :1].expand_as(share), atol=1e-6, rtol=0)
    assert len(share[:, 0].unique()) == 50
    assert 0 <= share.min() <= share.max() <= 1 + 1e-6


def test_shares_are_uniform() -> None:
    ones, zeros = torch.ones(20_000, 1), torch.zeros(20_000, 1)
    share = interpolate(ones, zeros, generator=seeded(6)).flatten()
    assert share.mean().item() == pytest.approx(1 / 2, abs=0.01)
    assert share.var().item() == pytest.approx(1 / 12, abs=0.002)
    assert kstest(share.numpy(), "uniform").pvalue > 1e-4


def test_the_ends_and_the_middle_of_equal_batches_stay() -> None:
    real, fake = batches(3)
    assert torch.equal(interpolate(real, real), real)
    nearer_fake = interpolate(real, fake, generator=seeded(7))
    torch.testing.assert_close(nearer_fake + interpolate(fake, real, generator=seeded(7)), real + fake)


def test_a_fake_of_another_dtype_takes_that_of_the_real() -> None:
    real, fake = batches(3)
    for low in (torch.float32, torch.bfloat16):
        found = interpolate(real, fake.to(low), generator=seeded(15))
        assert torch.equal(found, interpolate(real, fake.to(low).double(), generator=seeded(15)))


def test_randomness_is_the_generator_s_or_the_global_one() -> None:
    critic, (real, fake) = mlp(3), batches(3)

    def value(seed: int) -> Tensor:
        return gradient_penalty(critic, real, fake, generator=seeded(seed))

    assert torch.equal(value(0), value(0))
    assert not torch.equal(value(0), value(1))
    with torch.random.fork_rng():
        torch.manual_seed(8)
        first = gradient_penalty(critic, real, fake)
        assert not torch.equal(first, gradient_penalty(critic, real, fake)), "drawn anew in each call"
        torch.manual_seed(8)
        assert torch.equal(first, gradient_penalty(critic, real, fake))


def test_two_processes_take_the_points_that_one_takes_on_the_whole_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, fake = batches(3, n=4)
    whole = interpolate(real, fake, generator=seeded(14))
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    for rank, (x, y) in enumerate(zip(real.split(2), fake.split(2), strict=True)):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        assert torch.equal(interpolate(x, y, generator=seeded(14)), whole.split(2)[rank])


# Invariances


@pytest.mark.parametrize("penalty", ALL)
def test_a_shift_of_the_logits_changes_nothing_and_order_does_not_matter(penalty: Penalty) -> None:
    critic, (real, fake) = mlp(3), batches(3)

    def value(critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        torch.manual_seed(9)
        return penalty(critic, real, fake)

    with torch.random.fork_rng():
        plain = value(critic, real, fake)
        torch.testing.assert_close(value(lambda x: critic(x) + 7, real, fake), plain)
        torch.testing.assert_close(value(lambda x: -critic(x), real, fake), plain)
        if penalty is not gradient_penalty:
            torch.testing.assert_close(value(critic, real.flip(0), fake.roll(2, 0)), plain)


@pytest.mark.parametrize("penalty", ALL)
def test_samples_are_data_and_stay_as_they_are(penalty: Penalty) -> None:
    real, source = batches(3)
    source.requires_grad_()
    fake, kept = 2 * source, real.clone()
    critic = mlp(3)
    penalty(critic, real, fake).backward()
    assert source.grad is None, "no gradient reaches G"
    assert not real.requires_grad
    assert torch.equal(real, kept)


@pytest.mark.parametrize("penalty", ALL)
def test_it_can_be_looked_at_under_no_grad(penalty: Penalty) -> None:
    w = torch.tensor([3.0, 4.0])
    with torch.no_grad():
        value = penalty(linear(w), *batches(2, dtype=torch.float32))
    assert value.item() == pytest.approx({gradient_penalty: 16.0, r1_r2: 25.0}.get(penalty, 12.5))


@pytest.mark.parametrize("penalty", ALL)
def test_under_autocast_it_is_computed_in_float32(penalty: Penalty) -> None:
    critic = mlp(3, torch.float32)
    real, fake = (x.to(torch.bfloat16) for x in batches(3))

    def value(*of: Tensor) -> Tensor:
        torch.manual_seed(10)
        return penalty(critic, *of)

    with torch.random.fork_rng():
        plain = value(real.float(), fake.float())
        with torch.autocast("cpu", torch.bfloat16):
            assert critic(real).dtype == torch.bfloat16, "autocast is on"
            assert torch.equal(value(real.float(), fake.float()), plain)
            assert torch.equal(value(real, fake), plain)
    assert plain.dtype == torch.float32


# Critics that mix the batch


@pytest.mark.parametrize("penalty", [*ALL, lambda critic, real, fake: gradient_norms(critic, real)])
def test_batch_norm_in_training_mode_is_refused_by_name(penalty: Penalty) -> None:
    D = DCGANDiscriminator(width=2, generator=seeded(11))
    real, fake = batches(1, 28, 28, n=3, dtype=torch.float32)
    with pytest.raises(ValueError, match=r"each sample alone, got BatchNorm2d 'net\.3' .*batch_norm=False"):
        penalty(D, real, fake)
    assert penalty(D.eval(), real, fake).isfinite().all(), "in eval mode it is a fixed map"


def test_why_batch_norm_is_refused() -> None:
    """With it, the gradient at a sample depends on the others; without it, it does not."""

    def norm_of_first(layer: nn.Module, x: Tensor) -> Tensor:
        net = nn.Sequential(nn.Linear(2, 4), layer, nn.Tanh(), nn.Linear(4, 1), nn.Flatten(0)).double()
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=seeded(12)))
        return gradient_norms(lambda x: net(x), x)[0]  # a function is not looked into

    x, _ = batches(2)
    companions = torch.cat([x[:1], x[1:] + torch.arange(2)])
    for layer, alike in ((nn.BatchNorm1d(4), False), (nn.LayerNorm(4), True)):
        found = torch.isclose(norm_of_first(layer, x), norm_of_first(layer, companions))
        assert bool(found) is alike


def test_batch_norm_without_running_averages_mixes_in_eval_mode_too() -> None:
    net = nn.Sequential(nn.BatchNorm1d(2, track_running_stats=False)).eval()
    with pytest.raises(ValueError, match="got BatchNorm1d '0'"):
        check_per_sample(net)
    for fine in (nn.Sequential(nn.LayerNorm(2), nn.InstanceNorm1d(2)), nn.BatchNorm1d(2).eval(), half_square):
        check_per_sample(fine)


# What is refused


@pytest.mark.parametrize("penalty", ALL)
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (torch.zeros(3), r"samples \(N, \.\.\.\), N of at least 1, got \(3,\)"),
        (torch.zeros(0, 2), r"samples \(N, \.\.\.\), N of at least 1, got \(0, 2\)"),
        (torch.zeros(3, 2, dtype=torch.uint8), r"got torch\.uint8; divide by 127\.5 and subtract 1"),
    ],
)
def test_what_are_no_samples_is_refused(penalty: Penalty, wrong: Tensor, message: str) -> None:
    good = torch.zeros(3, 2)
    if penalty is not r2:
        with pytest.raises(ValueError, match="real .*" + message):
            penalty(half_square, wrong, good)
    if penalty is not r1:
        with pytest.raises(ValueError, match="fake .*" + message):
            penalty(half_square, good, wrong)


def test_batches_that_do_not_pair_are_refused() -> None:
    with pytest.raises(ValueError, match=r"of one shape, got \(3, 2\) and \(4, 2\)"):
        gradient_penalty(half_square, torch.zeros(3, 2), torch.zeros(4, 2))


@pytest.mark.parametrize("penalty", ALL)
def test_logits_that_are_not_one_a_sample_are_refused(penalty: Penalty) -> None:
    real, fake = batches(2, n=4)
    with pytest.raises(ValueError, match=r"one logit a sample, \(4,\), got \(4, 2\); flatten them"):
        penalty(lambda x: x, real, fake)
    with pytest.raises(ValueError, match=r"got \(2,\); .*packs"):
        penalty(lambda x: half_square(x)[::2], real, fake)
    with pytest.raises(ValueError, match="logits with a gradient, got detached ones"):
        penalty(lambda x: half_square(x).detach(), real, fake)


# Clipping


@pytest.mark.parametrize("bound", [0.01, 0.5])
def test_clipping_puts_every_weight_in_the_box_and_leaves_the_rest(bound: float) -> None:
    net = nn.Sequential(mlp(3), nn.BatchNorm1d(4))
    net[1].running_mean.fill_(9)
    before = [p.detach().clone() for p in net.parameters()]
    clip_weights_(net, bound)
    for old, new in zip(before, net.parameters(), strict=True):
        assert torch.equal(new, old.clip(-bound, bound))
        assert new.requires_grad
    assert net[1].running_mean.tolist() == [9] * 4


@pytest.mark.parametrize("bound", [0.0, -0.01, math.nan, math.inf])
def test_a_bound_that_bounds_nothing_is_refused(bound: float) -> None:
    with pytest.raises(ValueError, match=r"finite bound above 0, got .*; 0\.01 is the paper's"):
        clip_weights_(mlp(2), bound)


# Planted bugs: ours has each property, and each wrong gradient penalty violates one


def textbook(
    eps: Callable[[Tensor], Tensor] = lambda x: torch.rand(len(x), *[1] * (x.ndim - 1)),
    norm: Callable[[Tensor], Tensor] = lambda g: torch.linalg.vector_norm(g.flatten(1), dim=1),
    total: Callable[[Tensor], Tensor] = torch.sum,
    create_graph: bool = True,
) -> Penalty:
    def penalty(critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        share = eps(real).to(real)
        x = (share * real + (1 - share) * fake).requires_grad_()
        (gradient,) = torch.autograd.grad(total(critic(x)), x, create_graph=create_graph)
        return (norm(gradient) - 1).square().mean()

    return penalty


def has_uniform_moments(penalty: Penalty) -> bool:
    """Between 2 and 0 the gradient of x^2 / 2 is 2 eps, and E (2 eps - 1)^2 = 1/3 for a uniform eps."""
    real, fake = torch.full((4000, 1), 2.0), torch.zeros(4000, 1)
    values = torch.stack([penalty(half_square, real, fake) for _ in range(3)])
    return bool(((values - 1 / 3).abs() < 0.03).all())


def is_exact_for_linear(penalty: Penalty) -> bool:
    w = torch.full((3, 4, 4), 0.5)  # norm sqrt(48 / 4)
    value = penalty(linear(w), *batches(3, 4, 4, dtype=torch.float32)).item()
    return math.isclose(value, (12**0.5 - 1) ** 2, rel_tol=1e-5)


def teaches_the_critic(penalty: Penalty) -> bool:
    w = torch.tensor([3.0, 4.0], requires_grad=True)
    value = penalty(linear(w), *batches(2, dtype=torch.float32))
    if not value.requires_grad:
        return False
    (gradient,) = torch.autograd.grad(value, w)  # 2 (||w|| - 1) w / ||w||
    return torch.allclose(gradient, torch.tensor([4.8, 6.4]))


def is_safe_at_zero(penalty: Penalty) -> bool:
    w = torch.zeros(2, requires_grad=True)
    (gradient,) = torch.autograd.grad(penalty(zero_at_zero(w), *batches(2, dtype=torch.float32)), w)
    return bool(gradient.isfinite().all())


PROPERTIES = [has_uniform_moments, is_exact_for_linear, teaches_the_critic, is_safe_at_zero]
PLANTED = {
    "eps from a normal": (has_uniform_moments, textbook(lambda x: torch.randn(len(x), 1))),
    "one eps for the batch": (has_uniform_moments, textbook(lambda x: torch.rand(1, 1))),
    "eps fixed at 1": (has_uniform_moments, textbook(lambda x: torch.ones(1, 1))),
    "eps fixed at 0": (has_uniform_moments, textbook(lambda x: torch.zeros(1, 1))),
    "norm over the batch": (is_exact_for_linear, textbook(norm=lambda g: g.norm(dim=0))),
    "norm over the channels": (is_exact_for_linear, textbook(norm=lambda g: g.norm(dim=1))),
    "norm over everything": (is_exact_for_linear, textbook(norm=lambda g: g.norm())),
    "no root": (is_exact_for_linear, textbook(norm=lambda g: g.square().flatten(1).sum(1))),
    "gradient of the mean": (is_exact_for_linear, textbook(total=torch.mean)),
    "no second derivative": (teaches_the_critic, textbook(create_graph=False)),
    "root at zero": (is_safe_at_zero, textbook(norm=lambda g: g.square().flatten(1).sum(1).sqrt())),
}


@pytest.mark.parametrize("holds", PROPERTIES)
@pytest.mark.parametrize("penalty", [gradient_penalty, textbook()], ids=["ours", "textbook"])
def test_the_gradient_penalty_has_its_properties(holds: Callable[[Penalty], bool], penalty: Penalty) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(13)
        assert holds(penalty)


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_caught(bug: str) -> None:
    violated, wrong = PLANTED[bug]
    with torch.random.fork_rng():
        torch.manual_seed(13)
        assert not violated(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda critic, real, fake: r2(critic, real, fake),
        lambda critic, real, fake: 2 * r1(critic, real, fake),
        lambda critic, real, fake: gradient_norms(critic, real).mean() / 2,
        lambda critic, real, fake: gradient_norms(critic, real).mean() ** 2 / 2,
    ],
    ids=["fakes", "no half", "no square", "square of the mean"],
)
def test_a_planted_bug_in_r1_is_caught(wrong: Penalty) -> None:
    real, fake = batches(3)
    expected = real.square().sum() / 10
    torch.testing.assert_close(r1(half_square, real, fake), expected)
    assert not torch.isclose(wrong(half_square, real, fake), expected)
