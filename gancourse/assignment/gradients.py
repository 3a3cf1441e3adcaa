"""Read from gradients what a training step has done: which losses, on which images, with which labels."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from gancourse.assignment.observed import Game, Pass, Player, Pull, Step

EXACT = 1e-3  # relative, of float32 gradients
ALIKE = 0.5  # correlation of images, from which one is called a changed copy of the other
TRACE = 2e-3  # of the largest part of a gradient: less is rounding

Kind = Literal["real", "fake", "other"]


@dataclass(frozen=True)
class Rows:
    """The images of one kind in a pass through D: where they are, and if fake, by which pass and z made."""

    kind: Kind
    at: Tensor
    maker: Pass | None = None
    origin: Tensor | None = None
    change: Literal["", "scaled", "altered"] = ""


@dataclass(frozen=True)
class Term:
    """One term of a loss, weight times the mean cross-entropy to a label, read from the pull on its logits.

    `form` tells what else was found: a second sigmoid, labels drawn at random, or no cross-entropy at all.
    """

    kind: Kind
    weight: float
    label: float
    value: float
    form: Literal["plain", "doubled", "random", "unknown"] = "plain"


@dataclass(frozen=True)
class Part:
    """A pull that is in the gradient at an optimizer's step, how often, and whether it is left over there."""

    pull: Pull
    times: float
    terms: tuple[Term, ...]
    leftover: bool


@dataclass(frozen=True)
class Reading:
    """What the gradient at one optimizer's step consists of; `unknown` is the share that no pull explains."""

    step: Step
    parts: tuple[Part, ...]
    unknown: float
    clipped: bool

    def own(self) -> list[Part]:
        """Return the parts that belong to this step's loss."""
        return [part for part in self.parts if not part.leftover]

    def terms(self) -> list[Term]:
        """Return the terms of this step's loss."""
        return [term for part in self.own() for term in part.terms]


# ------------------------------------------------------------------ images


def rows_of(game: Game, seen: Pass) -> list[Rows]:
    """Sort the images of a pass through D by what they are: real, made by G, or neither."""
    log = game.log
    sources: list[tuple[Kind, Pass | None, Tensor]] = [("real", None, r.flatten(1)) for r in log.reals]
    makers = [p for p in log.passes if p.player == "G"]
    sources += [("fake", maker, maker.out) for maker in makers]
    x = seen.x.flatten(1)
    pool = torch.cat([images for _, _, images in sources])
    likeness = _standard(x) @ _standard(pool).T
    # The distance tells images of one z by a G that has hardly moved.
    distance = torch.cdist(x, pool, compute_mode="donot_use_mm_for_euclid_dist")
    best = (likeness - 1e-3 * distance.clamp(max=1)).argmax(1)
    likeness = likeness.gather(1, best[:, None]).squeeze(1)
    found, start = [], 0
    for kind, maker, images in sources:
        mine = (likeness >= ALIKE) & (best >= start) & (best < start + len(images))
        if mine.any():
            at, origin = mine.nonzero().flatten(), best[mine] - start
            found.append(Rows(kind, at, maker, origin, _change(x[at], images[origin], likeness[at])))
        start += len(images)
    neither = (~(likeness >= ALIKE)).nonzero().flatten()
    return [*found, *([Rows("other", neither)] if len(neither) else [])]


def _standard(x: Tensor) -> Tensor:
    centered = x - x.mean(1, keepdim=True)
    return F.normalize(centered)


def _change(x: Tensor, source: Tensor, likeness: Tensor) -> Literal["", "scaled", "altered"]:
    if torch.allclose(x, source, atol=1e-5):
        return ""
    return "scaled" if (likeness > 1 - 1e-4).all() else "altered"


# ------------------------------------------------------------------ terms


def terms_of(pull: Pull, rows: Iterable[Rows]) -> tuple[Term, ...]:
    """Return the terms of the loss whose gradient came back to the logits of a pass."""
    by_kind: dict[Kind, list[Tensor]] = {}
    for part in rows:
        by_kind.setdefault(part.kind, []).append(part.at)
    return tuple(
        _term(kind, pull.seen.out[torch.cat(at)].double().cpu(), pull.grad[torch.cat(at)].double().cpu())
        for kind, at in by_kind.items()
        if pull.grad[torch.cat(at)].abs().max() > 0
    )


def _term(kind: Kind, logits: Tensor, grad: Tensor) -> Term:
    """Fit grad (N,) = weight / N * (p - label), p the probability, or what a second sigmoid makes of it."""
    p, n = logits.sigmoid(), len(logits)
    for form, inner, scale in (("plain", logits, 1), ("doubled", p, p * (1 - p))):
        q = inner.sigmoid()
        weight, label, off = _line(q, grad / scale * n)
        if off < EXACT and -0.02 <= label <= 1.02:
            value = weight * (F.softplus(inner) - label * inner).mean().item()
            return Term(kind, weight, label, value, "plain" if form == "plain" else "doubled")
    for weight in (1.0, 0.5):  # soft labels drawn for each real image
        labels = p - grad * n / weight
        if kind == "real" and labels.min() > 0.5 and labels.max() < 1.25:
            value = weight * (F.softplus(logits) - labels * logits).mean().item()
            return Term(kind, weight, labels.mean().item(), value, "random")
    return Term(kind, 0.0, 0.0, 0.0, "unknown")


