"""What D computes between image and output: activations, pooling, and normalization of its first map."""

from typing import Any

import torch
from torch import Tensor

from gancourse.assignment.guard import Clock, attempt
from gancourse.assignment.record import Tap, Trace, trace
from gancourse.assignment.report import Sheet

OTHERS = ("elu", "elu_", "celu", "selu", "gelu", "silu", "mish", "softplus", "tanh", "sigmoid")
REDUCTIONS = ("max", "amax", "min", "amin", "median", "logsumexp")


def judge_inside(sheet: Sheet, clock: Clock, D: Any, seen: Trace, outs: Tensor, logits: bool) -> None:
    """Judge the rules `activation`, `pooling`, `normalization`: from a pass of D, and D's outputs (M,)."""
    x = seen.taps[0].value  # the images (N, 1, 28, 28)
    if len(seen.taps) == 1:  # the input alone
        sheet.remark("the layers of D could not be looked at; activation, pooling, normalization unseen")
    elif not any("conv" in tap.maker or "unfold" in tap.maker for tap in seen.taps):
        sheet.remark("no convolution was seen in D; the task asks for three")
    others = [tap.maker for tap in seen.taps if tap.maker in OTHERS and tap.value.numel() > len(x)]
    if others:
        sheet.remark(f"{others[0]} in D's hidden layers is unusual, and harmless; the task names LeakyReLU")
    _activation(sheet, clock, D, seen, outs, logits)
    _pooling(sheet, seen.taps)
    _normalization(sheet, clock, D, x)


# ------------------------------------------------------------------ activations


def _activation(sheet: Sheet, clock: Clock, D: Any, seen: Trace, outs: Tensor, logits: bool) -> None:
    least, more = (0.0, 1.0) if logits else (0.5, 0.74)
    found = hint = ""
    if any(_dead(tap, seen.taps) for tap in seen.taps):
        found = "a ReLU: units below zero have no gradient"
        hint = "put LeakyReLU(0.2) in ReLU's place: a unit that is off then still passes G a gradient"
    elif outs.min() == least and outs.max() > more:
        found = f"a ReLU at D's end: no output is below {least:g}"
        hint = "no ReLU after the last Linear: with it D can never say fake"
    elif _linear(clock, D, seen.taps[0].value, logits):
        found = "D is linear, as if it had one layer"
        hint = "put LeakyReLU(0.2) after each convolution: without it three layers are no more than one"
    sheet.judge("activation", not found, found or "a gradient below zero, too", hint)


def _dead(tap: Tap, taps: list[Tap]) -> bool:
    """Tell whether a result's negative units are set to 0, and get no gradient at all."""
    if tap.grad is None or tap.value.ndim < 2:
        return False
    off, on = tap.value < 0, tap.value > 0
    if not off.any() or not on.any() or not (tap.grad[off] == 0).all():
        return False
    alike = [other.value for other in taps if other.value.shape == tap.value.shape]
    if not any((value[off] == 0).all() and (value[on] != 0).any() for value in alike):
        return False  # pooling took others
    # In relu(h) - 0.2 relu(-h), which is a LeakyReLU, -h looks dead, but h from which it was made is not.
    made_from = [taps[i] for i in tap.sources if taps[i].value.shape == tap.value.shape]
    return not any(source.grad is not None and (source.grad[off] != 0).any() for source in made_from)


def _linear(clock: Clock, D: Any, x: Tensor, logits: bool) -> bool:
    """Tell whether D's logit at x and -x has the logit at 0 as its mean, to three digits."""
    outputs = [attempt(clock, trace, D, at).value for at in (x, -x, 0 * x)]
    if any(seen is None for seen in outputs):
        return False
    a, b, zero = (seen.output.detach().double().flatten() for seen in outputs)
    if not logits:
        a, b, zero = (p.logit() for p in (a, b, zero))
    bent = (a + b - 2 * zero).abs().max()
    return bool(bent < 1e-3 * (a - zero).abs().max())


# ------------------------------------------------------------------ pooling


def _pooling(sheet: Sheet, taps: list[Tap]) -> None:
    pooled = [tap for tap in taps if _pools(tap, taps)]
    averaged = any(map(_averaged, taps))
    hint = "let a convolution shrink the map: Conv2d(..., 4, stride=2, padding=1) goes from 28 to 14 to 7"
    if averaged or any(tap.value.shape[2:].numel() == 1 for tap in pooled):
        hint = "put Flatten and Linear in place of pooling over the whole map: they read every position"
    found = pooled[0].maker if pooled else "an average over the map" if averaged else "none"
    sheet.judge("pooling", found == "none", found, hint)


def _pools(tap: Tap, taps: list[Tap]) -> bool:
    """Tell whether a tap takes several positions of a map together."""
    before = [taps[i].value for i in tap.sources]
    same = any(v.shape == tap.value.shape and torch.equal(v, tap.value) for v in before)
    fewer = any(v.ndim >= 4 and v.numel() > tap.value.numel() for v in before)
    if tap.maker in REDUCTIONS and fewer:
        kept_channels = before[0].shape[:2] == tap.value.shape[:2]
        kept_map = before[0].shape[-2:] == tap.value.shape[-2:]  # a maximum over channels is no pooling
        return kept_channels and not kept_map
    return ("pool" in tap.maker and not same) or (tap.maker == "interpolate" and fewer)


def _averaged(tap: Tap) -> bool:
    """Tell whether all positions of a map get the same gradient: then only their mean goes on."""
    if tap.grad is None or tap.value.ndim != 4 or tap.value[0, 0].numel() == 1:
        return False
    first = tap.grad[..., :1, :1]
    return bool((tap.grad == first).all() and (first != 0).any())


# ------------------------------------------------------------------ normalization


def _normalization(sheet: Sheet, clock: Clock, D: Any, x: Tensor) -> None:
    """Judge in training mode: does a first, linear result stay when the contrast of all images doubles?"""
    runs = [attempt(clock, trace, D, scale * x, train=True).value for scale in (10, 20, -10, 0)]
    place = "" if any(run is None for run in runs) else _fixed(*(run.taps for run in runs))
    hint = "it takes brightness and contrast, which tell real from fake, from the images: leave it away there"
    sheet.judge("normalization", not place, place or "none", hint)


def _fixed(once: list[Tap], twice: list[Tap], negative: list[Tap], zero: list[Tap]) -> str:
    """Name the place of a normalization that only linear steps precede; empty if there is none."""
    layers = 0
    for a, b, c, z in zip(once, twice, negative, zero, strict=False):
        if not a.value.shape == b.value.shape == c.value.shape == z.value.shape:
            return ""
        if _near(a.value, b.value) and not _near(a.value, c.value):
            return "a normalization after the first layer" if layers else "a normalization of the input"
        if not _near(a.value + c.value, 2 * z.value, a.value.std().item()):
            return ""
        layers += a.maker.startswith("conv") or a.maker in ("linear", "matmul")
    return ""


def _near(a: Tensor, b: Tensor, scale: float | None = None) -> bool:
    scale = a.std().item() if scale is None else scale
    return bool((a - b).abs().max() <= 1e-3 * scale)
