"""Which modes and classes a generator covers, and how evenly. Taught in chapters 3 and 5."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from gancourse.checks import check_tensor, is_count, is_float
from gancourse.features import MNISTClassifier, extract
from gancourse.metrics.checks import checked_rows

# Samples whose distances to all modes are held at once.
CHUNK = 2**16
# What counts classes; wider unsigned integers cannot even be compared everywhere.
INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


class MixtureLike(Protocol):
    """Gaussians of one deviation about centers (K, D), with weights (K,) or, if None, evenly weighted."""

    @property
    def centers(self) -> Tensor: ...  # noqa: D102
    @property
    def std(self) -> float: ...  # noqa: D102
    @property
    def weights(self) -> Tensor | None: ...  # noqa: D102


@dataclass(frozen=True, eq=False)
class ModeReport:
    """What N samples tell of a mixture's K modes. `perfect_mode_report` is the same of a perfect sampler.

    modes: how many of the K have at least one sample within the threshold. high_quality: share of samples
    within the threshold of a mode. reverse_kl: KL(q || p) in nats, q the shares (K,) of all samples by their
    nearest mode, p the mixture's weights. std_ratio: deviation within the modes over the true one, 1 when
    exact, below 1 when modes have shrunk, NaN when no mode has two samples within the threshold.
    """

    n_samples: int
    n_modes: int
    modes: int
    high_quality: float
    reverse_kl: float
    std_ratio: float
    shares: Tensor


def _weights(mixture: MixtureLike) -> Tensor:
    n_modes = len(mixture.centers)
    weights = getattr(mixture, "weights", None)
    even = torch.full((n_modes,), 1 / n_modes, dtype=torch.float64)
    return even if weights is None else weights.detach().double().cpu() / weights.sum().item()


def _chi_square_cdf(x: float, dim: int) -> float:
    """Return P(X <= x) for X chi-square with dim degrees of freedom: 1 - exp(-x/2) for 2."""
    half = torch.tensor([dim / 2, x / 2], dtype=torch.float64)
    return float(torch.special.gammainc(half[0], half[1]))


def _truncation(threshold: float, dim: int) -> float:
    """Return the deviation of a unit Gaussian's coordinates within the threshold: .974 for 3 in 2-D."""
    inside = _chi_square_cdf(threshold**2, dim)
    return math.sqrt(_chi_square_cdf(threshold**2, dim + 2) / inside)


def reverse_kl_floor(n_modes: int, n_samples: int) -> float:
    """Return the expected KL(q || p), in nats, of N samples of p itself over K modes: (K - 1) / 2N."""
    return (n_modes - 1) / (2 * n_samples)


def _kl(q: Tensor, p: Tensor) -> float:
    return float((torch.special.xlogy(q, q) - torch.special.xlogy(q, p)).sum())


def _nearest(samples: Tensor, centers: Tensor) -> tuple[Tensor, Tensor]:
    found = [torch.cdist(chunk, centers).min(1) for chunk in samples.split(CHUNK)]
    return torch.cat([f.values for f in found]), torch.cat([f.indices for f in found])


def _std_within(samples: Tensor, mode: Tensor, n_modes: int) -> float:
    """Return the deviation of a coordinate about its mode's own mean, pooled over modes."""
    n, dim = torch.bincount(mode, minlength=n_modes), samples.shape[1]
    freedom = int((n - 1).clamp(min=0).sum()) * dim
    if freedom == 0:
        return math.nan
    sums = torch.zeros(n_modes, dim, dtype=samples.dtype).index_add_(0, mode, samples)
    means = sums / n.clamp(min=1)[:, None]
    return math.sqrt(float((samples - means[mode]).square().sum()) / freedom)


def mode_report(samples: Tensor, mixture: MixtureLike, *, threshold: float = 3.0) -> ModeReport:
    """Return which modes of a mixture the samples (N, D) cover, and how well.

    The protocol of PacGAN (Lin et al., 2018), table 1, with 2,500 samples: a sample has high quality within
    `threshold` deviations of its nearest mode. Exact centers would have quality 1: so the ratio of deviations
    stands beside it, of high-quality samples about their mode's mean, divided by what the cut at the
    threshold takes from a perfect sampler. Modes are taken to lie apart by more than twice the threshold.
    Raises ValueError for another shape, NaN, a threshold that is not positive.
    """
    centers = mixture.centers.detach().double().cpu()
    samples = checked_rows(samples, name="samples (N, D)").double().cpu()
    _check_threshold(threshold)
    if samples.shape[1] != centers.shape[1]:
        expected, got = (len(centers), centers.shape[1]), tuple(samples.shape)
        raise ValueError(f"expected samples (N, {expected[1]}) for centers {expected}, got {got}")
    distance, mode = _nearest(samples, centers)
    good = distance <= threshold * mixture.std
    shares = torch.bincount(mode, minlength=len(centers)).double() / len(mode)
    std = _std_within(samples[good], mode[good], len(centers)) / mixture.std
    return ModeReport(
        n_samples=len(samples),
        n_modes=len(centers),
        modes=len(mode[good].unique()),
        high_quality=good.double().mean().item(),
        reverse_kl=_kl(shares, _weights(mixture)),
        std_ratio=std / _truncation(threshold, samples.shape[1]),
        shares=shares,
    )


