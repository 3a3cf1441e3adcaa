"""The adversarial losses: closed forms, optima, gradients, and what they refuse."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import minimize, minimize_scalar
from torch import Tensor

from gancourse.losses import (
    HINGE,
    LEAST_SQUARES,
    MINIMAX,
    NON_SATURATING,
    RELATIVISTIC,
    WASSERSTEIN,
    ZERO_SUM,
    DLoss,
    GANLoss,
    GLoss,
    log_loss_d,
    minimax_g,
    noisy_labels,
    smooth_real_labels,
)

SMOOTHED = smooth_real_labels(NON_SATURATING, 0.9)
NOISY = noisy_labels(NON_SATURATING, 0.05)
ALL = [MINIMAX, ZERO_SUM, NON_SATURATING, SMOOTHED, NOISY, LEAST_SQUARES, HINGE, WASSERSTEIN, RELATIVISTIC]


def logits(*probabilities: float) -> Tensor:
    return torch.tensor(probabilities, dtype=torch.float64).logit()


def random_logits(seed: int, n: int = 7) -> Tensor:
    return 3 * torch.randn(n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_the_worked_example() -> None:
    """D outputs .9, .7 on real and .3, .6 on fake samples."""
    real, fake = logits(0.9, 0.7), logits(0.3, 0.6)
    value = (math.log(0.9) + math.log(0.7)) / 2 + (math.log(0.7) + math.log(0.4)) / 2
    assert value == pytest.approx(-0.8675, abs=5e-5)
    assert -log_loss_d(real=real, fake=fake).item() == pytest.approx(value, abs=1e-12)
    assert NON_SATURATING.g(fake=fake).item() == pytest.approx(0.8574, abs=5e-5)
    assert MINIMAX.g(fake=fake).item() == pytest.approx((math.log(0.7) + math.log(0.4)) / 2, abs=1e-12)


def test_an_undecided_discriminator_loses_two_log_two() -> None:
    zeros = torch.zeros(5)
    assert log_loss_d(real=zeros, fake=zeros).item() == pytest.approx(2 * math.log(2))
    assert NON_SATURATING.g(fake=zeros).item() == pytest.approx(math.log(2))
    assert MINIMAX.g(fake=zeros).item() == pytest.approx(-math.log(2))


def test_minimax_is_a_zero_sum_game_in_the_fakes() -> None:
    real, fake = random_logits(1), random_logits(2)
    fake.requires_grad_()
    (of_d,) = torch.autograd.grad(MINIMAX.d(real=real, fake=fake), fake)
    (of_g,) = torch.autograd.grad(MINIMAX.g(fake=fake), fake)
    torch.testing.assert_close(of_g, -of_d)


@pytest.mark.parametrize("loss", ALL, ids=lambda loss: loss.name)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_values_and_gradients_are_finite_at_logits_of_100(loss: GANLoss, dtype: torch.dtype) -> None:
    real = torch.tensor([-100.0, 100.0, 0.0], dtype=dtype, requires_grad=True)
    fake = torch.tensor([100.0, -100.0, 0.0], dtype=dtype, requires_grad=True)
    for value in (loss.d(real=real, fake=fake), loss.g(fake=fake, real=real)):
        assert value.isfinite()
        value.backward()
    assert real.grad is not None
    assert fake.grad is not None
    assert real.grad.isfinite().all()
    assert fake.grad.isfinite().all()


def test_a_confident_mistake_costs_its_logit() -> None:
    """Softplus(100) = 100: computed from probabilities this would be infinite."""
    assert log_loss_d(real=torch.tensor([-100.0]), fake=torch.tensor([-100.0])).item() == pytest.approx(100.0)
    assert NON_SATURATING.g(fake=torch.tensor([-100.0])).item() == pytest.approx(100.0)


def test_gradients_of_the_two_generator_losses_differ_by_a_ratio_of_sigmoids() -> None:
    """Minimax over non-saturating, per sample: sigmoid(D) / sigmoid(-D)."""
    fake = random_logits(3).requires_grad_()
    (saturating,) = torch.autograd.grad(MINIMAX.g(fake=fake), fake)
    (other,) = torch.autograd.grad(NON_SATURATING.g(fake=fake), fake)
    torch.testing.assert_close(saturating / other, (fake.sigmoid() / (-fake).sigmoid()).detach())
    torch.testing.assert_close(saturating, -fake.sigmoid().detach() / len(fake))
    torch.testing.assert_close(other, -(-fake).sigmoid().detach() / len(fake))


def test_they_agree_with_binary_cross_entropy() -> None:
    real, fake = random_logits(4), random_logits(5)
    ones, zeros = torch.ones(7).double(), torch.zeros(7).double()
    bce = F.binary_cross_entropy_with_logits
    torch.testing.assert_close(log_loss_d(real=real, fake=fake), bce(real, ones) + bce(fake, zeros))
    torch.testing.assert_close(NON_SATURATING.g(fake=fake), bce(fake, ones))
    torch.testing.assert_close(MINIMAX.g(fake=fake), -bce(fake, zeros))
    torch.testing.assert_close(SMOOTHED.d(real=real, fake=fake), bce(real, 0.9 * ones) + bce(fake, zeros))


def test_batches_of_different_size_weigh_the_same() -> None:
    real, fake = random_logits(6, 3), random_logits(7, 5)
    doubled = log_loss_d(real=real.repeat(2), fake=fake)
    torch.testing.assert_close(doubled, log_loss_d(real=real, fake=fake))


@pytest.mark.parametrize("loss", ALL, ids=lambda loss: loss.name)
def test_real_and_fake_cannot_be_passed_by_position(loss: GANLoss) -> None:
    x = torch.zeros(2)
    with pytest.raises(TypeError, match="positional"):
        loss.d(x, x)  # type: ignore[call-arg, misc]
    with pytest.raises(TypeError, match="positional"):
        loss.g(x)  # type: ignore[call-arg, misc]


# One-sided label smoothing


@pytest.mark.parametrize("target", [0.6, 0.9, 1.0])
@pytest.mark.parametrize(("p", "q"), [(0.5, 0.5), (0.8, 0.2), (0.1, 0.7), (0.3, 0.0)])
def test_the_smoothed_optimum(target: float, p: float, q: float) -> None:
    """Where the densities are p and q, minimizing the smoothed loss over D gives D* = t p / (p + q)."""
    smoothed = smooth_real_labels(MINIMAX, target)
    nothing = torch.tensor([-100.0], dtype=torch.float64)  # a term that does not move: its loss is constant

    def value(logit: float) -> float:
        a = torch.tensor([logit], dtype=torch.float64)
        return (p * smoothed.d(real=a, fake=nothing) + q * log_loss_d(real=-nothing, fake=a)).item()

    best = minimize_scalar(value, bounds=(-20, 20), method="bounded", options={"xatol": 1e-6})
    assert best.success
    assert 1 / (1 + math.exp(-best.x)) == pytest.approx(target * p / (p + q), abs=1e-5)


def test_a_target_of_one_is_no_smoothing() -> None:
    real, fake = random_logits(8), random_logits(9)
    for loss in (MINIMAX, NON_SATURATING):
        same = smooth_real_labels(loss, 1.0)
        assert torch.equal(same.d(real=real, fake=fake), loss.d(real=real, fake=fake))
        assert same.g is loss.g


def test_fakes_keep_their_zero() -> None:
    """Smoothing changes nothing in how the loss depends on fakes."""
    real, fake = random_logits(10), random_logits(11).requires_grad_()
    (plain,) = torch.autograd.grad(log_loss_d(real=real, fake=fake), fake)
    (smoothed,) = torch.autograd.grad(SMOOTHED.d(real=real, fake=fake), fake)
    assert torch.equal(plain, smoothed)


def test_the_smoothed_gradient_vanishes_at_the_target() -> None:
    real = logits(0.9, 0.9).requires_grad_()
    (gradient,) = torch.autograd.grad(SMOOTHED.d(real=real, fake=logits(0.5)), real)
    torch.testing.assert_close(gradient, torch.zeros(2, dtype=torch.float64))


@pytest.mark.parametrize("target", [0.5, 0.0, 1.1, -0.9, 9.0, float("nan")])
def test_a_target_out_of_range_is_refused(target: float) -> None:
    with pytest.raises(ValueError, match=r"target in \(0.5, 1\], got .*0.9 is the usual choice"):
        smooth_real_labels(MINIMAX, target)


def test_only_a_log_loss_can_be_smoothed() -> None:
    other = GANLoss("least squares", lambda *, real, fake: real.mean(), minimax_g)
    with pytest.raises(ValueError, match=r"log loss .* got least squares"):
        smooth_real_labels(other)
    with pytest.raises(ValueError, match=r"log loss .* got non-saturating, real labels 0\.9"):
        smooth_real_labels(SMOOTHED)


def test_names_tell_losses_apart() -> None:
    """Checkpoints know a loss by its name."""
    losses = [*ALL, smooth_real_labels(MINIMAX, 0.9), smooth_real_labels(NON_SATURATING, 0.8)]
    losses += [noisy_labels(NON_SATURATING, 0.1), noisy_labels(MINIMAX)]
    assert len({loss.name for loss in losses}) == len(losses)


# Label noise


@pytest.mark.parametrize("flip", [0.05, 0.3])
def test_label_noise_is_one_sided_smoothing_in_the_mean(flip: float) -> None:
    """Over many draws: target 1 - flip. So D* is that of smoothing, without p_g in its numerator."""
    rng = torch.Generator().manual_seed(12)
    noisy, smoothed = noisy_labels(MINIMAX, flip, rng), smooth_real_labels(MINIMAX, 1 - flip)
    real, fake = random_logits(13, 5), random_logits(14, 5)
    many = real.repeat(40_000)
    expected = smoothed.d(real=real, fake=fake).item()
    assert noisy.d(real=many, fake=fake).item() == pytest.approx(expected, abs=0.02)


def test_each_real_label_is_drawn_by_itself_and_anew_in_every_call() -> None:
    """At a real logit of 100 a flipped label costs 100, a kept one nothing."""
    noisy = noisy_labels(NON_SATURATING, 0.25, torch.Generator().manual_seed(15))
    surely_real, surely_fake = torch.full((1000,), 100.0), torch.tensor([-100.0])
    flipped = [10 * noisy.d(real=surely_real, fake=surely_fake).item() for _ in range(20)]
    assert 200 < min(flipped) < 250 < max(flipped) < 300
    assert torch.tensor(flipped).std() == pytest.approx((1000 * 0.25 * 0.75) ** 0.5, rel=0.5)


def test_label_noise_leaves_fakes_and_the_generator_alone() -> None:
    real, fake = random_logits(16), random_logits(17).requires_grad_()
    (plain,) = torch.autograd.grad(log_loss_d(real=real, fake=fake), fake)
    (noisy,) = torch.autograd.grad(noisy_labels(MINIMAX, 0.4).d(real=real, fake=fake), fake)
    assert torch.equal(plain, noisy)
    assert NOISY.g is NON_SATURATING.g


def test_label_noise_is_a_function_of_its_generator_or_of_the_global_one() -> None:
    real, fake = random_logits(18, 50), random_logits(19)

    def seeded(seed: int) -> Tensor:
        return noisy_labels(MINIMAX, 0.4, torch.Generator().manual_seed(seed)).d(real=real, fake=fake)

    assert torch.equal(seeded(0), seeded(0))
    assert not torch.equal(seeded(0), seeded(1))
    with torch.random.fork_rng():
        torch.manual_seed(20)
        first = noisy_labels(MINIMAX, 0.4).d(real=real, fake=fake)
        torch.manual_seed(20)
        assert torch.equal(first, noisy_labels(MINIMAX, 0.4).d(real=real, fake=fake))
    assert torch.equal(noisy_labels(MINIMAX, 0).d(real=real, fake=fake), log_loss_d(real=real, fake=fake))


@pytest.mark.parametrize("flip", [0.5, 1.0, -0.1, 5.0, float("nan")])
def test_a_flip_out_of_range_is_refused(flip: float) -> None:
    with pytest.raises(ValueError, match=r"flip in \[0, 0\.5\), a probability, got .*0\.05 is the usual"):
        noisy_labels(MINIMAX, flip)


def test_only_a_log_loss_takes_label_noise() -> None:
    for other in (HINGE, SMOOTHED, NOISY):
        with pytest.raises(ValueError, match=r"log loss .* which label noise needs, got " + other.name):
            noisy_labels(other)


# The optimum D*, found by brute force on a distribution over three points, and the divergence there

DISTRIBUTIONS = [((3, 2, 1), (1, 1, 4)), ((2, 2, 2), (2, 2, 2)), ((1, 3, 2), (4, 1, 1))]  # in sixths


def expected_d(loss: GANLoss, scores: Tensor, p: tuple[int, ...], q: tuple[int, ...]) -> Tensor:
    """Return D's expected loss: each of the 36 pairs of equally likely samples once."""
    real, fake = (scores.repeat_interleave(torch.tensor(counts)) for counts in (p, q))
    return loss.d(real=real.repeat_interleave(6), fake=fake.repeat(6))


