"""`fit`: what a run is, how it is resumed, and what it refuses."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import STEPS, assert_same_run, config, images, nets, same_bits, state, train
from torch import Tensor, nn

import gancourse.training.trainer as trainer_module
from gancourse.losses import MINIMAX, NON_SATURATING, GANLoss
from gancourse.training import (
    CheckpointError,
    Run,
    TrainConfig,
    TrainingDiverged,
    checkpoint,
    d_step,
    fit,
    g_step,
)
from gancourse.training.config import HISTORY
from gancourse.training.trainer import Trainer


@pytest.fixture(scope="module")
def whole() -> Run:
    """The uninterrupted run that all others are compared with."""
    return train()


# A run


def test_a_run_is_the_two_steps_in_turn(whole: Run) -> None:
    """`fit` adds nothing to Algorithm 1: data, noise and steps, called by hand, end in the same bits."""
    G, D = nets()
    by_hand = Trainer(G, D, images(), NON_SATURATING, None, config())
    for i in range(STEPS):
        of_d = d_step(G, D, by_hand.opt_d, real=next(by_hand.loader), z=by_hand.draw(), loss=NON_SATURATING)
        of_g = g_step(G, D, by_hand.opt_g, z=by_hand.draw(), loss=NON_SATURATING)
        seen = [of_d.loss, of_g.loss, of_d.d_real, of_d.d_fake, of_g.d_fake]
        assert [whole.history[name][i] for name in HISTORY] == seen
    assert same_bits(whole.G.state_dict(), G.state_dict())
    assert same_bits(whole.D.state_dict(), D.state_dict())


def test_a_run_trains_the_nets_it_was_given_and_tells_its_history() -> None:
    G, D = nets()
    before = state(G)
    run = fit(G, D, images(), loss=MINIMAX, config=config(), progress=False)
    assert run.G is G
    assert run.D is D
    assert not same_bits(state(G), before)
    assert (run.step, run.reused) == (STEPS, 0)
    assert set(run.history) == set(HISTORY)
    assert all(values.shape == (STEPS,) and values.isfinite().all() for values in run.history.values())
    assert all(((run.history[n] > 0) & (run.history[n] < 1)).all() for n in HISTORY[2:])
    assert set(run.origin) == {"device", "date", "wall_s"}


def test_the_seed_decides_the_run(whole: Run) -> None:
    torch.manual_seed(1234)
    assert_same_run(train(), whole)
    other = train(seed=1)
    assert not torch.equal(other.history["d_loss"], whole.history["d_loss"])


def test_d_takes_as_many_steps_as_asked() -> None:
    G, D = nets()
    by_hand = Trainer(G, D, images(), NON_SATURATING, None, config(d_steps=3))
    by_hand.advance()
    by_hand.advance()
    assert {int(s["step"]) for s in by_hand.opt_d.state.values()} == {6}
    assert {int(s["step"]) for s in by_hand.opt_g.state.values()} == {2}


def test_progress_is_shown_in_images(capsys: pytest.CaptureFixture[str]) -> None:
    G, D = nets()
    fit(G, D, images(), loss=MINIMAX, config=config(), progress=True)
    assert "image/s" in capsys.readouterr().err
    train()
    assert capsys.readouterr() == ("", "")


def test_bfloat16_runs_and_keeps_weights_and_losses_in_float32(tmp_path: Path) -> None:
    run = train(precision="bfloat16")
    assert all(p.dtype == torch.float32 for net in (run.G, run.D) for p in net.parameters())
    assert all(v.dtype == torch.float32 and v.isfinite().all() for v in run.history.values())
    exact = train()
    torch.testing.assert_close(run.history["d_loss"], exact.history["d_loss"], rtol=0.1, atol=0.02)
    assert not torch.equal(run.history["d_loss"], exact.history["d_loss"])
    train(tmp_path, precision="bfloat16", steps=5)
    assert_same_run(train(tmp_path, precision="bfloat16"), run)


# The moving average


def test_the_averages_half_life_is_in_images() -> None:
    """After a jump of the weights from 0 to 1, `half_life` images later the average is at one half."""
    G, D = nets()
    of = Trainer(G, D, images(), NON_SATURATING, None, config(ema_half_life=24.0))  # four batches of six
    assert of.ema is not None
    reached = []
    for value in [0.0] + [1.0] * 8:
        with torch.no_grad():
            for p in G.parameters():
                p.fill_(value)
        of.ema.update_parameters(G)
        reached.append(next(of.ema.module.parameters()).mean().item())
    assert reached[0] == 0
    assert reached[4] == pytest.approx(0.5, abs=1e-6)
    assert reached[8] == pytest.approx(0.75, abs=1e-6)


def test_the_average_includes_the_running_statistics_and_trains_nothing(whole: Run) -> None:
    without = train(ema_half_life=0.0)
    assert without.ema is None
    assert same_bits(without.G.state_dict(), whole.G.state_dict())
    assert whole.ema is not None
    ours, averaged = whole.G.state_dict(), whole.ema.state_dict()
    assert ours.keys() == averaged.keys()
    assert not any(
        torch.equal(ours[name], averaged[name]) for name in ours if name.endswith(("weight", "running_mean"))
    )


# Resuming


@pytest.mark.parametrize("stop", range(1, STEPS))
def test_a_run_stopped_at_any_step_ends_in_the_same_bits(stop: int, whole: Run, tmp_path: Path) -> None:
    first = train(tmp_path, steps=stop)
    assert (first.step, first.reused) == (stop, 0)
    torch.manual_seed(stop)  # what else draws numbers meanwhile must not matter
    run = train(tmp_path)
    assert run.reused == stop
    assert_same_run(run, whole)


def test_a_run_can_be_resumed_after_every_step(whole: Run, tmp_path: Path) -> None:
    for stop in range(1, STEPS):
        assert train(tmp_path, steps=stop).reused == stop - 1
    assert_same_run(train(tmp_path), whole)


def test_how_often_a_run_is_saved_does_not_matter(whole: Run, tmp_path: Path) -> None:
    assert_same_run(train(tmp_path, checkpoint_every=1), whole)


def test_networks_that_draw_random_numbers_resume_too(tmp_path: Path) -> None:
    """Dropout draws from the global generator."""

    def dropped(directory: Path | None, steps: int) -> Run:
        torch.manual_seed(7)
        G, D = nets()
        D.net.insert(3, nn.Dropout(0.5))
        return fit(
            G, D, images(), loss=MINIMAX, config=config(steps=steps), checkpoint_dir=directory, progress=False
        )

    expected = dropped(None, STEPS)
    dropped(tmp_path, 3)
    assert_same_run(dropped(tmp_path, STEPS), expected)


def test_a_finished_run_is_returned_without_a_step(
    whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = train(tmp_path)
    before = (tmp_path / "last.safetensors").stat().st_mtime_ns

    def forbidden(*args: object) -> None:
        raise AssertionError("a step was taken")

    monkeypatch.setattr(Trainer, "advance", forbidden)
    monkeypatch.setattr("gancourse.notebook.device_name", lambda device: "the machine of a reader")
    run = train(tmp_path)
    assert (run.step, run.reused) == (STEPS, STEPS)
    assert_same_run(run, whole)
    assert run.origin == original.origin, "the reused run must tell where and when it was trained"
    assert (tmp_path / "last.safetensors").stat().st_mtime_ns == before


def test_resume_false_starts_over(whole: Run, tmp_path: Path) -> None:
    train(tmp_path, steps=5)
    G, D = nets()
    run = fit(
        G,
        D,
        images(),
        loss=NON_SATURATING,
        config=config(),
        checkpoint_dir=tmp_path,
        resume=False,
        progress=False,
    )
    assert run.reused == 0
    assert_same_run(run, whole)


def test_without_a_directory_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GANCOURSE_RUN_LOG", str(tmp_path / "log"))
    train(snapshots=(2,))
    assert list(tmp_path.iterdir()) == []


# Refusals


def call(directory: Path, **changed: Any) -> Run:
    G, D = nets()
    given = {"data": images(), "loss": NON_SATURATING, "config": config(), "penalty": None} | changed
    data = given.pop("data")
    return fit(given.pop("G", G), given.pop("D", D), data, checkpoint_dir=directory, progress=False, **given)


def no_penalty(critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    return torch.zeros(())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"config": config(lr_g=0.5)}, r"lr_g: stored 0\.002, asked 0\.5"),
        ({"config": config(lr_d=0.5)}, r"lr_d: stored 0\.001, asked 0\.5"),
        ({"config": config(betas=(0.9, 0.999))}, r"betas: stored \[0\.5, 0\.999\], asked \[0\.9, 0\.999\]"),
        ({"config": config(seed=3)}, "seed: stored 0, asked 3"),
        ({"config": config(batch_size=5)}, "batch_size: stored 6, asked 5"),
        ({"config": config(d_steps=2)}, "d_steps: stored 1, asked 2"),
        ({"config": config(ema_half_life=9.0)}, r"ema_half_life: stored 20\.0, asked 9\.0"),
        ({"config": config(precision="bfloat16")}, "precision: stored 'float32', asked 'bfloat16'"),
        ({"loss": MINIMAX}, "loss: stored 'non-saturating', asked 'minimax'"),
        ({"data": images(seed=1)}, "data: stored '[0-9a-f]{16}', asked '[0-9a-f]{16}'"),
        ({"G": nets(1)[0]}, "G: stored '[0-9a-f]{16}', asked"),
        ({"D": nets(1)[1]}, "D: stored '[0-9a-f]{16}', asked"),
        ({"penalty": no_penalty}, "penalty: stored None, asked 'no_penalty'"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_another_run_is_refused_by_the_name_of_what_differs(
    changed: dict[str, Any], message: str, tmp_path: Path
) -> None:
    call(tmp_path)
    saved = (tmp_path / "last.safetensors").read_bytes()
    with pytest.raises(CheckpointError, match=message) as caught:
        call(tmp_path, **changed)
    assert str(caught.value).count("stored") == 1, "something that does not differ is named too"
    assert "checkpoint_dir of its own" in str(caught.value)
    assert (tmp_path / "last.safetensors").read_bytes() == saved


def test_a_run_goes_on_only_on_the_kind_of_device_it_was_begun_on(whole: Run, tmp_path: Path) -> None:
    """Another device rounds otherwise. A finished run needs no device: it is read anywhere."""
    for steps in (5, STEPS):
        train(tmp_path, steps=steps)
        path = tmp_path / "last.safetensors"
        tensors, facts = checkpoint.load(path)
        checkpoint.save(path, tensors, facts | {"device_type": "cuda"})
        if steps == STEPS:
            assert_same_run(train(tmp_path), whole)
        else:
            with pytest.raises(CheckpointError, match="was begun on cuda and goes on only there"):
                train(tmp_path)
            (tmp_path / "last.safetensors").unlink()


def test_every_difference_is_named(tmp_path: Path) -> None:
    call(tmp_path)
    with pytest.raises(CheckpointError, match=r"loss: .*lr_d: .*lr_g: .*seed: "):
        call(tmp_path, loss=MINIMAX, config=config(lr_d=0.1, lr_g=0.2, seed=1))


def test_fewer_steps_than_stored_are_refused(tmp_path: Path) -> None:
    train(tmp_path)
    with pytest.raises(
        CheckpointError, match=r"at step 8, beyond the 5 steps asked for; ask for as many or more"
    ):
        train(tmp_path, steps=5)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"steps": 0}, "steps of at least 1, got 0"),
        ({"batch_size": 0}, "batch_size of at least 1, got 0"),
        ({"d_steps": -1}, "d_steps of at least 1, got -1"),
        ({"checkpoint_every": 0}, "checkpoint_every of at least 1, got 0"),
        ({"snapshots": (9,)}, r"snapshots from 1 to 8 \(steps\), got \(9,\)"),
        ({"snapshots": (0, 3)}, "snapshots from 1 to 8"),
        ({"precision": "float16"}, 'precision "float32" or "bfloat16", got \'float16\''),
    ],
)
def test_impossible_facts_are_refused(facts: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config(**facts)


def test_a_config_cannot_be_changed_and_a_batch_not_exceed_the_data() -> None:
    with pytest.raises(AttributeError):
        config().steps = 3  # type: ignore[misc]
    with pytest.raises(ValueError, match=r"batch size from 1 to 20 .*got 21"):
        train(batch_size=21)
    assert TrainConfig(steps=1).betas == (0.5, 0.999)


# Interruption


@pytest.fixture(autouse=True)
def _terminal() -> Iterator[None]:
    """Let Ctrl-C mean what it means in a terminal: a shell's background job ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt_at(monkeypatch: pytest.MonkeyPatch, step: int, times: int = 1) -> None:
    """Send this process Ctrl-C in the middle of a step: between D's update and G's."""

    def interrupting(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == step:
            for _ in range(times):
                os.kill(os.getpid(), signal.SIGINT)
        return g_step(*args, **kwargs)

    calls: list[int] = []
    monkeypatch.setattr(trainer_module, "g_step", interrupting)


@pytest.mark.parametrize("step", [1, 3, 5])
def test_ctrl_c_ends_the_step_saves_and_returns(
    step: int, whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        interrupt_at(patch, step)
        run = train(tmp_path)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert run.step == step
    assert run.history["g_loss"].shape == (step,)
    assert f"stopped at step {step} of 8; the same call goes on from here" in "".join(capsys.readouterr())
    resumed = train(tmp_path)
    assert resumed.reused == step
    assert_same_run(resumed, whole)


def test_a_second_ctrl_c_does_not_wait_and_the_last_checkpoint_stays(
    whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        interrupt_at(patch, 5, times=2)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    resumed = train(tmp_path)
    assert resumed.reused == 3
    assert_same_run(resumed, whole)


def test_ctrl_c_without_a_directory_returns_what_there_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupt_at(monkeypatch, 2)
    assert train().step == 2
    assert "goes on from here" not in "".join(capsys.readouterr())


def test_training_runs_outside_the_main_thread(whole: Run) -> None:
    runs: list[Run] = []
    thread = threading.Thread(target=lambda: runs.append(train()))
    thread.start()
    thread.join()
    assert_same_run(runs[0], whole)


# Divergence


def spoil(monkeypatch: pytest.MonkeyPatch, player: str, step: int, value: float) -> None:
    """Make one player's loss `value` at one step, and for ever after: NaN does not heal."""
    original = {"D": d_step, "G": g_step}[player]

    def spoiled(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        seen = original(*args, **kwargs)
        return seen._replace(loss=torch.tensor(value)) if len(calls) >= step else seen

    calls: list[int] = []
    monkeypatch.setattr(trainer_module, f"{player.lower()}_step", spoiled)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize(("player", "step"), [("D", 5), ("G", 5), ("D", 4), ("G", 6)])
def test_a_loss_that_is_not_finite_ends_the_run(
    player: str, step: int, value: float, whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        spoil(patch, player, step, value)
        with pytest.raises(TrainingDiverged, match=f"{player}'s loss is not finite at step {step}") as caught:
            train(tmp_path)
    last = [whole.history[name][step - 2].item() for name in ("d_loss", "g_loss")]
    assert str(last) in str(caught.value), "the last finite losses are not named"
    assert "last.safetensors, at step 3" in "".join(caught.value.__notes__)
    resumed = train(tmp_path)
    assert resumed.reused == 3
    assert_same_run(resumed, whole)


def test_the_first_to_diverge_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """G's loss breaks at step 4, D's follows at step 5."""
    spoil(monkeypatch, "G", 4, float("nan"))
    spoil(monkeypatch, "D", 5, float("nan"))
    with pytest.raises(TrainingDiverged, match="G's loss is not finite at step 4"):
        train(checkpoint_every=STEPS)


def test_divergence_in_the_first_step_has_no_last_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch, "D", 1, float("nan"))
    with pytest.raises(TrainingDiverged, match=r"at step 1; losses .* None") as caught:
        train()
    assert not hasattr(caught.value, "__notes__"), "there is no checkpoint to go back to"


def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path) -> None:
    """A finite loss can have a gradient that is not: the square root at 0, as in a careless penalty."""

    def rooted_g(*, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return (fake.mean() * 0).sqrt()

    with pytest.raises(TrainingDiverged, match="G's weights are not finite after step 1"):
        call(tmp_path, loss=GANLoss("root", NON_SATURATING.d, rooted_g), config=config(checkpoint_every=1))
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_does_not_save_what_has_diverged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        spoil(patch, "D", 4, float("nan"))
        interrupt_at(patch, 5)
        with pytest.raises(TrainingDiverged, match="D's loss is not finite at step 4"):
            train(tmp_path)
    assert train(tmp_path).reused == 3


# Snapshots


def test_a_snapshot_equals_a_run_of_that_many_steps(tmp_path: Path) -> None:
    run = train(tmp_path, snapshots=(2, 5, STEPS))
    for step in (2, 5, STEPS):
        kept, alone = run.at(step), train(steps=step)
        assert same_bits(kept.G.state_dict(), alone.G.state_dict())
        assert same_bits(kept.D.state_dict(), alone.D.state_dict())
        assert kept.ema is not None
        assert alone.ema is not None
        assert same_bits(kept.ema.state_dict(), alone.ema.state_dict())


def test_snapshots_are_copies(tmp_path: Path) -> None:
    run = train(tmp_path, snapshots=(2,))
    last, kept = state(run.G), run.at(2)
    with torch.no_grad():
        for p in kept.G.parameters():
            p.zero_()
    assert same_bits(state(run.G), last)
    assert not same_bits(run.at(2).G.state_dict(), kept.G.state_dict())


def test_snapshots_survive_interruption_and_extension(tmp_path: Path) -> None:
    train(tmp_path, steps=3, snapshots=(2,))
    run = train(tmp_path, snapshots=(2, 5))
    assert sorted(run.snapshots) == [2, 5]
    again = train(tmp_path, snapshots=(2, 5))
    expected = train(snapshots=(2, 5))
    for step in (2, 5):
        assert same_bits(run.snapshots[step], expected.snapshots[step])
        assert same_bits(again.snapshots[step], expected.snapshots[step])


def test_a_snapshot_not_kept_is_refused(tmp_path: Path) -> None:
    run = train(tmp_path, snapshots=(2,))
    with pytest.raises(ValueError, match=r"no snapshot at step 3; the run kept \[2\]"):
        run.at(3)
    with pytest.raises(CheckpointError, match=r"step-0000004\.safetensors is missing: .*passed that step"):
        train(tmp_path, snapshots=(2, 4))


def test_a_snapshot_that_another_run_left_is_refused(tmp_path: Path) -> None:
    train(tmp_path, snapshots=(2,))
    G, D = nets()
    other = config(lr_g=0.1)
    fit(
        G,
        D,
        images(),
        loss=NON_SATURATING,
        config=other,
        checkpoint_dir=tmp_path,
        resume=False,
        progress=False,
    )
    with pytest.raises(CheckpointError, match=r"step-0000002.safetensors holds another run \(lr_g"):
        train(tmp_path, snapshots=(2,), lr_g=0.1)


# The run log


def test_each_call_adds_a_line_to_the_run_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, directory = tmp_path / "log.jsonl", tmp_path / "run"
    monkeypatch.setenv("GANCOURSE_RUN_LOG", str(log))
    first = train(directory, steps=5)
    train(directory)
    train(directory)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(line["steps"], line["steps_reused"]) for line in lines] == [(5, 0), (8, 5), (8, 8)]
    assert all(set(line) == {"run", "steps", "steps_reused", "device", "date", "wall_s"} for line in lines)
    assert all(line["run"] == str(directory) for line in lines)
    assert lines[0]["device"] == first.origin["device"]
    assert lines[2] == lines[1] | {"steps_reused": 8}, "a reused run tells of its original training"
