"""What a run can be told beyond the two steps: other data, labels, penalties, schedules, noise, unrolling."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import same_bits, state
from torch import Tensor, nn

import gancourse.training.trainer as trainer_module
from gancourse.data import DeviceLoader, ImageData, bimodal, ring
from gancourse.losses import NON_SATURATING, RELATIVISTIC, WASSERSTEIN, GANLoss, noisy_labels
from gancourse.models import (
    ConditionalGenerator,
    DCGANDiscriminator,
    DCGANGenerator,
    MLPDiscriminator,
    MLPGenerator,
    ProjectionDiscriminator,
    StyleDiscriminator,
    StyleGenerator,
)
from gancourse.penalties import gradient_penalty, r1, r1_r2
from gancourse.regularizers import feature_matching
from gancourse.training import (
    CheckpointError,
    Run,
    Schedule,
    TrainConfig,
    d_step,
    fit,
    g_step,
    preferred_precision,
)
from gancourse.training.trainer import Trainer

STEPS = 6


def nets(dim: int = 2, seed: int = 0) -> tuple[MLPGenerator, MLPDiscriminator]:
    rng = torch.Generator().manual_seed(seed)
    return (
        MLPGenerator(2, dim, width=8, depth=2, generator=rng),
        MLPDiscriminator(dim, width=8, depth=2, generator=rng),
    )


def run(
    directory: Path | None = None, *, data: Any = None, loss: GANLoss = NON_SATURATING, **given: Any
) -> Run:
    """Train the small pair on the ring; facts of the config and arguments of `fit` are told apart by name."""
    arguments = {k: given.pop(k) for k in ("penalty", "g_penalty", "before_step") if k in given}
    facts: dict[str, Any] = {
        "steps": STEPS,
        "batch_size": 8,
        "lr_g": 1e-2,
        "lr_d": 1e-2,
        "checkpoint_every": 2,
    }
    G, D = given.pop("nets", None) or nets()
    config = TrainConfig(**(facts | given))
    data = ring() if data is None else data
    return fit(G, D, data, loss=loss, config=config, checkpoint_dir=directory, progress=False, **arguments)


OPTIONS: dict[str, dict[str, Any]] = {
    "fresh points": {},
    "a tensor": {"data": ring().sample(30, generator=torch.Generator().manual_seed(0))},
    "WGAN-GP": {"loss": WASSERSTEIN, "penalty": gradient_penalty, "penalty_weight": 10.0, "d_steps": 3},
    "clipping": {"loss": WASSERSTEIN, "clip": 0.05},
    "relativistic with R1 and R2": {
        "loss": RELATIVISTIC, "penalty": r1_r2, "penalty_weight": Schedule(0.1, 1e-3, 4, "geometric")
    },
    "instance noise": {"instance_noise": Schedule(0.5, 0.0, 4)},
    "noisy labels": {"loss": noisy_labels(NON_SATURATING, 0.2)},
    "feature matching": {"g_penalty": feature_matching},
    "unrolled": {"unroll": 2, "unroll_lr": 0.1},
    "cosine": {"lr_g": Schedule(1e-2, 0.0, 5, "cosine"), "lr_d": Schedule(1e-2, 1e-3, 5)},
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_trains_changes_the_run_and_resumes_bit_for_bit(name: str, tmp_path: Path) -> None:
    whole = run(**OPTIONS[name])
    assert all(values.isfinite().all() for values in whole.history.values())
    if name != "fresh points":
        assert not same_bits(state(whole.G), state(run().G)), "the option does nothing"
    run(tmp_path, **(OPTIONS[name] | {"steps": 3}))
    torch.manual_seed(99)  # what else draws numbers meanwhile must not matter
    resumed = run(tmp_path, **OPTIONS[name])
    assert resumed.reused == 3
    assert same_bits(state(resumed.G), state(whole.G))
    assert same_bits(state(resumed.D), state(whole.D))
    assert same_bits(resumed.history, whole.history)


@pytest.mark.parametrize("name", [n for n in OPTIONS if n != "fresh points"])
def test_every_option_is_part_of_what_a_run_is(name: str, tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(CheckpointError, match="holds another run"):
        run(tmp_path, **OPTIONS[name])


def test_the_global_generator_is_outside_as_it_was_before() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    players = nets()  # a layer's own first weights come from the global generator
    torch.manual_seed(5)
    run(loss=noisy_labels(NON_SATURATING, 0.2), nets=players)
    assert torch.equal(torch.rand(3), expected)


# Data


def test_a_device_loader_gives_the_run_of_its_data() -> None:
    points = ring().sample(30, generator=torch.Generator().manual_seed(0))
    loader = DeviceLoader(points, 8, generator=torch.Generator().manual_seed(0))
    assert_same_history(run(data=loader), run(data=points))


def assert_same_history(one: Run, other: Run) -> None:
    assert same_bits(one.history, other.history)


def test_mixtures_are_drawn_afresh() -> None:
    G, D = nets(1)
    trainer = Trainer(G, D, bimodal(), NON_SATURATING, None, TrainConfig(steps=1, batch_size=500))
    first, second = (trainer.batch()[0] for _ in range(2))
    assert len(torch.cat([first, second]).unique()) == 1000


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ([1, 2], TypeError, "a Mixture, ImageData, a tensor or a DeviceLoader, got list"),
        (torch.zeros(20, 2, dtype=torch.int64), ValueError, "expected float points"),
        (torch.full((20, 2), math.nan), ValueError, "finite points"),
        (torch.full((20, 1, 4, 4), 255.0), ValueError, r"images in \[-1, 1\].*divide by 127.5"),
        (torch.zeros(0, 2), ValueError, "at least one"),
        (torch.zeros(20, 3), ValueError, r"G makes \(2,\) and the data are \(3,\)"),
        (bimodal(), ValueError, r"G makes \(2,\) and the data are \(1,\)"),
        (DeviceLoader(torch.zeros(20, 2), 4), ValueError, "batch size 8, as configured, got 4"),
    ],
    ids=[
        "a list",
        "integers",
        "NaN",
        "bytes as floats",
        "empty",
        "another dimension",
        "a line",
        "batch size",
    ],
)
def test_data_that_do_not_fit_are_refused(data: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        run(data=data)


def test_a_batch_of_one_under_batch_norm_is_refused() -> None:
    images = ImageData(torch.zeros(4, 1, 28, 28, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64))
    players = (DCGANGenerator(width=2), DCGANDiscriminator(width=2))
    with pytest.raises(ValueError, match=r"at least 2 under BatchNorm.*got 1; raise batch_size"):
        run(data=images, nets=players, batch_size=1)


def test_logits_of_another_shape_are_refused() -> None:
    G, _ = nets()
    with pytest.raises(ValueError, match=r"logits \(N,\), got \(8, 1\); end it in .flatten\(\)"):
        run(nets=(G, nn.Linear(2, 1)))


# Labels


def digits(n: int = 24) -> ImageData:
    """Images that are as bright as their label says: a conditional G has something to learn."""
    labels = torch.arange(n) % 3
    pixels = (labels * 100)[:, None, None, None].expand(n, 1, 28, 28).to(torch.uint8)
    return ImageData(pixels.clone(), labels)


def conditional(seed: int = 0) -> tuple[nn.Module, nn.Module]:
    rng = torch.Generator().manual_seed(seed)
    return (
        ConditionalGenerator(n_classes=3, latent_dim=4, width=4, generator=rng),
        ProjectionDiscriminator(n_classes=3, width=4, generator=rng),
    )


def test_conditional_nets_see_the_labels_of_the_batch(tmp_path: Path) -> None:
    seen: list[Tensor] = []
    G, D = conditional()
    forward = D.forward

    def watching(images: Tensor, y: Tensor) -> Tensor:
        if images.unique().numel() <= 3 and not images.requires_grad:  # a batch of real ones
            seen.append(((images.mean((1, 2, 3)) + 1) * 127.5 / 100).round().long() - y)
        return forward(images, y)

    D.forward = watching  # type: ignore[method-assign]
    trained = run(data=digits(), nets=(G, D), conditional=True, snapshots=(2, STEPS))
    assert len(seen) >= STEPS
    assert all((difference == 0).all() for difference in seen), "real images came with labels of others"
    y = torch.tensor([0, 1, 2, 0])
    assert trained.watch(2, 4, y).shape == (4, 1, 28, 28)


def test_other_labels_make_another_run_where_the_nets_are_told(tmp_path: Path) -> None:
    turned = ImageData(digits().images, digits().labels.roll(1))
    run(tmp_path / "told", data=digits(), nets=conditional(), conditional=True, steps=1)
    with pytest.raises(CheckpointError, match="holds another run \\(data: stored"):
        run(tmp_path / "told", data=turned, nets=conditional(), conditional=True)
    assert digits().fingerprint() == turned.fingerprint(), "nets that are told nothing learn the same"
    assert digits().fingerprint(labelled=True) != turned.fingerprint(labelled=True)


def test_a_conditional_run_is_the_two_steps_with_labels() -> None:
    G, D = conditional()
    config = TrainConfig(steps=2, batch_size=8, conditional=True)
    by_hand = Trainer(G, D, digits(), NON_SATURATING, None, config)
    for _ in range(2):
        real, y = by_hand.batch()
        d_step(G, D, by_hand.opt_d, real=real, z=by_hand.draw(), loss=NON_SATURATING, y=y)
        g_step(G, D, by_hand.opt_g, z=by_hand.draw(), loss=NON_SATURATING, y=y)
    trained = run(data=digits(), nets=conditional(), steps=2, conditional=True, lr_g=2e-4, lr_d=2e-4)
    assert same_bits(state(trained.G), state(G))
    assert same_bits(state(trained.D), state(D))


def test_a_penalty_of_a_conditional_critic_knows_its_labels() -> None:
    rng = torch.Generator().manual_seed(0)
    D = ProjectionDiscriminator(n_classes=3, width=4, batch_norm=False, generator=rng)
    trained = run(data=digits(), nets=(conditional()[0], D), conditional=True, penalty=r1, penalty_weight=0.1)
    assert trained.history["d_loss"].isfinite().all()


def test_conditional_nets_need_labels() -> None:
    with pytest.raises(ValueError, match=r"data with labels.*pass ImageData"):
        run(data=torch.zeros(20, 1, 28, 28), nets=conditional(), conditional=True)


# Penalties and losses in the trainer


def test_the_penalty_is_weighted_in_float32_and_sees_d_itself() -> None:
    seen: list[tuple[torch.dtype, bool]] = []
    G, D = nets()

    def watching(critic: Any, real: Tensor, fake: Tensor) -> Tensor:
        seen.append((critic(real).dtype, critic is D))
        return next(D.parameters()).sum()

    base, weighted = (
        run(
            nets=(G, D), steps=1, precision="bfloat16", instance_noise=0.3, penalty=watching, penalty_weight=w
        )
        for G, D, w in ((G, D, 0.0), (*nets(), 5.0))
    )
    assert seen[0] == (torch.float32, True)
    added = weighted.history["d_loss"][0] - base.history["d_loss"][0]
    assert added.item() == pytest.approx(5.0 * next(nets()[1].parameters()).sum().item(), abs=1e-4)


def test_clipping_bounds_every_weight_of_d_and_none_of_g() -> None:
    trained = run(loss=WASSERSTEIN, clip=0.05, nets=(nets()[0], nets()[1]))
    assert max(p.abs().max().item() for p in trained.D.parameters()) <= 0.05 + 1e-8  # in float32
    assert max(p.abs().max().item() for p in trained.G.parameters()) > 0.05


def test_relative_losses_compare_with_the_batch_d_learned_from(monkeypatch: pytest.MonkeyPatch) -> None:
    batches: dict[str, list[Any]] = {"d": [], "g": []}

    def watching(player: str, step: Any, *args: Any, **kwargs: Any) -> Any:
        batches[player].append(kwargs["real"])
        return step(*args, **kwargs)

    monkeypatch.setattr(trainer_module, "d_step", partial(watching, "d", d_step))
    monkeypatch.setattr(trainer_module, "g_step", partial(watching, "g", g_step))
    run(loss=RELATIVISTIC, steps=3, d_steps=2)
    for of_g, of_d in zip(batches["g"], batches["d"][1::2], strict=True):
        assert torch.equal(of_g, of_d)
    batches["g"].clear()
    run(steps=2)
    assert batches["g"] == [None, None], "a loss that compares nothing pays for a pass through D"


def test_an_unrolled_step_is_g_steps_gradient_through_ds_answer() -> None:
    """G's loss on D after one step of descent, written out and differentiated by autograd."""
    G, D = nets()
    config = TrainConfig(steps=1, batch_size=8, lr_g=1e-2, lr_d=1e-12, unroll=1, unroll_lr=0.5)
    trainer = Trainer(G, D, ring(), NON_SATURATING, None, config)
    copy_G, _ = nets()
    trained = Trainer(copy_G, nets()[1], ring(), NON_SATURATING, None, config)
    trained.advance()
    real, _ = trainer.batch()
    trainer.draw()
    fake = G(trainer.draw())
    loss_d = NON_SATURATING.d(real=D(real), fake=D(fake))
    weights = dict(D.named_parameters())
    slopes = torch.autograd.grad(loss_d, list(weights.values()), create_graph=True)
    answered = {n: w - 0.5 * s for (n, w), s in zip(weights.items(), slopes, strict=True)}
    loss_g = NON_SATURATING.g(fake=torch.func.functional_call(D, answered, (fake,)))
    expected = torch.autograd.grad(loss_g, list(G.parameters()))
    moved = [p - q for p, q in zip(nets()[0].parameters(), copy_G.parameters(), strict=True)]
    for slope, step in zip(expected, moved, strict=True):
        large = slope.abs() > 1e-6  # Adam's first step is the learning rate times the sign of the gradient
        assert torch.equal(step[large].sign(), slope[large].sign())


