"""Adversarial losses on logits, each written as its equation. Taught in chapters 1, 2, 4 and 5.

D returns logits. For the log losses D(x) = sigmoid(logit) is the probability that x is real; working in
logits keeps them finite: -log sigmoid(a) = softplus(-a), -log(1 - sigmoid(a)) = softplus(a). The other
losses read the logit itself as the score D(x), without a sigmoid.

Below, p is the density of the data, q that of G's samples, and D* the D that minimizes D's loss for a fixed
G. Every loss raises ValueError unless its logits are floating and (N,), N of at least 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import wraps
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from gancourse.checks import is_float
from gancourse.penalties import uniform


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
    """A pair of losses that D and G minimize in turn; `name` is what figures and checkpoints call it.

    `relative` says that G's loss reads logits on real samples too, as many as fake ones.
    """

    name: str
    d: DLoss
    g: GLoss
    relative: bool = False


def _check_logits(whose: str, logits: object) -> None:
    """Look at type, shape and dtype only: to look at a value would make the GPU wait."""
    if not isinstance(logits, Tensor):
        raise ValueError(f"expected a tensor of logits (N,) for {whose}, got {type(logits).__name__}")
    if logits.ndim != 1 or len(logits) == 0 or not is_float(logits):
        raise ValueError(
            f"expected floating logits (N,) for {whose}, N of at least 1, got {logits.dtype} "
            f"{tuple(logits.shape)}; D returns one number a sample, without a sigmoid: end it in .flatten()"
        )


def _of_d(loss: DLoss) -> DLoss:
    @wraps(loss)
    def checked(*, real: Tensor, fake: Tensor) -> Tensor:
        _check_logits("real", real)
        _check_logits("fake", fake)
        return loss(real=real, fake=fake)

    return checked


def _of_g(loss: GLoss) -> GLoss:
    @wraps(loss)
    def checked(*, fake: Tensor, real: Tensor | None = None) -> Tensor:
        _check_logits("fake", fake)
        if real is not None:
            _check_logits("real", real)
        return loss(fake=fake, real=real)

    return checked


def _present(real: Tensor | None) -> Tensor:
    if real is None:
        raise ValueError(
            "expected D's logits on real samples too, got none: pass real=D(x); this loss of G reads both"
        )
    return real


@_of_d
def log_loss_d(*, real: Tensor, fake: Tensor) -> Tensor:
    """-E log D(x) - E log(1 - D(G(z))): binary cross-entropy, summed over the two terms, not averaged.

    D* = p / (p + q); there the loss is 2 log 2 - 2 JSD(p, q).
    """
    return F.softplus(-real).mean() + F.softplus(fake).mean()


@_of_g
def minimax_g(*, fake: Tensor, real: Tensor | None = None) -> Tensor:
    """E log(1 - D(G(z))), Goodfellow et al. (2014), eq. 1: saturates where D(G(z)) is near 0. Seldom used."""
    return -F.softplus(fake).mean()


@_of_g
def zero_sum_g(*, fake: Tensor, real: Tensor | None = None) -> Tensor:
    """E log D(x) + E log(1 - D(G(z))), minus D's whole loss: what G minimizes against an unrolled D.

    Metz et al. (2017). Where D is given, the first term is constant and `minimax_g` has the same
    gradient. An unrolled D depends on G. Where it is nearly optimal, foreseeing it changes the gradient of
    this loss little, since D's loss is flat there; a loss that is not D's own G can lower by misleading D.
    Raises ValueError without `real`.
    """
    return -log_loss_d(real=_present(real), fake=fake)


@_of_g
def non_saturating_g(*, fake: Tensor, real: Tensor | None = None) -> Tensor:
    """-E log D(G(z)), Goodfellow et al. (2014), section 3: same fixed point as minimax, other gradient."""
    return F.softplus(-fake).mean()


@_of_d
def least_squares_d(*, real: Tensor, fake: Tensor) -> Tensor:
    """E (D(x) - 1)^2 / 2 + E D(G(z))^2 / 2, Mao et al. (2017), eq. 9: a = 0 for fakes, b = 1 for real.

    Both terms carry the paper's 1/2. Not the Brier score: D is a logit, without a sigmoid, so that a fake far
    on the real side still gets a gradient. D* = p / (p + q), itself and not its sigmoid.
    """
    return (real - 1).square().mean() / 2 + fake.square().mean() / 2


@_of_g
def least_squares_g(*, fake: Tensor, real: Tensor | None = None) -> Tensor:
    """E (D(G(z)) - 1)^2 / 2, Mao et al. (2017), eq. 9: c = 1, with the paper's 1/2.

    At D* it is the integral of q^3 / (p + q)^2, halved: an f-divergence plus 1/8, least at q = p. Not the
    Pearson divergence of the paper's eq. 8, which needs c in the middle: (a, b, c) = (-1, 1, 0).
    """
    return (fake - 1).square().mean() / 2


@_of_d
def hinge_d(*, real: Tensor, fake: Tensor) -> Tensor:
    """E max(0, 1 - D(x)) + E max(0, 1 + D(G(z))), Lim and Ye (2017); Miyato et al. (2018), eq. 16.

    Not Wasserstein: a sample beyond its margin of 1 gives D no gradient. D* = sign(p - q); there the loss is
    2 - 2 TV(p, q), with the total variation TV between 0 and 1.
    """
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


@_of_d
def wasserstein_d(*, real: Tensor, fake: Tensor) -> Tensor:
    """E D(G(z)) - E D(x), Arjovsky et al. (2017), eq. 2, negated to be minimized.

    Not hinge: unbounded below, so it needs a D that is 1-Lipschitz, by clipping, a gradient penalty or
    spectral normalization. Among those its minimum is minus the distance W1(p, q). D is no probability.
    """
    return fake.mean() - real.mean()


@_of_g
def linear_g(*, fake: Tensor, real: Tensor | None = None) -> Tensor:
    """-E D(G(z)): G's loss against a hinge D and against a Wasserstein critic. It has no margin."""
    return -fake.mean()