def optimum(loss: GANLoss, p: tuple[int, ...], q: tuple[int, ...]) -> tuple[Tensor, float]:
    """Return the scores of the three points that minimize D's loss, and the least loss."""
    n = len(p)

    def value(scores: list[float]) -> float:
        return expected_d(loss, torch.tensor(scores, dtype=torch.float64), p, q).item()

    method = {"xatol": 1e-7, "fatol": 1e-13, "maxiter": 4000}
    best = minimize(value, [0.1, -0.1, 0.05][:n], method="Nelder-Mead", options=method)
    assert best.success
    return torch.tensor(best.x), best.fun


def shares(p: tuple[int, ...], q: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    return torch.tensor(p, dtype=torch.float64) / 6, torch.tensor(q, dtype=torch.float64) / 6


def jsd(a: Tensor, b: Tensor) -> float:
    middle = (a + b) / 2
    return (((a * (a / middle).log()).sum() + (b * (b / middle).log()).sum()) / 2).item()


@pytest.mark.parametrize(("p", "q"), DISTRIBUTIONS)
def test_the_log_loss_finds_the_ratio_and_the_jensen_shannon_divergence(
    p: tuple[int, ...], q: tuple[int, ...]
) -> None:
    best, least = optimum(MINIMAX, p, q)
    a, b = shares(p, q)
    torch.testing.assert_close(best.sigmoid(), a / (a + b), atol=1e-5, rtol=0)
    assert least == pytest.approx(2 * math.log(2) - 2 * jsd(a, b), abs=1e-9)


@pytest.mark.parametrize(("p", "q"), DISTRIBUTIONS)
def test_least_squares_finds_the_ratio_itself(p: tuple[int, ...], q: tuple[int, ...]) -> None:
    """And what G is left with there is an f-divergence plus 1/8."""
    best, _ = optimum(LEAST_SQUARES, p, q)
    a, b = shares(p, q)
    torch.testing.assert_close(best, a / (a + b), atol=1e-5, rtol=0)
    left = LEAST_SQUARES.g(fake=(a / (a + b)).repeat_interleave(torch.tensor(q))).item()
    assert left == pytest.approx((b**3 / (a + b) ** 2).sum().item() / 2, abs=1e-9)
    assert left == pytest.approx(1 / 8) if p == q else left > 1 / 8


@pytest.mark.parametrize(("p", "q"), DISTRIBUTIONS)
def test_the_paper_s_other_least_squares_labels_give_pearson_and_ours_do_not(
    p: tuple[int, ...], q: tuple[int, ...]
) -> None:
    """Mao et al. (2017): with (a, b, c) = (-1, 1, 0), G's loss and its twin on real data sum to chi^2 / 2."""
    a, b = shares(p, q)
    pearson = ((2 * b - (a + b)) ** 2 / (a + b)).sum().item()

    def on_both(star: Tensor) -> float:
        parts = (star.repeat_interleave(torch.tensor(counts)) for counts in (p, q))
        return sum(LEAST_SQUARES.g(fake=part).item() for part in parts)

    theirs = (a - b) / (a + b)  # D* for labels -1 and 1; the 1 moves their c = 0 to our c = 1
    assert on_both(theirs + 1) == pytest.approx(pearson / 2, abs=1e-12)
    assert on_both(a / (a + b)) != pytest.approx(pearson / 2, abs=1e-3)


@pytest.mark.parametrize(("p", "q"), [((3, 2, 1), (1, 1, 4)), ((1, 3, 2), (4, 1, 1))])
def test_hinge_finds_the_sign_and_the_total_variation(p: tuple[int, ...], q: tuple[int, ...]) -> None:
    """The loss is piecewise linear with kinks at -1 and 1, so a grid that holds these holds the optimum."""
    a, b = shares(p, q)
    grid = torch.cartesian_prod(*[torch.linspace(-2, 2, 9, dtype=torch.float64)] * 3)
    values = torch.stack([expected_d(HINGE, scores, p, q) for scores in grid])
    assert torch.equal(grid[values.argmin()], (a - b).sign())
    assert values.min().item() == pytest.approx(2 - (a - b).abs().sum().item())


@pytest.mark.parametrize(("p", "q"), DISTRIBUTIONS)
def test_relativistic_finds_the_log_ratio_up_to_a_constant(p: tuple[int, ...], q: tuple[int, ...]) -> None:
    best, least = optimum(RELATIVISTIC, p, q)
    a, b = shares(p, q)
    ratio = (a / b).log()
    torch.testing.assert_close(best - best.mean(), ratio - ratio.mean(), atol=1e-4, rtol=0)
    assert least == pytest.approx(math.log(2) - jsd(torch.outer(a, b), torch.outer(b, a)), abs=1e-9)


@pytest.mark.parametrize(("p", "q"), DISTRIBUTIONS)
def test_wasserstein_among_slopes_of_at_most_one_finds_the_distance(
    p: tuple[int, ...], q: tuple[int, ...]
) -> None:
    """Points 0, 1, 2 on a line: D is fixed by its slopes, and W1 is the area between the two CDFs."""
    a, b = shares(p, q)
    slopes = torch.cartesian_prod(*[torch.linspace(-1, 1, 5, dtype=torch.float64)] * 2)
    heights = F.pad(slopes.cumsum(1), (1, 0))
    least = min(expected_d(WASSERSTEIN, scores, p, q).item() for scores in heights)
    w1 = (a.cumsum(0) - b.cumsum(0)).abs().sum().item()
    assert least == pytest.approx(-w1, abs=1e-9)
    if w1:
        best = min(expected_d(WASSERSTEIN, 10 * scores, p, q).item() for scores in heights)
        assert best == pytest.approx(-10 * w1), "without the bound there is no least value"


# Worked values


def test_worked_values_of_the_other_losses() -> None:
    real, fake = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 1.0])
    found = {x.name: x.d(real=real, fake=fake).item() for x in (LEAST_SQUARES, HINGE, WASSERSTEIN)}
    assert found["least squares"] == pytest.approx((1 + 0.25) / 4 + (9 + 1) / 4)
    assert found["hinge"] == pytest.approx((0 + 0.5) / 2 + (0 + 2) / 2)
    assert found["Wasserstein"] == pytest.approx(-1 - 1.25)
    of_g = {x.name: x.g(fake=fake).item() for x in (LEAST_SQUARES, HINGE, WASSERSTEIN)}
    assert of_g["least squares"] == pytest.approx((16 + 0) / 4)
    assert of_g["hinge"] == of_g["Wasserstein"] == pytest.approx(1)
    both = [math.log1p(math.exp(-5)), math.log1p(math.exp(0.5))]
    assert RELATIVISTIC.d(real=real, fake=fake).item() == pytest.approx(sum(both) / 2)
    both = [math.log1p(math.exp(5)), math.log1p(math.exp(-0.5))]
    assert RELATIVISTIC.g(real=real, fake=fake).item() == pytest.approx(sum(both) / 2)


