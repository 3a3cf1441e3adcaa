"""check_discriminator: wrong ones fail their own rule, right ones in any style none, and nothing changes."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from submissions import HOSTILE, Empty, Uncopied, endless, in_the_book, raising, state, surroundings, used
from torch import Tensor, nn

from gancourse.assignment.discriminator import DISCRIMINATOR, check_discriminator
from gancourse.assignment.guard import Clock
from gancourse.assignment.report import DONE, Report
from gancourse.models import DCGANDiscriminator

POINTS = {rule.name: rule.points for rule in DISCRIMINATOR}


def leaky() -> nn.Module:
    return nn.LeakyReLU(0.2)


def body(
    act: Callable[[], nn.Module] = leaky,
    *,
    norm: Callable[[int], nn.Module] | None = nn.BatchNorm2d,
    first: Callable[[int], nn.Module] | None = None,
    bias: bool = True,
) -> list[nn.Module]:
    """Three convolutions, to (N, 32, 4, 4); `norm` after the second and third, `first` after the first."""
    layers = [nn.Conv2d(1, 8, 4, 2, 1, bias=bias), *([first(8)] if first else []), act()]
    layers += [nn.Conv2d(8, 16, 4, 2, 1, bias=bias), *([norm(16)] if norm else []), act()]
    return [*layers, nn.Conv2d(16, 32, 3, 2, 1, bias=bias), *([norm(32)] if norm else []), act()]


def dcgan(*end: nn.Module, **how: Any) -> nn.Sequential:
    return nn.Sequential(*body(**how), nn.Flatten(), nn.Linear(512, 1), *(end or (nn.Sigmoid(),)))


def logits(**how: Any) -> nn.Sequential:
    return dcgan(nn.Identity(), **how)


class Written(nn.Module):
    """D in a student's words: everything but the layers with weights is in `forward`."""

    def __init__(
        self, act: Callable[[Tensor], Tensor], end: Callable[[Tensor], Tensor] = torch.sigmoid
    ) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 8, 4, 2, 1), nn.Conv2d(8, 16, 4, 2, 1)
        self.linear = nn.Linear(16 * 7 * 7, 1)
        self.act, self.end = act, end

    def forward(self, x: Tensor) -> Tensor:
        h = self.act(self.conv1(x))
        h = self.act(self.conv2(h))
        return self.end(self.linear(h.flatten(1)))


class Called(nn.Module):
    """Any function of the image and a right D."""

    def __init__(self, call: Callable[[nn.Module, Tensor], Any]) -> None:
        super().__init__()
        self.net, self.call = dcgan(), call

    def forward(self, x: Tensor) -> Any:
        return self.call(self.net, x)


class Framed(nn.Module):
    """Give D a second channel, which it learns and which is the same for all images."""

    def __init__(self) -> None:
        super().__init__()
        self.frame, self.mix, self.net = nn.Parameter(torch.randn(1, 1, 28, 28)), nn.Conv2d(2, 1, 1), dcgan()

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat([self.frame.expand(len(x), -1, -1, -1), x], 1)
        made: Tensor = self.net(self.mix(both))
        return made


class HandNorm(nn.Module):
    """BatchNorm written out, for the input."""

    def forward(self, x: Tensor) -> Tensor:
        return (x - x.mean((0, 2, 3), keepdim=True)) / x.std((0, 2, 3), keepdim=True)


def closure() -> Callable[[Tensor], Tensor]:
    net = logits()

    def judge(x: Tensor) -> Tensor:
        return torch.sigmoid(net(x))

    return judge


def weights_only() -> Callable[[Tensor], Tensor]:
    """D as a function of plain tensors."""
    shapes = [(8, 1, 4, 4), (16, 8, 4, 4), (1, 784)]
    first, second, last = (0.1 * torch.randn(shape, requires_grad=True) for shape in shapes)

    def judge(x: Tensor) -> Tensor:
        h = F.leaky_relu(F.conv2d(x, first, stride=2, padding=1), 0.2)
        h = F.leaky_relu(F.conv2d(h, second, stride=2, padding=1), 0.2)
        return torch.sigmoid(h.flatten(1) @ last.T)

    return judge


