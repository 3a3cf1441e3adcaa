"""Check of the bonus: what the digit classifier says of images, as probabilities."""

from typing import Any

import torch
from torch import Tensor

from gancourse.assignment.guard import Clock, plain
from gancourse.assignment.judge import ask, judged
from gancourse.assignment.report import Report, Rule, Sheet
from gancourse.features import mnist_classifier
from gancourse.pretrained import pretrained
from gancourse.sampling import sample

N, CLOSE = 24, 1e-3
_SEEN = 'chapter 8, "The Inception score, and how to fool it"'

SHARES = (
    Rule("shape", 1, "ten numbers for each image, (N, 10)", _SEEN),
    Rule("probabilities", 1, "each row to hold probabilities: not negative, 1 together", _SEEN),
    Rule("classifier", 3, "the probabilities of mnist_classifier()", _SEEN),
)


def check_class_shares(class_shares: Any) -> Report:
    """Check `class_shares(images)`: images (N, 1, 28, 28) in [-1, 1] to the classifier's shares (N, 10).

    It is handed drawings of the course's own generator. Five points, printed rule by rule.
    """

    def body(sheet: Sheet, clock: Clock) -> None:
        _shares(sheet, clock, class_shares)

    return judged("check_class_shares", SHARES, body, class_shares)


def _shares(sheet: Sheet, clock: Clock, class_shares: Any) -> None:
    images = sample(pretrained("dcgan-28"), N, seed=0)
    made = ask(clock, class_shares, images.clone())
    given = plain(made.value)
    if given is None or tuple(given.shape) != (N, 10):
        found = made.error or (type(made.value).__name__ if given is None else str(tuple(given.shape)))
        hint = "the classifier maps (N, 1, 28, 28) to logits (N, 10); softmax along dim=1 keeps that shape"
        return sheet.failed("shape", found, hint)
    sheet.passed("shape", f"{tuple(given.shape)} for {N} images")
    off = (given.sum(1) - 1).abs().max().item()
    met = bool(given.isfinite().all() and given.min() >= -CLOSE and off < CLOSE)
    low, high = given.min().item(), given.max().item()
    found = f"numbers from {low:.2f} to {high:.2f}, rows that miss 1 by up to {off:.2g}"
    sheet.judge("probabilities", met, found, _hint(given))
    if met:
        _same(sheet, given, images)
    return None


def _hint(given: Tensor) -> str:
    if (given.sum(0) - 1).abs().max() < CLOSE:
        return "softmax along dim=1: the ten classes of one image share 1, not the images of one class"
    if given.max() <= 0:
        return "these are logarithms; softmax, not log_softmax"
    return "logits become probabilities by softmax(dim=1)"


def _same(sheet: Sheet, given: Tensor, images: Tensor) -> None:
    with torch.no_grad():
        logits = mnist_classifier()(images)
    wanted = logits.softmax(1)
    gap = (given - wanted).abs().max().item()
    hint = "hand the images to mnist_classifier() as they are, in [-1, 1], and give back its softmax"
    if (given - torch.nn.functional.one_hot(wanted.argmax(1), 10)).abs().max() < CLOSE:
        hint = "give back the probabilities themselves, not 1 for the likeliest class"
    sheet.judge("classifier", gap < CLOSE, f"probabilities that differ from its own by up to {gap:.2g}", hint)