def test_relativistic_cares_for_differences_only_and_for_pairs() -> None:
    real, fake = random_logits(21), random_logits(22)
    for of_player in (RELATIVISTIC.d, RELATIVISTIC.g):
        value = of_player(real=real, fake=fake)
        torch.testing.assert_close(of_player(real=real + 5, fake=fake + 5), value)
        assert not torch.isclose(of_player(real=real.roll(1), fake=fake), value)
    swapped = RELATIVISTIC.d(real=fake, fake=real)
    assert torch.equal(RELATIVISTIC.g(real=real, fake=fake), swapped), "G plays D's game with swapped sides"


@pytest.mark.parametrize("loss", ALL, ids=lambda loss: loss.name)
def test_a_loss_is_relative_where_g_cannot_do_without_real_logits(loss: GANLoss) -> None:
    try:
        loss.g(fake=torch.zeros(3))
    except ValueError:
        assert loss.relative
    else:
        assert not loss.relative


def test_the_zero_sum_generator_is_minimax_where_d_is_given() -> None:
    real, fake = random_logits(31), random_logits(32).requires_grad_()
    assert torch.equal(ZERO_SUM.g(real=real, fake=fake), -ZERO_SUM.d(real=real, fake=fake))
    slopes = [torch.autograd.grad(loss.g(real=real, fake=fake), fake)[0] for loss in (ZERO_SUM, MINIMAX)]
    assert torch.equal(*slopes)
    with pytest.raises(ValueError, match=r"real samples too, got none: pass real=D\(x\)"):
        ZERO_SUM.g(fake=fake)


