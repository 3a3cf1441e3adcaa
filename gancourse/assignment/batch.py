"""Check of the data: one batch, as the loader gives it."""

from math import comb
from typing import Any

import torch
from torch import Tensor

from gancourse.assignment.blanks import Blank
from gancourse.assignment.guard import Clock, attempt
from gancourse.assignment.guard import plain as plain_tensor
from gancourse.assignment.judge import judged
from gancourse.assignment.numbered import Batches, judge_epochs
from gancourse.assignment.report import Report, Rule, Sheet
from gancourse.features import extract, mnist_classifier

LOADING = 'chapter 5, "The data"'
DATA = (
    Rule("shape", 2, "float32 images (N, 1, 28, 28), alone or first in a tuple", LOADING),
    Rule("range", 4, "pixels from -1 (background) to 1 (ink)", 'chapter 5, "The range of the output"'),
    Rule("shuffled", 2, "images in random order", LOADING),
    Rule("classes", 2, "all ten digits", LOADING),
)
FEWEST, ENOUGH, MOST = 32, 128, 512  # images to judge order and classes; to miss no digit; to read at most
UNLIKELY = 2e-4  # what a right batch shows more seldom than this counts as a mistake
SURE, FAR = 0.8, 2.3  # probability of a clear digit, at least; mean square of its features: 1 on digits
SHARE = 0.09  # of the rarest digit of MNIST
SLACK = 0.02  # rounding, or noise below one gray level
ORDERS = {  # the first labels of files that are often read without shuffling
    "MNIST's training file": "50419213143536172869",
    "MNIST's test file": "72104149590690159734",
    "scikit-learn's digits": "01234567890123456789",
    "scikit-learn's digits, test part": "01234567895907821364",
}


def check_data(batch: Any, batches: Batches | None = None) -> Report:
    """Check a batch: images (N, 1, 28, 28) in [-1, 1], or a tuple that begins with them. Taught in chapter 5.

    Labels may follow; the digits are read from the images. 32 images are the least, from 128 on a digit
    that is missing counts. The batch is left as it was. With `batches(images, batch_size)`, which yields the
    batches of an epoch, two epochs of it are looked at too: their sizes, their end, their order. Ten points,
    printed rule by rule.
    """

    def body(sheet: Sheet, clock: Clock) -> None:
        _data(sheet, clock, batch)
        if batches is not None and sheet.found.get("shape", (False,))[0]:
            judge_epochs(sheet, clock, batches)

    # No call and no net: nothing of it must be restored, and a loader is not searched for nets.
    blank = [batch] if batch is None or batch is ... or issubclass(type(batch), Blank) else []
    return judged("check_data", DATA, body, *blank)


def _data(sheet: Sheet, clock: Clock, batch: Any) -> None:
    first = attempt(clock, _first, batch).value
    values = attempt(clock, plain_tensor, first).value
    if values is None:
        return sheet.failed("shape", _kind(batch, first), _no_batch(batch, first))
    images = _shape(sheet, first, values)
    if images is None:
        return None
    _range(sheet, first.dtype, images)
    if images.shape[2:] == (28, 28) and images.isfinite().all() and images.min() < images.max():
        _digits(sheet, images[:MOST])
    return None


# ------------------------------------------------------------------ shape


def _first(batch: Any) -> Any:
    return batch[0] if isinstance(batch, tuple | list) and len(batch) else batch


def _kind(batch: Any, first: Any) -> str:
    if issubclass(type(batch), type):
        return f"the class {batch.__name__}"
    if issubclass(type(first), Tensor):
        return f"a tensor, {first.dtype}, {first.layout}, {first.device}"
    inside = f" that begins with type {type(first).__name__}" if first is not batch else ""
    return f"an object of type {type(batch).__name__}{inside}"