def _check_threshold(threshold: float) -> None:
    if not 0 < threshold < math.inf:
        raise ValueError(f"expected a positive threshold, in deviations, got {threshold}; 3 is usual")


def perfect_mode_report(mixture: MixtureLike, n_samples: int, *, threshold: float = 3.0) -> ModeReport:
    """Return what `mode_report` is expected to say of N samples of the mixture itself.

    High quality is the chi-square probability of threshold^2, in 2-D 1 - exp(-threshold^2 / 2), .9889 for 3:
    more is a sign of shrunk modes. The reverse KL is (K - 1) / 2N, to first order in 1/N. Raises ValueError
    for N < 1.
    """
    if not is_count(n_samples):
        raise ValueError(f"expected at least 1 sample, got {n_samples!r}; 2,500 are usual")
    _check_threshold(threshold)
    n_modes, dim = mixture.centers.shape
    return ModeReport(
        n_samples=n_samples,
        n_modes=n_modes,
        modes=n_modes,
        high_quality=_chi_square_cdf(threshold**2, dim),
        reverse_kl=reverse_kl_floor(n_modes, n_samples),
        std_ratio=1.0,
        shares=_weights(mixture),
    )


@dataclass(frozen=True)
class StackedReport:
    """How many of K stacked classes N samples cover; KL(q || uniform) in nats, and of perfect samples."""

    n_samples: int
    n_modes: int
    modes: int
    kl: float
    kl_floor: float


def class_histogram(classes: Tensor, n_classes: int = 10) -> Tensor:
    """Return the share (K,) of samples in each class, from class indices (N,) in 0..K - 1.

    Raises ValueError for another shape or dtype, classes out of range and fewer than 1 class.
    """
    if not is_count(n_classes):
        raise ValueError(f"expected at least 1 class, an integer, got {n_classes!r}")
    check_tensor("class indices", classes)
    if classes.ndim != 1 or len(classes) == 0:
        raise ValueError(f"expected class indices (N,), N of at least 1, got {tuple(classes.shape)}")
    if classes.dtype not in INTEGERS:
        got = f"{classes.dtype} {tuple(classes.shape)}"
        raise ValueError(f"expected integers in 0..{n_classes - 1}, got {got}; take the argmax of logits")
    if not 0 <= classes.min() <= classes.max() < n_classes:
        got = f"{classes.dtype} in {classes.min().item()}..{classes.max().item()}"
        raise ValueError(f"expected integers in 0..{n_classes - 1}, got {got}; take the argmax of logits")
    return torch.bincount(classes.cpu(), minlength=n_classes).double() / len(classes)


def stacked_report(classes: Tensor, n_modes: int = 1000) -> StackedReport:
    """Return the modes covered by stacked classes (N,) in 0..K - 1, and their KL against uniform in nats.

    The protocol of PacGAN (Lin et al., 2018) on stacked MNIST: 26,000 samples; perfect ones have a KL of
    .0192. Print the real data's own KL beside it: the classifier errs too. Raises ValueError for classes out
    of range or of another shape.
    """
    shares, n = class_histogram(classes, n_modes), len(classes)
    kl = _kl(shares, torch.full_like(shares, 1 / n_modes))
    return StackedReport(n, n_modes, int((shares > 0).sum()), kl, reverse_kl_floor(n_modes, n))


def stacked_classes(images: Tensor, classifier: MNISTClassifier) -> Tensor:
    """Return the classes (N,) 100 r + 10 g + b of stacked digits (N, 3, 28, 28), a digit in each channel.

    Images are uint8 in [0, 255] or float in [-1, 1]. Raises ValueError for another range or shape.
    """
    check_tensor("stacked digits", images)
    if images.ndim != 4 or images.shape[1:] != (3, 28, 28):
        raise ValueError(f"expected stacked digits (N, 3, 28, 28), got {tuple(images.shape)}")
    _, digits = extract(classifier, images.reshape(-1, 1, 28, 28))
    return (digits.view(-1, 3) * digits.new_tensor([100, 10, 1])).sum(1)


def collapse_alarms(shares: Tensor, *, at_most: float = 0.5) -> tuple[str, ...]:
    """Return a sentence for each class of shares (K,) that is missing or above `at_most`; () if all is well.

    For data whose classes are about as frequent as each other. Raises ValueError for shares
    that are negative, not finite or do not add up to 1.
    """
    check_tensor("shares", shares)
    if shares.ndim != 1 or len(shares) == 0 or not is_float(shares):
        got = f"{tuple(shares.shape)}; see class_histogram" if is_float(shares) else shares.dtype
        raise ValueError(f"expected shares (K,), got {got}")
    if not ((shares >= 0).all() and abs(shares.sum().item() - 1) < 1e-4):
        raise ValueError(
            f"expected shares that add up to 1, got {shares.sum().item():g}; see class_histogram"
        )
    found = list(enumerate(shares.tolist()))
    missing = [f"class {k} is missing" for k, share in found if share == 0]
    large = [
        f"class {k} has {s:.0%} of the samples, more than {at_most:.0%}" for k, s in found if s > at_most
    ]
    return (*missing, *large)
