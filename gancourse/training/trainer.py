"""The state of a run: all that a step changes, saved and restored bit for bit. `fit` drives it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from gancourse.data.images import DeviceLoader, ImageData
from gancourse.losses import GANLoss
from gancourse.notebook import device_name
from gancourse.training import checkpoint
from gancourse.training.checkpoint import CheckpointError, under_prefix, with_prefix
from gancourse.training.config import HISTORY, TrainConfig
from gancourse.training.convolution import fast_convolutions, has_matrix_units
from gancourse.training.steps import Penalty, d_step, g_step

# A run may be extended, and saved as often as one likes.
_NOT_IDENTITY = ("steps", "snapshots", "checkpoint_every")


class TrainingDiverged(RuntimeError):
    """A loss or a weight became NaN or infinite."""


class _Autocast(nn.Module):
    """A net whose forward pass runs in bfloat16 and answers in float32."""

    def __init__(self, net: nn.Module, fast: bool) -> None:
        super().__init__()
        self.net, self.fast = net, fast

    def forward(self, x: Tensor) -> Tensor:
        with (
            torch.autocast(x.device.type, torch.bfloat16),
            fast_convolutions() if self.fast else nullcontext(),
        ):
            out: Tensor = self.net(x)
        return out.float()


class Trainer:
    """Everything that a step changes, so that saving it and going on gives the same bits."""

    def __init__(
        self,
        G: nn.Module,
        D: nn.Module,
        data: ImageData,
        loss: GANLoss,
        penalty: Penalty | None,
        config: TrainConfig,
    ) -> None:
        self.G, self.D, self.loss, self.penalty, self.config = G, D, loss, penalty, config
        self.device = next(G.parameters()).device
        self.identity = _identity(G, D, data, loss, penalty, config)
        for net in (G, D):
            net.to(memory_format=torch.channels_last)
        self.opt_g = Adam(G.parameters(), config.lr_g, config.betas, fused=True)
        self.opt_d = Adam(D.parameters(), config.lr_d, config.betas, fused=True)
        self.ema = _average(G, config)
        order = torch.Generator().manual_seed(config.seed)
        self.loader = DeviceLoader(data, config.batch_size, device=self.device, generator=order)
        self.noise = torch.Generator(self.device).manual_seed(config.seed + 1)
        self.history = torch.full((len(HISTORY), config.steps), float("nan"), device=self.device)
        self.step, self.checked, self.seconds = 0, 0, 0.0
        self.origin: dict[str, Any] = {}  # where and when the last restored step was trained
        self.snapshots: dict[int, dict[str, Tensor]] = {}
        cast = config.precision == "bfloat16"
        fast = penalty is None and has_matrix_units(self.device)  # a penalty differentiates twice
        self.forward_G, self.forward_D = (_Autocast(G, fast), _Autocast(D, fast)) if cast else (G, D)

    def draw(self) -> Tensor:
        """Return z (B, Z) from N(0, I)."""
        size = (self.config.batch_size, int(self.G.latent_dim))  # type: ignore[arg-type]
        return torch.randn(size, generator=self.noise, device=self.device)

    def advance(self) -> None:
        """Take `d_steps` steps of D and one of G: the body of Algorithm 1's loop."""
        G, D = self.forward_G, self.forward_D
        for _ in range(self.config.d_steps):
            of_d = d_step(
                G, D, self.opt_d, real=next(self.loader), z=self.draw(), loss=self.loss, penalty=self.penalty
            )
        of_g = g_step(G, D, self.opt_g, z=self.draw(), loss=self.loss)
        if self.ema is not None:
            self.ema.update_parameters(self.G)
        seen = (of_d.loss, of_g.loss, of_d.d_real, of_d.d_fake, of_g.d_fake)
        self.origin = {}
        self.history[:, self.step] = torch.stack(seen)  # stays on the device: no step waits for the host
        self.step += 1

    def nets(self) -> dict[str, Tensor]:
        """Return the weights of G, D and the average, prefixed."""
        tensors: dict[str, Tensor] = {}
        for name, net in self._named().items():
            tensors |= with_prefix(name, net.state_dict())
        return {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}

    def _named(self) -> dict[str, nn.Module]:
        named = {"G": self.G, "D": self.D}
        return named if self.ema is None else named | {"ema": self.ema.module}

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that the next step depends on."""
        loader = self.loader.state_dict()
        rng = {"noise": self.noise.get_state(), "global": torch.get_rng_state(), "order": loader["epoch_rng"]}
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

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Become what `tensors` and `facts` describe."""
        self.step = self.checked = facts["step"]
        self.seconds, self.origin = facts["origin"]["wall_s"], facts["origin"]
        for name, net in self._named().items():
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

    def facts(self) -> dict[str, Any]:
        """Return what a checkpoint says of itself; a run that was only read keeps its origin."""
        origin = {
            "device": device_name(self.device),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "wall_s": round(self.seconds, 1),
        }
        return {
            "step": self.step,
            "identity": self.identity,
            "device_type": self.device.type,
            "origin": origin,
        }

    def check_finite(self) -> None:
        """Raise TrainingDiverged when a loss since the last check, or a weight now, is NaN or infinite."""
        losses = self.history[:2, self.checked : self.step].T.cpu()  # (steps, 2): in the order of computation
        for offset, player in (~losses.isfinite()).nonzero().tolist():
            self._diverge(f"{'DG'[player]}'s loss is not finite at step", self.checked + offset)
        for name, net in self._named().items():  # a finite loss can have a gradient that is not
            if not all(value.isfinite().all() for value in net.state_dict().values()):
                self._diverge(f"{name}'s weights are not finite after step", self.step - 1)
        self.checked = self.step

    def _diverge(self, what: str, step: int) -> NoReturn:
        last = self.history[:2, step - 1].tolist() if step else None
        raise TrainingDiverged(
            f"{what} {step + 1}; losses (D, G) one step before: {last}; "
            "lower the learning rate or go back to the last checkpoint"
        )


def _average(G: nn.Module, config: TrainConfig) -> AveragedModel | None:
    if config.ema_half_life <= 0:
        return None
    decay = 0.5 ** (config.batch_size / config.ema_half_life)
    return AveragedModel(G, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)


def _digest(net: nn.Module) -> str:
    """Return a name for a net's structure and initial weights."""
    digest = hashlib.sha256(repr(net).encode())
    for name, value in net.state_dict().items():
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _identity(
    G: nn.Module, D: nn.Module, data: ImageData, loss: GANLoss, penalty: Penalty | None, config: TrainConfig
) -> dict[str, Any]:
    facts = json.loads(json.dumps(dataclasses.asdict(config)))  # as JSON gives it back
    facts = {name: value for name, value in facts.items() if name not in _NOT_IDENTITY}
    named_penalty = None if penalty is None else getattr(penalty, "__name__", repr(penalty))
    return facts | {
        "G": _digest(G),
        "D": _digest(D),
        "data": data.fingerprint(),
        "loss": loss.name,
        "penalty": named_penalty,
    }