def _differences(real: Tensor | None, fake: Tensor) -> Tensor:
    real = _present(real)
    if len(real) != len(fake):
        raise ValueError(f"expected pairs, as many real as fake logits, got {len(real)} and {len(fake)}")
    return real - fake


@_of_d
def relativistic_d(*, real: Tensor, fake: Tensor) -> Tensor:
    """-E log sigmoid(D(x) - D(G(z))) over pairs, RpGAN: Jolicoeur-Martineau (2019), Huang et al. (2024).

    Not the averaged variant RaGAN, which compares with the mean logit of the other side. D* = log(p / q) + c
    for any c; there the loss is log 2 - JSD(p x q, q x p). Raises ValueError for unequal lengths.
    """
    return F.softplus(-_differences(real, fake)).mean()


@_of_g
def relativistic_g(*, fake: Tensor, real: Tensor | None = None) -> Tensor:
    """-E log sigmoid(D(G(z)) - D(x)) over pairs, RpGAN: the non-saturating form, not minus D's loss.

    Raises ValueError without `real` and for unequal lengths.
    """
    return F.softplus(_differences(real, fake)).mean()


MINIMAX = GANLoss("minimax", log_loss_d, minimax_g)
ZERO_SUM = GANLoss("zero-sum", log_loss_d, zero_sum_g, relative=True)
NON_SATURATING = GANLoss("non-saturating", log_loss_d, non_saturating_g)
LEAST_SQUARES = GANLoss("least squares", least_squares_d, least_squares_g)
HINGE = GANLoss("hinge", hinge_d, linear_g)
WASSERSTEIN = GANLoss("Wasserstein", wasserstein_d, linear_g)
RELATIVISTIC = GANLoss("relativistic", relativistic_d, relativistic_g, relative=True)


def _check_log_loss(loss: GANLoss, what: str) -> None:
    if loss.d is not log_loss_d:
        raise ValueError(
            f"expected a log loss (minimax, non-saturating), which {what} needs, got {loss.name}"
        )


def smooth_real_labels(loss: GANLoss, target: float = 0.9) -> GANLoss:
    """Return a log loss whose D aims at `target` instead of 1 on real samples; fakes keep their 0.

    One-sided label smoothing, Salimans et al. (2016): -t log D(x) - (1 - t) log(1 - D(x)) on real samples.
    The optimum becomes D* = t p_data / (p_data + p_g). Smoothing fakes too would put p_g in the numerator
    and pull G towards its own samples. Raises ValueError unless 0.5 < target <= 1 and `loss` is a log loss.
    """
    if not 0.5 < target <= 1.0:
        raise ValueError(f"expected a target in (0.5, 1], got {target}; 0.9 is the usual choice")
    _check_log_loss(loss, "label smoothing")

    @_of_d
    def smoothed_d(*, real: Tensor, fake: Tensor) -> Tensor:
        on_real = target * F.softplus(-real) + (1 - target) * F.softplus(real)
        return on_real.mean() + F.softplus(fake).mean()

    return GANLoss(f"{loss.name}, real labels {target:g}", smoothed_d, loss.g)


def noisy_labels(loss: GANLoss, flip: float = 0.05, generator: torch.Generator | None = None) -> GANLoss:
    """Return a log loss whose D is told, with probability `flip`, that a real sample is fake; G's stays.

    Each real label is drawn anew in every call, from `generator` or torch's global one, so that the mean over
    the draws is one-sided smoothing with target 1 - flip, and D* = (1 - flip) p_data / (p_data + p_g). Fakes
    keep their 0: flipping them too, as the recipe is often given, would put p_g in the numerator, the reason
    of Salimans et al. (2016) against two-sided smoothing. Raises ValueError unless 0 <= flip < 0.5 and `loss`
    is a log loss.
    """
    if not 0 <= flip < 0.5:
        raise ValueError(f"expected flip in [0, 0.5), a probability, got {flip}; 0.05 is the usual choice")
    _check_log_loss(loss, "label noise")

    @_of_d
    def noisy_d(*, real: Tensor, fake: Tensor) -> Tensor:
        flipped = uniform(len(real), generator=generator, device=real.device) < flip
        return F.softplus(torch.where(flipped, real, -real)).mean() + F.softplus(fake).mean()

    return GANLoss(f"{loss.name}, real labels flipped {flip:g}", noisy_d, loss.g)
