"""What the two updates of a training step descend, told to the student."""

from collections.abc import Iterable
from dataclasses import dataclass

from gancourse.assignment.gradients import EXACT, Kind, Reader, Reading, Term, terms_of
from gancourse.assignment.observed import Game, Player
from gancourse.assignment.report import Sheet

Fault = tuple[str, str]  # what was found, and the hint
NAMES: dict[Player, tuple[str, str, str]] = {
    "D": ("opt_d", "d_loss", "d_update"),
    "G": ("opt_g", "g_loss", "g_update"),
}


@dataclass(frozen=True)
class Turns:
    """The readings of all optimizer steps of a game, in the calls that came to their end."""

    game: Game
    reader: Reader
    readings: list[Reading]

    def of(self, player: Player, call: int | None = None) -> list[Reading]:
        """Return the readings of a player's steps, in one call or in all."""
        return [r for r in self.readings if r.step.player == player and call in (None, r.step.call)]

    def calls(self) -> range:
        """Return the calls that came to their end."""
        return range(len(self.game.log.returned))


def read_turns(game: Game) -> Turns:
    """Read the gradients at all steps of the calls that came to their end."""
    reader, done = Reader(game), len(game.log.returned)
    readings = [reader.read(step) for step in game.log.steps if step.call < done]
    return Turns(game, reader, _without_strays(Turns(game, reader, readings)))


def _without_strays(turns: Turns) -> list[Reading]:
    """Leave out what an optimizer does in the other's place, where the other one never steps: one mistake."""
    missing = {player for player in ("D", "G") if not turns.of(player)}
    kept = turns.readings
    if "G" in missing:
        kept = [r for r in kept if any(t.kind == "real" or t.label <= 0.5 for t in r.terms())]
    if "D" in missing:
        kept = [r for r in kept if any(t.kind == "fake" and t.label > 0.5 for t in r.terms())]
    return kept or turns.readings


# ------------------------------------------------------------------ the rules


def judge_updates(sheet: Sheet, turns: Turns, logits: bool) -> None:
    """Judge the rules `loss`, `d_update`, `g_update` and `clean`."""
    known = _loss(sheet, turns, logits)
    if _exchanged(turns):
        hint = "opt_d.step() belongs after d_loss.backward(), opt_g.step() after g_loss.backward()"
        sheet.failed("d_update", "opt_d and opt_g in each other's place", hint)
        return
    for player, fault_of in (("D", _d_fault), ("G", _g_fault)):
        if player in known:
            faults = [fault for call in turns.calls() if (fault := fault_of(turns, call))]
            found, hint = faults[0] if faults else (_WELL[player], "")
            sheet.judge(NAMES[player][2], not faults, found, hint)
    _clean(sheet, turns)


_WELL: dict[Player, str] = {"D": "D(real) up, D(fake) down", "G": "D(fake) up, non-saturating"}


def _loss(sheet: Sheet, turns: Turns, logits: bool) -> set[Player]:
    """Judge the rule `loss`; return the players whose loss is a cross-entropy."""
    forms = {player: {t.form for r in turns.of(player) for t in r.terms()} for player in ("D", "G")}
    seen = forms["D"] | forms["G"]
    if "doubled" in seen:
        hint = "D ends in a sigmoid already: binary_cross_entropy, not ..._with_logits, and no second sigmoid"
        if logits:
            hint = "binary_cross_entropy_with_logits has its own sigmoid: give it D(x) as it is"
        sheet.failed("loss", "a second sigmoid", hint)
    elif "unknown" in seen:
        right = "binary_cross_entropy_with_logits" if logits else "binary_cross_entropy"
        hint = f"F.{right}(D(x), labels), or the logarithms written out; no squares, no bare means of D(x)"
        sheet.failed("loss", "a gradient that no cross-entropy has", hint)
    elif seen:
        sheet.passed("loss", "the cross-entropy")
    return {player for player in ("D", "G") if "unknown" not in forms[player]}


def _exchanged(turns: Turns) -> bool:
    """Tell whether each optimizer steps where the other one is due."""
    stepped = set()
    for step in turns.game.log.steps:
        pulls = [p for p in step.pulls if (p.call, p.turn) == (step.call, step.turn)]
        terms = [t for p in pulls for t in terms_of(p, turns.reader.rows[p.seen])]
        of_d = any(t.kind == "real" or t.label <= 0.5 for t in terms)
        if not terms or of_d == (step.player == "D"):
            return False
        stepped.add(step.player)
    return len(stepped) == 2


def _clean(sheet: Sheet, turns: Turns) -> None:
    """Judge the rule `clean`."""
    clear = [r for r in turns.readings if r.unknown < EXACT]
    dirty = [r for r in clear if any(part.leftover for part in r.parts)]
    if not dirty:
        if any(r.parts for r in clear):
            sheet.passed("clean", "nothing left over")
        return
    step = dirty[0].step
    optimizer, loss, _ = NAMES[step.player]
    old = [part for part in dirty[0].parts if part.leftover]
    from_d = any(t.kind == "real" or t.label <= 0.5 for part in old for t in part.terms)
    before = any(part.pull.call < step.call for part in old)
    what = "D's loss" if from_d else "G's loss"
    if before or from_d == (step.player == "D"):
        what = "the call before" if before else "the step before"
    hint = f"{optimizer}.zero_grad() right before {loss}.backward()"
    if step.player == "D":
        hint += ": g_loss.backward() leaves gradients in D too"
    elif from_d:
        hint = f"give D fake.detach() in its turn, so that d_loss stays out of G; and {hint}"
    sheet.failed("clean", f"gradients of {what} too at {optimizer}.step(), call {step.call + 1}", hint)


