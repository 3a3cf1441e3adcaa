"""Checks of the two networks. They look at what a network does, not at how it is written."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from gancourse.assignment.guard import Clock, attempt, own_copy, plain
from gancourse.assignment.judge import ask, judged
from gancourse.assignment.record import Trace, device_of, modules_in, trace
from gancourse.assignment.report import Report, Rule, Sheet

LATENT_DIM = 100
SIZE = (1, 28, 28)
# Factors of the weights and of z: an output that is bounded by its last layer stays bounded, and gets there.
STRESS = ((1.0, 1.0), (1.0, 4.0), (8.0, 4.0), (8.0, 1000.0), (-8.0, 1000.0))
MIXING = ("conv", "linear", "matmul", "__matmul__", "addmm", "bmm", "einsum", "interpolate", "pixel_shuffle")

PAIR = 'chapter 5, "The 28-pixel pair, written out"'
GENERATOR = (
    Rule("output", 4, "G to map z (N, 100) to images (N, 1, 28, 28)", PAIR),
    Rule("range", 3, "pixels from -1 to 1, of both signs", 'chapter 5, "The range of the output"'),
    Rule("latent", 1, "one image for each z, another for another z", PAIR),
    Rule("normalization", 2, "no normalization of G's output", 'chapter 5b, "Ten settings"'),
)


def check_generator(G: Any) -> Report:
    """Check a generator: z (N, 100) to images (N, 1, 28, 28) in [-1, 1]. Taught in chapter 5.

    `G` is a module or a function, trained or not; it is left as it was. Ten points, printed rule by rule.
    """
    return judged("check_generator", GENERATOR, lambda sheet, clock: _generator(sheet, clock, G), G)


def _generator(sheet: Sheet, clock: Clock, given: Any) -> None:
    if isinstance(given, type):
        hint = f"hand over a network, not its class: G = {given.__name__}()"
        return sheet.failed("output", f"the class {given.__name__}", hint)
    G = own_copy(given)
    z, other = torch.randn(2, 16, LATENT_DIM).to(device_of(G))
    made = ask(clock, evaluated(G), z)
    if not _right_images(sheet, made.value, made.error) or without_weights(sheet, given):
        return None
    _range(sheet, clock, G, z[:4])
    if _latent(sheet, clock, G, z, other):
        fixed = _fixed_statistics(clock, G, 100 * z)  # so large that the eps of a normalization is nothing
        sheet.judge("normalization", not fixed, _FIXED if fixed else "none behind the last layer", _NO_NORM)
    return None


_FIXED = "the same mean and deviation before Tanh in every batch, to four digits"
_NO_NORM = "take BatchNorm away from the last layer: it fixes brightness and contrast of every batch"


def _right_images(sheet: Sheet, made: Any, error: str | None) -> bool:
    """Judge the rule `output`."""
    images = plain(made)
    if error is not None:
        sheet.failed("output", error, wrong_dtype(error) or _error_hint(error))
    elif images is None:
        sheet.failed("output", f"a {type(made).__name__}", "return the images, a float tensor")
    elif tuple(images.shape) != (16, *SIZE):
        sheet.failed("output", f"{tuple(images.shape)} for z (16, 100)", _shape_hint(images))
    elif not images.isfinite().all():
        sheet.failed("output", "pixels that are not finite", "look for a division by 0, or a logarithm of 0")
    else:
        sheet.passed("output", "(16, 100) to (16, 1, 28, 28)")
        return True
    return False


def _error_hint(error: str) -> str:
    said = error.split(" (at `")[0]  # without the student's line
    if "cannot be multiplied" in said:
        return "Linear takes 100 numbers and gives those that Unflatten needs, channels by height by width"
    if any(word in said for word in ("channels", "running_mean", "invalid for input of size", "nflatten")):
        return "each layer takes as many channels as the one before gives; BatchNorm2d has those of its input"
    return "G takes one tensor z of shape (N, 100); begin with Linear(100, ...), then Unflatten"


def _shape_hint(images: Tensor) -> str:
    if images.ndim == 4 and images.shape[2:] == SIZE[1:]:
        return "digits have one channel: the last layer gives 1"
    if images.ndim == 2 and images.shape[1] == 784:
        return "these are 784 numbers in a row: view(-1, 1, 28, 28), better transposed convolutions"
    if images.ndim == 4 and len(images) == 16:
        return "from 4 to 7 pixels by ConvTranspose2d(..., 3, 2, 1); then (..., 4, 2, 1) doubles the side"
    return "one image (1, 28, 28) for each row of z"


def _range(sheet: Sheet, clock: Clock, G: Any, z: Tensor) -> None:
    """Judge the rule `range`, with weights and z as they are and with larger ones."""
    seen = []
    for of_weights, of_z in STRESS:
        with scaled(G, of_weights):
            images = plain(attempt(clock, evaluated(G), of_z * z).value)
        if images is not None and images.isfinite().all():
            seen += [images.min().item(), images.max().item()]
    low, high = min(seen), max(seen)
    met, hint = low < 0 < high and max(-low, high) <= 1, "end G with Tanh"
    if 0 <= low <= high <= 1:
        hint = "nothing below 0: a Sigmoid or ReLU? The data are in [-1, 1]: end G with Tanh"
    elif met and max(-low, high) < 0.9:
        met, hint = False, "black and white are out of reach, whatever the weights: one Tanh, undivided"
    sheet.judge("range", met, f"{low:.2f} to {high:.2f}, with larger weights too", hint)


def _latent(sheet: Sheet, clock: Clock, G: Any, z: Tensor, other: Tensor) -> bool:
    """Judge the rule `latent`: do the images of a batch differ, and those of another batch from them?"""
    alike, error = True, ""
    for factor in (1.0, -1.0):  # a G that ends in ReLU may paint nothing with its own weights
        with scaled(G, factor):
            made, again = (attempt(clock, evaluated(G), some) for some in (z, other))
        images, others = plain(made.value), plain(again.value)
        error = error or made.error or again.error or ""
        if images is not None and others is not None and images.shape == others.shape:
            alike = alike and (_near(images, images[:1]) or _near(images, others))
    hint = "does forward use the z that it is handed, and no other noise? The output does not depend on z"
    found = error or ("images that do not depend on z" if alike else "they differ")
    return sheet.judge("latent", not alike and not error, found, hint)


def _near(a: Tensor, b: Tensor) -> bool:
    return bool((a - b).abs().max() <= 1e-4 * a.abs().max())


def _fixed_statistics(clock: Clock, G: Any, z: Tensor) -> bool:
    """Tell whether batches have one mean and deviation behind the last layer: then something sets them."""
    runs = [attempt(clock, trace, G, some, train=True).value for some in z.split(4)]
    if any(run is None for run in runs):
        return False
    return any(_one_value(torch.stack(stats)) for stats in zip(*map(_statistics, runs), strict=False))


def _statistics(run: Trace) -> list[Tensor]:
    """Return mean by deviation, and log of the deviation, of each result behind the last convolution."""
    makers = [tap.maker.startswith(MIXING) for tap in run.taps]
    last = max((i for i, made in enumerate(makers) if made), default=0)
    behind = [tap.value.double() for tap in run.taps[last:]]
    return [torch.stack([x.mean() / x.std(), x.std().log()]) for x in behind]


def _one_value(stats: Tensor) -> bool:
    return bool((stats.std(0) < 1e-4).all())


# ------------------------------------------------------------------ small tools


def without_weights(sheet: Sheet, net: Any) -> bool:
    """Fail the rule `output` for a module without parameters: no optimizer could train it."""
    found = issubclass(type(net), nn.Module) and next(net.parameters(), None) is None
    if found:
        hint = "a Python list hides layers from PyTorch: nn.Sequential(...) or nn.ModuleList([...])"
        sheet.failed("output", "a network without parameters", hint)
    return found


def wrong_dtype(error: str) -> str:
    """Return a hint if an error of torch is about float64 or half precision, else nothing."""
    told = re.search("scalar type|dtype|double|Half|BFloat16", error.split(" (at `")[0])
    return "inputs are float32: leave the network in float32, without double() or half()" if told else ""


def evaluated(net: Any) -> Callable[[Tensor], Any]:
    """Return the network in evaluation mode, without gradients and with one seed, as a call."""

    def call(x: Tensor) -> Any:
        for module in modules_in(net):
            module.eval()
        torch.manual_seed(0)
        with torch.no_grad():
            return net(x.clone())

    return call


@contextmanager
def scaled(net: Any, factor: float) -> Iterator[None]:
    """Multiply the weights of a network, or of those that a function uses, by a factor for a while."""
    every = {id(w): w for module in modules_in(net) for w in module.parameters() if w.is_floating_point()}
    kept = [(w, w.detach().clone()) for w in every.values()]
    with torch.no_grad():
        for w, _ in kept:
            w.mul_(factor)
    try:
        yield
    finally:
        with torch.no_grad():
            for w, value in kept:
                w.copy_(value)
