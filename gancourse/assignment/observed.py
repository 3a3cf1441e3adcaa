"""A small G and D, and their optimizers, that note what a student's training step does with them."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from gancourse.assignment.guard import Clock, attempt
from gancourse.assignment.judge import ask

LATENT_DIM, PIXELS, WIDTH = 100, 784, 32
BATCHES = (64, 64, 16)  # a call each; what is left over is felt in the second, the last is a smaller batch
RATE = 1e-4  # of Adam, whatever the scale of a loss: each pass has weights of its own, none saturates
MOST = 200  # passes that are kept

Player = Literal["G", "D"]


@dataclass(eq=False)
class Pass:
    """One pass through a net: inputs, outputs (D's are logits (N,)), weights and mode at that time."""

    player: Player
    call: int
    x: Tensor
    out: Tensor
    state: dict[str, Tensor]
    train: bool
    attached: bool  # can a gradient flow to x?


@dataclass(eq=False)
class Pull:
    """What one backward pass brought to the logits of one pass through D: their gradient (N,)."""

    seen: Pass
    grad: Tensor
    call: int
    turn: int


@dataclass(eq=False)
class Step:
    """One step of an optimizer: the gradients that both nets held then, flat, and all pulls so far."""

    player: Player
    call: int
    turn: int
    grads: dict[Player, Tensor]
    pulls: list[Pull]
    frozen: bool


@dataclass
class Log:
    """What happened in the calls of a training step. A turn: pulls, then one or more optimizer steps."""

    passes: list[Pass] = field(default_factory=list)
    pulls: list[Pull] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    reals: list[Tensor] = field(default_factory=list)
    returned: list[Any] = field(default_factory=list)  # one value for each call that came to its end
    changed_real: bool = False
    left_eval: set[str] = field(default_factory=set)
    moved_alone: set[str] = field(default_factory=set)  # nets whose weights changed without their optimizer
    error: str | None = None
    wrong_z: tuple[int, ...] | None = None
    call: int = 0
    turn: int = 0
    stepped: bool = False

    def pulled(self, seen: Pass, grad: Tensor) -> None:
        """Note what comes back to D's logits; after a step of an optimizer a new turn begins."""
        if self.stepped:
            self.turn, self.stepped = self.turn + 1, False
        self.pulls.append(Pull(seen, grad.detach().clone().flatten(), self.call, self.turn))


class Observed(nn.Module):
    """A net that tells the log of each pass; `finish` makes D's logits into what the student sees."""

    def __init__(
        self, player: Player, body: nn.Sequential, log: Log, finish: Callable[[Tensor], Tensor]
    ) -> None:
        super().__init__()
        self.body, self.finish = body, finish
        self.player: Player = player
        self.log = log

    def forward(self, x: Tensor) -> Tensor:
        """Map z (N, 100) to images (N, 1, 28, 28), or images to (N, 1) or (N,)."""
        wanted = (LATENT_DIM,) if self.player == "G" else (1, 28, 28)
        if tuple(x.shape[1:]) != wanted:
            if self.player == "G":
                self.log.wrong_z = tuple(x.shape)
            raise ValueError(f"{self.player} takes (N, {', '.join(map(str, wanted))}), got {tuple(x.shape)}")
        if len(self.log.passes) >= MOST:
            raise RuntimeError("hundreds of passes through G and D in one call")
        out: Tensor = self.body(x)
        seen = self._note(x, out)
        if self.player == "D" and out.requires_grad:
            out.register_hook(lambda grad: self.log.pulled(seen, grad))
        return self.finish(out)

    def _note(self, x: Tensor, out: Tensor) -> Pass:
        state = {name: value.detach().clone() for name, value in self.body.state_dict().items()}
        train = all(module.training for module in self.modules())
        kept = (x.detach().clone(), out.detach().clone().flatten(0 if self.player == "D" else 1))
        seen = Pass(self.player, self.log.call, *kept, state, train, x.requires_grad)
        self.log.passes.append(seen)
        return seen


@dataclass
class Game:
    """The players and optimizers that the check hands to the student's step, and their log."""

    G: Observed
    D: Observed
    opt_g: torch.optim.Optimizer
    opt_d: torch.optim.Optimizer
    log: Log

    def net(self, player: Player) -> Observed:
        """Return the net of a player."""
        return self.G if player == "G" else self.D


def new_game(device: str, logits: bool, flat: bool) -> Game:
    """Return a game with fresh nets; D's outputs are (N,) if `flat`, else (N, 1)."""
    log = Log()
    body_g = nn.Sequential(
        nn.Linear(LATENT_DIM, WIDTH), nn.BatchNorm1d(WIDTH), nn.ReLU(),
        last_g := nn.Linear(WIDTH, PIXELS), nn.Tanh(), nn.Unflatten(1, (1, 28, 28)),
    )  # fmt: skip
    last_d = nn.Linear(WIDTH, 1)
    body_d = nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, WIDTH), nn.LeakyReLU(0.2), last_d)
    with torch.no_grad():  # D answers differently to each image: then a loss can be told by its gradient
        last_g.weight.mul_(4)
        last_d.weight.mul_(10)
    G = Observed("G", body_g, log, nn.Identity()).to(device)
    D = Observed("D", body_d, log, lambda out: _answer(out, logits, flat)).to(device)
    opt_g, opt_d = (torch.optim.Adam(net.parameters(), lr=RATE) for net in (G, D))
    game = Game(G, D, opt_g, opt_d, log)
    opt_g.register_step_post_hook(lambda *_: _stepped(game, "G"))
    opt_d.register_step_post_hook(lambda *_: _stepped(game, "D"))
    return game


