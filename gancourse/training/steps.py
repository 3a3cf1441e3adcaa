"""One step of D and one step of G: Algorithm 1 of Goodfellow et al. (2014), as chapters 1 and 5 show it.

Whatever makes training fast or durable wraps these two functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gancourse.losses import GANLoss

Penalty = Callable[[nn.Module, Tensor, Tensor], Tensor]


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
    penalty: Penalty | None = None,
) -> DStep:
    """Descend D's loss once on real (N, C, H, W) and on G(z), z (N, Z). G's parameters are left alone."""
    with torch.no_grad():  # the fakes are data here: no gradient reaches G
        fake = G(z)
    on_real, on_fake = D(real), D(fake)
    value = loss.d(real=on_real, fake=on_fake)
    if penalty is not None:
        value = value + penalty(D, real, fake)
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    return DStep(value.detach(), on_real.detach().sigmoid().mean(), on_fake.detach().sigmoid().mean())


def g_step(
    G: nn.Module,
    D: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    z: Tensor,
    loss: GANLoss,
    real: Tensor | None = None,
) -> GStep:
    """Descend G's loss once on G(z), z (N, Z). D's parameters are left alone. Relative losses need `real`."""
    with frozen(D):  # the gradient passes through D, none is stored in it
        on_fake = D(G(z))
        on_real = None if real is None else D(real)
        value = loss.g(fake=on_fake, real=on_real)
        optimizer.zero_grad()
        value.backward()
    optimizer.step()
    return GStep(value.detach(), on_fake.detach().sigmoid().mean())


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
