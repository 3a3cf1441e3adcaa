"""check_generator: wrong ones fail their own rule, right ones in any style none, and nothing changes."""

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

from gancourse.assignment.guard import Clock
from gancourse.assignment.networks import GENERATOR, check_generator
from gancourse.assignment.report import DONE, Report
from gancourse.models import DCGANGenerator

POINTS = {rule.name: rule.points for rule in GENERATOR}


def body(
    act: Callable[[], nn.Module] = nn.ReLU,
    norm: Callable[[int], nn.Module] | None = nn.BatchNorm2d,
    *,
    width: int = 8,
    last: int = 1,
) -> list[nn.Module]:
    """Linear, Unflatten, three transposed convolutions: z (N, 100) to (N, last, 28, 28), without an end."""
    layers: list[nn.Module] = [nn.Linear(100, 4 * width * 16), nn.Unflatten(1, (4 * width, 4, 4))]
    layers += [*([norm(4 * width)] if norm else []), act()]
    layers += [nn.ConvTranspose2d(4 * width, 2 * width, 3, 2, 1), *([norm(2 * width)] if norm else []), act()]
    layers += [nn.ConvTranspose2d(2 * width, width, 4, 2, 1), *([norm(width)] if norm else []), act()]
    return [*layers, nn.ConvTranspose2d(width, last, 4, 2, 1)]


def dcgan(*end: nn.Module, **how: Any) -> nn.Sequential:
    return nn.Sequential(*body(**how), *(end or (nn.Tanh(),)))


class Called(nn.Module):
    """Any function of z and a right G."""

    def __init__(self, call: Callable[[nn.Module, Tensor], Any], *end: nn.Module) -> None:
        super().__init__()
        self.net, self.call = dcgan(*end), call

    def forward(self, z: Tensor) -> Any:
        return self.call(self.net, z)


class Written(nn.Module):
    """G in a student's words."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(100, 16 * 49)
        self.up1, self.up2 = nn.ConvTranspose2d(16, 8, 4, 2, 1), nn.ConvTranspose2d(8, 1, 4, 2, 1)

    def forward(self, z: Tensor) -> Tensor:
        h = F.relu(self.linear(z)).view(-1, 16, 7, 7)
        return torch.tanh(self.up2(F.relu(self.up1(h))))


class HandNorm(nn.Module):
    """BatchNorm of the images, written out."""

    def forward(self, x: Tensor) -> Tensor:
        return (x - x.mean()) / (x.std() + 1e-5)


class Noisy(nn.Module):
    """Noise of its own at every call, as StyleGAN has."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.1 * torch.randn_like(x)


def closure() -> Callable[[Tensor], Tensor]:
    net = dcgan()

    def make(z: Tensor) -> Tensor:
        images: Tensor = net(z)
        return images

    return make


def weights_only() -> Callable[[Tensor], Tensor]:
    """G as a function of plain tensors."""
    shapes = [(100, 16 * 49), (16, 8, 4, 4), (8, 1, 4, 4)]
    first, second, last = (0.1 * torch.randn(shape, requires_grad=True) for shape in shapes)

    def make(z: Tensor) -> Tensor:
        h = F.relu(z @ first).view(-1, 16, 7, 7)
        h = F.relu(F.conv_transpose2d(h, second, stride=2, padding=1))
        return F.conv_transpose2d(h, last, stride=2, padding=1).tanh()

    return make


def trained(steps: int = 60) -> nn.Module:
    """Train a G to paint a bright square on black, of a size that follows z."""
    net = dcgan()
    adam = torch.optim.Adam(net.parameters(), 2e-3)
    for _ in range(steps):
        z = torch.randn(16, 100)
        edge = (14 + 4 * z[:, 0].tanh())[:, None, None, None]
        target = torch.where(torch.arange(28.0)[None, None, None] < edge, 1.0, -1.0).expand(-1, 1, 28, 28)
        adam.zero_grad()
        F.mse_loss(net(z), target).backward()
        adam.step()
    return net


def biased(net: nn.Sequential, shift: float) -> nn.Sequential:
    """Let a G begin dark or bright: its last bias."""
    with torch.no_grad():
        [layer for layer in net if isinstance(layer, nn.ConvTranspose2d)][-1].bias.fill_(shift)
    return net