def test_a_penalty_of_g_needs_real_samples() -> None:
    G, D = nets()
    optimizer = torch.optim.SGD(G.parameters(), 0.1)
    with pytest.raises(ValueError, match="expected real samples beside a penalty of G, got none; pass real="):
        g_step(G, D, optimizer, z=torch.zeros(3, 2), loss=NON_SATURATING, penalty=feature_matching)


def test_before_each_step_the_caller_may_change_the_nets() -> None:
    asked: list[int] = []

    def note(step: int, G: nn.Module, D: nn.Module) -> None:
        asked.append(step)

    run(before_step=note)
    assert asked == list(range(STEPS))


def grow(step: int, G: nn.Module, D: nn.Module) -> None:
    for net in (G, D):
        net.set_stage(16, alpha=min(1.0, step / 4))  # type: ignore[operator]


def test_a_net_grows_during_a_run_and_its_average_with_it(tmp_path: Path) -> None:
    def trained(directory: Path | None, steps: int) -> Run:
        rng = torch.Generator().manual_seed(0)
        G = StyleGenerator(16, latent_dim=4, style_dim=4, width=2, depth=2, generator=rng)
        D = StyleDiscriminator(16, width=2, generator=rng)
        data = ImageData(torch.zeros(16, 1, 16, 16, dtype=torch.uint8), torch.zeros(16, dtype=torch.int64))
        return run(directory, data=data, nets=(G, D), before_step=grow, ema_half_life=20.0, steps=steps)

    whole = trained(None, STEPS)
    assert whole.ema is not None
    assert (whole.G.alpha, whole.ema.alpha) == (1.0, 1.0)
    trained(tmp_path, 3)
    resumed = trained(tmp_path, STEPS)
    assert same_bits(state(resumed.G), state(whole.G))
    assert resumed.ema is not None
    assert same_bits(state(resumed.ema), state(whole.ema))


