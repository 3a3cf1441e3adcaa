"""Feature matching, instance noise, and the unrolled discriminator, each against what it must equal."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from scipy.stats import kstest
from torch import Tensor, nn

from gancourse.losses import HINGE, LEAST_SQUARES, NON_SATURATING, RELATIVISTIC, ZERO_SUM, GANLoss
from gancourse.regularizers import add_instance_noise, feature_matching, unrolled


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=seeded(seed))


def fill(net: nn.Module, seed: int = 1) -> nn.Module:
    with torch.no_grad():
        for i, parameter in enumerate(net.parameters()):
            parameter.copy_(normal(*parameter.shape, seed=seed + i))
    return net.double()


class Affine(nn.Module):
    """Features x W + 1, logits (N,) from their sum."""

    def __init__(self, inputs: int = 3, features: int = 4) -> None:
        super().__init__()
        self.weight = nn.Parameter(normal(inputs, features, seed=2))

    def features(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.weight.to(x.dtype) + 1

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x).sum(1)


# Feature matching


@pytest.mark.parametrize("shape", [(3,), (3, 2, 2)])
def test_affine_features_match_the_means(shape: tuple[int, ...]) -> None:
    D = Affine(math.prod(shape))
    real, fake = normal(5, *shape, seed=3), normal(8, *shape, seed=4)
    apart = (real.mean(0) - fake.mean(0)).flatten() @ D.weight
    torch.testing.assert_close(feature_matching(D, real, fake), apart.square().sum())
    torch.testing.assert_close(feature_matching(D, fake, real), feature_matching(D, real, fake))


def test_it_is_zero_where_the_means_agree_though_no_sample_does() -> None:
    D, real = Affine(), normal(6, 3)
    reflected = 2 * real.mean(0) - real
    assert feature_matching(D, real, reflected).item() == pytest.approx(0, abs=1e-25)


def test_it_pulls_every_fake_alike_towards_the_mean_of_the_real() -> None:
    D, real = Affine(), normal(5, 3)
    fake = normal(4, 3, seed=5).requires_grad_()
    (gradient,) = torch.autograd.grad(feature_matching(D, real, fake), fake)
    apart = (fake.detach().mean(0) - real.mean(0)) @ D.weight @ D.weight.T
    torch.testing.assert_close(gradient, (2 * apart / 4).detach().expand(4, 3))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda f, g: (f - g).square().sum(1).mean(),
        lambda f, g: (f.mean(0) - g.mean(0)).square().mean(),
        lambda f, g: (f.mean(0) - g.mean(0)).norm(),
        lambda f, g: (f.mean(1) - g.mean(1)).square().sum(),
    ],
    ids=["sample by sample", "averaged over features", "no square", "mean over features"],
)
def test_a_planted_bug_in_feature_matching_is_caught(wrong: Callable[[Tensor, Tensor], Tensor]) -> None:
    D, real, fake = Affine(), normal(5, 3), normal(5, 3, seed=6)
    expected = ((real.mean(0) - fake.mean(0)) @ D.weight).square().sum()
    assert not torch.isclose(wrong(D.features(real), D.features(fake)), expected)


def test_features_in_bfloat16_are_averaged_in_float32() -> None:
    real, fake = normal(300, 3).bfloat16(), normal(300, 3, seed=7).bfloat16()
    found = feature_matching(Affine(), real, fake)
    assert found.dtype == torch.float32


class Bare(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1).sum(1)


class Mistaken(Bare):
    def features(self, x: Tensor) -> Tensor:
        return x.flatten(1).sum(1)


def test_what_has_no_features_is_refused() -> None:
    x = torch.zeros(3, 2)
    with pytest.raises(ValueError, match=r"a method `features`, got Bare without; .*last hidden layer"):
        feature_matching(Bare(), x, x)
    with pytest.raises(ValueError, match=r"expected features \(N, F\), got \(3,\); these look like logits"):
        feature_matching(Mistaken(), x, x)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (torch.zeros(0, 3), r"samples \(N, \.\.\.\), N of at least 1, got \(0, 3\)"),
        (torch.zeros(3), r"samples \(N, \.\.\.\), N of at least 1, got \(3,\)"),
        (torch.zeros(2, 3, dtype=torch.uint8), r"got torch\.uint8; divide by 127\.5"),
    ],
)
def test_what_are_no_samples_is_refused(wrong: Tensor, message: str) -> None:
    good: Tensor = torch.zeros(2, 3)
    calls: list[Callable[[Tensor, Tensor], Any]] = [
        lambda real, fake: feature_matching(Affine(), real, fake),
        lambda real, fake: unrolled(Affine(), HINGE, real, fake, steps=1, lr=0.1),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="real .*" + message):
            call(wrong, good)
        with pytest.raises(ValueError, match="fake .*" + message):
            call(good, wrong)
    with pytest.raises(ValueError, match=message):
        add_instance_noise(wrong, 0.1)


# Instance noise


@pytest.mark.parametrize("std", [0.1, 2.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_noise_is_normal_of_the_given_width_and_new_for_every_number(std: float, dtype: torch.dtype) -> None:
    x = torch.ones(100, 2, 5, 10, dtype=dtype)
    noise = (add_instance_noise(x, std, seeded(8)) - x).flatten()
    assert noise.dtype == dtype
    assert noise.std().item() == pytest.approx(std, rel=0.03)
    assert kstest((noise / std).numpy(), "norm").pvalue > 1e-4
    assert len(noise.unique()) > 9000, "of 10,000, up to rounding"


def test_no_noise_is_no_change_and_draws_nothing() -> None:
    rng, x = seeded(9), torch.zeros(2, 3)
    before = rng.get_state()
    assert add_instance_noise(x, 0, rng) is x
    assert torch.equal(rng.get_state(), before)


def test_noise_is_a_function_of_its_generator_or_of_the_global_one() -> None:
    x = torch.zeros(4, 3)
    assert torch.equal(add_instance_noise(x, 1, seeded(10)), add_instance_noise(x, 1, seeded(10)))
    assert not torch.equal(add_instance_noise(x, 1, seeded(10)), add_instance_noise(x, 1, seeded(11)))
    with torch.random.fork_rng():
        torch.manual_seed(12)
        first = add_instance_noise(x, 1)
        torch.manual_seed(12)
        assert torch.equal(first, add_instance_noise(x, 1))


def test_two_processes_add_the_noise_that_one_adds_to_the_whole_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x = torch.arange(12.0).view(4, 3)
    whole = add_instance_noise(x, 1, seeded(18))
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    for rank, part in enumerate(x.split(2)):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        assert torch.equal(add_instance_noise(part, 1, seeded(18)), whole.split(2)[rank])


def test_gradients_pass_through_noise_unchanged() -> None:
    x = torch.zeros(4, 3, requires_grad=True)
    add_instance_noise(x, 3.0).sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, torch.ones(4, 3))


@pytest.mark.parametrize("std", [-0.1, math.nan, math.inf])
def test_a_width_that_is_none_is_refused(std: float) -> None:
    with pytest.raises(ValueError, match="expected a finite std of at least 0, got"):
        add_instance_noise(torch.zeros(2, 3), std)


# The unrolled discriminator

Unrolling = Callable[..., Callable[[Tensor], Tensor]]


class Slope(nn.Module):
    """D(x) = a x, for x (N, 1)."""

    def __init__(self, a: float) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(a, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.a * x.flatten()


X, Y, A, LR = 1.5, 0.7, 0.3, 0.1


def solved(steps: int, y: Tensor) -> Tensor:
    """G's loss on the unrolled D, in closed form.

    With least squares D's loss is ((a x - 1)^2 + (a y)^2) / 2: a step multiplies the distance of a from
    x / (x^2 + y^2) by 1 - lr (x^2 + y^2).
    """
    curvature = X**2 + y**2
    a = X / curvature + (1 - LR * curvature) ** steps * (A - X / curvature)
    return (a * y - 1) ** 2 / 2


def value_and_slope(f: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    y = torch.tensor(Y, dtype=torch.float64, requires_grad=True)
    value = f(y)
    (slope,) = torch.autograd.grad(value, y)
    return value.detach(), slope


def played(unrolling: Unrolling, steps: int) -> Callable[[Tensor], Tensor]:
    def of_g(y: Tensor) -> Tensor:
        real, fake = torch.full((2, 1), X, dtype=torch.float64), y.view(1, 1)
        D_k = unrolling(Slope(A), LEAST_SQUARES, real, fake, steps=steps, lr=LR)
        return LEAST_SQUARES.g(fake=D_k(fake))

    return of_g


def is_solved(unrolling: Unrolling, steps: int) -> bool:
    found = value_and_slope(played(unrolling, steps))
    expected = value_and_slope(lambda y: solved(steps, y))
    return all(torch.allclose(a, b, rtol=1e-10) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("steps", [0, 1, 2, 5])
def test_the_scalar_game_is_solved(steps: int) -> None:
    assert is_solved(unrolled, steps)


def detached(D: nn.Module, loss: GANLoss, real: Tensor, fake: Tensor, **how: Any) -> Callable[..., Tensor]:
    """Leave out what makes unrolling unrolling: G does not feel how D will answer."""
    return unrolled(D, loss, real, fake.detach(), **how)


def uphill(
    D: nn.Module, loss: GANLoss, real: Tensor, fake: Tensor, *, steps: int, lr: float
) -> Callable[..., Tensor]:
    minus = GANLoss("minus", lambda *, real, fake: -loss.d(real=real, fake=fake), loss.g)
    return unrolled(D, minus, real, fake, steps=steps, lr=lr)


WRONG: dict[str, Unrolling] = {
    "detached": detached,
    "uphill": uphill,
    "sides swapped": lambda D, loss, real, fake, **how: unrolled(D, loss, fake, real, **how),
    "one step short": lambda D, loss, real, fake, *, steps, lr: unrolled(
        D, loss, real, fake, steps=steps - 1, lr=lr
    ),
    "not unrolled": lambda D, loss, real, fake, **how: D,
}


@pytest.mark.parametrize("bug", WRONG)
def test_a_planted_bug_in_the_unrolling_is_caught(bug: str) -> None:
    assert not is_solved(WRONG[bug], 3)


def test_a_detached_unrolling_has_the_value_but_not_the_slope() -> None:
    value, slope = value_and_slope(played(unrolled, 3))
    same, other = value_and_slope(played(detached, 3))
    assert torch.equal(value, same)
    assert not torch.isclose(slope, other, rtol=0.01)


def net(batch_norm: bool = True) -> nn.Module:
    layers = [nn.Linear(3, 5), *([nn.BatchNorm1d(5)] if batch_norm else []), nn.Softplus(), nn.Linear(5, 1)]
    return fill(nn.Sequential(*layers, nn.Flatten(0)))


@pytest.mark.parametrize("loss", [NON_SATURATING, LEAST_SQUARES, RELATIVISTIC], ids=lambda loss: loss.name)
@pytest.mark.parametrize("batch_norm", [False, True])
def test_gradients_through_the_whole_unrolling_agree_with_finite_differences(
    loss: GANLoss, batch_norm: bool
) -> None:
    D, real = net(batch_norm), normal(3, 3)

    def of_g(fake: Tensor) -> Tensor:
        D_k = unrolled(D, loss, real, fake, steps=3, lr=0.05)
        return loss.g(fake=D_k(fake), real=D_k(real))

    assert torch.autograd.gradcheck(of_g, (normal(3, 3, seed=13).requires_grad_(),))


@pytest.mark.parametrize("steps", [1, 4])
def test_it_answers_as_a_copy_of_d_that_took_the_steps(steps: int) -> None:
    """The same as torch's SGD on a copy, BatchNorm's running averages included."""
    D, real, fake = net(), normal(6, 3), normal(6, 3, seed=14)
    twin = copy.deepcopy(D)
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        NON_SATURATING.d(real=twin(real), fake=twin(fake)).backward()
        optimizer.step()
    D_k = unrolled(D, NON_SATURATING, real, fake, steps=steps, lr=0.05)
    torch.testing.assert_close(D_k(fake), twin(fake))
    torch.testing.assert_close(D_k.args[1], dict(twin.state_dict()))  # type: ignore[attr-defined]


@pytest.mark.parametrize("learns", [True, False])
def test_d_stays_bit_for_bit_and_collects_nothing(learns: bool) -> None:
    D, real = net().requires_grad_(learns), normal(6, 3)
    before = copy.deepcopy(D.state_dict())
    fake = normal(6, 3, seed=15).requires_grad_()
    D_k = unrolled(D, HINGE, real, fake, steps=2, lr=0.1)
    HINGE.g(fake=D_k(fake)).backward()
    assert fake.grad is not None
    assert fake.grad.abs().sum() > 0
    assert all(torch.equal(value, before[name]) for name, value in D.state_dict().items())
    assert all(p.grad is None and p.requires_grad is learns for p in D.parameters())


def test_it_moves_against_g_s_last_move() -> None:
    """The unrolled D has a lower loss on the same samples than D."""
    D, real, fake = net(), normal(6, 3), normal(6, 3, seed=16)
    values = []
    for steps in (0, 1, 5, 25):
        D_k = unrolled(copy.deepcopy(D), NON_SATURATING, real, fake, steps=steps, lr=0.02)
        values.append(NON_SATURATING.d(real=D_k(real), fake=D_k(fake)).item())
    assert values == sorted(values, reverse=True)


def foreseen_and_given(loss: GANLoss, a: float) -> tuple[Tensor, Tensor]:
    """Return the slopes of G's loss in its fakes against a D of slope a: unrolled by a step, and as it is."""
    real, y = normal(6, 1) + 1, normal(6, 1, seed=16).requires_grad_()
    D = Slope(a)
    of_one = (unrolled(D, loss, real, y, steps=steps, lr=0.5) for steps in (1, 0))
    foreseen, given = (
        torch.autograd.grad(loss.g(real=f(real), fake=f(y)), y, retain_graph=True)[0] for f in of_one
    )
    return foreseen, given


