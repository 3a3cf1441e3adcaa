"""Seeds trained together: each run is that of its seed alone, and whatever would make it another is seen."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tiny import assert_same_run, same_bits, state
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from gancourse.data import DeviceLoader, ImageData, ring
from gancourse.losses import HINGE, NON_SATURATING, RELATIVISTIC, WASSERSTEIN, GANLoss, noisy_labels
from gancourse.models import (
    DCGANDiscriminator,
    DCGANGenerator,
    MLPDiscriminator,
    MLPGenerator,
    Packed,
    WithMinibatchDiscrimination,
    spectral_norm_,
)
from gancourse.penalties import gradient_penalty, r1, r1_r2
from gancourse.regularizers import feature_matching
from gancourse.together import Streams, drawn, each_seed, in_each_seed
from gancourse.training import (
    CheckpointError,
    Run,
    Schedule,
    Stacked,
    TrainConfig,
    TrainingDiverged,
    d_step,
    fit,
    g_step,
)
from gancourse.training.seeds import SeedsTrainer

SEEDS = (3, 0, 8)
STEPS = 6
Pair = tuple[nn.Module, nn.Module]
Make = Callable[[int], Pair]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Double(nn.Module):
    """A net in float64 whose input may be float32, as the draws of data and z are."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net.double()
        if hasattr(net, "latent_dim"):
            self.latent_dim = net.latent_dim

    def features(self, x: Tensor) -> Tensor:
        found: Tensor = self.net.features(x.double())  # type: ignore[operator]
        return found

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(x.double())
        return out


def pair(
    seed: int,
    batch_norm: bool = False,
    channels: int = 2,
    change: Callable[[MLPDiscriminator], nn.Module] = lambda D: D,
) -> Pair:
    rng = seeded(100 + seed)
    G = MLPGenerator(2, 2, 8, 2, batch_norm=batch_norm, generator=rng)
    D = change(MLPDiscriminator(channels, 8, 2, generator=rng))
    return Double(G), Double(D)


def normalized(D: MLPDiscriminator) -> MLPDiscriminator:
    return spectral_norm_(D, generator=seeded(4))


class Case:
    """One way to train: nets, a loss and what `fit` takes beside, the config's facts too."""

    def __init__(self, loss: GANLoss, make: Make = pair, **given: Any) -> None:
        self.loss, self.make = loss, make
        self.functions = {name: given.pop(name) for name in ("penalty", "g_penalty") if name in given}
        usual: dict[str, Any] = {"steps": STEPS, "batch_size": 6, "lr_g": 3e-3, "lr_d": 2e-3}
        self.config = TrainConfig(**(usual | given))

    def together(
        self, *, directory: Path | None = None, seeds: Sequence[int] = SEEDS, **facts: Any
    ) -> list[Run]:
        nets = [self.make(seed) for seed in seeds]
        return fit(
            [G for G, _ in nets], [D for _, D in nets], ring(), loss=self.loss, seeds=seeds, **self.functions,
            config=replace(self.config, **facts), checkpoint_dir=directory, progress=False,
        )  # fmt: skip

    def alone(self, seed: int, **facts: Any) -> Run:
        config = replace(self.config, seed=seed, **facts)
        return fit(*self.make(seed), ring(), loss=self.loss, config=config, **self.functions, progress=False)