def test_a_relativistic_generator_needs_real_logits() -> None:
    with pytest.raises(ValueError, match=r"real samples too, got none: pass real=D\(x\)"):
        RELATIVISTIC.g(fake=torch.zeros(3))
    for of_player in (RELATIVISTIC.d, RELATIVISTIC.g):
        with pytest.raises(ValueError, match="as many real as fake logits, got 2 and 3"):
            of_player(real=torch.zeros(2), fake=torch.zeros(3))


@pytest.mark.parametrize("loss", ALL, ids=lambda loss: loss.name)
@pytest.mark.parametrize(
    ("wrong", "got"),
    [
        (torch.zeros(3, 1), r"torch\.float32 \(3, 1\)"),
        (torch.tensor(0.5), r"torch\.float32 \(\)"),
        (torch.zeros(0), r"torch\.float32 \(0,\)"),
        (torch.ones(3, dtype=torch.int64), r"torch\.int64 \(3,\)"),
    ],
)
def test_what_are_no_logits_is_refused(loss: GANLoss, wrong: Tensor, got: str) -> None:
    good, message = (
        torch.zeros(3),
        r"expected floating logits \(N,\) for {}, N of at least 1, got {}; .*flatten",
    )
    with pytest.raises(ValueError, match=message.format("real", got)):
        loss.d(real=wrong, fake=good)
    with pytest.raises(ValueError, match=message.format("fake", got)):
        loss.d(real=good, fake=wrong)
    with pytest.raises(ValueError, match=message.format("fake", got)):
        loss.g(fake=wrong, real=good)
    with pytest.raises(ValueError, match=message.format("real", got)):
        loss.g(fake=good, real=wrong)