# Schedules


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        (Schedule(1.0, 0.0, 4), [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]),
        (Schedule(1.0, 0.01, 2, "geometric"), [1.0, 0.1, 0.01, 0.01]),
        (Schedule(2.0, 0.0, 4, "cosine"), [2.0, 1 + math.sqrt(0.5), 1.0, 1 - math.sqrt(0.5), 0.0, 0.0]),
        (Schedule(0.0, 3.0, 3), [0.0, 1.0, 2.0, 3.0, 3.0]),
    ],
)
def test_schedules_go_from_start_to_end_and_stay(schedule: Schedule, values: list[float]) -> None:
    assert [schedule.at(step) for step in range(len(values))] == pytest.approx(values, abs=1e-12)


def test_learning_rates_follow_their_schedules() -> None:
    G, D = nets()
    config = TrainConfig(steps=3, batch_size=8, lr_g=Schedule(0.2, 0.0, 2), lr_d=0.3)
    trainer = Trainer(G, D, ring(), NON_SATURATING, None, config)
    seen = []
    for _ in range(3):
        before = state(G)
        trainer.advance()
        seen.append((trainer.opt_g.param_groups[0]["lr"], trainer.opt_d.param_groups[0]["lr"]))
    assert seen == [(0.2, 0.3), (0.1, 0.3), (0.0, 0.3)]
    assert same_bits(state(G), before), "a step at rate 0 moved G"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1.0, 0.0, 0), "at least 1 step, got 0"),
        ((-1.0, 0.0, 3), "at least 0 and finite, got -1"),
        ((1.0, math.nan, 3), "finite, got nan"),
        ((1.0, 0.0, 3, "geometric"), "positive ends of a geometric"),
        ((1.0, 0.0, 3, "cubic"), "got 'cubic'"),
    ],
)
def test_impossible_schedules_are_refused(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Schedule(*arguments)


@pytest.mark.parametrize("name", ["lr_g", "lr_d", "penalty_weight", "instance_noise", "clip", "unroll_lr"])
@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_rates_that_are_no_rates_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"expected {name} of at least 0 and finite, got {value}"):
        TrainConfig(steps=1, **{name: value})