def linear_bn() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(100, 16 * 49), nn.BatchNorm1d(16 * 49), nn.ReLU(), nn.Unflatten(1, (16, 7, 7)),
        nn.ConvTranspose2d(16, 8, 4, 2, 1), nn.BatchNorm2d(8), nn.ReLU(),
        nn.ConvTranspose2d(8, 1, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip


def spectral() -> nn.Sequential:
    net = dcgan()
    for i, layer in enumerate(net):
        if isinstance(layer, nn.ConvTranspose2d | nn.Linear):
            net[i] = nn.utils.parametrizations.spectral_norm(layer)
    return net


# name -> a G that takes the whole mark
RIGHT: dict[str, Callable[[], Any]] = {
    "Sequential": dcgan,
    "no BatchNorm": lambda: dcgan(norm=None),
    "the book's": lambda: DCGANGenerator(width=8),
    "BatchNorm1d after Linear": linear_bn,
    "wide": lambda: DCGANGenerator(width=128),
    "narrow": lambda: dcgan(width=1),
    "LeakyReLU": lambda: dcgan(act=lambda: nn.LeakyReLU(0.2)),
    "in place": lambda: dcgan(act=lambda: nn.ReLU(inplace=True)),
    "GroupNorm in hidden layers": lambda: dcgan(norm=lambda c: nn.GroupNorm(1, c)),
    "InstanceNorm in hidden layers": lambda: dcgan(norm=lambda c: nn.InstanceNorm2d(c, affine=True)),
    "dropout": lambda: dcgan(act=lambda: nn.Sequential(nn.ReLU(), nn.Dropout2d(0.3))),
    "spectral norm": spectral,
    "lazy layers": lambda: nn.Sequential(
        nn.LazyLinear(16 * 49), nn.ReLU(), nn.Unflatten(1, (16, 7, 7)), nn.LazyConvTranspose2d(8, 4, 2, 1),
        nn.LazyBatchNorm2d(), nn.ReLU(), nn.LazyConvTranspose2d(1, 4, 2, 1), nn.Tanh(),
    ),
    "subclass": Written,
    "upsampling and convolution": lambda: nn.Sequential(
        nn.Linear(100, 16 * 49), nn.Unflatten(1, (16, 7, 7)), nn.ReLU(), nn.Upsample(scale_factor=2),
        nn.Conv2d(16, 8, 3, padding=1), nn.ReLU(), nn.Upsample(scale_factor=2), nn.Conv2d(8, 1, 3, padding=1),
        nn.Tanh(),
    ),
    "one by one pixel at first": lambda: nn.Sequential(
        nn.Unflatten(1, (100, 1, 1)), nn.ConvTranspose2d(100, 16, 7), nn.ReLU(),
        nn.ConvTranspose2d(16, 8, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(8, 1, 4, 2, 1), nn.Tanh(),
    ),
    "cut from 32 to 28 pixels": lambda: Called(lambda net, z: F.pad(net(z), (2, 2, 2, 2))[..., 2:-2, 2:-2]),
    "tanh written out": lambda: Called(lambda net, z: 2 * torch.sigmoid(2 * net[:-1](z)) - 1),
    "tanh by sigmoid": lambda: Called(lambda net, z: 2 * net(z) - 1, nn.Sigmoid()),
    "Hardtanh": lambda: dcgan(nn.Hardtanh()),
    "clamped": lambda: Called(lambda net, z: net(z).clamp(-1, 1)),
    "a closure": closure,
    "a lambda": lambda: (lambda net: lambda z: net(z))(dcgan()),
    "a method": lambda: dcgan().forward,
    "a partial": lambda: functools.partial(lambda net, z: net(z), dcgan()),
    "a function of tensors": weights_only,
    "noise of its own": lambda: nn.Sequential(*body(), Noisy(), nn.Tanh()),
    "in evaluation mode": lambda: dcgan().eval(),
    "frozen": lambda: dcgan().requires_grad_(False),
    "trained": trained,
    "begins dark": lambda: biased(dcgan(), -2.0),
    "begins bright": lambda: biased(dcgan(norm=None), 1.0),
    "trained, in evaluation mode": lambda: trained().eval(),
    "a function of a trained one": lambda: trained().eval().forward,
    "normalizes z": lambda: Called(lambda net, z: net(10 * F.normalize(z))),
}  # fmt: skip
# name -> a G, the rules that fail, a part of the hint or of what was found
WRONG: dict[str, tuple[Callable[[], Any], tuple[str, ...], str]] = {
    "for z (N, 100, 1, 1)": (
        lambda: nn.Sequential(
            nn.ConvTranspose2d(100, 16, 7), nn.ReLU(), nn.ConvTranspose2d(16, 8, 4, 2, 1), nn.ReLU(),
            nn.ConvTranspose2d(8, 1, 4, 2, 1), nn.Tanh(),
        ),
        ("output",), "of shape (N, 100)",
    ),
    "32 pixels": (
        lambda: nn.Sequential(*body()[:-1], nn.ConvTranspose2d(8, 1, 8, 2, 1), nn.Tanh()),
        ("output",), "doubles the side",
    ),
    "27 pixels": (
        lambda: nn.Sequential(
            nn.Linear(100, 16 * 49), nn.Unflatten(1, (16, 7, 7)), nn.ConvTranspose2d(16, 8, 3, 2, 1),
            nn.ConvTranspose2d(8, 1, 3, 2, 1), nn.Tanh(),
        ),
        ("output",), "doubles the side",
    ),
    "three channels": (lambda: dcgan(last=3), ("output",), "(16, 3, 28, 28)"),
    "flat": (lambda: dcgan(nn.Tanh(), nn.Flatten()), ("output",), "(16, 784)"),
    "no channels": (lambda: Called(lambda net, z: net(z)[:, 0]), ("output",), "(16, 28, 28)"),
    "one image": (lambda: Called(lambda net, z: net(z)[:1]), ("output",), "(1, 1, 28, 28)"),
    "a z of 64": (
        lambda: nn.Sequential(nn.Linear(64, 784), nn.Tanh(), nn.Unflatten(1, (1, 28, 28))),
        ("output",), "Linear takes 100 numbers",
    ),
    "no Unflatten": (
        lambda: nn.Sequential(nn.Linear(100, 16 * 49), nn.ConvTranspose2d(16, 1, 4, 2, 1), nn.Tanh()),
        ("output",), "then Unflatten",
    ),
    "a tuple": (lambda: Called(lambda net, z: (net(z), z)), ("output",), "a tuple"),
    "no return": (lambda: Called(lambda net, z: None), ("output",), "a NoneType"),
    "two arguments": (lambda: lambda z, y: z, ("output",), "takes one tensor z"),
    "not finite": (lambda: Called(lambda net, z: net(z) / 0), ("output",), "division by 0"),
    "float64": (lambda: dcgan().double(), ("output",), "float32"),
    "its class": (lambda: Written, ("output",), "G = Written()"),
    "no tanh": (lambda: dcgan(nn.Identity()), ("range",), "end G with Tanh"),
    "no tanh, small weights": (lambda: DCGANGenerator(width=8).net[:-1], ("range",), "end G with Tanh"),
    "no tanh, a function": (
        lambda: (lambda net: lambda z: net(z))(DCGANGenerator(width=8).net[:-1]), ("range",), "G with Tanh",
    ),
    "no tanh, no BatchNorm": (lambda: dcgan(nn.Identity(), norm=None), ("range",), "end G with Tanh"),
    "sigmoid": (lambda: dcgan(nn.Sigmoid()), ("range",), "a Sigmoid or ReLU?"),
    "ReLU": (lambda: dcgan(nn.ReLU()), ("range",), "end G with Tanh"),
    "ReLU after tanh": (lambda: dcgan(nn.Tanh(), nn.ReLU()), ("range",), "a Sigmoid or ReLU?"),
    "pixels up to 255": (lambda: Called(lambda net, z: 127.5 * (net(z) + 1)), ("range",), "end G with Tanh"),
    "pixels up to one half": (lambda: Called(lambda net, z: net(z) / 2), ("range",), "undivided"),
    "tanh twice": (lambda: dcgan(nn.Tanh(), nn.Tanh()), ("range",), "one Tanh"),
    "without z": (lambda: Called(lambda net, z: net(torch.ones_like(z))), ("latent",), "not depend on z"),
    "zeros": (lambda: Called(lambda net, z: net(0 * z)), ("latent",), "does not depend on z"),
    "noise in place of z": (
        lambda: Called(lambda net, z: net(torch.randn_like(z))), ("latent",), "does not depend on z",
    ),
    "one image for the batch": (
        lambda: Called(lambda net, z: net(z.mean(0, keepdim=True)).expand(len(z), -1, -1, -1)),
        ("latent",), "does not depend on z",
    ),
    "one image for the batch, of its first z": (
        lambda: Called(lambda net, z: net(z[:1]).expand(len(z), -1, -1, -1)), ("latent",), "not depend on z",
    ),
    "collapsed": (
        lambda: Called(lambda net, z: net(1e-6 * z)), ("latent",), "does not depend on z",
    ),
    "BatchNorm at the end": (
        lambda: dcgan(nn.BatchNorm2d(1), nn.Tanh()), ("normalization",), "take BatchNorm away",
    ),
    "BatchNorm at the end, eval mode left on": (
        lambda: dcgan(nn.BatchNorm2d(1), nn.Tanh()).eval(), ("normalization",), "take BatchNorm away",
    ),
    "BatchNorm at the end, another scale": (
        lambda: biased_norm(dcgan(nn.BatchNorm2d(1), nn.Tanh())), ("normalization",), "take BatchNorm away",
    ),
    "BatchNorm, then cut to 28 pixels": (
        lambda: nn.Sequential(
            *body(), nn.ZeroPad2d(2), nn.BatchNorm2d(1), nn.Tanh(), nn.ZeroPad2d(-2),
        ),
        ("normalization",), "take BatchNorm away",
    ),
    "BatchNorm everywhere": (
        lambda: dcgan(nn.BatchNorm2d(1), nn.Tanh(), norm=nn.BatchNorm2d), ("normalization",), "last layer",
    ),
    "BatchNorm after tanh": (
        lambda: dcgan(nn.Tanh(), nn.BatchNorm2d(1)), ("range", "normalization"), "end G with Tanh",
    ),
    "InstanceNorm at the end": (
        lambda: dcgan(nn.InstanceNorm2d(1), nn.Tanh()), ("normalization",), "brightness and contrast",
    ),
    "LayerNorm at the end": (
        lambda: dcgan(nn.LayerNorm([1, 28, 28]), nn.Tanh()), ("normalization",), "brightness and contrast",
    ),
    "normalized by hand": (lambda: dcgan(HandNorm(), nn.Tanh()), ("normalization",), "it fixes brightness"),
    "BatchNorm at the end, in a closure": (
        lambda: (lambda net: lambda z: net(z))(dcgan(nn.BatchNorm2d(1), nn.Tanh())),
        ("normalization",), "take BatchNorm away",
    ),
    "BatchNorm at the end, no others": (
        lambda: dcgan(nn.BatchNorm2d(1), nn.Tanh(), norm=None), ("normalization",), "take BatchNorm away",
    ),
}  # fmt: skip


def biased_norm(net: nn.Sequential) -> nn.Sequential:
    """Give the last BatchNorm what training would: a scale and a shift."""
    with torch.no_grad():
        net[-2].weight.fill_(1.5)
        net[-2].bias.fill_(-1.0)
    return net


def made(make: Callable[[], Any], seed: int) -> Any:
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return make()


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", RIGHT)
def test_a_right_one_has_full_marks(name: str, seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    report = check_generator(made(RIGHT[name], seed))
    said = capsys.readouterr().out
    assert report == Report(10, 10), said
    assert "!" not in said


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_one_fails_its_rule_and_no_other(
    name: str, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    make, failed, phrase = WRONG[name]
    report = check_generator(made(make, seed))
    said = capsys.readouterr().out
    assert report.failed == failed, said
    assert phrase in said
    reached = [line.split()[1] for line in said.splitlines() if line.startswith("  +")]
    assert report.score == sum(POINTS[rule] for rule in reached) < 10


def test_every_rule_is_failed_by_some_wrong_one() -> None:
    assert {rule for _, failed, _ in WRONG.values() for rule in failed} == set(POINTS)
    assert sum(POINTS.values()) == 10


def test_what_is_to_be_reread_is_in_the_book() -> None:
    assert [rule.reread for rule in GENERATOR if not in_the_book(rule.reread)] == []


class Hidden(nn.Module):
    """A G whose layers PyTorch does not see."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = [*dcgan()]

    def forward(self, z: Tensor) -> Tensor:
        return functools.reduce(lambda x, layer: layer(x), self.layers, z)


def test_layers_in_a_list_are_no_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_generator(Hidden()) == Report(0, 10, ("output",))
    told = capsys.readouterr().out
    assert "found a network without parameters" in told
    assert "nn.ModuleList" in told


def test_what_is_printed_for_a_wrong_one(capsys: pytest.CaptureFixture[str]) -> None:
    check_generator(made(lambda: dcgan(last=3), 0))
    score, found, hint, reread, *_ = capsys.readouterr().out.splitlines()
    assert score == "check_generator: 0 of 10 points"
    assert found.startswith(
        "  x output (0 of 4): expected G to map z (N, 100) to images (N, 1, 28, 28); found "
    )
    assert found.endswith("found (16, 3, 28, 28) for z (16, 100)")
    assert hint == "      hint: digits have one channel: the last layer gives 1"
    assert reread == '      reread: chapter 5, "The 28-pixel pair, written out"'


# ------------------------------------------------------------------ nothing changes, nothing crashes


@pytest.mark.parametrize("blank", [None, ..., Empty(), raising(NotImplementedError("write G"))])
def test_a_blank_is_not_yet_done(blank: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_generator(blank) == Report(0, 10, (DONE,))
    assert capsys.readouterr().out.startswith("check_generator: not yet done: ")


def held_by_a_function(net: nn.Module) -> Callable[[Tensor], Any]:
    return lambda z: net(z)


@pytest.mark.parametrize("wrap", [lambda net: net, Uncopied, held_by_a_function, lambda net: net.forward])
def test_nothing_is_changed(wrap: Callable[[nn.Module], Any]) -> None:
    net = used(made(RIGHT["dropout"], 0), torch.randn(4, 100))
    G = wrap(net)
    before, around = state(net), surroundings()
    assert check_generator(G).score == 10
    assert state(net) == before
    assert surroundings() == around


def test_lazy_layers_stay_lazy() -> None:
    G = made(RIGHT["lazy layers"], 0)
    assert check_generator(G).score == 10
    assert isinstance(G[0].weight, nn.UninitializedParameter)
    assert isinstance(G[4].running_mean, nn.UninitializedBuffer)


def test_a_default_device_of_the_students_does_not_matter() -> None:
    G = made(dcgan, 0)
    torch.set_default_device("meta")
    try:
        assert check_generator(G) == Report(10, 10)
        assert torch.get_default_device() == torch.device("meta")
    finally:
        torch.set_default_device(None)


@pytest.mark.parametrize("name", ["dropout", "spectral norm", "noise of its own", "trained"])
def test_two_checks_say_the_same(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    G = made(RIGHT[name], 0)
    said = []
    for seed in range(2):
        torch.manual_seed(seed)
        said.append((check_generator(G), capsys.readouterr().out))
    assert said[0] == said[1]


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_crashes_it(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    around = surroundings()
    report = check_generator(HOSTILE[name])
    assert report.score == 0, capsys.readouterr().out
    assert report.failed == ("output",) or name == "prickly"
    assert surroundings() == around


def test_a_right_one_that_turns_hostile_later_keeps_what_it_has(capsys: pytest.CaptureFixture[str]) -> None:
    net, calls = made(dcgan, 0), []

    def turning(z: Tensor) -> Tensor:
        calls.append(z)
        if len(calls) > 1:
            sys.exit()
        images: Tensor = net(z)
        return images

    assert check_generator(turning).score < 10
    assert "+ output" in capsys.readouterr().out


def test_one_that_does_not_return_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gancourse.assignment.judge.Clock", functools.partial(Clock, 0.3))
    began = time.monotonic()
    assert check_generator(endless).failed == ("output",)
    assert time.monotonic() - began < 3


def test_a_check_is_quick() -> None:
    G = made(RIGHT["wide"], 0)
    began = time.monotonic()
    check_generator(G)
    assert time.monotonic() - began < 5