def weighted_features(D: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    return 0.5 * feature_matching(D, real, fake)


with_minibatch = partial(pair, change=lambda D: WithMinibatchDiscrimination(D, 3, 2, generator=seeded(5)))
CASES = {
    "non-saturating": Case(NON_SATURATING),
    "relativistic, R1 and R2": Case(RELATIVISTIC, penalty=r1_r2, penalty_weight=Schedule(1.0, 0.1, 8)),
    "WGAN-GP": Case(WASSERSTEIN, penalty=gradient_penalty, penalty_weight=10.0, d_steps=2),
    "hinge, spectral norm": Case(HINGE, partial(pair, change=normalized)),
    "R1 on spectral norm": Case(HINGE, partial(pair, change=normalized), penalty=r1),
    "minibatch discrimination": Case(NON_SATURATING, with_minibatch),
    "packed": Case(NON_SATURATING, partial(pair, channels=4, change=lambda D: Packed(D, 2))),
    "feature matching": Case(NON_SATURATING, g_penalty=weighted_features),
    "unrolled": Case(NON_SATURATING, unroll=3, unroll_lr=0.05),
    "unrolled, spectral norm, noise": Case(
        noisy_labels(NON_SATURATING, 0.3), partial(pair, change=normalized), unroll=2, unroll_lr=0.05
    ),
    "label noise": Case(noisy_labels(NON_SATURATING, 0.3)),
    "instance noise": Case(NON_SATURATING, instance_noise=Schedule(0.5, 0.0, 10)),
    "all noises": Case(
        noisy_labels(NON_SATURATING, 0.3), penalty=gradient_penalty, instance_noise=0.2, d_steps=2
    ),
    "BatchNorm in G": Case(NON_SATURATING, partial(pair, batch_norm=True), ema_half_life=20.0),
    "average": Case(NON_SATURATING, ema_half_life=20.0, snapshots=(3, 6)),
    "clipping": Case(WASSERSTEIN, clip=0.05, d_steps=2),
}
EVERYTHING = Case(
    noisy_labels(NON_SATURATING, 0.3), partial(pair, batch_norm=True), penalty=gradient_penalty,
    instance_noise=0.2, ema_half_life=20.0, snapshots=(2, 5), checkpoint_every=3,
)  # fmt: skip


def check_same(found: Run, alone: Run) -> None:
    """Assert that two runs agree up to rounding of float64; the history is kept in float32."""
    assert (found.seed, found.step) == (alone.seed, alone.step)
    for ours, theirs in ((found.G, alone.G), (found.D, alone.D), (found.ema, alone.ema)):
        assert (ours is None) == (theirs is None)
        if ours is not None and theirs is not None:
            torch.testing.assert_close(state(ours), state(theirs), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found.history, alone.history, rtol=1e-5, atol=1e-6)


def check_same_runs(case: Case, runs: list[Run]) -> None:
    assert [run.seed for run in runs] == list(SEEDS)
    for seed, run in zip(SEEDS, runs, strict=True):
        check_same(run, case.alone(seed, steps=run.step))


# Each run is that of its seed alone


@pytest.mark.parametrize("name", CASES)
def test_each_seed_trains_as_it_does_alone(name: str) -> None:
    case = CASES[name]
    runs = case.together()
    check_same_runs(case, runs)
    assert not torch.allclose(runs[0].history["d_loss"], runs[1].history["d_loss"], rtol=1e-3)


def test_images_in_float32_too() -> None:
    """Convolutions of stacked weights sum in another order: three steps of float32 stay within 1e-4."""
    pixels = torch.randint(0, 256, (12, 1, 28, 28), dtype=torch.uint8, generator=seeded(0))
    data, config = (
        ImageData(pixels, torch.zeros(12, dtype=torch.long), "random"),
        TrainConfig(steps=3, batch_size=4),
    )

    def nets(seed: int) -> Pair:
        rng = seeded(seed)
        return DCGANGenerator(latent_dim=3, width=2, generator=rng), DCGANDiscriminator(
            width=2, generator=rng
        )

    Gs, Ds = zip(*map(nets, SEEDS), strict=True)
    runs = fit(Gs, Ds, data, loss=NON_SATURATING, config=config, seeds=SEEDS, progress=False)
    for seed, run in zip(SEEDS, runs, strict=True):
        alone = fit(*nets(seed), data, loss=NON_SATURATING, config=replace(config, seed=seed), progress=False)
        torch.testing.assert_close(state(run.G), state(alone.G), rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(state(run.D), state(alone.D), rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(run.history, alone.history, rtol=1e-3, atol=1e-4)


def test_data_and_z_are_the_lone_runs_bit_for_bit() -> None:
    case = CASES["non-saturating"]
    nets = [case.make(seed) for seed in SEEDS]
    of = SeedsTrainer(
        [G for G, _ in nets], [D for _, D in nets], ring(), case.loss, None, case.config, seeds=SEEDS
    )
    for _ in range(3):
        real, z = of.batch()[0], of.draw()
        assert real.shape == z.shape == (3, 6, 2)
    for i, seed in enumerate(SEEDS):
        rng, order = seeded(seed + 1), seeded(seed)
        for _ in range(3):
            expected_z = torch.randn(6, 2, generator=rng)
            expected = ring().sample(6, generator=order)
        assert torch.equal(z[i], expected_z)
        assert torch.equal(real[i], expected)


def test_the_given_nets_are_trained_and_returned() -> None:
    case = CASES["average"]
    nets = [case.make(seed) for seed in SEEDS]
    before = [state(G) for G, _ in nets]
    runs = fit(
        [G for G, _ in nets], [D for _, D in nets], ring(), loss=case.loss, seeds=SEEDS, config=case.config,
        progress=False,
    )  # fmt: skip
    for run, (G, D), was in zip(runs, nets, before, strict=True):
        assert run.G is G
        assert run.D is D
        assert run.ema is not G
        assert not same_bits(state(G), was)


def test_snapshots_belong_to_their_seed() -> None:
    case = CASES["average"]
    for seed, run in zip(SEEDS, case.together(), strict=True):
        alone = case.alone(seed)
        for step in (3, 6):
            for ours, theirs in zip(run.at(step), alone.at(step), strict=True):
                torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=1e-9, atol=1e-9)
        assert same_bits(run.at(6).G.state_dict(), run.G.state_dict())
        run.G.net.float()  # type: ignore[operator, union-attr]
        assert run.watch(3, 3).shape == (3, 2)


def test_before_each_step_the_stacked_nets_are_shown() -> None:
    seen: list[tuple[int, ...]] = []

    def look(step: int, G: nn.Module, D: nn.Module) -> None:
        assert isinstance(G, Stacked)
        seen.append((step, G.size, len(next(G.net.parameters()))))

    case = Case(NON_SATURATING, steps=2)
    case.functions["before_step"] = look
    case.together()
    assert seen == [(0, 3, 3), (1, 3, 3)]


def test_one_seed_is_a_run_too() -> None:
    (run,) = EVERYTHING.together(seeds=(8,))
    check_same(run, EVERYTHING.alone(8))


def test_the_global_generator_is_left_alone() -> None:
    nets = lists(EVERYTHING.make)
    before = torch.get_rng_state()
    given(EVERYTHING, **nets)
    assert torch.equal(torch.get_rng_state(), before)


# Planted bugs: the comparison sees each of them


def sharing(*names: str) -> Callable[[pytest.MonkeyPatch], None]:
    """Give every seed the first seed's draws, from the streams or loaders of those names."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        original = SeedsTrainer.__init__

        def shared(self: SeedsTrainer, *given: Any, **more: Any) -> None:
            original(self, *given, **more)
            for name in names:
                kept = getattr(self, name)
                every = kept.each if name == "loader" else kept.generators
                every[:] = [
                    copy.deepcopy(every[0]) if name == "loader" else seeded_like(every[0]) for _ in every
                ]

        patch.setattr(SeedsTrainer, "__init__", shared)

    return plant


def seeded_like(generator: torch.Generator) -> torch.Generator:
    twin = torch.Generator()
    twin.set_state(generator.get_state())
    return twin


def permuted(patch: pytest.MonkeyPatch) -> None:
    original = Streams.draw
    patch.setattr(Streams, "draw", lambda self, draw: original(self, draw).roll(1, 0))


def averaged(patch: pytest.MonkeyPatch) -> None:
    """Take the mean over the seeds, a factor that Adam would hide and plain descent shows."""
    patch.setattr("gancourse.training.steps._total", lambda value, logits: value.mean())


PLANTED: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "a shared batch": sharing("loader"),
    "a shared z": sharing("z_streams"),
    "shared noise": sharing("streams"),
    "permuted seeds": permuted,
}


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_seen(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES["all noises"]
    PLANTED[bug](monkeypatch)
    runs = case.together(steps=2)
    with pytest.raises(AssertionError, match="not close"):
        check_same_runs(case, runs)


def gradients_of_steps() -> Iterator[tuple[Tensor, Tensor]]:
    """Yield each parameter's gradient after both steps, stacked and alone; the optimizer stands still."""
    nets = [pair(seed) for seed in SEEDS]
    G, D = (Stacked(players) for players in zip(*nets, strict=True))
    real, z = torch.randn(2, len(SEEDS), 5, 2, generator=seeded(6))
    loss = GANLoss(
        "stacked",
        lambda *, real, fake: F.softplus(-real).mean(1) + F.softplus(fake).mean(1),
        lambda *, fake, real=None: F.softplus(-fake).mean(1),
    )

    def steps(G: nn.Module, D: nn.Module, real: Tensor, z: Tensor, loss: GANLoss) -> None:
        opt_g, opt_d = (torch.optim.SGD(net.parameters(), 0.0) for net in (G, D))
        d_step(G, D, opt_d, real=real, z=z, loss=loss)
        g_step(G, D, opt_g, z=z, loss=loss)

    steps(G, D, real, z, loss)
    for i, lone in enumerate(nets):
        steps(*lone, real[i], z[i], NON_SATURATING)
        for stacked, net in zip((G, D), lone, strict=True):
            for ours, theirs in zip(stacked.parameters(), net.parameters(), strict=True):
                assert ours.grad is not None
                assert theirs.grad is not None
                yield ours.grad[i], theirs.grad


def test_each_seeds_gradient_is_its_own() -> None:
    for ours, theirs in gradients_of_steps():
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


def test_a_loss_averaged_over_seeds_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    averaged(monkeypatch)
    assert not all(torch.allclose(ours, theirs, rtol=1e-3) for ours, theirs in gradients_of_steps())


# Checkpoints


def test_a_run_stopped_at_any_step_ends_in_the_same_bits(tmp_path: Path) -> None:
    whole = EVERYTHING.together()
    for stop in (1, 4):
        directory = tmp_path / str(stop)
        kept = tuple(step for step in (2, 5) if step <= stop)
        EVERYTHING.together(directory=directory, steps=stop, snapshots=kept)
        torch.manual_seed(stop)  # what else draws numbers meanwhile must not matter
        runs = EVERYTHING.together(directory=directory, snapshots=kept)
        assert [run.reused for run in runs] == [stop] * 3
        for run, expected in zip(runs, whole, strict=True):
            assert_same_run(shown(run), shown(expected))
            assert all(same_bits(run.snapshots[s], expected.snapshots[s]) for s in kept)


def test_a_run_that_was_killed_goes_on_from_its_checkpoint_to_the_same_bits(tmp_path: Path) -> None:
    deadly = [True]

    def survive(step: int, G: nn.Module, D: nn.Module) -> None:
        if step == 4 and deadly:
            deadly.clear()
            raise ZeroDivisionError

    case = copy.copy(EVERYTHING)
    case.functions = {**EVERYTHING.functions, "before_step": survive}
    with pytest.raises(ZeroDivisionError):
        case.together(directory=tmp_path)
    assert not deadly
    for run, expected in zip(case.together(directory=tmp_path), EVERYTHING.together(), strict=True):
        assert run.reused == 3
        assert_same_run(shown(run), shown(expected))
        assert all(same_bits(run.snapshots[s], expected.snapshots[s]) for s in (2, 5))
    again = case.together(directory=tmp_path)
    assert [run.reused for run in again] == [STEPS] * 3, "a finished run is returned"
    assert_same_run(shown(again[1]), shown(EVERYTHING.together()[1]))


def shown(run: Run) -> Run:
    """Return the run with a G of three coordinates of z, as the common comparison draws them."""

    class Cut(nn.Module):
        def __init__(self, G: nn.Module) -> None:
            super().__init__()
            self.G = G

        def forward(self, z: Tensor) -> Tensor:
            out: Tensor = self.G(z[:, :2])
            return out

    return replace(run, G=Cut(run.G))


def test_another_run_is_refused_by_name(tmp_path: Path) -> None:
    case = Case(NON_SATURATING, steps=2)
    case.together(directory=tmp_path)
    stored = r"seed: stored \[3, 0, 8\], asked "
    others: list[tuple[Callable[[], object], str]] = [
        (lambda: case.together(directory=tmp_path, seeds=(3, 8, 0)), stored + r"\[3, 8, 0\]"),
        (lambda: case.together(directory=tmp_path, seeds=(3, 0)), "G: .*" + stored + r"\[3, 0\]"),
        (lambda: case.together(directory=tmp_path, lr_g=0.1), "lr_g: stored 0.003, asked 0.1"),
        (
            lambda: fit(*case.make(3), ring(), loss=case.loss, config=replace(case.config, seed=3),
                        checkpoint_dir=tmp_path, progress=False),
            stored + "3",
        ),
    ]  # fmt: skip
    for other, message in others:
        with pytest.raises(CheckpointError, match=message):
            other()
    nets = Case(NON_SATURATING, lambda seed: pair(seed + 1), steps=2)
    with pytest.raises(CheckpointError, match=r"another run \(D: stored '.*G: stored '"):
        nets.together(directory=tmp_path)


# What is refused


def given(case: Case, **changed: Any) -> list[Run]:
    usual: dict[str, Any] = {"data": ring(), "loss": case.loss, "config": case.config, "seeds": SEEDS}
    nets = {} if {"G", "D"} <= changed.keys() else lists(case.make)
    return fit(**(nets | usual | case.functions | changed), progress=False)


def twice(which: int) -> list[nn.Module]:
    return [pair(0)[which]] * 3


def lists(make: Make) -> dict[str, list[nn.Module]]:
    Gs, Ds = zip(*map(make, range(3)), strict=True)
    return {"G": list(Gs), "D": list(Ds)}


PLAIN = Case(NON_SATURATING, steps=1)
DROPPING = partial(pair, change=lambda D: nn.Sequential(D, nn.Dropout(0.1)))
REFUSED: dict[str, tuple[type[Exception], dict[str, Any], str]] = {
    "a net": (TypeError, {"G": pair(0)[0]}, "a list of nets as G, one for each seed, got Double; .*seeds="),
    "no nets": (TypeError, {"D": None}, "a list of nets as D, one for each seed, got NoneType"),
    "no list of nets": (TypeError, {"D": ["D"] * 3}, "a module with parameters to train as D, got str"),
    "too few": (ValueError, {"seeds": (1, 2)}, "a G and a D for each of the 2 seeds, got 3 and 3"),
    "none": (ValueError, {"seeds": ()}, r"different seeds, at least one, got \(\); such as \(0, 1, 2\)"),
    "repeated": (ValueError, {"seeds": [1, 2, 1]}, r"different seeds, at least one, got \[1, 2, 1\]"),
    "no seed": (ValueError, {"seeds": (0, -1, 2)}, "a seed from 0 to .*, got -1"),
    "no seeds": (TypeError, {"seeds": 3}, r"expected seeds such as \(0, 1, 2\), got int"),
    "the same G": (ValueError, {"G": twice(0)}, "nets of its own .*, got a Double that is given twice"),
    "the same D": (ValueError, {"D": twice(1)}, "given twice or shares weights; build one for each"),
    "another width": (
        ValueError,
        lists(lambda seed: (Double(MLPGenerator(2, 2, 4 + seed // 2)), pair(seed)[1])),
        "one architecture, dtype, device and mode as G, got number 2 that differs from number 0",
    ),
    "another mode": (
        ValueError,
        lists(lambda seed: (pair(seed)[0], pair(seed)[1].train(seed != 1))),
        "mode as D, got number 1 that differs",
    ),
    "dropout": (ValueError, lists(DROPPING), "without dropout where seeds are trained together, got it in D"),
    "labels": (
        ValueError,
        {"config": TrainConfig(steps=1, conditional=True)},
        "got conditional=True, precision='float32', 1 process.*one by one, without seeds=",
    ),
    "bfloat16": (ValueError, {"config": TrainConfig(steps=1, precision="bfloat16")}, "precision='bfloat16'"),
    "a loader": (
        ValueError,
        {"data": DeviceLoader(torch.zeros(6, 2), 6)},
        "each of which draws its own batches, got a DeviceLoader; pass what it was made of",
    ),
    "no loss": (TypeError, {"loss": "hinge"}, "expected a GANLoss"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_trained_together_is_refused(name: str) -> None:
    kind, changed, message = REFUSED[name]
    with pytest.raises(kind, match=message):
        given(PLAIN, **changed)


def test_several_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gancourse.training.stacked.world_size", lambda: 2)
    with pytest.raises(ValueError, match=r"one process where seeds are trained together, got .* 2 process"):
        given(PLAIN)


def test_a_list_without_seeds_is_refused() -> None:
    with pytest.raises(TypeError, match="a module with parameters to train as G, got list"):
        fit([pair(0)[0]], [pair(0)[1]], ring(), loss=HINGE, config=PLAIN.config)  # type: ignore[call-overload]


class Random(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.latent_dim = net, 2

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) + (torch.randn(1) if self.training else 0)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (lists(lambda seed: (Random(pair(seed)[0]), pair(seed)[1])), "called random operation"),
        (
            {"loss": noisy_labels(NON_SATURATING, 0.1, seeded(0))},
            "no generator where seeds are",
        ),
    ],
)
def test_numbers_that_no_seed_owns_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        given(PLAIN, **changed)


def by_autograd(critic: Any, real: Tensor, fake: Tensor) -> Tensor:
    x = real.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
    return gradient.square().mean()


def by_value(critic: Any, real: Tensor, fake: Tensor) -> Tensor:
    return real.sum() if critic(real).mean() > 0 else fake.sum()


@pytest.mark.parametrize("penalty", [by_autograd, by_value])
def test_a_penalty_that_vmap_cannot_run_is_refused(penalty: Any) -> None:
    with pytest.raises(
        ValueError, match=r"computed for all seeds at once, got one that cannot: .*one by one"
    ):
        given(Case(NON_SATURATING, steps=1, penalty=penalty))


def detached(critic: Any, real: Tensor, fake: Tensor) -> Tensor:
    return r1(lambda x: critic(x).detach(), real, fake)


@pytest.mark.parametrize(
    ("penalty", "message"),
    [
        (detached, "logits with a gradient, got detached ones"),
        (lambda D, real, fake: r1(lambda x: D(x)[:2], real, fake), r"one logit a sample, \(6,\), got \(2,\)"),
        (lambda D, real, fake: D(real), r"of one number for each seed, got \(6,\); take the mean"),
    ],
)
def test_the_checks_of_a_lone_run_hold(penalty: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        given(Case(NON_SATURATING, steps=1, penalty=penalty))


def test_unrolling_at_no_rate_is_refused_as_it_is_alone() -> None:
    with pytest.raises(ValueError, match=r"finite lr above 0, got 0\.0"):
        given(Case(NON_SATURATING, steps=1, unroll=1, unroll_lr=0.0))


def test_a_loss_that_is_not_averaged_is_refused_alone_too() -> None:
    loss = GANLoss("no mean", lambda *, real, fake: F.softplus(fake - real), NON_SATURATING.g)
    with pytest.raises(ValueError, match=r"of one number, got \(6,\); take the mean over the batch"):
        fit(*pair(0), ring(), loss=loss, config=PLAIN.config, progress=False)


@pytest.mark.parametrize("steps", [1, 5])
def test_the_seed_that_diverges_is_named(steps: int) -> None:
    def spoil(step: int, G: nn.Module, D: nn.Module) -> None:
        with torch.no_grad():
            if step == steps - 1:
                next(D.parameters())[1] = float("nan")

    case = Case(NON_SATURATING, steps=6)
    case.functions["before_step"] = spoil
    with pytest.raises(
        TrainingDiverged, match=rf"^seed 0: D's loss is not finite at step {steps}; losses"
    ) as caught:
        case.together()
    if steps > 1:
        assert re.search(r"before: \[\d\.\d+, \d\.\d+\]", str(caught.value))


def test_a_weight_that_is_not_finite_is_named_too() -> None:
    case = CASES["non-saturating"]
    nets = lists(case.make)
    of = SeedsTrainer(nets["G"], nets["D"], ring(), case.loss, None, case.config, seeds=SEEDS)
    of.advance()
    with torch.no_grad():
        next(of.G.parameters())[2] = float("inf")
    with pytest.raises(TrainingDiverged, match=r"^seed 8: G's weights are not finite after step 1"):
        of.check_weights()


# The parts


def test_a_draw_is_the_seeds_own_also_inside_a_gradient() -> None:
    streams, x = Streams(SEEDS, torch.device("cpu")), torch.ones(3, 4)

    def f(x: Tensor) -> tuple[Tensor, Tensor]:
        assert in_each_seed()
        first = drawn(lambda rng: torch.rand(4, generator=rng), None)
        return first, torch.func.grad(
            lambda x: (x * drawn(lambda rng: torch.randn(4, generator=rng), None)).sum()
        )(x)

    with streams.in_use():
        found = each_seed(3, f, x)
    assert not in_each_seed()
    for i, seed in enumerate(SEEDS):
        rng = seeded(seed)
        assert torch.equal(found[0][i], torch.rand(4, generator=rng))
        assert torch.equal(found[1][i], torch.randn(4, generator=rng))


def test_a_draw_without_streams_is_refused_and_an_error_of_the_nets_is_not_hidden() -> None:
    with pytest.raises(ValueError, match="a stream of random numbers for each seed, got none"):
        each_seed(3, lambda x: drawn(lambda rng: torch.rand(4), None), torch.ones(3, 4))
    with pytest.raises(RuntimeError, match=r"cannot be multiplied|size mismatch"):
        each_seed(3, lambda x: x @ torch.zeros(7, 7), torch.ones(3, 5, 4))


def test_stacked_nets_answer_as_they_do_alone_and_give_their_weights_back() -> None:
    nets = [pair(seed, batch_norm=True)[0] for seed in SEEDS]
    stacked, z = Stacked(nets), torch.randn(3, 5, 2, generator=seeded(7))
    out = stacked(z)
    for i, net in enumerate(nets):
        torch.testing.assert_close(out[i], net(z[i]))
    for copied, net in zip(stacked.copies(nets), nets, strict=True):
        torch.testing.assert_close(state(copied), state(net))
    assert "num_batches_tracked" in str(list(state(stacked)))
    assert "size=3" in repr(stacked)


# Spectral norm is written anew, since torch's does not pass through vmap: the numbers are the same

LAYERS: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Linear(5, 4),
    "convolution": lambda: nn.Conv2d(3, 4, 3),
    "transposed": lambda: nn.ConvTranspose2d(3, 5, 2),
    "embedding": lambda: nn.Embedding(6, 3),
}


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_spectral_norm_is_torchs(layer: str, dtype: torch.dtype) -> None:
    theirs = spectral_norm(LAYERS[layer]().to(dtype))
    ours = LAYERS[layer]().to(dtype)
    with torch.no_grad():
        ours.weight.copy_(theirs.parametrizations.weight.original)  # type: ignore[operator, union-attr, arg-type]
    ours = spectral_norm_(ours, generator=seeded(0))
    assert state(ours).keys() == state(theirs).keys()
    ours.load_state_dict(theirs.state_dict())
    for training in (True, True, False):
        ours.train(training)
        theirs.train(training)
        torch.testing.assert_close(ours.weight, theirs.weight)
        torch.testing.assert_close(state(ours), state(theirs))
    for net in (ours, theirs):
        net.weight.square().sum().backward()  # type: ignore[union-attr, operator]
    gradients = (net.get_parameter("parametrizations.weight.original").grad for net in (ours, theirs))
    torch.testing.assert_close(*gradients)