# Identity


def test_functions_are_known_by_name_and_arguments_not_by_address(tmp_path: Path) -> None:
    def of(weight: float) -> Any:
        return partial(_scaled, weight=weight)

    run(tmp_path, penalty=of(0.5), steps=3)
    assert run(tmp_path, penalty=of(0.5)).reused == 3
    with pytest.raises(CheckpointError, match=r"penalty: stored '_scaled\(weight=0.5\)', asked '_scaled\(w"):
        run(tmp_path, penalty=of(0.7))


def _scaled(critic: Any, real: Tensor, fake: Tensor, *, weight: float) -> Tensor:
    return weight * r1(critic, real, fake)


def test_a_run_stored_before_an_option_existed_goes_on_with_its_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = trainer_module.identity

    def older(*args: Any, **kwargs: Any) -> dict[str, Any]:
        facts = original(*args, **kwargs)
        return {name: value for name, value in facts.items() if name not in ("clip", "unroll", "g_penalty")}

    with monkeypatch.context() as patch:
        patch.setattr(trainer_module, "identity", older)
        run(tmp_path, steps=3)
    assert run(tmp_path).reused == 3
    with pytest.raises(CheckpointError, match=r"clip: stored 0\.0, asked 0\.1"):
        run(tmp_path, clip=0.1)


