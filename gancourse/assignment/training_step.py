"""Check of one training step: what each optimizer descends, read from the gradients at its step."""

from typing import Any

import torch

from gancourse.assignment.gradients import EXACT, Kind
from gancourse.assignment.guard import Clock
from gancourse.assignment.judge import Undone, judged
from gancourse.assignment.mishaps import blame
from gancourse.assignment.observed import Game, Log, Pass, play
from gancourse.assignment.reach import reached, unmoved
from gancourse.assignment.report import Report, Rule, Sheet
from gancourse.assignment.returned import compare_losses, returned_pairs
from gancourse.assignment.updates import Turns, judge_updates, read_turns

ROUND = 'chapter 5, "One step of each player"'
ALGORITHM = 'chapter 1, "Algorithm 1"'
LOSS = 'chapter 5, "The loss: log D, smoothed on one side"'
NORMS = 'chapter 5, "What BatchNorm costs: samples that know each other"'
STEP = (
    Rule("returns", 1, "(d_loss, g_loss), the finite losses of the batch", ROUND),
    Rule("loss", 1, "the binary cross-entropy of D's answers", LOSS),
    Rule("d_update", 2, "opt_d.step() down -log D(real) - log(1 - D(fake))", ALGORITHM),
    Rule("g_update", 2, "opt_g.step() down -log D(fake)", 'chapter 2, "One sample, two weights"'),
    Rule("clean", 2, "the gradient of its own loss alone at each step()", ALGORITHM),
    Rule("modes", 1, "G and D in training mode", NORMS),
    Rule("inputs", 1, "new z (N, 100) from the standard normal, real images as they are", ROUND),
)


def check_training_step(step: Any, logits: bool = False) -> Report:
    """Check `step(G, D, opt_g, opt_d, real)` -> (d_loss, g_loss), real (N, 1, 28, 28). Taught in chapter 5.

    It is called with small nets and optimizers of the check, D with outputs (N, 1) or (N,), probabilities or
    `logits`, on three batches of 64, 64 and 16. Nets and optimizers of the notebook that the step may reach
    are left as they were. Ten points, printed rule by rule.
    """
    nearby = reached(step)

    def body(sheet: Sheet, clock: Clock) -> None:
        with unmoved(nearby):
            _step(sheet, clock, step, bool(logits))

    return judged("check_training_step", STEP, body, step)


def _step(sheet: Sheet, clock: Clock, step: Any, logits: bool) -> None:
    if issubclass(type(step), type) or not callable(step):
        hint = "hand over the function itself, without calling it: check_training_step(step)"
        return sheet.failed("returns", f"an object of type {type(step).__name__}", hint)
    game = play(clock, step, logits)
    log = game.log
    idle = not log.passes and all(value in (None, ...) for value in log.returned)
    if "ellipsis" in (log.error or "") or (log.error is None and idle):
        raise Undone("the training step does nothing yet")
    if log.returned:
        _calls(sheet, game, logits)
    if log.error is not None:
        rule, found, hint = blame(game, logits)
        if sheet.found.get(rule, (True,))[0]:  # what the calls before have told is nearer to the cause
            sheet.failed(rule, found, hint)
    return None


def _calls(sheet: Sheet, game: Game, logits: bool) -> None:
    """Judge the calls that came to their end."""
    log = game.log
    pairs = returned_pairs(sheet, log)
    if not all(step.grads[step.player].isfinite().all() for step in log.steps):
        if pairs is not None:
            sheet.failed("loss", "a gradient that is not finite", "look for a logarithm of 0, a root at 0")
        return None
    turns = read_turns(game)
    for player, rule in (("D", "d_update"), ("G", "g_update")):
        if not any(seen.player == player for seen in log.passes):
            hint = f"use the {player} that is handed to step, not another one of the notebook"
            return sheet.failed(rule, f"{player} was never called", hint) if pairs else None
    used = _used(turns)
    _modes(sheet, log, used)
    _inputs(sheet, turns, used)
    odd = any(t.form == "unknown" for r in turns.readings for t in r.terms())
    # From NaN, or from one image again and again, no loss can be read.
    if not (pairs is None and odd) and not any(_uniform(seen) for seen in used):
        judge_updates(sheet, turns, logits)
        _remarks(sheet, turns)
    if pairs is not None:
        compare_losses(sheet, turns, pairs)
    return None


def _used(turns: Turns) -> list[Pass]:
    """Return the passes that a gradient depends on, the makers of fakes among them; else all."""
    rows = turns.reader.rows
    makers = {r.maker for part in rows.values() for r in part if r.maker is not None}
    return [seen for seen in turns.game.log.passes if seen in rows or seen in makers] or turns.game.log.passes


# ------------------------------------------------------------------ modes and inputs


def _modes(sheet: Sheet, log: Log, used: list[Pass]) -> None:
    """Judge the rule `modes`."""
    inside = sorted({seen.player for seen in used if not seen.train})
    found = f"{' and '.join(inside or sorted(log.left_eval))} in eval mode"
    found += "" if inside else " after the step"
    hint = "G.train() and D.train(): in eval mode BatchNorm takes running statistics, which lag behind"
    sheet.judge(
        "modes", not inside and not log.left_eval, found if inside or log.left_eval else "training", hint
    )


