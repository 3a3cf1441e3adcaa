"""The facts of a run, and what a run gives back."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from gancourse.checks import check_seed, is_count
from gancourse.sampling import generate, latent_dim
from gancourse.training.checkpoint import under_prefix
from gancourse.training.schedules import Schedule, check_rate

Precision = Literal["float32", "bfloat16"]
HISTORY = ("d_loss", "g_loss", "d_real", "d_fake", "d_fake_after")


@dataclass(frozen=True)
class TrainConfig:
    """A run's facts. `steps` counts updates of G, each preceded by `d_steps` of D; lr and betas are Adam's.

    `batch_size` is that of all processes together. `conditional` nets take labels: G(z, y), D(x, y).
    `ema_half_life` is in images (0 keeps no average). `precision` "bfloat16" runs the nets' forward passes
    under autocast; weights, losses and penalties stay float32. The penalty is multiplied by
    `penalty_weight`. `instance_noise` is the standard deviation of the noise on D's inputs. `clip` bounds
    D's weights after each of its steps (0: no bound). `unroll` is how many steps of `unroll_lr` D is looked
    ahead for G's step. A learning rate, the penalty weight and the noise may be a Schedule. `snapshots` are
    steps after which the nets are kept. Raises ValueError for counts below 1, rates that are negative or not
    finite, and snapshots that no step reaches.
    """

    steps: int
    batch_size: int = 64
    seed: int = 0
    d_steps: int = 1
    lr_g: float | Schedule = 2e-4
    lr_d: float | Schedule = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    conditional: bool = False
    ema_half_life: float = 0.0
    precision: Precision = "float32"
    penalty_weight: float | Schedule = 1.0
    instance_noise: float | Schedule = 0.0
    clip: float = 0.0
    unroll: int = 0
    unroll_lr: float = 1e-3
    snapshots: tuple[int, ...] = ()
    checkpoint_every: int = 500

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "d_steps", "checkpoint_every"):
            if not is_count(getattr(self, name)):
                raise ValueError(
                    f"expected {name} of at least 1, got {getattr(self, name)!r}; give a whole number"
                )
        check_seed(self.seed)
        for name in (
            "lr_g", "lr_d", "ema_half_life", "penalty_weight", "instance_noise", "clip", "unroll", "unroll_lr"
        ):  # fmt: skip
            check_rate(name, getattr(self, name))
        if not is_count(self.unroll, 0):
            raise ValueError(f"expected unroll of at least 0 steps, an integer, got {self.unroll!r}")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"expected two betas from 0 to below 1, got {self.betas}")
        if any(not is_count(step) or step > self.steps for step in self.snapshots):
            raise ValueError(f"expected snapshots from 1 to {self.steps} (steps), got {self.snapshots}")
        if self.precision not in ("float32", "bfloat16"):
            raise ValueError(f'expected precision "float32" or "bfloat16", got {self.precision!r}')


class Nets(NamedTuple):
    """The two players and the moving average of G (None where none was kept)."""

    G: nn.Module
    D: nn.Module
    ema: nn.Module | None


@dataclass(frozen=True)
class Run:
    """A trained pair. `history` maps each of d_loss, g_loss, d_real, d_fake, d_fake_after to values (steps,).

    d_real and d_fake are the batch means of D(x) and D(G(z)) before D's update, d_fake_after that of D(G(z))
    after it and before G's. `step` is how far training came, `origin` the device, date and seconds of it,
    `reused` the steps that a checkpoint spared this call.
    """

    G: nn.Module
    D: nn.Module
    ema: nn.Module | None
    history: dict[str, Tensor]
    step: int
    reused: int
    origin: dict[str, Any]
    snapshots: dict[int, dict[str, Tensor]]
    seed: int = 0

    def at(self, step: int) -> Nets:
        """Return copies of the nets as they were after `step`, one of the config's snapshots."""
        if step not in self.snapshots:
            raise ValueError(
                f"expected the step of a snapshot, got {step!r}: no snapshot at step {step}; the run kept "
                f"{sorted(self.snapshots)}"
            )
        tensors = self.snapshots[step]
        nets = Nets(copy.deepcopy(self.G), copy.deepcopy(self.D), copy.deepcopy(self.ema))
        for name, net in nets._asdict().items():
            if net is not None:
                net.load_state_dict(under_prefix(name, tensors))
        return nets

    def watch(self, step: int, n: int = 64, y: Tensor | None = None) -> Tensor:
        """Return n images (n, C, H, W) as they were after `step`, by the average of G where there is one.

        Their z belong to the seed of the run alone, so that one position shows one z at every step; y (n,)
        are the labels of a conditional G.
        """
        if not is_count(n):
            raise ValueError(f"expected at least 1 image to watch, got {n!r}; 64 are usual")
        nets = self.at(step)
        noise = torch.Generator().manual_seed(self.seed + 3)
        z = torch.randn(n, latent_dim(self.G), generator=noise)
        return generate(nets.ema or nets.G, z, y)


def preferred_precision(device: torch.device | str) -> Precision:
    """Return "bfloat16" where the device computes in it natively, about twice as fast, else "float32"."""
    if torch.device(device).type == "cuda":
        native = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
        native = bool(capabilities.get("avx512_bf16", False))
    return "bfloat16" if native else "float32"
