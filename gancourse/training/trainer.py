"""The state of a run: all that a step changes, saved and restored bit for bit. `fit` drives it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.optim import Adam

from gancourse.data.loaders import Data, DeviceLoader, Loader, loader_of
from gancourse.distributed import average_, data_parallel, local_part
from gancourse.losses import GANLoss
from gancourse.notebook import origin
from gancourse.penalties import Critic, clip_weights_
from gancourse.regularizers import unrolled
from gancourse.training import checkpoint
from gancourse.training.checkpoint import CheckpointError, under_prefix, with_prefix
from gancourse.training.config import HISTORY, TrainConfig
from gancourse.training.convolution import has_matrix_units
from gancourse.training.identity import identity
from gancourse.training.players import Autocast, Noisy, average_of, check_players, copy_extra_state
from gancourse.training.schedules import Schedule, value_at
from gancourse.training.speed import Batch, Speed, laid_out, recorder
from gancourse.training.steps import GStep, Penalty, d_step, g_step, given

BeforeStep = Callable[[int, nn.Module, nn.Module], None]


class TrainingDiverged(RuntimeError):
    """A loss or a weight became NaN or infinite."""


class Trainer:
    """Everything that a step changes, so that saving it and going on gives the same bits."""

    def __init__(
        self,
        G: nn.Module,
        D: nn.Module,
        data: Data | DeviceLoader,
        loss: GANLoss,
        penalty: Penalty | None,
        config: TrainConfig,
        g_penalty: Penalty | None = None,
        before_step: BeforeStep | None = None,
        speed: Speed | None = None,
    ) -> None:
        self.G, self.D, self.loss, self.config, self.speed = G, D, loss, config, speed or Speed()
        self.penalty, self.g_penalty, self.before_step = penalty, g_penalty, before_step
        self.device = next(G.parameters()).device
        self.loader = self._loader(data)
        functions = {"penalty": penalty, "g_penalty": g_penalty, "before_step": before_step}
        data_name = self.loader.fingerprint(labelled=config.conditional)
        self.identity = identity(G, D, config, data=data_name, loss=loss.name, **functions)
        self._admit()
        self.recorder = recorder(self)
        self.opt_g, self.opt_d = self._adam(G, config.lr_g), self._adam(D, config.lr_d)
        self.ema = average_of(G, config)
        self.noise = torch.Generator(self.device).manual_seed(config.seed + 1)
        self.history = torch.full((len(HISTORY), config.steps), float("nan"), device=self.device)
        self.step, self.checked, self.seconds = 0, 0, 0.0
        self.origin: dict[str, Any] = {}  # where and when the last restored step was trained
        self.snapshots: dict[int, dict[str, Tensor]] = {}
        self._call_through()

    def _adam(self, net: nn.Module, rate: float | Schedule) -> Adam:
        now, recorded = value_at(rate, 0), self.recorder is not None
        # A recording holds numbers as they were: what changes must be a tensor.
        lr = torch.tensor(now, device=self.device) if recorded and isinstance(rate, Schedule) else now
        fused = self.speed.fused
        return Adam(net.parameters(), lr, self.config.betas, fused=fused, capturable=recorded)

    def _loader(self, data: Data | DeviceLoader) -> Loader:
        return loader_of(data, self.config.batch_size, device=self.device, seed=self.config.seed)

    def _admit(self) -> None:
        """Refuse nets that do not fit each other and the data; lay them out as they train fastest."""
        check_players(self.G, self.D, self.loader, self.config.conditional)
        for net in (self.G, self.D):
            laid_out(net, self.speed)

    def _call_through(self) -> None:
        """Wrap the nets as the steps call them: G and D to be trained, G and D as the other's opponent."""
        cast = self.config.precision == "bfloat16"
        fast = self.penalty is None and has_matrix_units(self.device)  # a penalty differentiates twice
        G, D = (Autocast(self.G, fast), Autocast(self.D, fast)) if cast else (self.G, self.D)
        self.noisy = Noisy(D) if self.config.instance_noise else None
        self.opponents = (G, self.noisy or D)
        self.learners = tuple(data_parallel(net) for net in self.opponents)

    def draw(self) -> Tensor:
        """Return z (B, Z) from N(0, I)."""
        size = (self.config.batch_size, int(self.G.latent_dim))  # type: ignore[arg-type]
        return local_part(torch.randn(size, generator=self.noise, device=self.device))

    def batch(self) -> tuple[Tensor, Tensor | None]:
        """Return this process's part of the next batch, with its labels where the nets take any."""
        real, y = self.loader.draw()
        return local_part(real), local_part(y) if self.config.conditional and y is not None else None

    def advance(self) -> None:
        """Take `d_steps` steps of D and one of G: the body of Algorithm 1's loop."""
        self._prepare()
        batches = [self.batch() for _ in range(self.config.d_steps)]
        seen = self.recorder.move(batches) if self.recorder is not None else None
        if seen is None:
            self.recorder, seen = None, self.move(batches)
        self.origin = {}
        self.history[:, self.step] = seen  # stays on the device: no step waits for the host
        self.step += 1

    def move(self, batches: Sequence[Batch]) -> Tensor:
        """Take the steps on batches (B, ...) of D's; return what they saw, as `HISTORY` names it, (5,)."""
        (G, D), (parallel_G, parallel_D) = self.opponents, self.learners
        for real, y in batches:
            penalty = None if self.penalty is None else partial(self._weighted, y)
            of_d = d_step(
                G, parallel_D, self.opt_d, real=real, z=self.draw(), loss=self.loss, y=y, penalty=penalty
            )
            if self.config.clip:
                clip_weights_(self.D, self.config.clip)
        of_g = self._g_step(parallel_G, D, real, y)
        if self.ema is not None:
            self.ema.update_parameters(self.G)
            copy_extra_state(self.G, self.ema.module)
        return torch.stack((of_d.loss, of_g.loss, of_d.d_real, of_d.d_fake, of_g.d_fake))

    def generators(self) -> list[torch.Generator]:
        """Return the generators on the device that a step draws from, beside torch's own."""
        return [self.noise]

    def counts(self) -> int:
        """Return the number of averages taken, which is counted on the host."""
        return 0 if self.ema is None else int(self.ema.n_averaged)

    def set_counts(self, averaged: int) -> None:
        """Set the number of averages taken."""
        if self.ema is not None:
            self.ema.n_averaged.fill_(averaged)

    def _g_step(self, G: nn.Module, D: nn.Module, real: Tensor, y: Tensor | None) -> GStep:
        """Take G's step. Where it compares, it compares with the batch that D has just learned from."""
        look_ahead = self._look_ahead(real, y) if self.config.unroll else None
        compares = self.loss.relative or self.g_penalty is not None
        penalty = None if self.g_penalty is None else partial(self._of_g, y)
        return g_step(
            G, D, self.opt_g, z=self.draw(), loss=self.loss, y=y, real=real if compares else None,
            penalty=penalty, look_ahead=look_ahead,
        )  # fmt: skip

    def _look_ahead(self, real: Tensor, y: Tensor | None) -> Callable[[Tensor], Critic]:
        steps, lr = self.config.unroll, self.config.unroll_lr
        return partial(unrolled, given(self.D, y), self.loss, real, steps=steps, lr=lr)

    def _prepare(self) -> None:
        """Set what a schedule or the caller changes from step to step."""
        config = self.config
        if self.before_step is not None:
            self.before_step(self.step, self.G, self.D)
        for optimizer, rate in ((self.opt_g, config.lr_g), (self.opt_d, config.lr_d)):
            for group in optimizer.param_groups:
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(value_at(rate, self.step))
                else:
                    group["lr"] = value_at(rate, self.step)
        if self.noisy is not None:
            self.noisy.std = value_at(config.instance_noise, self.step)

    def _weighted(self, y: Tensor | None, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        """Penalize D itself, in float32 and without the noise on its inputs."""
        assert self.penalty is not None
        return value_at(self.config.penalty_weight, self.step) * self.penalty(given(self.D, y), real, fake)

    def _of_g(self, y: Tensor | None, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        assert self.g_penalty is not None
        return self.g_penalty(given(self.D, y), real, fake)

    def nets(self) -> dict[str, Tensor]:
        """Return the weights of G, D and the average, prefixed."""
        tensors: dict[str, Tensor] = {}
        for name, net in self.named().items():
            tensors |= with_prefix(name, net.state_dict())
        return {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}

    def named(self) -> dict[str, nn.Module]:
        """Return the nets that a checkpoint keeps, by name."""
        named = {"G": self.G, "D": self.D}
        return named if self.ema is None else named | {"ema": self.ema.module}

    def share(self) -> None:
        """Make all processes agree on the losses seen since the last check, and on running statistics."""
        average_(self.history[:, self.checked : self.step])
        average_(*(b for net in self.named().values() for b in net.buffers() if b.is_floating_point()))

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that the next step depends on."""
        loader = self.loader.state_dict()
        rng = {"noise": self.noise.get_state(), "global": torch.get_rng_state(), "order": loader["epoch_rng"]}
        if self.device.type == "cuda":
            rng["cuda"] = torch.cuda.get_rng_state(self.device)
        counts = {"position": torch.tensor(loader["position"])}
        if self.ema is not None:
            counts["averaged"] = self.ema.n_averaged.clone()
        parts = {"rng": rng, "counts": counts, "history": {"values": self.history[:, : self.step]}}
        parts |= {
            "opt_g": checkpoint.optimizer_tensors(self.opt_g),
            "opt_d": checkpoint.optimizer_tensors(self.opt_d),
        }
        whole = self.nets()
        for prefix, part in parts.items():
            whole |= with_prefix(prefix, part)
        return whole

    def seed_global(self) -> None:
        """Make torch's global RNG, which dropout and label noise draw from, a function of the run's seed."""
        torch.manual_seed(self.config.seed + 2)

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Become what `tensors` and `facts` describe."""
        self.step = self.checked = facts["step"]
        self.seconds, self.origin = facts["origin"]["wall_s"], facts["origin"]
        for name, net in self.named().items():
            net.load_state_dict(under_prefix(name, tensors))
        self.history[:, : self.step] = tensors["history.values"]
        if self.step < self.config.steps:
            self._restore_motion(tensors, facts)

    def _restore_motion(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        if facts["device_type"] != self.device.type:  # a finished run can be read anywhere, going on cannot
            raise CheckpointError(f"the run was begun on {facts['device_type']} and goes on only there")
        checkpoint.load_optimizer(self.opt_g, under_prefix("opt_g", tensors))
        checkpoint.load_optimizer(self.opt_d, under_prefix("opt_d", tensors))
        if self.ema is not None:
            self.ema.n_averaged.copy_(tensors["counts.averaged"])
        self.loader.load_state_dict(
            {"epoch_rng": tensors["rng.order"], "position": tensors["counts.position"]}
        )
        self.noise.set_state(tensors["rng.noise"])
        torch.set_rng_state(tensors["rng.global"])
        if "rng.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["rng.cuda"], self.device)

    def facts(self) -> dict[str, Any]:
        """Return what a checkpoint says of itself; a run that was only read keeps its origin."""
        return {
            "step": self.step,
            "identity": self.identity,
            "device_type": self.device.type,
            "origin": origin(self.seconds, self.device),
        }

    def check_losses(self) -> None:
        """Raise TrainingDiverged when a loss since the last check is NaN or infinite."""
        # Turned, so that what was computed first is told first.
        losses = self.history[:2, self.checked : self.step].transpose(0, 1).cpu()
        for offset, player, *which in (~losses.isfinite()).nonzero().tolist():
            self._diverge(f"{'DG'[player]}'s loss is not finite at step", self.checked + offset, *which)
        self.checked = self.step

    def check_weights(self) -> None:
        """Raise TrainingDiverged when a weight is NaN or infinite: a finite loss can have such a gradient."""
        for name, net in self.named().items():
            if not all(value.isfinite().all() for value in net.state_dict().values()):
                self._diverge(f"{name}'s weights are not finite after step", self.step - 1)

    def _diverge(self, what: str, step: int, *which: int) -> NoReturn:
        before = self.history[:2, step - 1].view(2, -1)[:, which[0] if which else 0]
        last = before.tolist() if step else None
        raise TrainingDiverged(
            f"{what} {step + 1}; losses (D, G) one step before: {last}; "
            "lower the learning rate or go back to the last checkpoint"
        )
