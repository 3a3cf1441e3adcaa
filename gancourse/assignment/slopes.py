"""Recognize a loss by its slopes: which function of D's output it is, and which label it aims at."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gancourse.assignment.report import Sheet

REAL, FAKE, GENERATOR = "real", "fake", "generator"  # rules, and the places where a loss has slopes
LOG, DOUBLE, SQUARES, LINEAR, HINGE, NOTHING, OTHER = (
    "cross-entropy", "two sigmoids", "squares", "no logarithm", "a hinge", "nothing", "another function",
)  # fmt: skip
LOOSE = 2e-3  # the part of the slopes that may stay unexplained: by the eps that some put into the logarithm

KINDS = {
    SQUARES: "this is the least-squares loss; the task asks for binary cross-entropy",
    LINEAR: "this is the loss of a Wasserstein critic; the task asks for binary cross-entropy",
    HINGE: "this is the hinge loss; the task asks for binary cross-entropy",
    OTHER: "write it as binary cross-entropy: label 1 for real, 0 for fake, and 1 for fakes in G's loss",
}
WHERE = {REAL: "on real images", FAKE: "on fakes", GENERATOR: "in G's loss"}
RIGHT = {REAL: (True, True), FAKE: (True, False), GENERATOR: (True, True)}
FAKES_STAY = "leave the label of fakes at 0: smoothing helps on the side of real images only"
LABELS = {REAL: (0.69, 1.01), FAKE: (-0.01, 0.01), GENERATOR: (0.69, 1.01)}
# (place, is the weight positive, is the label above one half) -> the mistake
MISTAKES = {
    (REAL, True, False): "real images have label 0 in D's loss: give them 1, or 0.9",
    (REAL, False, True): "a minus is missing: D's loss is -log D(x), small where D(x) is near 1",
    (REAL, False, False): "D's loss on real images is -log D(x), not log(1 - D(x))",
    (FAKE, True, True): "fakes have label 1 in D's loss: give them 0; only G's loss calls them real",
    (FAKE, False, False): "a minus is missing: D's loss is -log(1 - D(G(z))), small where D(G(z)) is near 0",
    (FAKE, False, True): "D's loss on fakes is -log(1 - D(G(z))), not log D(G(z))",
    (GENERATOR, True, False): "with label 0 G learns to be recognized; G wants D to say 1: take -log D(G(z))",
    (GENERATOR, False, False): "this is the minimax loss, flat where D rejects G's images: take -log D(G(z))",
    (GENERATOR, False, True): "a minus is missing: G's loss is -log D(G(z)), small where D(G(z)) is near 1",
}


@dataclass(frozen=True)
class Fit:
    """What slopes say of a loss: its kind, its label, its weight (1 for a mean); `varied` labels are drawn.

    Cross-entropy with label t has the slope weight (p - t) with respect to the logit, at probability p.
    """

    kind: str
    label: float = 0.0
    weight: float = 0.0
    varied: bool = False


def fit(p: Tensor, slopes: Tensor, n: int) -> Fit:
    """Find the loss from probabilities p (M,) and its slopes (M,), with respect to the logits, times n."""
    p, slopes = p.double().flatten(), slopes.double().flatten()
    if not slopes.isfinite().all():
        return Fit(OTHER)
    if slopes.abs().max() < 1e-9:
        return Fit(NOTHING)
    within, logit, one = p * (1 - p), p.logit(), torch.ones_like(p)
    bases = [
        (LOG, p, one),
        (DOUBLE, p.sigmoid() * within, within),
        (SQUARES, p * within, within),
        (SQUARES, logit, one),
        (HINGE, (logit < 1) * one, 0 * one),
        (HINGE, (logit > -1) * one, 0 * one),
    ]
    left, best = min((_explain(slopes, *basis) for basis in bases), key=lambda pair: pair[0])
    return best if left < LOOSE else _varied(p, slopes, n)


def _explain(slopes: Tensor, kind: str, u: Tensor, v: Tensor) -> tuple[float, Fit]:
    """Fit weight (u - label v); return what is left of the slopes, as a share, and the fit."""
    a, b = (torch.linalg.pinv(torch.stack([u, v], 1)) @ slopes).tolist()
    left = ((slopes - a * u - b * v).norm() / slopes.norm()).item()
    if kind != HINGE and abs(a) < 1e-3 * abs(b):
        return left, Fit(LINEAR)
    return left, Fit(kind, -b / a if a else 0.0, a)


def _varied(p: Tensor, slopes: Tensor, n: int) -> Fit:
    """Look for labels that differ from image to image, drawn from a range or flipped at random."""
    for weight in (1.0, 0.5, n, n / 2):
        labels = p - slopes / weight
        drawn = labels.max() - labels.min() < 0.5 and labels.min() > -0.01 and labels.max() < 1.31
        flipped = torch.minimum(labels.abs(), (labels - 1).abs()).max() < 1e-3
        if drawn or flipped:
            return Fit(LOG, labels.mean().item(), weight, varied=True)
    return Fit(OTHER)


# ------------------------------------------------------------------ the rules


def judge_log(sheet: Sheet, fits: dict[str, Fit], logits: bool, raw: bool) -> None:
    """Judge the rule `log`: which function of D's output the losses are."""
    kinds = {place: fit.kind for place, fit in fits.items() if fit.kind != NOTHING}
    odd = [place for place, kind in kinds.items() if kind != LOG]
    if raw:
        hint = "BCELoss and log take probabilities: for logits take BCEWithLogits, or softplus"
        sheet.failed("log", "a loss that takes no logits", hint)
    elif odd and kinds[odd[0]] == DOUBLE:
        hint = (
            "your loss applies a sigmoid to probabilities: take BCELoss, or `logits = True` without Sigmoid"
        )
        if logits:
            hint = "BCEWithLogits has a sigmoid of its own: hand it the logits as they are"
        sheet.failed("log", f"two sigmoids, one on the other, {WHERE[odd[0]]}", hint)
    elif odd:
        sheet.failed("log", f"{kinds[odd[0]]} {WHERE[odd[0]]}", KINDS[kinds[odd[0]]])
    elif kinds:
        sheet.passed("log", "binary cross-entropy")


