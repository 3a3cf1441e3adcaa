"""Several seeds trained as one: their nets stacked into one, their steps taken at once. See `fit`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from gancourse.data.loaders import Data, DeviceLoader, SeedsLoader
from gancourse.losses import GANLoss
from gancourse.penalties import Critic
from gancourse.regularizers import add_instance_noise, unrolled_state
from gancourse.sampling import latent_dim
from gancourse.together import Streams, each_seed
from gancourse.training.checkpoint import with_prefix
from gancourse.training.config import Run, TrainConfig
from gancourse.training.players import Noisy, check_players
from gancourse.training.speed import Speed
from gancourse.training.stacked import Stacked
from gancourse.training.steps import Penalty
from gancourse.training.trainer import BeforeStep, Trainer


class SeedsTrainer(Trainer):
    """The state of S runs in one: tensors have S in front of a lone run's, the history (..., steps, S)."""

    def __init__(
        self,
        G: Sequence[nn.Module],
        D: Sequence[nn.Module],
        data: Data | DeviceLoader,
        loss: GANLoss,
        penalty: Penalty | None,
        config: TrainConfig,
        g_penalty: Penalty | None = None,
        before_step: BeforeStep | None = None,
        speed: Speed | None = None,
        *,
        seeds: Sequence[int],
    ) -> None:
        self.seeds, self.alone, self.lone_loss = tuple(seeds), (G, D), loss
        super().__init__(Stacked(G), Stacked(D), data, loss, penalty, config, g_penalty, before_step, speed)
        self.identity["seed"] = [int(seed) for seed in seeds]
        self.loss = _of_each(loss, len(seeds))
        self.penalty, self.g_penalty = (p and partial(_penalize_each, p) for p in (penalty, g_penalty))
        self.z_streams = Streams([seed + 1 for seed in seeds], self.device)
        self.streams = Streams([seed + 2 for seed in seeds], self.device)
        self.history = self.history[..., None].repeat(1, 1, len(seeds))

    def _loader(self, data: Data | DeviceLoader) -> SeedsLoader:
        assert not isinstance(data, DeviceLoader)  # check_seeds has refused it
        return SeedsLoader(data, self.config.batch_size, device=self.device, seeds=self.seeds)

    def _admit(self) -> None:
        """Look at one pair: the others are like it. channels_last has no meaning for stacked weights."""
        assert isinstance(self.loader, SeedsLoader)
        G, D = self.alone
        check_players(G[0], D[0], self.loader.each[0], conditional=False)

    def _call_through(self) -> None:
        super()._call_through()
        if self.noisy is not None:
            self.noisy = _NoisyEach(self.D)
            self.opponents = self.learners = (self.G, self.noisy)

    def draw(self) -> Tensor:
        """Return z (S, B, Z) from N(0, I)."""
        size = (self.config.batch_size, latent_dim(self.alone[0][0]))
        return self.z_streams.draw(lambda rng: torch.randn(size, generator=rng, device=self.device))

    def generators(self) -> list[torch.Generator]:
        """Return the generators of each seed."""
        return [*self.z_streams.generators, *self.streams.generators]

    def advance(self) -> None:
        """Take the steps of all seeds."""
        with self.streams.in_use():
            super().advance()

    def _look_ahead(self, real: Tensor, y: Tensor | None) -> Callable[[Tensor], Critic]:
        of_one = partial(
            unrolled_state, loss=self.lone_loss, steps=self.config.unroll, lr=self.config.unroll_lr
        )

        def looked(fake: Tensor) -> Critic:
            D = self.D
            assert isinstance(D, Stacked)
            state = D.each(lambda D, real, fake: of_one(D, real=real, fake=fake), real, fake)
            return lambda x: D.each(lambda D, x: D(x), x, state=state)

        return looked

    def named(self) -> dict[str, nn.Module]:
        """Return the nets that a checkpoint keeps, their tensors (S, ...), under the names of a lone run."""
        return {name: net.get_submodule("net") for name, net in super().named().items()}

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that the next step depends on."""
        states = {"z": self.z_streams.get_state(), "draws": self.streams.get_state()}
        return super().tensors() | with_prefix("streams", states)

    def _restore_motion(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        super()._restore_motion(tensors, facts)
        self.z_streams.set_state(tensors["streams.z"])
        self.streams.set_state(tensors["streams.draws"])

    def check_weights(self) -> None:
        """Raise TrainingDiverged, naming the seed, when a weight is NaN or infinite."""
        for name, net in self.named().items():
            for value in (*net.parameters(), *net.buffers()):
                for (i,) in (~value.detach().reshape(len(value), -1).isfinite().all(1)).nonzero().tolist():
                    self._diverge(f"{name}'s weights are not finite after step", self.step - 1, i)

    def _diverge(self, what: str, step: int, *which: int) -> NoReturn:
        super()._diverge(f"seed {self.seeds[which[0]]}: {what}", step, *which)

    def split(self, run: Run) -> list[Run]:
        """Return the run of each seed, its nets those that were given, now trained."""
        averages: list[Any] = [None] * len(self.seeds)
        for stacked, nets in zip((run.G, run.D), self.alone, strict=True):
            assert isinstance(stacked, Stacked)
            stacked.give(nets)
        if isinstance(run.ema, Stacked):
            averages = run.ema.copies(self.alone[0])
        runs = []
        for i, (G, D, ema, seed) in enumerate(zip(*self.alone, averages, self.seeds, strict=True)):
            history = {name: values[:, i].clone() for name, values in run.history.items()}
            snapshots = {step: _part(tensors, i) for step, tensors in run.snapshots.items()}
            runs.append(replace(run, G=G, D=D, ema=ema, seed=seed, history=history, snapshots=snapshots))
        return runs


class _NoisyEach(Noisy):
    """A stacked D that sees each seed's samples (S, N, ...) through that seed's noise."""

    def forward(self, x: Tensor, *labels: Tensor) -> Tensor:
        assert isinstance(self.D, Stacked)
        logits: Tensor = self.D.each(lambda D, x: D(add_instance_noise(x, self.std)), x)
        return logits


def _of_each(loss: GANLoss, size: int) -> GANLoss:
    """Return a loss on logits (S, N) whose values are (S,)."""

    def d(*, real: Tensor, fake: Tensor) -> Tensor:
        return _numbers(each_seed(size, lambda real, fake: loss.d(real=real, fake=fake), real, fake))

    def g(*, fake: Tensor, real: Tensor | None = None) -> Tensor:
        if real is None:
            return _numbers(each_seed(size, lambda fake: loss.g(fake=fake), fake))
        return _numbers(each_seed(size, lambda fake, real: loss.g(fake=fake, real=real), fake, real))

    return GANLoss(loss.name, d, g, loss.relative)


def _penalize_each(penalty: Penalty, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
    """Return the penalties (S,) of a stacked critic on samples (S, N, ...)."""
    assert isinstance(critic, Stacked)
    return _numbers(critic.each(penalty, real, fake))


def _numbers(values: Tensor) -> Tensor:
    if values.ndim != 1:  # (S, N) and (S,) would add up to something
        raise ValueError(
            "expected a loss, and its penalty, of one number for each seed, got "
            f"{tuple(values.shape[1:])}; take the mean over the batch"
        )
    return values


def _part(tensors: dict[str, Tensor], i: int) -> dict[str, Tensor]:
    """Return the i-th seed's part of stacked state; what is neither parameter nor buffer is all seeds'."""
    return {n: v if n.endswith("_extra_state") else v[i].clone() for n, v in tensors.items()}
