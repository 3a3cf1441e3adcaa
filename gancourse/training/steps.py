"""One step of D and one step of G: Algorithm 1 of Goodfellow et al. (2014), as chapters 1 and 5 show it.

Whatever makes training fast or durable wraps these two functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gancourse.losses import GANLoss
from gancourse.penalties import Critic

Penalty = Callable[[Critic, Tensor, Tensor], Tensor]  # critic, real, fake to a scalar


class DStep(NamedTuple):
    """What a step of D saw: its loss, and the mean of D(x) and D(G(z)) before the update (scalars)."""

    loss: Tensor
    d_real: Tensor
    d_fake: Tensor


class GStep(NamedTuple):
    """What a step of G saw: its loss, and the mean of D(G(z)) before the update (scalars)."""

    loss: Tensor
    d_fake: Tensor


def d_step(
    G: nn.Module,
    D: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    real: Tensor,
    z: Tensor,
    loss: GANLoss,
    y: Tensor | None = None,
    penalty: Penalty | None = None,
) -> DStep:
    """Descend D's loss once on real (N, C, H, W) and on G(z), z (N, Z). G's parameters are left alone.

    Conditional nets get the labels y (N,) of the real batch, for both kinds of samples.
    """
    critic = given(D, y)
    with torch.no_grad():  # the fakes are data here: no gradient reaches G
        fake = given(G, y)(z)
    on_real, on_fake = critic(real), critic(fake)
    value = loss.d(real=on_real, fake=on_fake)
    if penalty is not None:
        value = value + penalty(critic, real, fake)
    optimizer.zero_grad()
    _total(value, on_fake).backward()
    optimizer.step()
    return DStep(value.detach(), on_real.detach().sigmoid().mean(-1), on_fake.detach().sigmoid().mean(-1))


def g_step(
    G: nn.Module,
    D: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    z: Tensor,
    loss: GANLoss,
    y: Tensor | None = None,
    real: Tensor | None = None,
    penalty: Penalty | None = None,
    look_ahead: Callable[[Tensor], Critic] | None = None,
) -> GStep:
    """Descend G's loss once on G(z), z (N, Z), with labels y (N,). D's parameters are left alone.

    Relative losses and penalties such as feature matching need `real`. `look_ahead` maps the fake samples to
    the critic that judges them, in place of D: the unrolled D of chapter 3.
    """
    with frozen(D):  # the gradient passes through D, none is stored in it
        fake = given(G, y)(z)
        critic = given(D, y) if look_ahead is None else look_ahead(fake)
        on_fake = critic(fake)
        value = loss.g(fake=on_fake, real=None if real is None else critic(real))
        if penalty is not None:
            value = value + penalty(critic, _present(real), fake)
        optimizer.zero_grad()
        _total(value, on_fake).backward()
    optimizer.step()
    return GStep(value.detach(), on_fake.detach().sigmoid().mean(-1))


def _total(value: Tensor, logits: Tensor) -> Tensor:
    """Return a loss; of the losses (S,) of S seeds trained together, logits (S, N), the sum.

    The sum, not the mean: each seed's gradient is then what it is alone.
    """
    if value.numel() != math.prod(logits.shape[:-1]):
        raise ValueError(
            f"expected a loss, and its penalty, of one number, got {tuple(value.shape)}; take the mean over "
            "the batch"
        )
    return value.sum()


def _present(real: Tensor | None) -> Tensor:
    if real is None:
        raise ValueError("expected real samples beside a penalty of G, got none; pass real=")
    return real


class _Given(nn.Module):
    def __init__(self, net: nn.Module, y: Tensor) -> None:
        super().__init__()
        self.net, self.y = net, y

    def forward(self, samples: Tensor) -> Tensor:
        out: Tensor = self.net(samples, self.y)
        return out


def given(net: nn.Module, y: Tensor | None) -> nn.Module:
    """Return the net as a function of its samples alone: the labels y (N,), if any, are filled in."""
    return net if y is None else _Given(net, y)


@contextmanager
def frozen(net: nn.Module) -> Iterator[None]:
    """Keep a module's parameters from collecting gradients inside the block."""
    before = [p.requires_grad for p in net.parameters()]
    net.requires_grad_(False)
    try:
        yield
    finally:
        for parameter, required in zip(net.parameters(), before, strict=True):
            parameter.requires_grad_(required)
