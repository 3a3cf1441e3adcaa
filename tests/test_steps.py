"""One step of each player: what it changes, what it must not touch, and that a slip would be noticed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tiny import images, nets, same_bits, state
from torch import Tensor, nn

from gancourse.data import to_unit
from gancourse.losses import MINIMAX, NON_SATURATING, GANLoss, smooth_real_labels
from gancourse.training import DStep, GStep, d_step, frozen, g_step

REAL = to_unit(images(6).images)
LOSS = smooth_real_labels(NON_SATURATING)
Optimizer = torch.optim.Optimizer
Make = Callable[[nn.Module], Optimizer]
OPTIMIZERS: dict[str, Make] = {
    "SGD": lambda net: torch.optim.SGD(net.parameters(), 0.05),
    "Adam": lambda net: torch.optim.Adam(net.parameters(), 2e-3, (0.5, 0.999)),
}


def noise(seed: int, n: int = 6) -> Tensor:
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(seed))


def weights(net: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in net.named_parameters()}


# The checks. The planted slips below go through the same ones.


def check_d_step_leaves_g_alone(step: Callable[..., DStep]) -> None:
    """Assert that D moves, and neither G's parameters nor the gradients that lie in them."""
    G, D = nets()
    opt_g, opt_d = (OPTIMIZERS["SGD"](net) for net in (G, D))
    g_step(G, D, opt_g, z=noise(0), loss=LOSS)  # leaves gradients in G
    g_before, d_before = weights(G), weights(D)
    gradients = [None if p.grad is None else p.grad.clone() for p in G.parameters()]
    assert all(gradient is not None for gradient in gradients)
    step(G, D, opt_d, real=REAL, z=noise(1), loss=LOSS)
    assert same_bits(weights(G), g_before), "D's step moved G"
    for p, before in zip(G.parameters(), gradients, strict=True):
        assert p.grad is not None
        assert before is not None
        assert torch.equal(p.grad, before), "D's step left a gradient in G"
    assert not any(torch.equal(p, d_before[name]) for name, p in D.named_parameters()), "D stood still"


def check_g_step_leaves_d_alone(step: Callable[..., GStep]) -> None:
    """Assert that G moves, and D neither moves nor collects gradients nor stays frozen."""
    G, D = nets()
    g_before, d_before = weights(G), weights(D)
    step(G, D, OPTIMIZERS["SGD"](G), z=noise(1), loss=LOSS)
    assert same_bits(weights(D), d_before), "G's step moved D"
    assert all(p.grad is None for p in D.parameters()), "D collected gradients in G's step"
    assert all(p.requires_grad for p in D.parameters()), "D stayed frozen"
    assert not any(torch.equal(p, g_before[name]) for name, p in G.named_parameters()), "G stood still"


def check_steps_equal_the_written_out_loop(
    take_d: Callable[..., DStep], take_g: Callable[..., GStep], make: Make, loss: GANLoss
) -> None:
    """Assert that three rounds of both steps move the nets as Algorithm 1, written out, does."""
    G, D = nets()
    opt_g, opt_d = make(G), make(D)
    by_hand = written_out(make, loss, rounds=3)
    for i in range(3):
        take_d(G, D, opt_d, real=REAL, z=noise(2 * i), loss=loss)
        take_g(G, D, opt_g, z=noise(2 * i + 1), loss=loss)
    for ours, theirs in zip((G, D), by_hand, strict=True):
        torch.testing.assert_close(state(ours), state(theirs), rtol=1e-5, atol=1e-7)


def written_out(make: Make, loss: GANLoss, rounds: int) -> tuple[nn.Module, nn.Module]:
    """Train as a tutorial would, with `detach` and no frozen net."""
    G, D = nets()
    opt_g, opt_d = make(G), make(D)
    for i in range(rounds):
        fake = G(noise(2 * i)).detach()
        value = loss.d(real=D(REAL), fake=D(fake))
        opt_d.zero_grad()
        value.backward()
        opt_d.step()
        value = loss.g(fake=D(G(noise(2 * i + 1))))
        opt_g.zero_grad()
        value.backward()
        opt_g.step()
    return G, D


def test_d_step_leaves_g_alone() -> None:
    check_d_step_leaves_g_alone(d_step)


def test_g_step_leaves_d_alone() -> None:
    check_g_step_leaves_d_alone(g_step)


@pytest.mark.parametrize("loss", [LOSS, NON_SATURATING, MINIMAX], ids=lambda loss: loss.name)
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_steps_equal_the_written_out_loop(make: Make, loss: GANLoss) -> None:
    check_steps_equal_the_written_out_loop(d_step, g_step, make, loss)


# Planted slips: each is what a reader might write, and each is caught by the check named.


def d_step_into_g(
    G: nn.Module, D: nn.Module, optimizer: Optimizer, *, real: Tensor, z: Tensor, loss: GANLoss
) -> DStep:
    """Forget to cut the gradient between D's loss and G."""
    value = loss.d(real=D(real), fake=D(G(z)))
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    return DStep(value, value, value)


def d_step_flipped(
    G: nn.Module, D: nn.Module, optimizer: Optimizer, *, real: Tensor, z: Tensor, loss: GANLoss
) -> DStep:
    """Take real samples for fake ones and the other way round."""
    flipped = GANLoss("flipped", lambda *, real, fake: loss.d(real=fake, fake=real), loss.g)
    return d_step(G, D, optimizer, real=real, z=z, loss=flipped)