def _no_batch(batch: Any, first: Any) -> str:
    """Say what to hand over in place of what is no tensor."""
    if issubclass(type(batch), torch.utils.data.Dataset):
        return "wrap the data set, DataLoader(dataset, batch_size=128, shuffle=True), then next(iter(loader))"
    if issubclass(type(first), Tensor):
        return "hand over a plain tensor of float32"
    if issubclass(type(batch), dict):
        return "hand over the images alone, the dictionary's entry that holds them"
    if first is not batch:
        return "the tuple must begin with one tensor of all images: (images, labels)"
    if type(batch).__module__ == "numpy":
        return "hand over a tensor: torch.from_numpy(batch), or transforms.ToTensor() in the data set"
    if hasattr(type(batch), "__iter__") and type(batch) is not str:
        return "that is what gives batches: hand over one of them, next(iter(loader))"
    return "hand over one batch of the loader: next(iter(loader))"


_SHAPES = {
    "one": "that is one image: hand over a batch, next(iter(loader))",
    "no channel": "the axis of the channel is missing: transforms.ToTensor() makes it, or unsqueeze(1)",
    "last": "the channel belongs before height and width: permute(0, 3, 1, 2)",
    "color": "digits have one channel: leave out the conversion to RGB, or add transforms.Grayscale()",
    "flat": "keep the images square for the convolutions: view(-1, 1, 28, 28)",
    "size": "G makes 28 by 28 pixels, so the data must have them too: leave out Resize and Pad",
    "other": "the axes are batch, channel, height, width",
    "none": "the batch is empty",
}


def _square(x: Tensor) -> tuple[Tensor | None, str]:
    """Return the batch as images (N, 1, H, W), if that is clear, and the key of what was wrong, or ''."""
    match tuple(x.shape):
        case (0, *_):
            return None, "none"
        case (_, 1, 28, 28):
            return x, ""
        case (1, 28, 28) | (28, 28):
            return None, "one"
        case (_, 28, 28):
            return x[:, None], "no channel"
        case (_, 28, 28, 1):
            return x.permute(0, 3, 1, 2), "last"
        case (_, 3, 28, 28):
            return x.mean(1, keepdim=True), "color"
        case (_, 784):
            return x.view(-1, 1, 28, 28), "flat"
        case (_, 1, high, wide) if high == wide > 1:
            return x, "size"
    return None, "other"


def _shape(sheet: Sheet, given: Tensor, values: Tensor) -> Tensor | None:
    """Judge the rule `shape`; return images (N, 1, H, W) where the rest can be judged."""
    images, wrong = _square(values)
    found = f"{tuple(values.shape)}"
    if wrong:
        sheet.failed("shape", found, _SHAPES[wrong])
    elif given.is_floating_point() and given.dtype != torch.float32:
        hint = "the networks are float32: images.float(), or torch.tensor(..., dtype=torch.float32)"
        sheet.failed("shape", f"{found} of {given.dtype}", hint)
    else:  # whole numbers are a matter of the range
        sheet.passed("shape", found)
    return images


# ------------------------------------------------------------------ range


def _range(sheet: Sheet, dtype: torch.dtype, x: Tensor) -> None:
    """Judge the rule `range` on images (N, 1, H, W)."""
    low, high, border = x.min().item(), x.max().item(), _border(x)
    found = f"{low:.3g} to {high:.3g}" + ("" if dtype.is_floating_point else f", {dtype}")
    if border > -0.8 and -1 - SLACK <= low < -1 + SLACK and -1 < high <= 1 + SLACK:
        found += f", {border:.2f} at the border"
    wrong = _wrong_range(dtype, low, high, border)
    sheet.judge("range", not wrong, found, wrong)


def _border(x: Tensor) -> float:
    edge = torch.cat([x[..., 0, :], x[..., -1, :], x[..., :, 0], x[..., :, -1]], -1)
    return edge.mean().item()


