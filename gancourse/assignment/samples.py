"""The check of a trained generator: what it draws, how varied it is, how far from real digits."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from gancourse.assignment.guard import Clock, own_copy, plain
from gancourse.assignment.judge import ask, judged
from gancourse.assignment.networks import LATENT_DIM, SIZE, evaluated
from gancourse.assignment.report import Report, Rule, Sheet
from gancourse.features import classifier_hash, extract, mnist_classifier
from gancourse.metrics import FeatureStats, class_histogram, frechet_distance
from gancourse.notebook import Profile
from gancourse.notebook import profile as profile_of
from gancourse.published import WeightsError

N = 1000
STATISTICS = Path(__file__).parent / "digits.safetensors"


@dataclass(frozen=True)
class Bounds:
    """What a profile asks for: at least a share of each class, `but` of so many; an FD at most."""

    share: float
    but: int
    distance: float


# Measured at widths of 16 and 32: after 500 steps FD is 54 to 76 and the rarest class has 1.2 to 3.6 %, after
# 300 steps 95 to 120 and 0 to 1 %, before training 450 and more and 0 %. With a D of two strided layers it is
# 76 and 95 after 500 steps, with .8 and 0 %. Chapter 5's net has 6.3 and 7.4 %
# after 50 epochs, and is below FD 20 after about 10. For 1,000 real digits FD is 1.0.
BOUNDS: dict[Profile, Bounds] = {"quick": Bounds(0.003, 1, 100.0), "full": Bounds(0.01, 0, 20.0)}
# Squared distance of the median image from real digits, in their covariance, a feature: real ones have 1,
# 50 epochs 1.2, 500 steps 2.1 to 2.9, inverted digits 9, G before training 21 and more, noise 30.
UNLIKE = 6.0
# Distance of an image to its nearest neighbor, the median in a class, in pixel values: real ones have 0.19
# (ones) to 0.45, 50 epochs 0.25 to 0.48, one z again and again 0.
APART = 0.1
FEWEST = 20  # images of a class from which on a median is worth looking at

SAMPLES = (
    Rule("images", 2, "1,000 images (1, 28, 28) in [-1, 1]", 'chapter 5, "The range of the output"'),
    Rule("digits", 2, "images that resemble digits", 'chapter 5, "Training"'),
    Rule("variety", 2, "another image for another z, in each class", 'chapter 3, "On digits"'),
    Rule("classes", 2, "all ten classes, none too rare", 'chapter 3, "On digits"'),
    Rule("distance", 2, "a small FD", 'chapter 5, "Is it any good? A distance between sets of images"'),
)


def check_samples(G: Any, profile: Profile | None = None) -> Report:
    """Check a trained generator, z (N, 100) to images (N, 1, 28, 28) in [-1, 1], by 1,000 samples.

    Class coverage and Fréchet distance from the 10,000 test digits are to keep the bounds of the profile,
    "quick" or "full", by default the notebook's. A rule builds on those before it, and is not reached without
    them. `G` is left as it was. Taught in chapter 5. Ten points, printed rule by rule.
    """
    return judged("check_samples", SAMPLES, lambda sheet, clock: _samples(sheet, clock, G, profile), G)


def _samples(sheet: Sheet, clock: Clock, given: Any, profile: Profile | None) -> None:
    images = _images(sheet, clock, given)
    if images is None:
        return
    bounds = BOUNDS[_profile(profile)]
    features, classes = extract(mnist_classifier(), images)
    drawn_well = _digits(sheet, images, features) and _variety(sheet, images, classes)
    if drawn_well and _classes(sheet, class_histogram(classes), bounds):
        _distance(sheet, features, bounds.distance)


def _profile(given: Profile | None) -> Profile:
    threads = torch.get_num_threads()
    chosen = profile_of(given)
    torch.set_num_threads(threads)  # the quick profile takes one: that is the notebook's affair
    return chosen


def _images(sheet: Sheet, clock: Clock, given: Any) -> Tensor | None:
    """Judge the rule `images`; return them (N, 1, 28, 28)."""
    images, found, hint = _drawn(clock, given)
    sheet.judge("images", images is not None, found, hint)
    return images


def _drawn(clock: Clock, given: Any) -> tuple[Tensor | None, str, str]:
    """Return images (N, 1, 28, 28) or None, what was found, and a hint where it is wrong."""
    if isinstance(given, type):
        hint = f"hand over the trained network, not its class: G = {given.__name__}()"
        return None, f"the class {given.__name__}", hint
    G, parts = own_copy(given), []
    for z in torch.randn(N, LATENT_DIM, generator=torch.Generator().manual_seed(0)).split(250):
        made = ask(clock, evaluated(G), z)
        part = plain(made.value)
        if part is None or tuple(part.shape) != (len(z), *SIZE):
            got = type(made.value).__name__ if part is None else tuple(part.shape)
            return (
                None,
                made.error or f"{got} for z {tuple(z.shape)}",
                "does check_generator(G) give full marks?",
            )
        parts.append(part)
    images = torch.cat(parts)
    low, high = images.min().item(), images.max().item()
    found = f"{N:,} images in [{low:.2f}, {high:.2f}]"
    if images.isfinite().all() and max(-low, high) <= 1 + 1e-4:
        return images.clamp(-1, 1), found, ""
    return None, found, "end G with Tanh: pixels are in [-1, 1]"


def _digits(sheet: Sheet, images: Tensor, features: Tensor) -> bool:
    """Judge the rule `digits`: is the median image as near to real digits as these are to each other?"""
    real = _real()
    apart = features.double() - real["mean"]
    unlike = (apart * torch.linalg.solve(real["cov"], apart.T).T).mean(1).median().item()
    found = f"a squared distance of {unlike:.1f} from real digits, whose own is 1; the bound is {UNLIKE:g}"
    return sheet.judge("digits", unlike <= UNLIKE, found, _hint_of_digits(images))


def _hint_of_digits(images: Tensor) -> str:
    ground = images.median().item()
    if images.min() >= 0:
        return "no pixel is negative: train on data in [-1, 1], divided by 127.5, less 1"
    if ground > 0.5:
        return "the ground is white: are the images inverted?"
    if ground > -0.5:
        return "the ground is gray, not black, as before training: is this the G that was trained?"
    return "train longer, and look at the sheet of 64: which digits can you read?"


def _variety(sheet: Sheet, images: Tensor, classes: Tensor) -> bool:
    """Judge the rule `variety`: the distance to the nearest other image, the median in each large class."""
    x = images.flatten(1)
    apart = torch.cdist(x, x).fill_diagonal_(torch.inf).amin(1) / x.shape[1] ** 0.5
    large = [k for k in range(10) if (classes == k).sum() >= FEWEST]
    medians = {k: apart[classes == k].median().item() for k in large}
    k, least = min(medians.items(), key=lambda pair: pair[1])
    hint = "mode collapse: different z are drawn alike; look for the epoch whose sheet shows it first"
    found = f"the {k}s are {least:.2f} apart from the nearest other image; the bound is {APART}"
    return sheet.judge("variety", least >= APART, found, hint)


def _classes(sheet: Sheet, shares: Tensor, bounds: Bounds) -> bool:
    """Judge the rule `classes`: the share of the rarest class."""
    rare = [str(k) for k, share in enumerate(shares.tolist()) if share < bounds.share]
    least = f"{100 * shares.min():.1f} % for the rarest class, {int(shares.argmin())}"
    lost = f"too few images of {', '.join(rare)}"
    hint = f"mode collapse: {lost}; which picture of progress shows it first, and is D much the stronger?"
    found = f"{least}; the bound is {100 * bounds.share:g} %" + (", but for one class" if bounds.but else "")
    if rare and len(rare) <= bounds.but:
        sheet.remark(f"{lost}: after so few steps that may be; the full profile asks for all ten")
    return sheet.judge("classes", len(rare) <= bounds.but, found, hint)


def _distance(sheet: Sheet, features: Tensor, bound: float) -> bool:
    """Judge the rule `distance`: FD from the 10,000 test digits."""
    real, own = _real(), FeatureStats.of(features)
    fd = frechet_distance(real["mean"], real["cov"], own.mean, own.cov)
    found = f"FD {fd:.1f} of {N:,} samples; the bound is {bound:g}, {N:,} real digits have 1.0"
    return sheet.judge("distance", fd <= bound, found, "train longer: FD falls for tens of epochs")


@cache
def _real() -> dict[str, Tensor]:
    """Return mean (128,) and cov (128, 128) of the features of the 10,000 test digits."""
    with safe_open(STATISTICS, "pt") as file:
        if file.metadata()["classifier"] != classifier_hash():
            raise WeightsError(f"{STATISTICS.name} belongs to another classifier; install gancourse again")
        return {name: file.get_tensor(name) for name in ("mean", "cov")}
