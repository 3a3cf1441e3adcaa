"""Adversarial losses on logits, each written as its equation. Taught in chapters 1, 2, 4 and 5.

D returns logits: D(x) = sigmoid(logit) is the probability that x is real. Working in logits keeps every
loss finite: -log sigmoid(a) = softplus(-a), -log(1 - sigmoid(a)) = softplus(a).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch.nn.functional as F
from torch import Tensor


class DLoss(Protocol):
    """The discriminator's loss: logits on real (N,) and on fake (N,) samples to a scalar to minimize."""

    def __call__(self, *, real: Tensor, fake: Tensor) -> Tensor:
        """Map logits to the loss."""


class GLoss(Protocol):
    """The generator's loss: logits on fake (N,) and, for relative losses, real (N,) samples to a scalar."""

    def __call__(self, *, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """Map logits to the loss."""


@dataclass(frozen=True)
class GANLoss:
    """A pair of losses that D and G minimize in turn; `name` is what figures and checkpoints call it."""

    name: str
    d: DLoss
    g: GLoss


def log_loss_d(*, real: Tensor, fake: Tensor) -> Tensor:
    """-E log D(x) - E log(1 - D(G(z))): binary cross-entropy, summed over the two terms, not averaged."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def minimax_g(*, fake: Tensor, real: Tensor | None = None) -> Tensor:
    """E log(1 - D(G(z))), Goodfellow et al. (2014), eq. 1: saturates where D(G(z)) is near 0. Seldom used."""
    return -F.softplus(fake).mean()


def non_saturating_g(*, fake: Tensor, real: Tensor | None = None) -> Tensor:
    """-E log D(G(z)), Goodfellow et al. (2014), section 3: same fixed point as minimax, other gradient."""
    return F.softplus(-fake).mean()


MINIMAX = GANLoss("minimax", log_loss_d, minimax_g)
NON_SATURATING = GANLoss("non-saturating", log_loss_d, non_saturating_g)


def smooth_real_labels(loss: GANLoss, target: float = 0.9) -> GANLoss:
    """Return a log loss whose D aims at `target` instead of 1 on real samples; fakes keep their 0.

    One-sided label smoothing, Salimans et al. (2016): -t log D(x) - (1 - t) log(1 - D(x)) on real samples.
    The optimum becomes D* = t p_data / (p_data + p_g). Smoothing fakes too would put p_g in the numerator
    and pull G towards its own samples. Raises ValueError unless 0.5 < target <= 1 and `loss` is a log loss.
    """
    if not 0.5 < target <= 1.0:
        raise ValueError(f"expected a target in (0.5, 1], got {target}; 0.9 is the usual choice")
    if loss.d is not log_loss_d:
        raise ValueError(
            f"expected a log loss (minimax, non-saturating), which label smoothing needs, got {loss.name}"
        )

    def smoothed_d(*, real: Tensor, fake: Tensor) -> Tensor:
        on_real = target * F.softplus(-real) + (1 - target) * F.softplus(real)
        return on_real.mean() + F.softplus(fake).mean()

    return GANLoss(f"{loss.name}, real labels {target:g}", smoothed_d, loss.g)