def _inputs(sheet: Sheet, turns: Turns, used: list[Pass]) -> None:
    """Judge the rule `inputs`."""
    scaled = _scaled(turns)
    if turns.game.log.changed_real:
        hint = (
            "the loader's batch is used again: write real = real * 2 - 1 rather than real.mul_(2), if at all"
        )
        sheet.failed("inputs", "real images changed in place", hint)
    elif scaled:
        hint = "both are in [-1, 1] already: D must see them on one scale, as they are"
        sheet.failed("inputs", f"{' and '.join(sorted(scaled))} images on another scale", hint)
    else:
        wrong, hint = _noise(_by_g(used) or _by_g(turns.game.log.passes))
        sheet.judge("inputs", not wrong, wrong or "new normal z, real images as they are", hint)


def _uniform(seen: Pass) -> bool:
    """Tell whether rows of z or images are repeated in a pass."""
    return len(seen.x.unique(dim=0)) < len(seen.x)


def _scaled(turns: Turns) -> set[Kind]:
    """Return the kinds of images that D saw on another scale."""
    return {r.kind for parts in turns.reader.rows.values() for r in parts if r.change == "scaled"}


def _by_g(passes: list[Pass]) -> list[Pass]:
    return [seen for seen in passes if seen.player == "G"]


def _noise(passes: list[Pass]) -> tuple[str, str]:
    """Return what is wrong with the z (N, 100) of passes through G, and a hint; '' if nothing is."""
    draw = "torch.randn(len(real), 100)"
    if any(_uniform(seen) for seen in passes):
        return "one z for several images of a batch", f"draw a z for each image: {draw}"
    rows: dict[int, set[tuple[float, ...]]] = {}
    for seen in passes:
        rows.setdefault(seen.call, set()).update(map(tuple, seen.x[:, :4].tolist()))
    if len(set().union(*rows.values())) < sum(map(len, rows.values())):
        return "the same z in two calls", "draw z anew in each call, and set the seed once, outside the step"
    values = torch.cat([seen.x.flatten() for seen in passes]).cpu().double()
    mean, deviation = values.mean().item(), values.std().item()
    fourth = ((values - mean) / deviation).pow(4).mean().item()  # 3 for a normal, 1.8 for a uniform
    if abs(mean) > 0.05 or abs(deviation - 1) > 0.05 or abs(fourth - 3) > 0.3:
        hint = f"{draw}, not rand: fixed noise, FID and interpolation draw from the standard normal too"
        return f"z with mean {mean:.1f}, deviation {deviation:.1f}, not normal", hint
    return "", ""


# ------------------------------------------------------------------ remarks


def _remarks(sheet: Sheet, turns: Turns) -> None:
    """Tell what is unusual and harmless."""
    rows = turns.reader.rows
    if any({"real", "fake"} <= {r.kind for r in parts} for parts in rows.values()):
        sheet.remark("real and fake in one batch of D: a BatchNorm in D would mix their statistics")
    if any(r.change == "altered" for parts in rows.values() for r in parts):
        sheet.remark("D's images carry noise: a known trick, not asked for here")
    sizes = {(len(seen.x), len(turns.game.log.reals[seen.call])) for seen in _by_g(_used(turns))}
    for fakes, reals in sorted((fakes, reals) for fakes, reals in sizes if fakes != reals)[:1]:
        sheet.remark(f"{fakes} images of G beside {reals} real ones: as many are asked for, len(real)")
    if _attached(turns):
        sheet.remark("d_loss.backward() runs through G too: fake.detach() saves that time")
    terms = {player: [t for r in turns.of(player) for t in r.terms()] for player in ("D", "G")}
    forms = {t.form for t in terms["D"]}
    if "random" in forms and "unknown" not in forms:
        sheet.remark("the labels of real images are drawn at random: harmless, as smoothing is")
    if any(0.65 <= t.label < 0.98 for t in terms["G"] if t.kind == "fake"):
        sheet.remark("G's own label is smoothed: it needs no smoothing, only D's label of real images does")
    _remark_on_steps(sheet, turns)


def _attached(turns: Turns) -> bool:
    """Tell whether D's loss leaves gradients in G at D's step."""
    for reading in turns.of("D"):
        in_g = turns.reader.split(reading.step, "G")[0]
        for part in reading.own():
            if part.pull in in_g and any(t.kind == "fake" and t.label <= 0.5 for t in part.terms):
                return True
    return False


def _remark_on_steps(sheet: Sheet, turns: Turns) -> None:
    for player in ("D", "G"):
        readings = [r for r in turns.of(player) if r.own()]
        most = max((sum(r.step.call == call for r in readings) for call in turns.calls()), default=0)
        if most > 1:
            sheet.remark(f"{most} steps of {player} in a call: the assignment needs one")
        readings = [r for r in readings if r.unknown < EXACT and all(t.form != "unknown" for t in r.terms())]
        times = [part.times for r in readings for part in r.own()]
        scaled = any(abs(k - 1) > 0.02 for k in times) and not _scaled(turns)
        if scaled or any(r.clipped for r in readings):
            sheet.remark(f"{player}'s gradient is clipped or scaled: harmless, and not needed here")
        weights = {round(abs(t.weight), 2) for r in readings for t in r.terms() if t.kind == "fake"}
        if player == "D" and any(w > 2 or w < 0.2 for w in weights):
            sheet.remark("the losses are sums over the batch: with means they do not depend on its size")