def d_step_adding_up(
    G: nn.Module, D: nn.Module, optimizer: Optimizer, *, real: Tensor, z: Tensor, loss: GANLoss
) -> DStep:
    """Forget to clear the gradients of the step before."""
    kept = [None if p.grad is None else p.grad.clone() for p in D.parameters()]
    with torch.no_grad():
        fake = G(z)
    value = loss.d(real=D(real), fake=D(fake))
    optimizer.zero_grad()
    for p, gradient in zip(D.parameters(), kept, strict=True):
        p.grad = gradient
    value.backward()
    optimizer.step()
    return DStep(value, value, value)


def g_step_into_d(G: nn.Module, D: nn.Module, optimizer: Optimizer, *, z: Tensor, loss: GANLoss) -> GStep:
    """Let D collect gradients."""
    value = loss.g(fake=D(G(z)))
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    return GStep(value, value)


def g_step_frozen_for_good(
    G: nn.Module, D: nn.Module, optimizer: Optimizer, *, z: Tensor, loss: GANLoss
) -> GStep:
    """Freeze D and forget to thaw it."""
    D.requires_grad_(False)
    return g_step(G, D, optimizer, z=z, loss=loss)


def g_step_cut(G: nn.Module, D: nn.Module, optimizer: Optimizer, *, z: Tensor, loss: GANLoss) -> GStep:
    """Cut the gradient between D and G in G's step too."""
    with torch.no_grad():
        fake = G(z)
    value = loss.g(fake=D(fake.requires_grad_()))
    value.backward()
    optimizer.step()
    return GStep(value, value)


def test_a_d_step_that_reaches_g_is_caught() -> None:
    with pytest.raises(AssertionError, match="left a gradient in G"):
        check_d_step_leaves_g_alone(d_step_into_g)


@pytest.mark.parametrize(
    ("slip", "message"),
    [
        (g_step_into_d, "D collected gradients"),
        (g_step_frozen_for_good, "D stayed frozen"),
        (g_step_cut, "D collected gradients|G stood still"),
    ],
)
def test_a_g_step_that_reaches_d_is_caught(slip: Callable[..., GStep], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_g_step_leaves_d_alone(slip)


@pytest.mark.parametrize("slip", [d_step_flipped, d_step_adding_up])
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_another_direction_is_caught(slip: Callable[..., DStep], make: Make) -> None:
    with pytest.raises(AssertionError, match="not close"):
        check_steps_equal_the_written_out_loop(slip, g_step, make, LOSS)


# What the steps report, and the parts


def test_steps_report_what_d_thought_before_the_update() -> None:
    G, D = nets()
    D.eval()
    G.eval()
    fake = G(noise(1))
    expected = DStep(LOSS.d(real=D(REAL), fake=D(fake)), D(REAL).sigmoid().mean(), D(fake).sigmoid().mean())
    found = d_step(G, D, OPTIMIZERS["SGD"](D), real=REAL, z=noise(1), loss=LOSS)
    torch.testing.assert_close(tuple(found), tuple(value.detach() for value in expected))
    of_g = LOSS.g(fake=D(G(noise(2)))), D(G(noise(2))).sigmoid().mean()
    seen = g_step(G, D, OPTIMIZERS["SGD"](G), z=noise(2), loss=LOSS)
    torch.testing.assert_close(tuple(seen), tuple(value.detach() for value in of_g))
    assert not any(value.requires_grad for value in (*found, *seen)), "a report keeps the graph alive"


def test_each_player_gains_from_its_own_step() -> None:
    G, D = nets()
    before = d_step(G, D, OPTIMIZERS["SGD"](D), real=REAL, z=noise(1), loss=LOSS)
    with torch.no_grad():
        after = LOSS.d(real=D(REAL), fake=D(G(noise(1))))
    assert after < before.loss
    of_g = g_step(G, D, OPTIMIZERS["SGD"](G), z=noise(2), loss=LOSS)
    with torch.no_grad():
        assert LOSS.g(fake=D(G(noise(2)))) < of_g.loss


def test_a_penalty_is_added_to_the_discriminators_loss() -> None:
    def weight_decay(critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
        assert real.shape == fake.shape
        return 3 * torch.stack([p.square().sum() for p in critic.parameters()]).sum()

    G, D = nets()
    size = sum(p.square().sum().item() for p in D.parameters())
    plain = d_step(*nets(), OPTIMIZERS["SGD"](nets()[1]), real=REAL, z=noise(1), loss=LOSS)
    found = d_step(G, D, OPTIMIZERS["SGD"](D), real=REAL, z=noise(1), loss=LOSS, penalty=weight_decay)
    assert found.loss.item() == pytest.approx(plain.loss.item() + 3 * size, rel=1e-5)


def test_a_relative_loss_sees_the_real_samples_in_the_generators_step() -> None:
    seen: list[Tensor | None] = []

    def relative_g(*, fake: Tensor, real: Tensor | None = None) -> Tensor:
        seen.append(real)
        return fake.mean() if real is None else (fake - real).mean()

    G, D = nets()
    loss = GANLoss("relative", LOSS.d, relative_g)
    g_step(G, D, OPTIMIZERS["SGD"](G), z=noise(1), loss=loss, real=REAL)
    g_step(G, D, OPTIMIZERS["SGD"](G), z=noise(1), loss=loss)
    assert isinstance(seen[0], Tensor)
    assert seen[0].shape == (6,)
    assert seen[1] is None


def test_frozen_restores_each_parameter_as_it_was_even_after_an_error() -> None:
    _, D = nets()
    first = next(D.parameters())
    first.requires_grad_(False)
    during: list[bool] = []

    def fail() -> None:
        with frozen(D):
            during.extend(p.requires_grad for p in D.parameters())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert during
    assert not any(during)
    assert [p.requires_grad for p in D.parameters()] == [p is not first for p in D.parameters()]