def _line(q: Tensor, y: Tensor) -> tuple[float, float, float]:
    """Fit y = weight * (q - label); return weight, label, and the relative deviation."""
    design = torch.stack([q, torch.ones_like(q)], 1)
    slope, offset = torch.linalg.lstsq(design, y).solution.tolist()
    off = (design @ torch.tensor([slope, offset], dtype=y.dtype) - y).norm() / y.norm()
    return slope, -offset / slope if slope else float("inf"), off.item()


# ------------------------------------------------------------------ gradients


class Reader:
    """Reads the steps of a game one after another; keeps what each pull would do to the weights."""

    def __init__(self, game: Game) -> None:
        self.game = game
        self.rows = {pull.seen: rows_of(game, pull.seen) for pull in game.log.pulls}
        self.effects: dict[tuple[Pull, Player], Tensor] = {}
        self.used: dict[tuple[Pull, Player], int] = {}  # the turn of the step that used it

    def read(self, step: Step) -> Reading:
        """Return what the gradient of the stepping player consists of at its step."""
        times, unknown, clipped = self.split(step, step.player)
        parts = [
            Part(pull, k, terms_of(pull, self.rows[pull.seen]), self._is_old(pull, step))
            for pull, k in times.items()
        ]
        for pull in times:
            self.used.setdefault((pull, step.player), step.turn)
        return Reading(step, _without_opponent(step.player, parts), unknown, clipped)

    def split(self, step: Step, player: Player) -> tuple[dict[Pull, float], float, bool]:
        """Write a player's gradient at a step as a sum of the effects of pulls: least squares.

        Return how often each pull is in it, the relative rest, and whether values were cut off.
        """
        grad = step.grads[player]
        candidates = [pull for pull in step.pulls if self.effect(pull, player).norm() > 0]
        if not candidates or not grad.abs().max() > 0:
            return {}, float(grad.abs().max() > 0), False
        inside = grad.abs() < grad.abs().max()  # clipping by value leaves these
        basis = torch.stack([self.effect(pull, player) for pull in candidates], 1)
        lengths = basis.norm(dim=0)
        solved = torch.linalg.lstsq((basis / lengths)[inside], grad[inside, None], driver="gelsd").solution
        rest = ((basis / lengths)[inside] @ solved - grad[inside, None]).norm() / grad[inside].norm()
        share, times = solved[:, 0].abs(), solved[:, 0] / lengths
        kept = (share > TRACE * share.max()).tolist()
        found = {pull: k for pull, k, keep in zip(candidates, times.tolist(), kept, strict=True) if keep}
        return found, rest.item(), int((~inside).sum()) > 8

    def effect(self, pull: Pull, player: Player) -> Tensor:
        """Return the gradient of a player's weights that a pull brings where nothing is detached."""
        if (pull, player) not in self.effects:
            made = self._on_d(pull) if player == "D" else self._on_g(pull)
            self.effects[pull, player] = made.detach().cpu().double()
        return self.effects[pull, player]

    def _on_d(self, pull: Pull) -> Tensor:
        weights, out = self._replay(pull.seen, pull.seen.x)
        return _flat(torch.autograd.grad(out.flatten() @ pull.grad, weights))

    def _on_g(self, pull: Pull) -> Tensor:
        total = torch.zeros(sum(p.numel() for p in self.game.G.parameters()), device=pull.grad.device)
        for rows in self.rows[pull.seen]:
            if rows.maker is None or rows.origin is None:
                continue
            weights, images = self._replay(rows.maker, rows.maker.x)
            made = images[rows.origin]
            x = pull.seen.x.index_add(0, rows.at, made - made.detach())
            _, out = self._replay(pull.seen, x)
            total += _flat(torch.autograd.grad(out.flatten() @ pull.grad, weights))
        return total

    def _replay(self, seen: Pass, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the weights of a pass, and its output computed again."""
        body = self.game.net(seen.player).body.train(seen.train)
        names = [name for name, _ in body.named_parameters()]
        state = {name: value.clone() for name, value in seen.state.items()}
        weights = [state[name].requires_grad_() for name in names]
        out: Tensor = functional_call(body, state, (x,))
        return weights, out

    def _is_old(self, pull: Pull, step: Step) -> bool:
        """Tell whether a pull belongs to a step before, of this player or of the other."""
        other: Player = "D" if step.player == "G" else "G"
        if pull.call < step.call or (pull, step.player) in self.used:
            return True
        return pull.turn < step.turn and (pull, other) in self.used


def _flat(grads: Iterable[Tensor]) -> Tensor:
    return torch.cat([grad.flatten() for grad in grads])


def _without_opponent(player: Player, parts: list[Part]) -> tuple[Part, ...]:
    """Call left over what the other player's loss has added: fakes pulled both to 0 and to 1."""
    fakes = [
        (part, term) for part in parts if not part.leftover for term in part.terms if term.kind == "fake"
    ]
    up = [part for part, term in fakes if term.label > 0.5]
    down = [part for part, term in fakes if term.label <= 0.5]
    foreign = (up if player == "D" else down) if up and down else []
    return tuple(Part(part.pull, part.times, part.terms, True) if part in foreign else part for part in parts)