def test_a_best_d_foreseen_changes_nothing_in_the_zero_sum_game_only() -> None:
    """The envelope theorem: where D's loss is flat in D, how D answers is worth nothing to its opponent."""
    a = torch.zeros((), dtype=torch.float64)
    real, fake = normal(6, 1) + 1, normal(6, 1, seed=16)
    for _ in range(20):  # Newton's method on D's convex loss
        a.requires_grad_()
        value = ZERO_SUM.d(real=(a * real).flatten(), fake=(a * fake).flatten())
        (slope,) = torch.autograd.grad(value, a, create_graph=True)
        (curvature,) = torch.autograd.grad(slope, a)
        a = (a - slope / curvature).detach()
    foreseen, given = foreseen_and_given(ZERO_SUM, a.item())
    torch.testing.assert_close(foreseen, given, rtol=0, atol=1e-12)
    foreseen, given = foreseen_and_given(NON_SATURATING, a.item())
    assert (foreseen - given).norm() > 0.05 * given.norm(), "G is rewarded for misleading D"
    foreseen, given = foreseen_and_given(ZERO_SUM, a.item() + 0.5)
    assert (foreseen - given).norm() > 0.05 * given.norm(), "a D that is not the best yet is worth foreseeing"


def test_no_steps_give_d_itself_and_no_grad_is_no_obstacle() -> None:
    D, real, fake = net(), normal(4, 3), normal(4, 3, seed=17)
    assert unrolled(D, HINGE, real, fake, steps=0, lr=0.1) is D
    with torch.no_grad():
        seen = unrolled(D, HINGE, real, fake, steps=1, lr=0.1)(fake)
    torch.testing.assert_close(seen, unrolled(D, HINGE, real, fake, steps=1, lr=0.1)(fake).detach())


def test_a_parameter_that_the_loss_does_not_reach_stays() -> None:
    D = Slope(A)
    D.idle = nn.Parameter(torch.ones(2))
    x = normal(3, 1)
    D_k = unrolled(D, LEAST_SQUARES, x, x, steps=1, lr=0.1)
    assert D_k.args[1]["idle"].tolist() == [1, 1]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("D", "steps", "lr", "message"),
    [
        (Slope(A), -1, 0.1, "at least 0 unrolled steps, got -1"),
        (Slope(A), 1, 0.0, "finite lr above 0, got 0.0; D's own learning rate"),
        (Slope(A), 1, math.nan, "finite lr above 0, got nan"),
        (Bare(), 1, 0.1, "a discriminator with parameters to unroll, got Bare"),
    ],
)
def test_what_cannot_be_unrolled_is_refused(D: nn.Module, steps: int, lr: float, message: str) -> None:
    x = torch.zeros(2, 1)
    with pytest.raises(ValueError, match=message):
        unrolled(D, HINGE, x, x, steps=steps, lr=lr)