# ------------------------------------------------------------------ faults


def _totals(terms: Iterable[Term]) -> dict[Kind, tuple[float, float]]:
    """Return weight and mean label of the terms of each kind."""
    sums: dict[Kind, tuple[float, float]] = {}
    for term in terms:
        weight, labels = sums.get(term.kind, (0.0, 0.0))
        sums[term.kind] = weight + term.weight, labels + term.weight * term.label
    return {kind: (w, labels / w if w else 0.0) for kind, (w, labels) in sums.items()}


def _label(value: float) -> str:
    return f"{round(value, 2) + 0.0:g}"  # no minus before a 0


def _d_fault(turns: Turns, call: int) -> Fault | None:
    """Return what is wrong with D's update in a call."""
    terms = [t for r in turns.of("D", call) for t in r.terms()]
    if not terms:
        return _unknown(turns, "D", call) or _standstill(turns, "D", call)
    totals = _totals(terms)
    if "real" not in totals or "fake" not in totals:
        return _one_sided(totals)
    (w_real, real), (w_fake, fake) = totals["real"], totals["fake"]
    found = f"D(real) towards {_label(real)}, D(fake) towards {_label(fake)}"
    if w_real < 0 or w_fake < 0:
        return "D's loss goes up", "the cross-entropy is minimized: look at the signs of the logarithms"
    if real < 0.5 and fake > 0.5:
        return found, "the labels are exchanged: 1 for real images, 0 for G's, in D's turn"
    if real < 0.65:
        return found, "the label of real images is 1, or 0.9 if smoothed"
    if fake > 0.02:
        return found, "the label of fakes is 0 in D's turn; smooth the label of real images only"
    if not 0.7 < w_real / w_fake < 1.4:
        found = f"real images {w_real / w_fake:.2g} times as heavy as fakes"
        return found, "add the two means, or take half their sum"
    return _unknown(turns, "D", call)


def _one_sided(totals: dict[Kind, tuple[float, float]]) -> Fault:
    if "other" in totals:
        return (
            "D was shown images that are neither the real batch nor G's",
            "D's turn needs D(real) and D(G(z).detach())",
        )
    if "real" in totals:
        return (
            "real images only",
            "D's loss has a second term: D(fake) with label 0; add it before backward()",
        )
    return "fakes only", "D's loss has a first term: D(real) with label 1; add it before backward()"


def _g_fault(turns: Turns, call: int) -> Fault | None:
    """Return what is wrong with G's update in a call."""
    totals = _totals(t for r in turns.of("G", call) for t in r.terms())
    if "fake" not in totals:
        return _unknown(turns, "G", call) or _standstill(turns, "G", call)
    weight, label = totals["fake"]
    if weight < 0 and label < 0.35:
        return (
            "the minimax loss log(1 - D(G(z)))",
            "it saturates where D is sure: descend -log D(G(z)), the cross-entropy of D(fake) to label 1",
        )
    if weight < 0:
        return "D(fake) pushed away from 1", "the sign: G descends -log D(G(z))"
    if label < 0.65:
        return f"D(fake) towards {_label(label)}", "G wants D to say real: label 1 for the fakes in G's turn"
    return _unknown(turns, "G", call)


def _unknown(turns: Turns, player: Player, call: int) -> Fault | None:
    if all(r.unknown < EXACT for r in turns.of(player, call)):
        return None
    found = f"more in {player}'s gradient than the cross-entropy of D's answers"
    return found, "leave out penalties and changes of the gradient, for this assignment"


def _standstill(turns: Turns, player: Player, call: int) -> Fault:
    """Say why an optimizer that should descend has no gradient to descend."""
    optimizer, loss, _ = NAMES[player]
    steps = turns.of(player, call)
    if not steps:
        hint = f"call {optimizer}.step() after {loss}.backward()"
        if player in turns.game.log.moved_alone:
            hint = (
                f"use the {optimizer} that is handed over: a new optimizer forgets its moments at each call"
            )
        return f"{optimizer}.step() is never called", hint
    step, other = steps[0].step, "D" if player == "G" else "G"
    if step.frozen:
        return (
            f"{player} is frozen at {optimizer}.step()",
            f"{player}.requires_grad_(False) must be taken back with requires_grad_(True)",
        )
    pulls = [p for p in step.pulls if p.call == call and p.turn == step.turn]
    pulls = [p for p in pulls if (p, other) not in turns.reader.used]
    if not pulls:
        return f"no gradient in {player} at {optimizer}.step()", f"{loss}.backward() comes before it"
    if player == "G" and not any(p.seen.attached for p in pulls):
        return "no gradient reaches G", "G learns through D: give D fake, not fake.detach(), in G's turn"
    return (
        f"{player}'s gradient was cleared before {optimizer}.step()",
        f"zero_grad() first, then {loss}.backward(), then {optimizer}.step()",
    )