def pooled(*pools: nn.Module, act: Callable[[], nn.Module] = leaky) -> nn.Sequential:
    one, two = pools
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), one, act(), nn.Conv2d(8, 16, 3, padding=1), two, act(),
        nn.Flatten(), nn.LazyLinear(1), nn.Sigmoid(),
    )  # fmt: skip


def global_average(reduce: Callable[[Tensor], Tensor]) -> nn.Module:
    class Averaged(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.linear = nn.Sequential(*body()), nn.Linear(32, 1)

        def forward(self, x: Tensor) -> Tensor:
            return torch.sigmoid(self.linear(reduce(self.net(x)).flatten(1)))

    return Averaged()


def spectral() -> nn.Sequential:
    net = dcgan(norm=None)
    for i, layer in enumerate(net):
        if isinstance(layer, nn.Conv2d | nn.Linear):
            net[i] = nn.utils.parametrizations.spectral_norm(layer)
    return net


def sure(net: nn.Module, shift: float) -> nn.Module:
    """Make a D that has no doubt: its last bias is large."""
    with torch.no_grad():
        [*net.parameters()][-1].fill_(shift)
    return net


def trained() -> nn.Module:
    """Tell squares from noise for some steps, until D is sure of it."""
    net = logits()
    adam = torch.optim.Adam(net.parameters(), 2e-3)
    square = torch.full((16, 1, 28, 28), -1.0)
    square[:, :, 8:20, 8:20] = 1
    for _ in range(40):
        adam.zero_grad()
        noise = 2 * torch.rand(16, 1, 28, 28) - 1
        (F.softplus(-net(square)) + F.softplus(net(noise))).mean().backward()
        adam.step()
    return nn.Sequential(net, nn.Sigmoid())


def slope_5(h: Tensor) -> Tensor:
    return F.leaky_relu(h, 0.2)


# name -> a D that takes the whole mark
RIGHT: dict[str, Callable[[], Any]] = {
    "Sequential": dcgan,
    "no BatchNorm": lambda: dcgan(norm=None),
    "no BatchNorm, no biases": lambda: dcgan(norm=None, bias=False),
    "BatchNorm in hidden layers, no biases": lambda: dcgan(bias=False),
    "LeakyReLU in place": lambda: dcgan(act=lambda: nn.LeakyReLU(0.2, inplace=True)),
    "LeakyReLU of another slope": lambda: dcgan(act=lambda: nn.LeakyReLU(0.01)),
    "PReLU": lambda: dcgan(act=nn.PReLU),
    "dropout": lambda: dcgan(act=lambda: nn.Sequential(leaky(), nn.Dropout2d(0.3))),
    "InstanceNorm in hidden layers": lambda: dcgan(norm=lambda c: nn.InstanceNorm2d(c, affine=True)),
    "GroupNorm in hidden layers": lambda: dcgan(norm=lambda c: nn.GroupNorm(4, c)),
    "BatchNorm without running statistics": lambda: dcgan(
        norm=lambda c: nn.BatchNorm2d(c, track_running_stats=False)
    ),
    "spectral norm": spectral,
    "lazy layers": lambda: nn.Sequential(
        nn.LazyConv2d(8, 4, 2, 1), leaky(), nn.LazyConv2d(16, 4, 2, 1), nn.LazyBatchNorm2d(), leaky(),
        nn.LazyConv2d(16, 3, 2, 1), leaky(), nn.Flatten(), nn.LazyLinear(1), nn.Sigmoid(),
    ),
    "wide": lambda: nn.Sequential(DCGANDiscriminator(width=128), nn.Sigmoid()),
    "the book's, with its initial weights": lambda: nn.Sequential(DCGANDiscriminator(width=8), nn.Sigmoid()),
    "(N,)": lambda: dcgan(nn.Sigmoid(), nn.Flatten(0)),
    "squeezed": lambda: Called(lambda net, x: net(x).squeeze()),
    "a convolution at the end": lambda: nn.Sequential(
        *body(), nn.Conv2d(32, 1, 4), nn.Flatten(), nn.Sigmoid()
    ),
    "sigmoid, then flatten": lambda: nn.Sequential(*body(), nn.Conv2d(32, 1, 4), nn.Sigmoid(), nn.Flatten()),
    "subclass, functional": lambda: Written(lambda h: F.leaky_relu(h, 0.2)),
    "functional, in place": lambda: Written(lambda h: F.leaky_relu_(h, 0.2)),
    "maximum of h and h / 5": lambda: Written(lambda h: torch.maximum(h, 0.2 * h)),
    "where": lambda: Written(lambda h: torch.where(h > 0, h, 0.2 * h)),
    "two ReLUs that make one LeakyReLU": lambda: Written(lambda h: F.relu(h) - 0.2 * F.relu(-h)),
    "clamped above and below": lambda: Written(lambda h: h.clamp(min=0) + 0.2 * h.clamp(max=0)),
    "by masks": lambda: Written(lambda h: h * (h > 0) + 0.2 * h * (h < 0)),
    "ReLU and a share of h": lambda: Written(lambda h: F.relu(h) + 0.3 * h),
    "sigmoid written out": lambda: Written(slope_5, lambda a: 1 / (1 + torch.exp(-a))),
    "sigmoid by tanh": lambda: Written(slope_5, lambda a: (1 + torch.tanh(a / 2)) / 2),
    "softmax of two": lambda: Written(slope_5, lambda a: torch.cat([a, 0 * a], 1).softmax(1)[:, 0]),
    "a closure": closure,
    "a function of tensors": weights_only,
    "a lambda": lambda: (lambda net: lambda x: net(x).sigmoid())(logits()),
    "a method": lambda: dcgan().forward,
    "a partial": lambda: functools.partial(lambda net, x: net(x), dcgan()),
    "data in [0, 1] inside": lambda: Called(lambda net, x: net((x + 1) / 2)),
    "enlarged": lambda: Called(lambda net, x: net(F.interpolate(x, 30)[..., 1:-1, 1:-1])),
    "a learned channel": Framed,
    "overwrites its input": lambda: Called(lambda net, x: net(x.add_(1).div_(2))),
    "pooling that pools nothing": lambda: nn.Sequential(
        *body(), nn.AdaptiveAvgPool2d(4), nn.MaxPool2d(1), nn.Flatten(), nn.Linear(512, 1), nn.Sigmoid()
    ),
    "noise on its input": lambda: Called(lambda net, x: net(x + 0.1 * torch.randn_like(x))),
    "in evaluation mode": lambda: dcgan().eval(),
    "frozen": lambda: dcgan().requires_grad_(False),
    "trained": trained,
    "sure that all is real": lambda: sure(dcgan(), 40.0),
    "sure that all is fake": lambda: sure(dcgan(), -60.0),
}  # fmt: skip
RIGHT_LOGITS: dict[str, Callable[[], Any]] = {
    "Sequential": logits,
    "the library's": lambda: DCGANDiscriminator(width=16),
    "no BatchNorm": lambda: logits(norm=None),
    "a closure": lambda: (lambda net: lambda x: net(x))(logits()),
    "a function of tensors": lambda: (lambda D: lambda x: D(x).logit())(weights_only()),
    "all above zero": lambda: sure(logits(), 2.0),
    "all between 0 and 1": lambda: sure(logits(), 0.5),
}
# name -> a D, the rules that fail, a part of the hint or of what was found
WRONG: dict[str, tuple[Callable[[], Any], tuple[str, ...], str]] = {
    "two numbers an image": (
        lambda: nn.Sequential(*body(), nn.Flatten(), nn.Linear(512, 2), nn.Softmax(1)),
        ("output",), "end in Linear(..., 1)",
    ),
    "a mean over the batch": (lambda: Called(lambda net, x: net(x).mean()), ("output",), "over the batch"),
    "a map of verdicts": (
        lambda: nn.Sequential(*body(), nn.Conv2d(32, 1, 3, padding=1), nn.Sigmoid()),
        ("output",), "Flatten is missing",
    ),
    "(N, 1, 1, 1)": (
        lambda: nn.Sequential(*body(), nn.Conv2d(32, 1, 4), nn.Sigmoid()),
        ("output",), "end with Flatten",
    ),
    "no Flatten": (
        lambda: nn.Sequential(*body(), nn.Linear(512, 1), nn.Sigmoid()), ("output",), "Flatten is missing",
    ),
    "no Flatten, Linear fits the last axis": (
        lambda: nn.Sequential(*body(), nn.Linear(4, 1), nn.Sigmoid()), ("output",), "Flatten is missing",
    ),
    "Flatten of the batch": (
        lambda: nn.Sequential(*body(), nn.Flatten(0), nn.Linear(512, 1)), ("output",), "takes the batch too",
    ),
    "Linear of another size": (
        lambda: nn.Sequential(*body(), nn.Flatten(), nn.Linear(32 * 7 * 7, 1), nn.Sigmoid()),
        ("output",), "Linear(512, 1)",
    ),
    "three channels": (
        lambda: nn.Sequential(nn.Conv2d(3, 8, 4, 2, 1), nn.Flatten(), nn.LazyLinear(1)),
        ("output",), "one channel",
    ),
    "a D for 64 pixels": (
        lambda: nn.Sequential(*body(), nn.Conv2d(32, 64, 4, 2, 1), leaky(), nn.Conv2d(64, 1, 4)),
        ("output",), "too small",
    ),
    "the batch size in view": (
        lambda: Called(lambda net, x: net(x.view(64, 1, 28, 28))), ("output",), "view or reshape",
    ),
    "G": (
        lambda: nn.Sequential(nn.Linear(100, 784), nn.Unflatten(1, (1, 28, 28))), ("output",), "is this G?",
    ),
    "an error in a line that speaks of channels": (
        lambda: Called(lambda net, x: net(x) + {}["channels"]), ("output",), "begin with Conv2d(1,",
    ),
    "a tuple": (lambda: Called(lambda net, x: (net(x), x)), ("output",), "only one thing"),
    "no return": (lambda: Called(lambda net, x: None), ("output",), "is there a return"),
    "a verdict, not a number": (lambda: Called(lambda net, x: net(x) > 0.5), ("output",), "bool"),
    "labels as a second argument": (lambda: lambda x, y: x, ("output",), "takes one tensor"),
    "not finite": (lambda: Called(lambda net, x: net(x) / 0), ("output",), "division by 0"),
    "float64": (lambda: dcgan().double(), ("output",), "float32"),
    "its class": (lambda: Written, ("output",), "D = Written()"),
    "no sigmoid": (logits, ("range",), "set `logits = True`"),
    "no sigmoid, all above zero": (lambda: sure(logits(), 0.5), ("range",), "end D in Sigmoid"),
    "no sigmoid in a closure": (
        lambda: (lambda net: lambda x: net(x))(sure(logits(), 0.5)), ("range",), "end D in Sigmoid",
    ),
    "tanh": (lambda: dcgan(nn.Tanh()), ("range",), "Tanh is for G's images"),
    "log of the probability": (lambda: dcgan(nn.LogSigmoid()), ("range",), "end D in Sigmoid"),
    "sigmoid twice": (lambda: dcgan(nn.Sigmoid(), nn.Sigmoid()), ("range",), "two sigmoids"),
    "sigmoid twice, trained": (lambda: nn.Sequential(trained(), nn.Sigmoid()), ("range",), "two sigmoids"),
    "sigmoid of tanh": (lambda: dcgan(nn.Tanh(), nn.Sigmoid()), ("range",), "take Tanh away"),
    "clamped": (lambda: Called(lambda net, x: net[:-1](x).clamp(0, 1)), ("range",), "instead of clamp"),
    "clamped, all above one half": (
        lambda: nn.Sequential(sure(logits(), 0.6), nn.Hardtanh(0, 1)), ("range",), "instead of clamp",
    ),
    "the same for all": (lambda: lambda x: torch.full((len(x), 1), 0.5), ("image",), "is the image used"),
    "noise": (lambda: lambda x: torch.rand(len(x), 1), ("image",), "is the image used"),
    "one verdict for the batch": (
        lambda: Called(lambda net, x: net(x).mean().expand(len(x), 1)),
        ("image",), "one output made for each",
    ),
    "softmax over one number": (lambda: dcgan(nn.Softmax(1)), ("image",), "always 1"),
    "the image detached": (lambda: Called(lambda net, x: net(x.detach())), ("image",), "no detach"),
    "a gradient of zero": (
        lambda: Called(lambda net, x: net(x.detach()) + 0 * x[:, 0, 0, :1]), ("image",), "no detach",
    ),
    "without gradients": (lambda: torch.no_grad()(dcgan().forward), ("image",), "no detach"),
    "ReLU": (lambda: dcgan(act=nn.ReLU), ("activation",), "LeakyReLU(0.2) in ReLU's place"),
    "ReLU, no BatchNorm": (lambda: dcgan(act=nn.ReLU, norm=None), ("activation",), "in ReLU's place"),
    "ReLU in place": (lambda: dcgan(act=lambda: nn.ReLU(True)), ("activation",), "in ReLU's place"),
    "ReLU6": (lambda: dcgan(act=nn.ReLU6), ("activation",), "in ReLU's place"),
    "LeakyReLU of slope 0": (lambda: dcgan(act=lambda: nn.LeakyReLU(0.0)), ("activation",), "ReLU's place"),
    "F.relu": (lambda: Written(F.relu), ("activation",), "in ReLU's place"),
    "clamp(min=0)": (lambda: Written(lambda h: h.clamp(min=0)), ("activation",), "in ReLU's place"),
    "maximum with 0": (
        lambda: Written(lambda h: torch.maximum(h, torch.zeros_like(h))), ("activation",), "in ReLU's place",
    ),
    "where with 0": (lambda: Written(lambda h: torch.where(h > 0, h, 0.0)), ("activation",), "ReLU's place"),
    "a mask": (lambda: Written(lambda h: h * (h > 0)), ("activation",), "in ReLU's place"),
    "one ReLU of three": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 8, 4, 2, 1), leaky(), nn.Conv2d(8, 8, 4, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1),
            leaky(), nn.Flatten(), nn.Linear(128, 1), nn.Sigmoid(),
        ),
        ("activation",), "in ReLU's place",
    ),
    "ReLU in a D that is sure": (lambda: sure(dcgan(act=nn.ReLU), 40.0), ("activation",), "in ReLU's place"),
    "ReLU before the sigmoid": (lambda: dcgan(nn.ReLU(), nn.Sigmoid()), ("activation",), "never say fake"),
    "no activation": (lambda: dcgan(act=nn.Identity), ("activation",), "LeakyReLU(0.2) after each"),
    "max pooling": (lambda: pooled(nn.MaxPool2d(2), nn.MaxPool2d(2)), ("pooling",), "stride=2"),
    "average pooling": (lambda: pooled(nn.AvgPool2d(2), nn.AvgPool2d(2)), ("pooling",), "stride=2"),
    "one pooling": (lambda: pooled(nn.Identity(), nn.MaxPool2d(3, 2)), ("pooling",), "stride=2"),
    "pooling of norms": (lambda: pooled(nn.LPPool2d(2, 2), nn.Identity()), ("pooling",), "stride=2"),
    "pooling after the activation": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), leaky(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), leaky(),
            nn.MaxPool2d(2), nn.Flatten(), nn.Linear(784, 1), nn.Sigmoid(),
        ),
        ("pooling",), "stride=2",
    ),
    "pooling of the image": (
        lambda: nn.Sequential(nn.MaxPool2d(2), nn.Upsample(scale_factor=2), dcgan()),
        ("pooling",), "stride=2",
    ),
    "F.max_pool2d": (
        lambda: Called(lambda net, x: net(F.interpolate(F.max_pool2d(x, 2), 28))), ("pooling",), "stride=2",
    ),
    "shrunk by interpolation": (
        lambda: Called(lambda net, x: net(F.interpolate(F.interpolate(x, 14), 28))), ("pooling",), "stride=2",
    ),
    "the greatest of each block, by reshape": (
        lambda: Called(lambda net, x: net(F.interpolate(x.view(-1, 1, 14, 2, 14, 2).amax((3, 5)), 28))),
        ("pooling",), "stride=2",
    ),
    "max pooling of maps that are mostly above zero": (
        lambda: nn.Sequential(
            sure(nn.Conv2d(1, 8, 3, padding=1), 0.7), nn.MaxPool2d(2), leaky(), nn.Conv2d(8, 16, 4, 2, 1),
            leaky(), nn.Flatten(), nn.Linear(784, 1), nn.Sigmoid(),
        ),
        ("pooling",), "stride=2",
    ),
    "global average pooling": (
        lambda: global_average(nn.AdaptiveAvgPool2d(1)), ("pooling",), "Flatten and Linear",
    ),
    "global average by mean": (lambda: global_average(lambda h: h.mean((2, 3))), ("pooling",), "Flatten and"),
    "global average by avg_pool2d": (
        lambda: global_average(lambda h: F.avg_pool2d(h, 4)), ("pooling",), "Flatten and Linear",
    ),
    "global maximum": (lambda: global_average(lambda h: h.amax((2, 3))), ("pooling",), "Flatten and Linear"),
    "a mean of verdicts": (
        lambda: nn.Sequential(*body(), nn.Conv2d(32, 1, 1), nn.AvgPool2d(4), nn.Flatten(), nn.Sigmoid()),
        ("pooling",), "Flatten and Linear",
    ),
    "BatchNorm of the image": (
        lambda: nn.Sequential(nn.BatchNorm2d(1), dcgan()), ("normalization",), "normalization of the input",
    ),
    "InstanceNorm of the image": (
        lambda: nn.Sequential(nn.InstanceNorm2d(1), dcgan()), ("normalization",), "of the input",
    ),
    "LayerNorm of the image": (
        lambda: nn.Sequential(nn.LayerNorm([1, 28, 28]), dcgan()), ("normalization",), "of the input",
    ),
    "dropout of the image, then BatchNorm": (
        lambda: nn.Sequential(nn.Dropout(0.2), nn.BatchNorm2d(1), dcgan()), ("normalization",), "of the inp",
    ),
    "normalized by hand": (lambda: nn.Sequential(HandNorm(), dcgan()), ("normalization",), "of the input"),
    "BatchNorm after the first convolution": (
        lambda: dcgan(first=nn.BatchNorm2d), ("normalization",), "after the first layer",
    ),
    "BatchNorm everywhere, no biases": (
        lambda: dcgan(first=nn.BatchNorm2d, bias=False), ("normalization",), "after the first layer",
    ),
    "BatchNorm of the image, eval mode left on": (
        lambda: nn.Sequential(nn.BatchNorm2d(1), dcgan()).eval(), ("normalization",), "of the input",
    ),
    "BatchNorm of the image in a closure": (
        lambda: (lambda net: lambda x: net(x))(nn.Sequential(nn.BatchNorm2d(1), dcgan())),
        ("normalization",), "of the input",
    ),
    "ReLU, then max pooling": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 4, 2, 1), leaky(),
            nn.Flatten(), nn.Linear(784, 1), nn.Sigmoid(),
        ),
        ("activation", "pooling"), "in ReLU's place",
    ),
    "ReLU, then a global maximum": (
        lambda: global_average(lambda h: F.relu(h - 0.1).amax((2, 3))),
        ("activation", "pooling"), "in ReLU's place",
    ),
    "ReLU and max pooling": (
        lambda: pooled(nn.MaxPool2d(2), nn.MaxPool2d(2), act=nn.ReLU), ("activation", "pooling"), "stride=2",
    ),
}  # fmt: skip
WRONG_LOGITS: dict[str, tuple[Callable[[], Any], tuple[str, ...], str]] = {
    "sigmoid": (dcgan, ("range",), "logits come without Sigmoid"),
    "sigmoid in a closure": (closure, ("range",), "logits come without Sigmoid"),
    "sigmoid, trained": (trained, ("range",), "logits come without Sigmoid"),
    "tanh": (lambda: dcgan(nn.Tanh()), ("range",), "take Tanh away"),
    "ReLU": (lambda: logits(act=nn.ReLU), ("activation",), "in ReLU's place"),
    "ReLU at the end": (lambda: dcgan(nn.ReLU()), ("activation",), "never say fake"),
    "no activation": (lambda: logits(act=nn.Identity), ("activation",), "after each convolution"),
}
WRONG_ALL = [(name, False, *wrong) for name, wrong in WRONG.items()]
WRONG_ALL += [(name, True, *wrong) for name, wrong in WRONG_LOGITS.items()]
RIGHT_ALL = [(name, False, make) for name, make in RIGHT.items()]
RIGHT_ALL += [(name, True, make) for name, make in RIGHT_LOGITS.items()]