def test_a_list_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"expected a tensor of logits \(N,\) for real, got list"):
        HINGE.d(real=[1.0], fake=torch.zeros(1))  # type: ignore[arg-type]


# Planted bugs: each property holds for the loss of that name, and a wrong one of the same name violates it


def gradients(of_player: Callable[[Tensor, Tensor], Tensor], shift: float = 0) -> tuple[Tensor, Tensor]:
    real = (random_logits(23) + shift).requires_grad_()
    fake = (random_logits(24) + shift).requires_grad_()
    return torch.autograd.grad(of_player(real, fake), (real, fake), materialize_grads=True)


def of_d(loss: DLoss) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda real, fake: loss(real=real, fake=fake)


def of_g(loss: GLoss) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda real, fake: loss(fake=fake, real=real)


def is_zero_sum(loss: GANLoss) -> bool:
    return torch.allclose(gradients(of_d(loss.d))[1], -gradients(of_g(loss.g))[1])


def is_linear(loss: GANLoss) -> bool:
    """A Wasserstein critic is paid the same for every unit, wherever it stands."""
    slopes = torch.tensor([[-1.0], [1.0]], dtype=torch.float64) / 7
    return all(torch.allclose(torch.stack(gradients(of_d(loss.d), c)), slopes) for c in (-9, 0, 9))