def _answer(out: Tensor, logits: bool, flat: bool) -> Tensor:
    out = out.squeeze(1) if flat else out
    return out if logits else out.sigmoid()


def _stepped(game: Game, player: Player) -> None:
    grads: dict[Player, Tensor] = {name: _flat_grad(game.net(name)) for name in ("G", "D")}
    frozen = any(not p.requires_grad for p in game.net(player).parameters())
    log = game.log
    log.stepped = True
    log.steps.append(Step(player, log.call, log.turn, grads, [*log.pulls], frozen))


def _flat_grad(net: nn.Module) -> Tensor:
    grads = [torch.zeros_like(p) if p.grad is None else p.grad.detach() for p in net.parameters()]
    return torch.cat([grad.flatten() for grad in grads]).cpu().double()


# ------------------------------------------------------------------ the calls


def play(clock: Clock, step: Callable[..., Any], logits: bool) -> Game:
    """Call the student's step on each batch; where it fails, try other outputs of D and another device.

    A D that gives (N,) is as right as one that gives (N, 1), and a step may put its z on the GPU by itself.
    """
    games = []
    for device in devices():
        for flat in (False, True):
            games.append(_calls(clock, step, new_game_from_seed(device, logits, flat), device))
            if games[-1].log.error is None:
                return games[-1]
    return max(games, key=lambda game: len(game.log.returned))  # the first among equals


def devices() -> Iterator[str]:
    """Return where the calls are tried."""
    yield "cpu"
    if torch.cuda.is_available():
        yield "cuda"
    if torch.backends.mps.is_available():
        yield "mps"


def new_game_from_seed(device: str, logits: bool, flat: bool) -> Game:
    """Return a game in which every random number follows from one seed."""
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - what student code draws from
    random.seed(0)
    return new_game(device, logits, flat)


def _calls(clock: Clock, step: Callable[..., Any], game: Game, device: str) -> Game:
    log, seed = game.log, torch.Generator().manual_seed(1)
    for call, n in enumerate(BATCHES):
        real = (torch.rand(n, 1, 28, 28, generator=seed, device="cpu") * 2 - 1).to(device)
        log.call, log.stepped = call, True
        log.reals.append(real.clone())
        before, steps = _weights(game), len(log.steps)
        with torch.device(device):
            outcome = ask(clock, step, game.G, game.D, game.opt_g, game.opt_d, real)
        if outcome.error is not None:
            log.error = outcome.error
            break
        seen = attempt(clock, _after, game, before, {step.player for step in log.steps[steps:]})
        if seen.error is not None:
            log.error = f"G or D were taken apart: {seen.error}"
            break
        log.returned.append(outcome.value)
        log.changed_real |= not torch.equal(real, log.reals[-1])
    return game


def _weights(game: Game) -> dict[Player, Tensor]:
    return {
        name: torch.cat([p.detach().flatten() for p in game.net(name).parameters()]) for name in ("G", "D")
    }


def _after(game: Game, before: dict[Player, Tensor], stepped: set[Player]) -> None:
    """Note in what state a call leaves the nets."""
    now = _weights(game)
    for name in ("G", "D"):
        if not all(module.training for module in game.net(name).modules()):
            game.log.left_eval.add(name)
        if name not in stepped and not torch.equal(now[name], before[name]):
            game.log.moved_alone.add(name)