def made(make: Callable[[], Any], seed: int) -> Any:
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return make()


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(("name", "as_logits", "make"), RIGHT_ALL, ids=[f"{n}-{a}" for n, a, _ in RIGHT_ALL])
def test_a_right_one_has_full_marks(
    name: str, as_logits: bool, make: Callable[[], Any], seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    report = check_discriminator(made(make, seed), logits=as_logits)
    assert report == Report(10, 10), capsys.readouterr().out


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    ("name", "as_logits", "make", "failed", "phrase"), WRONG_ALL, ids=[f"{n}-{a}" for n, a, *_ in WRONG_ALL]
)
def test_a_wrong_one_fails_its_rule_and_no_other(
    name: str,
    as_logits: bool,
    make: Callable[[], Any],
    failed: tuple[str, ...],
    phrase: str,
    seed: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = check_discriminator(made(make, seed), logits=as_logits)
    said = capsys.readouterr().out
    assert report.failed == failed, said
    assert phrase in said
    reached = [line.split()[1] for line in said.splitlines() if line.startswith("  +")]
    assert report.score == sum(POINTS[rule] for rule in reached) < 10


def test_every_rule_is_failed_by_some_wrong_one() -> None:
    assert {rule for _, _, _, failed, _ in WRONG_ALL for rule in failed} == set(POINTS)
    assert sum(POINTS.values()) == 10


def test_what_is_to_be_reread_is_in_the_book() -> None:
    assert [rule.reread for rule in DISCRIMINATOR if not in_the_book(rule.reread)] == []


# ------------------------------------------------------------------ what is said besides


@pytest.mark.parametrize(
    ("make", "phrase"),
    [
        (lambda: Written(F.silu), "silu in D's hidden layers is unusual"),
        (lambda: dcgan(act=nn.Tanh), "tanh in D's hidden layers is unusual"),
        (
            lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 64), leaky(), nn.Linear(64, 1), nn.Sigmoid()),
            "no convolution was seen",
        ),
        (lambda: torch.jit.trace(dcgan().eval(), torch.zeros(2, 1, 28, 28)), "could not be looked at"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # of torch.jit
def test_what_is_unusual_and_harmless_is_remarked_upon(
    make: Callable[[], Any], phrase: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check_discriminator(made(make, 0)) == Report(10, 10)
    assert phrase in capsys.readouterr().out


@pytest.mark.parametrize("make", RIGHT.values(), ids=RIGHT)
def test_a_usual_one_is_not_remarked_upon(
    make: Callable[[], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    check_discriminator(made(make, 0))
    assert "!" not in capsys.readouterr().out


@pytest.mark.parametrize("blank", [None, ..., Empty(), raising(NotImplementedError("write D"))])
def test_a_blank_is_not_yet_done(blank: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_discriminator(blank) == Report(0, 10, (DONE,))
    assert capsys.readouterr().out.startswith("check_discriminator: not yet done: ")


def test_what_is_printed_for_a_wrong_one(capsys: pytest.CaptureFixture[str]) -> None:
    check_discriminator(made(lambda: pooled(nn.MaxPool2d(2), nn.MaxPool2d(2)), 0))
    found, hint, reread = capsys.readouterr().out.splitlines()[5:8]
    assert found == "  x pooling (0 of 1): expected strided convolutions, no pooling; found max_pool2d"
    assert hint.startswith("      hint: let a convolution shrink the map: Conv2d(..., 4, stride=2")
    assert reread == '      reread: chapter 5, "From a vector to an image and back"'


# ------------------------------------------------------------------ nothing changes, nothing crashes


def held_by_a_function(net: nn.Module) -> Callable[[Tensor], Any]:
    return lambda x: net(x)


@pytest.mark.parametrize("wrap", [lambda net: net, Uncopied, held_by_a_function, lambda net: net.forward])
def test_nothing_is_changed(wrap: Callable[[nn.Module], Any]) -> None:
    net = used(made(RIGHT["dropout"], 0), torch.randn(4, 1, 28, 28))
    D = wrap(net)
    before, around = state(net), surroundings()
    assert check_discriminator(D).score == 10
    assert state(net) == before
    assert surroundings() == around


def test_lazy_layers_stay_lazy() -> None:
    D = made(RIGHT["lazy layers"], 0)
    assert check_discriminator(D).score == 10
    assert isinstance(D[0].weight, nn.UninitializedParameter)
    assert isinstance(D[3].running_mean, nn.UninitializedBuffer)


def test_a_default_device_of_the_students_does_not_matter() -> None:
    D = made(dcgan, 0)
    torch.set_default_device("meta")
    try:
        assert check_discriminator(D) == Report(10, 10)
        assert torch.get_default_device() == torch.device("meta")
    finally:
        torch.set_default_device(None)


@pytest.mark.parametrize("name", ["dropout", "spectral norm", "noise on its input", "trained"])
def test_two_checks_say_the_same(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    D = made(RIGHT[name], 0)
    said = []
    for seed in range(2):
        torch.manual_seed(seed)
        report = check_discriminator(D)
        said.append((report, capsys.readouterr().out))
    assert said[0] == said[1]


@pytest.mark.parametrize("as_logits", [False, True])
@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_crashes_it(name: str, as_logits: bool, capsys: pytest.CaptureFixture[str]) -> None:
    around = surroundings()
    report = check_discriminator(HOSTILE[name], logits=as_logits)
    assert report.score == 0, capsys.readouterr().out
    assert report.failed == ("output",) or name == "prickly"
    assert surroundings() == around


def test_a_right_one_that_turns_hostile_later_keeps_what_it_has(capsys: pytest.CaptureFixture[str]) -> None:
    net, calls = made(dcgan, 0), []

    def turning(x: Tensor) -> Tensor:
        calls.append(x)
        if len(calls) > 1:
            sys.exit()
        out: Tensor = net(x)
        return out

    assert check_discriminator(turning).score <= 3
    assert "+ output" in capsys.readouterr().out


def test_one_that_does_not_return_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gancourse.assignment.judge.Clock", functools.partial(Clock, 0.3))
    began = time.monotonic()
    assert check_discriminator(endless).failed == ("output",)
    assert time.monotonic() - began < 3


def test_a_check_is_quick() -> None:
    D = made(RIGHT["wide"], 0)
    began = time.monotonic()
    check_discriminator(D)
    assert time.monotonic() - began < 5
