"""The latent playground's arithmetic, as its script has it: a GAN of four numbers. Taught in chapter 1.

G(z) = w z + b and D(x) = sigmoid(a x + c), on data at -1 and +1, each as likely. Plain Python, float64.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from numbers import Integral

BATCH, RATE_D, RATE_G, SEED = 16, 0.12, 0.08, 2014
_WORD = 0xFFFFFFFF


@dataclass(frozen=True)
class Losses:
    """What the players lose on a batch, in nats: D's summed loss, and each of G's two."""

    d: float
    non_saturating: float
    minimax: float


@dataclass(frozen=True)
class Game:
    """Where a game stands: four parameters, steps made, the batch that is next to learn from, losses so far.

    `draws` is the state of the random generator, in 0..2^32 - 1. `losses` has one entry a batch dealt.
    """

    w: float = 0.6
    b: float = 0.0
    a: float = 0.5
    c: float = 0.0
    d_steps: int = 0
    g_steps: int = 0
    draws: int = SEED
    real: tuple[float, ...] = ()
    z: tuple[float, ...] = ()
    losses: tuple[Losses, ...] = ()

    def G(self, z: float) -> float:  # noqa: N802 - the paper's name
        """Map z to the sample w z + b."""
        return self.w * z + self.b

    def D(self, x: float) -> float:  # noqa: N802 - the paper's name
        """Map x to sigmoid(a x + c), the probability that x is real, in D's opinion."""
        return 1 / (1 + math.exp(-(self.a * x + self.c)))

    @property
    def generated(self) -> tuple[float, ...]:
        """Return G(z) for each z of the batch."""
        return tuple(self.G(z) for z in self.z)


def start(seed: int = SEED) -> Game:
    """Return the game before any step, with its first batch of 16 real samples and 16 z.

    Raises ValueError unless the seed is an integer from 0 to 2^32 - 1.
    """
    if not _is_seed(seed):
        raise ValueError(f"expected a seed from 0 to 2^32 - 1, an integer, got {seed!r}")
    return _deal(Game(draws=int(seed)))


def step_d(game: Game) -> Game:
    """Let D ascend mean log D(x) + mean log(1 - D(G(z))) once, at rate .12, and deal a new batch."""
    fake = game.generated
    up, down = [1 - game.D(x) for x in game.real], [game.D(x) for x in fake]
    slope_a = _mean(_products(up, game.real)) - _mean(_products(down, fake))
    slope_c = _mean(up) - _mean(down)
    moved = replace(game, a=game.a + RATE_D * slope_a, c=game.c + RATE_D * slope_c)
    return _deal(replace(moved, d_steps=game.d_steps + 1))


def step_g(game: Game, *, minimax: bool = False) -> Game:
    """Let G descend -mean log D(G(z)), or mean log(1 - D(G(z))), once at rate .08, and deal a new batch."""
    slopes = [(game.D(x) if minimax else 1 - game.D(x)) * game.a for x in game.generated]
    w = game.w + RATE_G * _mean(_products(slopes, game.z))
    b = game.b + RATE_G * _mean(slopes)
    return _deal(replace(game, w=w, b=b, g_steps=game.g_steps + 1))


def step_both(game: Game, *, minimax: bool = False) -> Game:
    """Let D make a step, then G on the next batch: Algorithm 1 with k = 1."""
    return step_g(step_d(game), minimax=minimax)


def losses(game: Game) -> Losses:
    """Return what the players, as they are, lose on the batch."""
    real = [game.a * x + game.c for x in game.real]
    fake = [game.a * x + game.c for x in game.generated]
    judged_fake = _mean([_softplus(t) for t in fake])
    d = _mean([_softplus(-t) for t in real]) + judged_fake
    return Losses(d, _mean([_softplus(-t) for t in fake]), -judged_fake)


def _is_seed(value: object) -> bool:
    return isinstance(value, Integral) and 0 <= int(value) <= _WORD


def _deal(game: Game) -> Game:
    uniform, draws = _mulberry32(game.draws)
    real = tuple(-1.0 if uniform() < 0.5 else 1.0 for _ in range(BATCH))
    z = tuple(_normal(uniform) for _ in range(BATCH))
    dealt = replace(game, real=real, z=z, draws=draws())
    return replace(dealt, losses=(*game.losses, losses(dealt)))


def _mulberry32(state: int) -> tuple[Callable[[], float], Callable[[], int]]:
    """Return a function that draws from [0, 1) by Mulberry32, of 32 bits, and one that tells its state."""

    def uniform() -> float:
        nonlocal state
        state = (state + 0x6D2B79F5) & _WORD
        t = (state ^ (state >> 15)) * (1 | state) & _WORD
        t = (t + ((t ^ (t >> 7)) * (61 | t) & _WORD) & _WORD) ^ t
        return (t ^ (t >> 14)) / 2**32

    return uniform, lambda: state


def _normal(uniform: Callable[[], float]) -> float:
    """Draw from N(0, 1) by Box and Muller's way (1958)."""
    radius = math.sqrt(-2 * math.log(1 - uniform()))
    return radius * math.cos(2 * math.pi * uniform())


def _softplus(t: float) -> float:
    return max(t, 0.0) + math.log1p(math.exp(-abs(t)))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _products(left: Sequence[float], right: Sequence[float]) -> list[float]:
    return [a * b for a, b in zip(left, right, strict=True)]
