"""The frame of the notebook: blanks are told, a training goes on where it stopped and knows its own code."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, Optimizer

from gancourse.assignment import (
    Blank,
    Report,
    Training,
    built,
    check_class_shares,
    check_discriminator,
    check_generator,
    check_interpolation,
    check_progress,
    check_samples,
    train,
    unless_blank,
)
from gancourse.assignment.fingerprint import fingerprint
from gancourse.features import mnist_classifier
from gancourse.sampling import generate, lerp
from gancourse.sampling import slerp as arc
from gancourse.training import TrainingDiverged
from gancourse.training.checkpoint import CheckpointError

# ------------------------------------------------------------------ blanks


class BlankNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        raise NotImplementedError


def test_what_can_be_built_is_itself() -> None:
    assert isinstance(built(nn.Tanh), nn.Tanh)


@pytest.mark.parametrize("check", [check_generator, check_discriminator, check_samples])
def test_a_net_that_cannot_be_built_yet_is_not_yet_done(
    check: Callable[[Any], Report], capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(built(BlankNet)) == Report(0, 10, ("done",))
    said = capsys.readouterr().out
    assert "not yet done: " in said
    assert "could not go on" not in said


def test_a_picture_waits_for_the_net(capsys: pytest.CaptureFixture[str]) -> None:
    fixed = torch.randn(64, 100)
    assert check_progress(lambda G: G(fixed), built(BlankNet)).failed == ("done",)
    assert "BlankNet is still blank" in capsys.readouterr().out


def test_another_error_is_told_by_the_check_and_not_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> None:
        raise ValueError("mine")

    assert check_generator(built(broken)) == Report(0, 10, ("output",))
    assert 'found ValueError: mine (at `raise ValueError("mine")`)' in capsys.readouterr().out
    with unless_blank("a part that needs it"):
        built(broken).to("cpu")
    assert "a part that needs it: not yet done: the part above raises ValueError" in capsys.readouterr().out
    with pytest.raises(ValueError, match="mine"), unless_blank("this part"):
        broken()


@pytest.mark.parametrize("use", [lambda b: b(), lambda b: b.grids, lambda b: b.to("cpu")])
def test_whoever_uses_a_blank_is_told_what_it_waits_for(
    use: Callable[[Blank], object], capsys: pytest.CaptureFixture[str]
) -> None:
    with unless_blank("the pictures"):
        use(Blank("train first"))
    assert capsys.readouterr().out == "the pictures: not yet done: train first\n"


# ------------------------------------------------------------------ the code of a training


NOISE = "import torch\nz = torch.{}(3)\ndef f(): return z"
CLOSED = "def g():\n    n = {}\n    return lambda: n\nf = g()"
VERSIONS = [  # two texts of f, and whether they are the same code
    ("def f(x):\n    return x + 1", "def f(x):  # the same\n    return x + 1  # indeed", True),
    ("def f(x):\n    return x + 1", "def f(x):\n    return x + 2", False),
    ("def f(x):\n    return x + 1", "def f(x):\n    return x - 1", False),
    ("def f(x):\n    return x.sin()", "def f(x):\n    return x.cos()", False),
    ("def f(x, n=1):\n    return n", "def f(x, n=2):\n    return n", False),
    ("a = 1\ndef f(x):\n    return a", "a = 2\ndef f(x):\n    return a", False),
    ("def g(x): return 1\ndef f(x): return g(x)", "def g(x): return 2\ndef f(x): return g(x)", False),
    ("def f(x):\n    return [y for y in x]", "def f(x):\n    return [y + 1 for y in x]", False),
    ("f = lambda x: x", "f = lambda x: x", True),
    ("class f:\n    def a(self): return 1", "class f:\n    def a(self): return 2", False),
    ("class f:\n    n = 1", "class f:\n    n = 2", False),
    ("class g:\n    n = 1\nclass f(g): pass", "class g:\n    n = 2\nclass f(g): pass", False),
    (NOISE.format("ones"), NOISE.format("ones"), True),
    (NOISE.format("ones"), NOISE.format("zeros"), False),
    (CLOSED.format(1), CLOSED.format(2), False),
    ("def f(n): return f(n - 1)", "def f(n): return f(n - 1)", True),
]


@pytest.mark.parametrize(("one", "other", "same"), VERSIONS)
def test_a_fingerprint_tells_code_from_other_code(one: str, other: str, same: bool) -> None:
    prints = []
    for text in (one, other):
        made: dict[str, Any] = {"__name__": "__main__"}
        exec(text, made)
        prints.append(fingerprint(made["f"]))
    assert (prints[0] == prints[1]) is same


def test_a_fingerprint_is_the_same_in_another_process() -> None:
    text = "class N:\n    k = {'a': (1, 2.0)}\n    def f(self): return {1, 2, 3}, 'x', self.k\n"
    ask = f"{text}\nfrom gancourse.assignment.fingerprint import fingerprint\nprint(fingerprint(N))"
    said = {subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True).stdout for _ in "ab"}
    assert len(said) == 1
    assert len(said.pop().strip()) == 64


# ------------------------------------------------------------------ the training


class SmallG(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(100, 784), nn.BatchNorm1d(784), nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z).view(-1, 1, 28, 28)


class SmallD(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(784, 1))


def step(
    G: nn.Module, D: nn.Module, opt_g: Optimizer, opt_d: Optimizer, real: Tensor
) -> tuple[Tensor, Tensor]:
    fake = G(torch.randn(len(real), 100))
    loss_d = F.softplus(-D(real)).mean() + F.softplus(D(fake.detach())).mean()
    opt_d.zero_grad()
    loss_d.backward()
    opt_d.step()
    loss_g = F.softplus(-D(fake)).mean()
    opt_g.zero_grad()
    loss_g.backward()
    opt_g.step()
    return loss_d, loss_g


def batches() -> Iterator[Tensor]:
    for _ in range(3):
        yield torch.rand(8, 1, 28, 28) * 2 - 1 + random.random() * 0.1 + np.random.rand() * 0.1  # noqa: NPY002


Z = torch.linspace(-1, 1, 6400).view(64, 100)


def render(G: nn.Module) -> Tensor:
    return generate(G, Z)[:4].reshape(1, -1, 28)


def players() -> tuple[SmallG, SmallD, Adam, Adam]:
    torch.manual_seed(0)
    G, D = SmallG(), SmallD()
    return G, D, Adam(G.parameters()), Adam(D.parameters())


def trained(folder: Path | None, epochs: int, step: Any = step, **changes: Any) -> Training:
    settings = {"batches": batches, "render": render, "every": 2} | changes
    given = settings.pop("batches")
    return train(step, *players(), given, epochs=epochs, checkpoint_dir=folder, **settings)


def weights(run: Training) -> list[object]:
    return [value.tolist() for net in (run.G, run.D) for value in net.state_dict().values()]


def test_a_training_counts_and_draws() -> None:
    run = trained(None, 5)
    assert (run.epochs, run.steps, len(run.losses)) == (5, 15, 5)
    assert list(run.grids) == [0, 2, 4, 5]
    assert torch.allclose(run.picture(5), render(run.G), atol=1 / 127)


def test_it_goes_on_after_an_interruption_as_if_there_had_been_none(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", 5)
    calls = []

    def interrupted() -> Iterator[Tensor]:
        for real in batches():
            calls.append(real)
            if len(calls) == 8:
                raise KeyboardInterrupt
            yield real

    # The same code, as far as it is known: only the source of batches differs, which is not looked into here.
    with pytest.raises(KeyboardInterrupt) as stopped:
        trained(tmp_path / "cut", 5, batches=interrupted)
    assert "".join(stopped.value.__notes__) == (
        "stopped in epoch 3; run this cell again to go on with it, the 2 before are kept"
    )
    cut = next((tmp_path / "cut").iterdir())
    cut.rename(cut.with_name(next((tmp_path / "whole").iterdir()).name))
    again = trained(tmp_path / "cut", 5)
    assert weights(again) == weights(whole)
    assert again.losses == whole.losses
    assert {epoch: grid.tolist() for epoch, grid in again.grids.items()} == {
        epoch: grid.tolist() for epoch, grid in whole.grids.items()
    }


def test_pictures_that_were_loaded_are_in_the_order_of_epochs(tmp_path: Path) -> None:
    for _ in range(2):
        assert list(trained(tmp_path, 11, every=5).grids) == [0, 5, 10, 11]


def test_a_finished_training_is_returned_and_a_longer_one_extended(tmp_path: Path) -> None:
    def never() -> Iterator[Tensor]:
        raise AssertionError("it trains again")

    first = trained(tmp_path, 2)
    code = next(tmp_path.iterdir())
    assert weights(trained(tmp_path, 2)) == weights(first)
    longer = trained(tmp_path, 4)
    assert weights(longer) == weights(trained(None, 4))
    assert [path.name for path in tmp_path.iterdir()] == [code.name]


def test_changed_code_trains_anew_and_the_last_versions_stay(tmp_path: Path) -> None:
    def version(number: int) -> Any:
        return lambda G, D, opt_g, opt_d, real: (
            *step(G, D, opt_g, opt_d, real)[:1],
            torch.tensor(float(number)),
        )

    for number in range(14):
        assert trained(tmp_path, 1, version(number)).losses[0][1] == number
    assert len(list(tmp_path.iterdir())) == 12
    assert trained(tmp_path, 1, version(2)).losses[0][1] == 2


def test_the_stamp_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANCOURSE_RUN_LOG", str(tmp_path / "log"))
    for epochs in (2, 3):
        trained(tmp_path / "runs", epochs)
    records = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [(record["steps"], record["steps_reused"]) for record in records] == [(6, 0), (9, 6)]
    assert set(records[0]) == {"run", "steps", "steps_reused", "device", "date", "wall_s"}


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        (lambda *_: None, TypeError, r"expected step to return \(d_loss, g_loss\), got NoneType"),
        (lambda *_: (1.0, 2.0, 3.0), TypeError, r"expected step to return \(d_loss, g_loss\), got tuple"),
        (lambda *_: (1.0, float("nan")), TrainingDiverged, "in epoch 1 D's loss is 1 and G's nan"),
    ],
)
def test_a_wrong_step_is_told(wrong: Any, error: type[Exception], words: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=words):
        trained(tmp_path, 1, wrong)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_an_epoch_without_batches_and_a_render_without_picture_are_told() -> None:
    with pytest.raises(ValueError, match="got none"):
        trained(None, 1, batches=lambda: iter([]))
    with pytest.raises(TypeError, match="expected render to return a picture"):
        trained(None, 1, render=lambda G: None)


def test_a_checkpoint_that_is_broken_is_named(tmp_path: Path) -> None:
    trained(tmp_path, 1)
    (path,) = tmp_path.rglob("last.safetensors")
    path.write_bytes(b"no")
    with pytest.raises(CheckpointError, match="remove it"):
        trained(tmp_path, 2)


@pytest.mark.parametrize("scale", [lambda x: x, lambda x: (x + 1) / 2, lambda x: ((x + 1) * 127.5).round()])
def test_pictures_of_any_range_are_kept(scale: Callable[[Tensor], Tensor]) -> None:
    run = trained(None, 0, render=lambda G: scale(render(G)))
    assert torch.allclose(run.picture(0), render(run.G), atol=1 / 127)


# ------------------------------------------------------------------ the bonus


def walk(way: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    def drawn(G: nn.Module, z1: Tensor, z2: Tensor, steps: int = 8) -> Tensor:
        return generate(G, way(z1.flatten(), z2.flatten(), torch.linspace(0, 1, steps)))

    return drawn


def normalized(z1: Tensor, z2: Tensor, t: Tensor) -> Tensor:
    length = torch.lerp(z1.norm(), z2.norm(), t)[:, None]
    return nn.functional.normalize(lerp(z1, z2, t)) * length


def test_an_arc_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_interpolation(walk(arc), arc=True) == Report(10, 10)
    assert check_interpolation(walk(normalized), arc=True) == Report(10, 10)
    assert check_interpolation(walk(lerp), arc=False) == Report(10, 10)
    capsys.readouterr()
    assert check_interpolation(walk(lerp), arc=True) == Report(7, 10, ("path",))
    assert "z on the chord" in capsys.readouterr().out
    assert Report(7, 10, ("path",)).of(5) == Report(3.5, 5, ("path",))


def shares(images: Tensor) -> Tensor:
    with torch.no_grad():
        return mnist_classifier()(images).softmax(1)


def logits(images: Tensor) -> Tensor:
    with torch.no_grad():
        return mnist_classifier()(images)


SHARES: dict[str, tuple[Any, float, str | None, str]] = {
    "right": (shares, 5, None, ""),
    "with gradients": (lambda x: mnist_classifier()(x).softmax(1), 5, None, ""),
    "one by one": (lambda x: torch.cat([shares(image[None]) for image in x]), 5, None, ""),
    "logits": (logits, 1, "probabilities", "logits become probabilities"),
    "log_softmax": (lambda x: logits(x).log_softmax(1), 1, "probabilities", "these are logarithms"),
    "over the batch": (lambda x: logits(x).softmax(0), 1, "probabilities", "the ten classes of one image"),
    "classes": (lambda x: logits(x).argmax(1), 0, "shape", "softmax along dim=1"),
    "one-hot": (lambda x: F.one_hot(logits(x).argmax(1), 10), 2, "classifier", "not 1 for the likeliest"),
    "in [0, 1]": (lambda x: shares((x + 1) / 2), 2, "classifier", "as they are"),
    "uniform": (lambda x: torch.full((len(x), 10), 0.1), 2, "classifier", "as they are"),
    "an error": (lambda x: x.nonsense, 0, "shape", "softmax along dim=1"),
}


@pytest.mark.parametrize("name", SHARES)
def test_shares_are_those_of_the_classifier(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    call, score, failed, hint = SHARES[name]
    assert check_class_shares(call) == Report(score, 5, () if failed is None else (failed,))
    assert hint in capsys.readouterr().out


def test_shares_may_be_blank() -> None:
    assert check_class_shares(built(BlankNet)) == Report(0, 5, ("done",))
