"""The log losses: closed forms, gradients, and what they refuse."""

import math

import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import minimize_scalar
from torch import Tensor

from gancourse.losses import MINIMAX, NON_SATURATING, GANLoss, log_loss_d, minimax_g, smooth_real_labels

SMOOTHED = smooth_real_labels(NON_SATURATING, 0.9)
ALL = [MINIMAX, NON_SATURATING, SMOOTHED]


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
    for value in (loss.d(real=real, fake=fake), loss.g(fake=fake)):
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
    assert len({loss.name for loss in losses}) == len(losses)