def judge_side(sheet: Sheet, place: str, fits: dict[str, Fit]) -> None:
    """Judge the rules `real`, `fake` and `generator`, where the kind of the loss lets labels be told."""
    one = fits[place]
    signs = (one.weight > 0, one.label > 0.5)
    if one.kind == NOTHING:
        hint = "is the term there? And detach G(z) before D sees it, in D's step, not D's output in the loss"
        sheet.failed(place, "no gradient from this side", hint)
    elif one.kind not in (LOG, DOUBLE):
        return
    elif signs != RIGHT[place]:
        found = _named(one) + ("" if one.weight > 0 else ", and the sign turned")
        sheet.failed(place, found, MISTAKES[(place, *signs)])
    elif not LABELS[place][0] <= one.label <= LABELS[place][1]:
        sheet.failed(place, _named(one), FAKES_STAY if place == FAKE else "label 1, or 0.9 when smoothed")
    else:
        sheet.passed(place, _named(one))
        _label_remark(sheet, place, one)


def _named(one: Fit) -> str:
    return f"label {round(abs(one.label), 2):g}"


def _label_remark(sheet: Sheet, place: str, one: Fit) -> None:
    if one.varied:
        sheet.remark(f"{place}: the labels differ from image to image, {one.label:.2f} on average; harmless")
    elif place == REAL and min(abs(one.label - 1), abs(one.label - 0.9)) > 0.01:
        sheet.remark(f"real: smoothing with {_named(one)}; 0.9 is usual")
    elif place == GENERATOR and one.label < 0.99:
        sheet.remark(f"generator: {_named(one)}; smoothing is meant for D, and harmless in G's loss")


def judge_weights(sheet: Sheet, fits: dict[str, Fit], n: int) -> None:
    """Judge whether D's terms weigh the same; remark on sums over the batch of n, and on other factors."""
    right = {place: one for place, one in fits.items() if sheet.found.get(place, (False,))[0]}
    if REAL in right and FAKE in right:
        a, b = right[REAL].weight, right[FAKE].weight
        if 0.84 < a / b < 0.97 and right[REAL].label > 0.99:
            hint = "this only weighs the term; smoothed it is 0.9 log D(x) + 0.1 log(1 - D(x))"
            return sheet.failed(REAL, f"{a / b:.2g} log D(x)", hint)
        if abs(a / b - 1) > 0.01:
            hint = "add the two terms, or average them: both sides weigh the same"
            return sheet.failed(FAKE, f"weight {b:.3g}, beside {a:.3g} for real images", hint)
    for loss, place in (("d_loss", REAL), ("g_loss", GENERATOR)):
        if place in right and right[place].kind == LOG:
            _weight_remark(sheet, loss, right[place].weight, n)
    return None


def _weight_remark(sheet: Sheet, loss: str, weight: float, n: int) -> None:
    usual = (1.0, 0.5) if loss == "d_loss" else (1.0,)
    if any(abs(weight / (n * w) - 1) < 0.01 for w in usual):
        sheet.remark(f"{loss} is a sum over the batch: Adam does not mind, SGD steps farther; mean is usual")
    elif all(abs(weight / w - 1) > 0.01 for w in usual):
        sheet.remark(f"{loss} is {weight:.3g} times the usual one; Adam does not mind")
