"""Several processes compute what one does, merge what they measured, and end well when one of them dies."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from ranks import KILLED_AT, TASKS, train
from tiny import same_bits

from gancourse.distributed import (
    any_rank,
    average_,
    data_parallel,
    local_part,
    merged,
    rand_local,
    rank,
    world_size,
)
from gancourse.metrics import FeatureStats
from gancourse.training import checkpoint

HERE = Path(__file__).parent
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]


def end(folder: Path, task: str) -> Path:
    return folder / task / "last.safetensors"


def start(folder: Path, *tasks: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Do tasks in two processes."""
    folder.mkdir(exist_ok=True)
    own = {"PYTHONPATH": str(HERE.parent), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    environment = os.environ | own | variables
    environment = {k: v for k, v in environment.items() if k not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    arguments = [*TORCHRUN, str(HERE / "ranks.py"), str(folder), *tasks]
    return subprocess.run(arguments, capture_output=True, text=True, env=environment, timeout=300)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with what two processes made of all tasks."""
    folder = tmp_path_factory.mktemp("two")
    done = start(folder, *TASKS, "statistics")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Compute as the processes do: sums over the parts of several threads round otherwise."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.usefixtures("one_thread")
def test_two_processes_train_as_one_on_the_same_global_batch(task: str, two: Path, tmp_path: Path) -> None:
    train(tmp_path, task)
    alone, together = (checkpoint.load(end(folder, task))[0] for folder in (tmp_path, two))
    assert alone.keys() == together.keys()
    assert alone["history.values"].isfinite().all()
    for name in alone:
        if name.startswith(("G.", "D.", "ema.", "history")):
            torch.testing.assert_close(
                together[name], alone[name], rtol=1e-5, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}"
            )


@pytest.mark.slow
def test_statistics_merge_and_randomness_is_shared(two: Path) -> None:
    found = torch.load(two / "s", weights_only=True)
    features = torch.randn(40, 5, generator=torch.Generator().manual_seed(0)).double()
    assert found["n"] == 40
    torch.testing.assert_close(found["mean"], features.mean(0))
    torch.testing.assert_close(found["cov"], features.T.cov())
    assert torch.equal(found["drawn"], torch.rand(6, generator=torch.Generator().manual_seed(1)))


@pytest.mark.slow
def test_a_killed_process_ends_the_run_with_a_message_and_a_checkpoint_to_go_on_from(
    two: Path, tmp_path: Path
) -> None:
    path = end(tmp_path, "plain")
    done = start(tmp_path, "plain", KILL="1")
    assert done.returncode != 0
    assert "SIGKILL" in done.stderr, "nobody says what happened"
    assert checkpoint.load(path)[1]["step"] == KILLED_AT // 5 * 5
    again = start(tmp_path, "plain")
    assert again.returncode == 0, again.stderr
    expected, _ = checkpoint.load(end(two, "plain"))
    assert same_bits(checkpoint.load(path)[0], expected)


def test_alone_everything_is_local() -> None:
    batch = torch.arange(6.0)
    assert (world_size(), rank()) == (1, 0)
    assert local_part(batch) is not None
    assert torch.equal(local_part(batch), batch)
    assert rand_local(4, generator=torch.Generator().manual_seed(0)).shape == (4,)
    average_(batch)
    assert torch.equal(batch, torch.arange(6.0))
    assert not any_rank(False, torch.device("cpu"))
    stats, net = FeatureStats.of(torch.randn(4, 2)), torch.nn.Linear(2, 2)
    assert merged(stats) is stats
    assert data_parallel(net) is net


def test_a_batch_that_cannot_be_shared_evenly_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gancourse.distributed.world_size", lambda: 3)
    with pytest.raises(ValueError, match="3 processes can share evenly, got 16 samples"):
        local_part(torch.zeros(16, 2))