def has_margin(loss: GANLoss) -> bool:
    beyond = torch.tensor([1.5, 9.0], dtype=torch.float64)
    return loss.d(real=beyond, fake=-beyond).item() == 0


def separates(loss: GANLoss) -> bool:
    """Near the middle D's loss falls with real and rises with fake logits, and G's loss falls with fakes."""
    real, fake = torch.full((2, 3), 0.5, dtype=torch.float64).requires_grad_()
    with torch.random.fork_rng():
        torch.manual_seed(0)  # of three noisy labels none is flipped
        on_real, on_fake = torch.autograd.grad(loss.d(real=real, fake=fake), (real, fake))
    (for_g,) = torch.autograd.grad(loss.g(fake=fake, real=real.detach()), fake)
    return bool((on_real < 0).all() and (on_fake > 0).all() and (for_g < 0).all())


PROPERTIES = [(is_zero_sum, MINIMAX), (is_linear, WASSERSTEIN), (has_margin, HINGE)]
PROPERTIES += [(separates, loss) for loss in ALL]
FLIPPED = [
    (
        separates,
        GANLoss(f"flipped {loss.name}", lambda *, real, fake, d=loss.d: d(real=fake, fake=real), loss.g),
    )
    for loss in (NON_SATURATING, LEAST_SQUARES, HINGE, WASSERSTEIN, RELATIVISTIC)
]
PLANTED = [
    (is_zero_sum, GANLoss("minimax that is non-saturating", log_loss_d, NON_SATURATING.g)),
    (is_linear, GANLoss("Wasserstein that is hinge", HINGE.d, HINGE.g)),
    (is_linear, GANLoss("Wasserstein through a sigmoid", log_loss_d, HINGE.g)),
    (has_margin, GANLoss("hinge that is Wasserstein", WASSERSTEIN.d, WASSERSTEIN.g)),
    (separates, GANLoss("G of the wrong sign", WASSERSTEIN.d, lambda *, fake, real=None: fake.mean())),
    *FLIPPED,
]


@pytest.mark.parametrize(("holds", "loss"), PROPERTIES, ids=lambda x: getattr(x, "name", None) or x.__name__)
def test_a_loss_is_what_its_name_says(holds: Callable[[GANLoss], bool], loss: GANLoss) -> None:
    assert holds(loss)


@pytest.mark.parametrize(("holds", "wrong"), PLANTED, ids=lambda x: getattr(x, "name", None) or x.__name__)
def test_a_planted_bug_is_caught(holds: Callable[[GANLoss], bool], wrong: GANLoss) -> None:
    assert not holds(wrong)
