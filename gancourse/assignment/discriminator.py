"""The check of the discriminator. It looks at what D computes, not at how it is written."""

import re
from typing import Any

import torch
from torch import Tensor

from gancourse.assignment.guard import Clock, attempt, own_copy, plain
from gancourse.assignment.inside import judge_inside
from gancourse.assignment.judge import ask, judged
from gancourse.assignment.networks import SIZE, evaluated, scaled, without_weights, wrong_dtype
from gancourse.assignment.record import Trace, device_of, trace
from gancourse.assignment.report import Report, Rule, Sheet

N = 13  # a number of images that no layer has as its number of channels
SATURATED = 0.7310586  # sigmoid(1): what a second sigmoid makes of a probability of 1
# Factors of the weights and of the images: an output that is bounded stays so, another one does not.
STRESS = ((1.0, 1.0), (1.0, 8.0), (8.0, 1.0), (8.0, 1000.0), (-8.0, 8.0), (0.1, 1.0), (-0.1, 1.0))
WEAK = 2  # of them, the last, have weights so small that no sigmoid is rounded to 0 or 1
PAIR = 'chapter 5, "The 28-pixel pair, written out"'

DISCRIMINATOR = (
    Rule("output", 3, "D to map images (N, 1, 28, 28) to (N, 1) or (N,)", PAIR),
    Rule("range", 2, "one sigmoid for probabilities, none for logits", PAIR),
    Rule("image", 1, "an output that follows the image, with a gradient for G", 'chapter 1, "Algorithm 1"'),
    Rule("activation", 2, "LeakyReLU between D's layers, no ReLU", 'chapter 5, its exercise "ReLU in D"'),
    Rule("pooling", 1, "strided convolutions, no pooling", 'chapter 5, "From a vector to an image and back"'),
    Rule("normalization", 1, "no normalization of D's input or first map", 'chapter 5b, "Ten settings"'),
)


def check_discriminator(D: Any, logits: bool = False) -> Report:
    """Check a discriminator: images (N, 1, 28, 28) in [-1, 1] to probabilities (N, 1) or (N,).

    With `logits=True`, to logits. `D` is a module or a function, trained or not; it is left as it was. Ten
    points, printed rule by rule. Taught in chapter 5.
    """
    return judged(
        "check_discriminator", DISCRIMINATOR, lambda sheet, clock: _check(sheet, clock, D, bool(logits)), D
    )


def _check(sheet: Sheet, clock: Clock, given: Any, logits: bool) -> None:
    if isinstance(given, type):
        hint = f"hand over a network, not its class: D = {given.__name__}()"
        return sheet.failed("output", f"the class {given.__name__}", hint)
    D = own_copy(given)
    x = (2 * torch.rand(N, *SIZE) - 1).to(device_of(D))
    made = ask(clock, evaluated(D), x)
    if not _one_number_each(sheet, made.value, made.error) or without_weights(sheet, given):
        return None
    outs = _outputs(clock, D, x)
    if not _image(sheet, outs, _outputs(clock, D, x.flip(0))):
        return None
    _range(sheet, outs, logits)
    seen = _lively(clock, D, x)
    if _gradient(sheet, seen):
        assert seen is not None
        judge_inside(sheet, clock, D, seen, _finite(outs), logits)
    return None


def _outputs(clock: Clock, D: Any, x: Tensor) -> list[Tensor]:
    """Return D's answers (N,) with its weights and the images multiplied by factors; nan for none."""
    outs = []
    for of_weights, of_images in STRESS:
        with scaled(D, of_weights):
            out = plain(attempt(clock, evaluated(D), of_images * x).value)
        outs.append(out.flatten() if out is not None and out.numel() == N else torch.full((N,), torch.nan))
    return outs


# ------------------------------------------------------------------ the shape of the output


def _one_number_each(sheet: Sheet, made: Any, error: str | None) -> bool:
    """Judge the rule `output`."""
    out = plain(made)
    if error is not None:
        sheet.failed("output", error, wrong_dtype(error) or _error_hint(error))
    elif out is None:
        what = f"a {type(made).__name__}" + (f" of {made.dtype}" if isinstance(made, Tensor) else "")
        sheet.failed("output", what, "return one float tensor: is there a return, and only one thing in it?")
    elif tuple(out.shape) not in ((N, 1), (N,)):
        sheet.failed("output", f"{tuple(out.shape)} for images ({N}, 1, 28, 28)", _shape_hint(out))
    elif not out.isfinite().all():
        sheet.failed("output", "numbers that are not finite", "look for a division by 0, or a logarithm of 0")
    else:
        sheet.passed("output", f"({N}, 1, 28, 28) to {tuple(out.shape)}".replace(",)", ",)"))
        return True
    return False


def _shape_hint(out: Tensor) -> str:
    if out.ndim == 0 or out.shape[0] != N:
        return "one number for each image: do not average over the batch, and flatten from axis 1 on"
    if out.ndim > 2 and out.numel() > N:
        return "Flatten is missing: put it before the last Linear, which then sees all numbers of an image"
    if out.ndim > 2:
        return "the right numbers in a wrong shape: end with Flatten"
    return "one number an image, the verdict real or fake: end in Linear(..., 1)"