# What the notebooks watch


def test_watched_images_are_of_one_z_at_every_step() -> None:
    G, D = DCGANGenerator(width=2, latent_dim=3), DCGANDiscriminator(width=2)
    data = ImageData(torch.zeros(16, 1, 28, 28, dtype=torch.uint8), torch.zeros(16, dtype=torch.int64))
    trained = run(data=data, nets=(G, D), snapshots=(1, STEPS), ema_half_life=10.0)
    first, again, last = trained.watch(1, 5), trained.watch(1, 5), trained.watch(STEPS, 5)
    assert torch.equal(first, again)
    assert not torch.equal(first, last)
    z = torch.randn(5, 3, generator=torch.Generator().manual_seed(3))
    ema = trained.ema
    assert ema is not None
    with torch.no_grad():
        torch.testing.assert_close(last, ema.eval()(z))


@pytest.mark.parametrize(
    ("generation", "expected"), [((7, 5), "float32"), ((8, 0), "bfloat16"), ((9, 0), "bfloat16")]
)
def test_a_gpu_computes_in_bfloat16_from_ampere_on(
    generation: tuple[int, int], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A T4 (7.5) takes bfloat16 too, but emulates it: slower than float32."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: generation)
    assert preferred_precision("cuda") == preferred_precision(torch.device("cuda:0")) == expected


@pytest.mark.parametrize(
    ("known", "expected"),
    [({"avx512_bf16": True}, "bfloat16"), ({"avx512_bf16": False}, "float32"), ({}, "float32")],
)
def test_a_cpu_computes_in_bfloat16_where_it_has_the_instructions(
    known: dict[str, bool], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known, raising=False)
    assert preferred_precision("cpu") == expected


def test_a_torch_that_does_not_know_its_cpu_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert preferred_precision("cpu") == "float32"
