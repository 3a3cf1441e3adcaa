"""Checkpoints: atomic, readable after any interruption, clear about what is wrong with one that is not."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tiny import assert_same_run, same_bits, train
from torch import nn

from gancourse.training import CheckpointError, checkpoint

HERE = Path(__file__).resolve().parent
KILLS = 50


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "one.safetensors"
    tensors = {"a": torch.randn(3, 4).T, "b": torch.arange(3), "c": torch.tensor(True)}
    checkpoint.save(path, tensors, {"step": 3, "name": "né"})
    found, facts = checkpoint.load(path)
    assert facts == {"step": 3, "name": "né"}
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], value) for name, value in tensors.items())


def test_the_one_before_is_kept_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    for step in range(4):
        checkpoint.save(path, {"a": torch.tensor(step)}, {"step": step})
    assert checkpoint.load(path)[1]["step"] == 3
    assert checkpoint.load(checkpoint.previous(path))[1]["step"] == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last.safetensors", "last.safetensors.previous"]


@pytest.mark.parametrize("failing", [1, 2])
def test_a_save_that_fails_half_way_leaves_a_readable_checkpoint(
    failing: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "last.safetensors"
    for step in (1, 2):
        checkpoint.save(path, {"a": torch.tensor(step)}, {"step": step})
    calls: list[int] = []

    def full_disk(source: Path, target: Path) -> None:
        calls.append(1)
        if len(calls) == failing:
            raise OSError("No space left on device")
        Path(source).rename(target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full_disk)
        with pytest.raises(OSError, match="No space"):
            checkpoint.save(path, {"a": torch.tensor(3)}, {"step": 3})
    found = checkpoint.find(tmp_path)
    assert found is not None
    assert checkpoint.load(found)[1]["step"] == 2
    assert not list(tmp_path.glob("*.tmp"))


def test_an_empty_directory_has_none(tmp_path: Path) -> None:
    assert checkpoint.find(tmp_path) is None
    assert checkpoint.find(tmp_path / "missing") is None


def test_the_state_of_an_optimizer_survives(tmp_path: Path) -> None:
    """Bit for bit, in the memory layout of the weights, which a fused optimizer relies on."""
    net = nn.Conv2d(3, 4, 2).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(net.parameters(), fused=True)
    net(torch.randn(2, 3, 5, 5)).square().sum().backward()
    optimizer.step()
    checkpoint.save(tmp_path / "o", checkpoint.optimizer_tensors(optimizer), {})
    other = torch.optim.Adam(net.parameters(), fused=True)
    checkpoint.load_optimizer(other, checkpoint.load(tmp_path / "o")[0])
    for p in net.parameters():
        ours, theirs = optimizer.state[p], other.state[p]
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
        assert all(ours[name].stride() == theirs[name].stride() for name in ours)


# Damage


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def spoil_header(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[20] ^= 0xFF
    path.write_bytes(data)


def without_facts(path: Path) -> None:
    save_file({"a": torch.zeros(2)}, path)


def with_other_text(path: Path) -> None:
    save_file({"a": torch.zeros(2)}, path, metadata={"facts": "no JSON"})


DAMAGE = [truncate, spoil_header, without_facts, with_other_text]


@pytest.mark.parametrize("damage", [*DAMAGE, lambda path: path.write_bytes(b"")])
def test_a_damaged_checkpoint_is_named_and_the_previous_one_offered(damage: object, tmp_path: Path) -> None:
    assert callable(damage)
    expected = train()
    train(tmp_path)
    path = tmp_path / "last.safetensors"
    damage(path)
    with pytest.raises(CheckpointError) as caught:
        train(tmp_path)
    assert str(path) in str(caught.value)
    assert "remove it to go on from last.safetensors.previous" in str(caught.value)
    path.unlink()  # as the message says
    run = train(tmp_path)
    assert run.reused == 6
    assert_same_run(run, expected)


def test_without_a_previous_one_the_advice_is_to_start_over(tmp_path: Path) -> None:
    train(tmp_path, steps=2)
    truncate(tmp_path / "last.safetensors")
    with pytest.raises(CheckpointError, match="remove it to start over"):
        train(tmp_path)


# kill -9

# One process loads torch, then forks one short life after another: a fresh start each would take seconds.
LIVES = """
import os, random, signal, sys, time
sys.path[:0] = {paths!r}
import tiny, torch
from pathlib import Path
from gancourse.training import checkpoint

torch.set_num_threads(1)  # threads do not survive a fork
tiny.train(steps=1)  # so that no life has to load what torch loads late
chance = random.Random(0)
last = Path({directory!r}) / "last.safetensors"

def written():
    try:
        return last.stat().st_mtime_ns
    except FileNotFoundError:  # none yet, or a save is between its two renames
        return None

for _ in range({kills}):
    saved = written()
    child = os.fork()
    if child == 0:
        tiny.train({directory!r}, steps={steps}, checkpoint_every=1, snapshots=(3, 40))
        os._exit(0)
    while written() in (saved, None):
        time.sleep(0.001)  # until this life has saved something, however slow the machine is
    time.sleep(chance.uniform(0, 0.1))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    found = checkpoint.find(Path({directory!r}))
    print(0 if found is None else checkpoint.load(found)[1]["step"], flush=True)
"""


def test_what_a_killed_process_left_half_written_is_swept_up(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    old, young = (tmp_path / f"last.safetensors.{n}.tmp" for n in (1, 2))
    for left in (old, young):
        left.write_bytes(b"half")
    long_ago = time.time() - 2 * checkpoint.SECONDS_UNTIL_LEFT_BEHIND
    os.utime(old, (long_ago, long_ago))
    checkpoint.save(path, {"a": torch.zeros(1)}, {})
    assert not old.exists()
    assert young.exists(), "another process may be writing it"


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_kill_9_at_random_moments_ends_in_the_same_bits(tmp_path: Path) -> None:
    """Each life goes on from what the killed one before it left; this process takes the last steps."""
    steps = 2000
    paths = [str(HERE), str(HERE.parent)]
    program = LIVES.format(paths=paths, directory=str(tmp_path), steps=steps, kills=KILLS)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    reached = [int(line) for line in done.stdout.split()]
    assert len(reached) == KILLS
    assert reached == sorted(reached), "a kill lost a saved step"
    assert 0 < reached[0] < reached[-1] < steps, "the kills did not fall into the run"
    assert len(set(reached)) == KILLS, "a life did not go on where the one before it was killed"
    end = reached[-1] + 10
    facts: dict[str, Any] = {"steps": end, "snapshots": tuple(s for s in (3, 40) if s <= end)}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the lives did: sums over other parts round otherwise
    try:
        run, expected = train(tmp_path, **facts), train(**facts)
    finally:
        torch.set_num_threads(threads)
    assert run.reused == reached[-1]
    assert_same_run(run, expected)
    assert run.snapshots.keys() == expected.snapshots.keys()
    for step, kept in expected.snapshots.items():
        assert same_bits(run.snapshots[step], kept)
