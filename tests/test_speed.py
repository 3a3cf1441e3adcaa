"""How a run is computed: each switch leaves what is computed as it is, and a step is recorded once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from tiny import STEPS, config, images, nets, state
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from gancourse.data import grid
from gancourse.losses import NON_SATURATING, WASSERSTEIN
from gancourse.models import MLPDiscriminator, MLPGenerator
from gancourse.penalties import gradient_penalty
from gancourse.training import Run, Schedule, Speed, TrainConfig, fit
from gancourse.training import speed as speed_module
from gancourse.training.config import HISTORY
from gancourse.training.players import Average
from gancourse.training.speed import EAGER_FIRST, Recorder
from gancourse.training.trainer import Trainer

_RECORD = Recorder._record
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")
OFF = Speed(graph="off", channels_last=False, fused=False, tf32=False, tune=False)


def dcgan(speed: Speed | None = None, device: str = "cpu", **facts: Any) -> Run:
    G, D = (net.to(device) for net in nets())
    return fit(G, D, images(), loss=NON_SATURATING, config=config(**facts), progress=False, speed=speed)


def wgan_gp(speed: Speed | None = None, device: str = "cpu", steps: int = STEPS) -> Run:
    rng = torch.Generator().manual_seed(0)
    G = MLPGenerator(2, 2, width=16, depth=2, generator=rng).to(device)
    D = MLPDiscriminator(2, width=16, depth=2, generator=rng).to(device)
    facts = TrainConfig(steps, batch_size=32, d_steps=5, betas=(0.0, 0.9), penalty_weight=10.0)
    given: dict[str, Any] = {"loss": WASSERSTEIN, "penalty": gradient_penalty, "config": facts}
    return fit(G, D, grid(), progress=False, speed=speed, **given)


def apart(one: Run, other: Run) -> float:
    """Return the largest difference between the losses of two runs."""
    return max(float((one.history[name] - other.history[name]).abs().max()) for name in HISTORY)


# ------------------------------------------------------------------ the switches


@pytest.mark.parametrize("name", ["channels_last", "fused", "tf32", "tune"])
@pytest.mark.parametrize("train", [dcgan, wgan_gp])
def test_a_switch_changes_how_and_not_what(name: str, train: Callable[[Speed], Run]) -> None:
    assert apart(train(Speed(**{name: False})), train(Speed())) < 1e-4


def test_all_switches_off_are_plain_torch() -> None:
    G, D = nets()
    trainer = Trainer(G, D, images(), NON_SATURATING, None, config(), speed=OFF)
    assert trainer.recorder is None
    assert not trainer.opt_g.defaults["fused"]
    assert next(p for p in D.parameters() if p.ndim == 4).is_contiguous()
    assert apart(dcgan(OFF), dcgan()) < 1e-4


def test_torchs_own_switches_are_given_back() -> None:
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = (matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark)
    with Speed(tf32=not before[0], tune=not before[2]).in_use():
        assert (matmul.allow_tf32, cudnn.benchmark) == (not before[0], not before[2])
    assert (matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark) == before


def test_speed_is_no_part_of_what_a_run_is(tmp_path: Any) -> None:
    G, D = nets()
    given: dict[str, Any] = {"loss": NON_SATURATING, "checkpoint_dir": tmp_path, "progress": False}
    fit(G, D, images(), config=config(steps=4), speed=OFF, **given)
    G, D = nets()
    assert fit(G, D, images(), config=config(), **given).reused == 4


def test_another_word_for_graph_is_refused() -> None:
    with pytest.raises(ValueError, match=r'"auto", "on" or "off", got True'):
        Speed(graph=True)  # type: ignore[arg-type]


def test_a_graph_that_is_asked_for_and_cannot_be_is_an_error() -> None:
    with pytest.raises(RuntimeError, match='got a CPU in place of a CUDA GPU; graph="auto" goes without'):
        dcgan(Speed(graph="on"))


# ------------------------------------------------------------------ the average


def test_the_average_is_that_of_torch_bit_for_bit() -> None:
    G, _ = nets()
    ours, theirs = Average(G, 0.9), AveragedModel(G, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    for seed in range(5):
        with torch.no_grad():
            for value in (*G.parameters(), *G.buffers()):
                value.add_(seed + 1)
        ours.update_parameters(G)
        theirs.update_parameters(G)
        assert state(ours).keys() == state(theirs).keys()
        assert all(
            torch.equal(a, b) for a, b in zip(state(ours).values(), state(theirs).values(), strict=True)
        )


# ------------------------------------------------------------------ recording


class Recording:
    """Stands for a CUDA graph on a CPU: what is recorded is undone, and done at each replay."""

    def __init__(self) -> None:
        self.seen: Tensor | None = None
        self.replays = 0

    def register_generator_state(self, generator: torch.Generator) -> None:
        assert isinstance(generator, torch.Generator)

    def replay(self) -> None:
        self.replays += 1
        averaged = self.trainer.counts()
        self.seen.copy_(self.trainer.move(self.inputs))
        self.trainer.set_counts(averaged)  # a GPU does not count on the host


@pytest.fixture
def recordings(monkeypatch: pytest.MonkeyPatch) -> list[Recording]:
    """Let the CPU stand in for a GPU; return what is recorded."""
    made: list[Recording] = []

    @contextlib.contextmanager
    def graph(recording: Recording, stream: object) -> Iterator[None]:
        recorder = made_by[-1]
        made.append(recording)
        recording.trainer, recording.inputs = recorder.trainer, recorder.inputs
        kept, tensors = recorder.trainer.tensors(), _live(recorder.trainer)
        values = [tensor.clone() for tensor in tensors]
        yield
        with torch.no_grad():
            for tensor, value in zip(tensors, values, strict=True):
                tensor.copy_(value)
        recorder.trainer.noise.set_state(kept["rng.noise"])
        torch.set_rng_state(kept["rng.global"])
        recording.seen = recorder.seen

    made_by: list[Recorder] = []
    record = Recorder._record

    def noting(self: Recorder, batches: Any) -> bool:
        made_by.append(self)
        done = record(self, batches)
        made[-1].seen = self.seen
        return done

    class Stream:
        def wait_stream(self, other: object) -> None: ...

    monkeypatch.setattr(Recorder, "_record", noting)
    monkeypatch.setattr(speed_module, "_obstacle", lambda trainer: None)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Recording)
    monkeypatch.setattr(torch.cuda, "graph", graph)
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: Stream())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream())
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
    return made


def _live(trainer: Trainer) -> list[Tensor]:
    """Return all tensors that a step changes in place."""
    modules: list[nn.Module] = [*trainer.named().values()]
    of_nets = [tensor for net in modules for tensor in (*net.parameters(), *net.buffers())]
    of_adam = [v for opt in (trainer.opt_g, trainer.opt_d) for s in opt.state.values() for v in s.values()]
    return [*of_nets, *of_adam]


@pytest.mark.parametrize("train", [dcgan, wgan_gp])
def test_a_recorded_run_is_the_run(train: Callable[[Speed], Run], recordings: list[Recording]) -> None:
    eager, recorded = train(Speed(graph="off")), train(Speed(graph="on"))
    assert [recording.replays for recording in recordings] == [STEPS - EAGER_FIRST]
    assert apart(eager, recorded) == 0
    assert [*map(torch.Tensor.tolist, state(eager.G).values())] == [
        *map(torch.Tensor.tolist, state(recorded.G).values())
    ]


def test_a_rate_that_changes_reaches_the_recording(recordings: list[Recording]) -> None:
    rate = Schedule(2e-3, 0.0, STEPS)
    eager, recorded = (dcgan(Speed(graph=way), lr_g=rate) for way in ("off", "on"))  # type: ignore[arg-type]
    assert len(recordings) == 1
    assert apart(eager, recorded) < 1e-5


def test_a_recorded_run_goes_on(tmp_path: Any, recordings: list[Recording]) -> None:
    whole = dcgan(Speed(graph="on"))
    for steps in (5, STEPS):
        G, D = nets()
        run = fit(
            G, D, images(), loss=NON_SATURATING, config=config(steps=steps), checkpoint_dir=tmp_path,
            progress=False, speed=Speed(graph="on"),
        )  # fmt: skip
    assert apart(whole, run) == 0


def test_what_cannot_be_recorded_is_said_and_run_all_the_same(
    recordings: list[Recording], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextlib.contextmanager
    def refusing(recording: object, stream: object) -> Iterator[None]:
        raise RuntimeError("operation not permitted when stream is capturing\nmore")
        yield

    monkeypatch.setattr(torch.cuda, "graph", refusing)
    monkeypatch.setattr(Recorder, "_record", _RECORD)
    G, D = nets()
    trainer = Trainer(G, D, images(), NON_SATURATING, None, config(), speed=Speed(graph="on"))
    trainer.speed = Speed(graph="auto")
    trainer.seed_global()
    for _ in range(STEPS):
        trainer.advance()
    assert trainer.recorder is None
    told = "no CUDA graph: operation not permitted when stream is capturing; the steps are launched"
    assert told in capsys.readouterr().out
    eager = torch.stack([*dcgan(Speed(graph="off")).history.values()])
    assert torch.allclose(trainer.history, eager, atol=1e-6)


# ------------------------------------------------------------------ on a GPU


@GPU
@pytest.mark.parametrize("train", [dcgan, wgan_gp])
def test_on_a_gpu_a_graph_gives_the_eager_losses(train: Callable[..., Run]) -> None:
    facts: dict[str, Any] = {"device": "cuda", "steps": 200}
    eager, graphed = (train(Speed(graph=way, tune=False), **facts) for way in ("off", "on"))  # type: ignore[arg-type]
    assert apart(eager, graphed) < 1e-5