def _error_hint(error: str) -> str:
    said = error.split(" (at `")[0]  # without the student's line
    product = re.search(r"\((\d+)x(\d+) and (\d+)x(\d+)\)", said)
    if product and product[3] == "100":
        return "is this G? A layer wants 100 numbers: hand over D"
    if product and int(product[1]) == N:
        return f"after Flatten an image has {product[2]} numbers: Linear({product[2]}, 1)"
    if product or "size mismatch" in said:
        return "Flatten is missing or takes the batch too: nn.Flatten(), or x.flatten(1), before Linear"
    if "invalid for input of size" in said:
        return "do not write the batch size into view or reshape: x.flatten(1) fits any batch"
    if "channels" in said:
        return "MNIST has one channel, so begin with Conv2d(1, ...); then each layer takes what the last gave"
    if "Kernel size" in said or "too small" in said:
        return "the map became too small: two convolutions of stride 2 make 28 to 14 to 7, a third 7 to 4"
    return "D takes one tensor of images (N, 1, 28, 28): begin with Conv2d(1, ...), end in Flatten, Linear"


# ------------------------------------------------------------------ the range of the output


def _range(sheet: Sheet, outs: list[Tensor], logits: bool) -> None:
    """Judge the rule `range` from what D answers with weights and images of several sizes."""
    every, own = _finite(outs), outs[0]
    low, high = every.min().item(), every.max().item()
    outside = logits or own.min() < 0 or own.max() > 1
    found = f"{own.min():.3g} to {own.max():.3g}" if outside else f"{low:.3g} to {high:.3g}"
    found += "" if outside else ", with larger weights too"
    rounded = _finite(outs[-WEAK:])
    cut = bool(((rounded == 0) | (rounded == 1)).any())
    wrong = _no_logits(low, high) if logits else _no_probabilities(low, high, cut)
    sheet.judge("range", not wrong, found, wrong)


def _no_logits(low: float, high: float) -> str:
    if low >= 0 and high <= 1:
        return (
            "logits come without Sigmoid, since BCEWithLogits applies its own: take Sigmoid away from D's end"
        )
    if low >= -1 and high <= 1:
        return "logits are not bounded: take Tanh away from D's end"
    return ""


def _no_probabilities(low: float, high: float, cut: bool) -> str:
    if -1 <= low < 0 and high <= 1:
        return "Tanh is for G's images; a probability is in [0, 1]: end D in Sigmoid"
    if low < 0 or high > 1:
        return "end D in Sigmoid; or, if your loss takes logits, set `logits = True` for the checks"
    if low >= 0.5 and high <= SATURATED + 1e-4:
        return "two sigmoids, one on the other, leave 0.5 to 0.73 only: take one away"
    if low >= 1 - SATURATED - 1e-4 and high <= SATURATED + 1e-4:
        return "Sigmoid of Tanh leaves 0.27 to 0.73 only: take Tanh away"
    return "a cut at 0 and 1 has no gradient there: end D in Sigmoid instead of clamp" if cut else ""


def _finite(outs: list[Tensor]) -> Tensor:
    every = torch.cat(outs)
    return every[every.isfinite()]


# ------------------------------------------------------------------ the image


def _image(sheet: Sheet, outs: list[Tensor], of_others: list[Tensor]) -> bool:
    """Judge the rule `image`, but for the gradient, from D's answers to some images and to others."""
    if not all(map(_alike, outs, of_others)):
        return True
    hint = "is the image used in forward, and one output made for each, not one for the batch?"
    always = "Softmax over a single number is always 1: end D in Sigmoid"
    found = f"the same for other images, {outs[0][0].item():.3g} for the first"
    sheet.failed("image", found, always if (outs[0] == 1).all() else hint)
    return False


def _alike(a: Tensor, b: Tensor) -> bool:
    return not (a.isfinite() & b.isfinite()).all() or bool((a - b).abs().max() <= 1e-6 * a.abs().max())


def _lively(clock: Clock, D: Any, x: Tensor) -> Trace | None:
    """Return a forward and backward pass, with other weights where D is so sure that gradients vanish."""
    seen = None
    for factor in (1.0, 0.3, 0.1, -0.1, -1.0):
        with scaled(D, factor):
            seen = attempt(clock, trace, D, x).value
        if seen is not None and seen.grad is not None and (seen.grad.flatten(1) != 0).any(1).all():
            break
    return seen


def _gradient(sheet: Sheet, seen: Trace | None) -> bool:
    """Judge the rule `image` where the output follows the image."""
    met = seen is not None and seen.grad is not None and bool((seen.grad != 0).any())
    hint = "G learns through D: no detach, no_grad, round or numpy on the way from the image to the output"
    return sheet.judge("image", met, "it does" if met else "no gradient from the output to the image", hint)
