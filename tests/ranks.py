"""What each process of tests/test_distributed.py does: `torchrun ranks.py FOLDER TASK ...`.

Several tasks share a start, since starting is most of what they take.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gancourse.data import ring
from gancourse.distributed import local_part, merged, process_group, rand_local, rank, world_size
from gancourse.losses import NON_SATURATING, RELATIVISTIC, WASSERSTEIN
from gancourse.metrics import FeatureStats
from gancourse.models import MLPDiscriminator, MLPGenerator
from gancourse.penalties import gradient_penalty, r1_r2
from gancourse.training import TrainConfig, fit

STEPS = 20
KILLED_AT = 12
TASKS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "plain": (NON_SATURATING, None, {"ema_half_life": 100.0}),
    "penalized": (WASSERSTEIN, gradient_penalty, {"penalty_weight": 10.0, "d_steps": 3}),
    "relativistic": (RELATIVISTIC, r1_r2, {"instance_noise": 0.1}),
}


def nets() -> tuple[nn.Module, nn.Module]:
    seed = torch.Generator().manual_seed(0)
    return MLPGenerator(2, 2, width=16, generator=seed), MLPDiscriminator(2, width=16, generator=seed)


def die(step: int, G: nn.Module, D: nn.Module) -> None:
    """Kill the last of several processes, as a machine that runs out of memory would."""
    if step == KILLED_AT and "KILL" in os.environ and rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL)


def train(folder: Path, task: str) -> None:
    """Train to the end, or until `die`; each task leaves its checkpoint in a folder of its name."""
    loss, penalty, facts = TASKS[task]
    config = TrainConfig(steps=STEPS, batch_size=16, lr_g=1e-2, lr_d=1e-2, checkpoint_every=5, **facts)
    G, D = nets()
    fit(
        G, D, ring(), loss=loss, penalty=penalty, config=config, before_step=die,
        checkpoint_dir=folder / task, progress=False,
    )  # fmt: skip


def statistics(folder: Path) -> None:
    features = torch.randn(40, 5, generator=torch.Generator().manual_seed(0))
    stats = merged(FeatureStats.of(local_part(features)))
    drawn = [torch.zeros(3) for _ in range(world_size())]
    mine = rand_local(3, generator=torch.Generator().manual_seed(1))
    torch.distributed.all_gather(drawn, mine)
    if rank() == 0:
        torch.save(
            {"mean": stats.mean, "cov": stats.cov, "n": stats.n, "drawn": torch.cat(drawn)}, folder / "s"
        )


def main() -> None:
    folder, tasks = Path(sys.argv[1]), sys.argv[2:]
    torch.set_num_threads(1)
    with process_group("gloo"):
        for task in tasks:
            if task == "statistics":
                statistics(folder)
            else:
                train(folder, task)


if __name__ == "__main__":
    main()
