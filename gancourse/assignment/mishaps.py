"""Errors that a training step ends in: which rule they break, and what to tell the student."""

from gancourse.assignment.observed import BATCHES, Game

Blame = tuple[str, str, str]  # rule, what was found, hint
DETACHED = "D's turn takes fake.detach(), G's turn a new D(fake) after opt_d.step()"


def blame(game: Game, logits: bool) -> Blame:
    """Return the rule that an error breaks, what was found, and the hint."""
    log, error = game.log, game.log.error or ""
    call = len(log.returned)
    found = error + (f", call {call + 1}" if call else "")
    if log.wrong_z is not None:
        return (
            "inputs",
            f"z {log.wrong_z}",
            "z is (N, 100), a row for each image: torch.randn(len(real), 100)",
        )
    if "between 0 and 1" in error and logits:
        hint = "D gives logits here: binary_cross_entropy_with_logits, or D(x).sigmoid() before the logarithm"
        return "loss", found, hint
    if "modified by an inplace" in error or "second time" in error:
        return _rule_of_turn(game), found, DETACHED
    if "does not require grad" in error:
        return _no_path(game, found)
    return "returns", found, _hint(game, error)


def _stepped(game: Game) -> set[str]:
    """Return the players that have stepped in the call that failed."""
    return {step.player for step in game.log.steps if step.call == game.log.call}


def _rule_of_turn(game: Game) -> str:
    return "d_update" if _stepped(game) == {"G"} else "g_update"


def _no_path(game: Game, found: str) -> Blame:
    """Tell of a backward pass that has nowhere to go."""
    frozen = [name for name in ("D", "G") if any(not p.requires_grad for p in game.net(name).parameters())]
    stepped = _stepped(game)
    if "D" in frozen and "D" not in stepped:
        hint = "D is still frozen: after G's turn, D.requires_grad_(True)"
        return "d_update", found, hint
    if stepped == {"D"}:
        return "g_update", found, "G learns through D: give D fake, not fake.detach(), in G's turn"
    hint = "the loss has lost its graph: no no_grad, .item() or .detach() between D's answer and backward()"
    return "returns", found, hint


def _hint(game: Game, error: str) -> str:
    """Return a hint for an error of any other kind."""
    call = len(game.log.returned)
    if "UnboundLocalError" in error:
        return "a name that is assigned in a function is its own: call the result otherwise than the function"
    if "no answer after" in error:
        return "a step handles one batch: the loop over the loader belongs outside"
    if "device" in error:
        return "put z and labels where the batch is: device=real.device"
    if call and BATCHES[call] != BATCHES[call - 1]:
        return f"the last batch of an epoch is smaller, {BATCHES[call]} here: take len(real) for z and labels"
    if "positional argument" in error or "keyword argument" in error:
        return "the arguments are step(G, D, opt_g, opt_d, real)"
    if "float" in error and "backward" in error:
        return "call .item() only when all backward passes are done"
    return "call step on one batch of your loader to see where it stops"