def _wrong_range(dtype: torch.dtype, low: float, high: float, border: float) -> str:
    """Return the hint for a range that is not right, '' for one that is."""
    normalize = "add transforms.Normalize((0.5,), (0.5,)) after ToTensor(): (x - 0.5) / 0.5 is in [-1, 1]"
    if not low - high < float("inf"):  # NaN compares as false
        return "some pixels are not finite: look for a division by 0, of the deviation of blank pixels say"
    if low == high:
        return "all pixels are the same: is the batch filled with images, or only allocated?"
    if not dtype.is_floating_point or high > 100:
        return "these are bytes: transforms.ToTensor() and Normalize((0.5,), (0.5,)), or x / 127.5 - 1"
    if low >= -SLACK and high <= 1 + SLACK:
        return normalize if high > 0.5 else "divided by 255 twice? ToTensor() does it already"
    if abs(low + 0.4242) < 0.01:
        return "mean 0.1307 and deviation 0.3081 are for classifiers; Tanh needs Normalize((0.5,), (0.5,))"
    if low < -1 - SLACK or high > 1 + SLACK:
        return "Tanh cannot make these values: " + normalize
    if low > -1 + SLACK or high < 0.85:
        return "that is only a part of [-1, 1]: normalize once, with Normalize((0.5,), (0.5,))"
    if border > 0.5:
        return "dark digits on white: MNIST is white on black; leave out the inversion"
    if border > -0.8:
        return "the border is not black: pad and rotate before Normalize, where black is 0"
    return ""


# ------------------------------------------------------------------ order and classes


def _digits(sheet: Sheet, images: Tensor) -> None:
    """Judge `shuffled` and `classes` on images (N, 1, 28, 28) of any range, by what a classifier reads."""
    if len(images) < FEWEST:
        sheet.remark(
            f"order and classes cannot be judged by {len(images)} images: hand over {FEWEST} or more, "
            f"best {ENOUGH}"
        )
        return
    wide = images.double()  # the largest floats minus the smallest are no float
    canonical = ((wide - wide.min()) / (wide.max() - wide.min()) * 2 - 1).float()
    border = _border(canonical)
    if abs(border) < 0.8:  # neither black nor white around the digits: they cannot be read
        return
    net = mnist_classifier()
    features, read = extract(net, canonical if border < 0 else -canonical)
    clear = (net.classify(features).softmax(1).amax(1) > SURE) & (features.square().mean(1) < FAR)
    if int(clear.sum()) < len(images) / 2:
        hint = "look at one: plt.imshow(images[0, 0], cmap='gray'); reshape in place of permute mixes pixels"
        sheet.failed("classes", f"{len(images)} images, most of them no digits", hint)
        return
    counts = read[clear].bincount(minlength=10)
    if _classes(sheet, counts) or int((counts > 0).sum()) >= 5:  # a few classes have no order to speak of
        _order(sheet, read)


def _classes(sheet: Sheet, counts: Tensor) -> bool:
    """Judge the rule `classes` by the counts (10,) of the digits that were read."""
    n = int(counts.sum())
    few = SHARE * n - 4.5 * (n * SHARE * (1 - SHARE)) ** 0.5  # so few of a digit are no accident
    rare = counts <= max(few, 0)
    lost = ", ".join(str(digit) for digit in rare.nonzero().flatten().tolist())
    missing = int((counts == 0).sum())
    chance = comb(10, missing) * (1 - missing / 10) ** n
    if rare.any() and (few >= 0 or chance < UNLIKELY):
        found = f"none or hardly any of {lost} among {n} clear images"
        hint = "take all of the training set: a subset, a filter by label, a file sorted by digit loses some"
        return sheet.judge("classes", False, found, hint)
    if missing:
        sheet.remark(f"no {lost} among {n} clear images: at this size an accident; twice as many would tell")
    return sheet.judge("classes", True, f"{10 - missing} digits among {n} clear images", "")


def _order(sheet: Sheet, read: Tensor) -> None:
    """Judge the rule `shuffled` by the digits (N,) that were read."""
    hint = "DataLoader(..., shuffle=True)"
    head = read[:20].tolist()
    for name, labels in ORDERS.items():
        if sum(a == int(b) for a, b in zip(head, labels, strict=True)) >= 15:  # a few are misread
            return sheet.failed("shuffled", f"the order of {name}", hint)
    if (read[1:] == read[:-1]).float().mean() > 0.5:
        return sheet.failed("shuffled", "the same digits one after another", hint)
    if (read[1:] == (read[:-1] + 1) % 10).float().mean() > 0.5:
        return sheet.failed("shuffled", "the digits in turn", hint)
    return sheet.passed("shuffled", "random order")
