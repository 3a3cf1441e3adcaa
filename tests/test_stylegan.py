"""StyleGAN: shapes, styles, noise, truncation, growing, and what is refused; with planted bugs."""

import copy
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gancourse.data import ImageData
from gancourse.losses import NON_SATURATING
from gancourse.models import (
    EqualizedConv2d,
    MinibatchStd,
    ModulatedConv2d,
    StyleDiscriminator,
    StyleGenerator,
    mix_styles,
)
from gancourse.training import TrainConfig, d_step, fit, g_step


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed))


def small(size: int = 16, seed: int = 0, *, demodulated: bool = False, mixing: float = 0.0) -> StyleGenerator:
    """Return a generator whose noise and mean of w are not zero, as after training."""
    G = StyleGenerator(
        size, 5, 6, width=4, max_width=8, depth=2,
        demodulated=demodulated, mixing=mixing, generator=seeded(seed),
    )  # fmt: skip
    for i, (name, parameter) in enumerate(G.named_parameters()):
        if name.endswith("strength"):
            nn.init.normal_(parameter, generator=seeded(i))
    G.mapping.update_mean(noise(4, 6, seed=seed))
    return G.eval()


def small_d(size: int = 16, seed: int = 0, *, minibatch_std: bool = True) -> StyleDiscriminator:
    D = StyleDiscriminator(size, width=4, max_width=8, minibatch_std=minibatch_std, generator=seeded(seed))
    return D.eval()


both = pytest.mark.parametrize("demodulated", [False, True], ids=["adain", "demodulated"])


# Shapes and one step


@both
@pytest.mark.parametrize(("size", "channels", "width"), [(8, 1, 2), (16, 3, 4), (32, 1, 3)])
def test_shapes_range_and_one_training_step(size: int, channels: int, width: int, demodulated: bool) -> None:
    G = StyleGenerator(size, 5, 7, channels, width, depth=2, demodulated=demodulated, generator=seeded())
    D = StyleDiscriminator(size, channels, width, generator=seeded(1))
    for net in (G, D):
        net.set_stage(size, 0.5)
    x = G(noise(4, 5))
    assert x.shape == (4, channels, size, size)
    assert x.dtype == torch.float32
    assert x.abs().max() <= 1
    assert D(x).shape == (4,)
    assert D.features(x).shape == (4, D.n_features)
    opt_g, opt_d = (torch.optim.Adam(net.parameters(), 2e-3, (0.0, 0.99)) for net in (G, D))
    real = noise(4, channels, size, size).clamp(-1, 1)
    before = [p.detach().clone() for net in (G, D) for p in net.parameters()]
    d_step(G, D, opt_d, real=real, z=noise(4, 5), loss=NON_SATURATING)
    g_step(G, D, opt_g, z=noise(4, 5, seed=1), loss=NON_SATURATING)
    assert all(p.isfinite().all() for net in (G, D) for p in net.parameters())
    moved = [not torch.equal(a, p) for a, p in zip(before, [*G.parameters(), *D.parameters()], strict=True)]
    unused = 2 * (len(D.from_rgb) - 2) + (4 if demodulated else 2) * (len(G.to_rgb) - 2)
    assert moved.count(False) == unused, "a parameter got no gradient"


@both
def test_gradients_reach_every_parameter_that_the_stage_uses(demodulated: bool) -> None:
    """At alpha 1/2 all but the conversions to and from images of 4 pixels, two stages below."""
    G, D = small(demodulated=demodulated).train(), small_d()
    for net in (G, D):
        net.set_stage(16, 0.5)
    D(G(noise(4, 5))).sum().backward()
    unused = [
        name
        for net in (G, D)
        for name, p in net.named_parameters()
        if p.grad is None or not p.grad.count_nonzero()
    ]
    idle = [
        name for net in (G, D) for name, _ in net.named_parameters() if name.split("_rgb.")[-1][:2] == "0."
    ]
    assert unused == [name for name in idle if "_rgb." in name]


@both
def test_at_32_pixels_the_default_net_is_small_enough_for_a_processor(demodulated: bool) -> None:
    with torch.device("meta"):
        G, D = StyleGenerator(demodulated=demodulated), StyleDiscriminator()
    assert 400_000 < sum(p.numel() for p in G.parameters()) < 1_000_000
    assert 200_000 < sum(p.numel() for p in D.parameters()) < 1_000_000


@pytest.mark.parametrize(("size", "layers"), [(8, 4), (32, 8), (256, 14)])
def test_the_number_of_layers_is_the_papers(size: int, layers: int) -> None:
    """18 at 1024 pixels: two for each of 9 resolutions (Karras et al., 2019, section 2)."""
    with torch.device("meta"):
        G = StyleGenerator(size, width=2)
    assert G.n_layers == layers == G.active_layers
    assert [m.weight.shape[0] for m in G.modules() if isinstance(m, EqualizedConv2d)][-1] == 1
    assert len(G.draw_noise(1)) == layers == 2 * len(G.to_rgb)


def test_channels_double_at_each_halving_up_to_a_limit() -> None:
    D = StyleDiscriminator(64, width=2, max_width=8)
    read = [m.weight.shape[0] for m in D.from_rgb if isinstance(m, EqualizedConv2d)]
    assert read == [8, 8, 8, 4, 2]  # at 4, 8, 16, 32, 64 pixels


def test_the_style_comes_after_noise_and_rectifier() -> None:
    """Karras et al. (2019), fig. 1b: whatever the noise, a layer's output has the statistics of its style."""
    layer = small().layers[0]
    x, w = noise(2, 8, 8, 8), noise(2, 6, seed=1)
    style = layer.get_submodule("adain.affine")(w)
    for field in (None, noise(2, 1, 8, 8, seed=2)):
        std, mean = torch.std_mean(layer(x, w, field), (2, 3), unbiased=False)
        torch.testing.assert_close(mean, style[:, 8:], rtol=0, atol=1e-4)
        torch.testing.assert_close(std, style[:, :8].abs(), rtol=0, atol=1e-3)


def test_demodulation_takes_the_place_of_convolution_and_adain_only() -> None:
    plain, other = (dict(small(demodulated=on).named_parameters()) for on in (False, True))
    assert not [name for name in other if "adain" in name]
    renamed = {name.replace("conv.conv.", "conv.") for name in other if "affine" not in name}
    rgb = {name.replace(".conv.", ".") if "to_rgb" in name else name for name in renamed}
    assert rgb == {name for name in plain if "adain" not in name}


# Styles: mixing and truncation


@both
def test_mixing_at_the_ends_gives_the_pure_images(demodulated: bool) -> None:
    G, z, z2 = small(demodulated=demodulated), noise(3, 5), noise(3, 5, seed=1)
    assert torch.equal(G(z, z2, cutoff=G.n_layers), G(z))
    assert torch.equal(G(z, z2, cutoff=0), G(z2))
    mixed = [G(z, z2, cutoff=c) for c in range(G.n_layers + 1)]
    for one, next_one in pairwise(mixed):
        assert not torch.allclose(one, next_one), "a layer's style does nothing"


def test_mixed_styles_change_over_at_the_cutoff() -> None:
    w, w2 = noise(2, 3), noise(2, 3, seed=1)
    assert torch.equal(mix_styles(w, w2, 1, 3), torch.stack([w, w2, w2], 1))
    assert torch.equal(mix_styles(w, w2, 2, 3), torch.stack([w, w, w2], 1))


@both
def test_truncation_ends_in_one_image_for_all(demodulated: bool) -> None:
    G, z = small(demodulated=demodulated), noise(3, 5)
    assert torch.equal(G(z, truncation=1.0), G(z))
    none = G(z, truncation=0.0)
    torch.testing.assert_close(none, none[:1].expand_as(none))
    torch.testing.assert_close(none[:1], G.synthesize(G.mapping.w_mean[None]))
    assert not torch.allclose(none, G(z))


def test_truncated_styles_lie_on_the_way_to_their_mean() -> None:
    G, w = small(), noise(3, 6, seed=9)
    mean = G.mapping.w_mean
    torch.testing.assert_close(G.truncate(w, 0.7)[:, 2], 0.3 * mean + 0.7 * w)
    torch.testing.assert_close(G.truncate(w, 2.0)[:, 0] - mean, 2 * (w - mean))
    low = G.truncate(w, 0.0, cutoff_layers=2)
    assert low.shape == (3, G.n_layers, 6)
    torch.testing.assert_close(low[:, :2], mean.expand(3, 2, -1))
    assert torch.equal(low[:, 2:], w[:, None].expand(-1, G.n_layers - 2, -1))
    assert torch.equal(G.truncate(low, 0.5, cutoff_layers=0), low)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_in_training_a_batch_mixes_with_itself_and_the_global_generator_says_where(seed: int) -> None:
    G, z = small(mixing=1.0).train(), noise(3, 5)
    torch.manual_seed(seed)
    images = G(z)
    torch.manual_seed(seed)
    cutoff, w = G._drawn_cutoff(), G.mapping(z)
    by_hand = mix_styles(w, w.roll(1, 0), cutoff, G.n_layers)
    assert cutoff < G.n_layers
    assert torch.equal(images, G.synthesize(by_hand, G.draw_noise(3)))
    assert torch.equal(G.eval()(z), small()(z))


@pytest.mark.parametrize(("mixing", "low", "high"), [(0.0, 0, 0), (0.9, 0.85, 0.95), (1.0, 1, 1)])
def test_mixing_happens_as_often_as_asked_at_every_inner_layer(
    mixing: float, low: float, high: float
) -> None:
    G = small(mixing=mixing).train()
    torch.manual_seed(0)
    cutoffs = [G._drawn_cutoff() for _ in range(600)]
    mixed = [c for c in cutoffs if c < G.n_layers]
    assert low <= len(mixed) / 600 <= high
    assert set(mixed) == (set(range(1, G.n_layers)) if mixing else set())


# Noise


@both
def test_noise_is_fixed_in_eval_mode_and_fresh_in_training_mode(demodulated: bool) -> None:
    G, z = small(demodulated=demodulated), noise(3, 5)
    first = G(z)
    assert torch.equal(G(z), first)
    torch.testing.assert_close(G(z[1:2]), first[1:2])  # no image depends on its batch
    torch.testing.assert_close(G.synthesize(G.mapping(z), G.fixed_noise()), first)
    silent = G.synthesize(G.mapping(z), [None] * G.n_layers)
    assert not torch.allclose(silent, first)
    G.train()
    torch.manual_seed(1)
    once, again = G(z), G(z)
    torch.manual_seed(1)
    assert torch.equal(G(z), once)
    assert not torch.equal(again, once)


def test_noise_can_be_drawn_from_a_generator_of_ones_own() -> None:
    G, w = small(), noise(2, 6)
    a, b, c = (G.synthesize(w, G.draw_noise(2, seeded(s))) for s in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert [tuple(f.shape) for f in G.draw_noise(2)] == [(2, 1, s, s) for s in (4, 4, 8, 8, 16, 16)]


@pytest.mark.parametrize("layer", range(6))
def test_each_layers_noise_reaches_the_image(layer: int) -> None:
    G, w = small(), noise(2, 6)
    fields: list[Tensor | None] = [*G.fixed_noise()]
    before = G.synthesize(w, fields)
    fields[layer] = None
    assert not torch.allclose(G.synthesize(w, fields), before)


# Growing


def faded(G: StyleGenerator, size: int, alpha: float, z: Tensor) -> Tensor:
    G.set_stage(size, alpha)
    image: Tensor = G(z)
    return image


def fades_in(image_at: Callable[[float], Tensor], smaller: Tensor, grown: Tensor) -> bool:
    """Tell whether images go linearly from the smaller net's, upsampled, to the grown net's."""
    start = smaller.repeat_interleave(2, -1).repeat_interleave(2, -2)
    between = [torch.allclose(image_at(a), (1 - a) * start + a * grown, atol=1e-6) for a in (0.3, 0.8)]
    return torch.equal(image_at(0.0), start) and torch.equal(image_at(1.0), grown) and all(between)


@both
@pytest.mark.parametrize("size", [8, 16])
def test_a_new_resolution_fades_in_from_the_smaller_nets_upsampled_images(
    size: int, demodulated: bool
) -> None:
    G, z = small(16, demodulated=demodulated), noise(3, 5)
    smaller, grown = faded(G, size // 2, 1.0, z), faded(G, size, 1.0, z)
    assert smaller.shape == (3, 1, size // 2, size // 2)
    assert fades_in(lambda a: faded(G, size, a, z), smaller, grown)
    assert not fades_in(lambda a: faded(G, size, 1 - a, z), smaller, grown), "reversed"
    assert not fades_in(lambda a: faded(G, size, a**2, z), smaller, grown), "not linear"
    assert not fades_in(lambda a: faded(G, size, 1.0, z), smaller, grown), "at once"


@both
def test_a_net_at_an_earlier_stage_is_the_smaller_net(demodulated: bool) -> None:
    """Its weights in a net made for half the size give the same images and logits."""
    large, large_d, z = small(16, demodulated=demodulated), small_d(16), noise(3, 5)
    half = StyleGenerator(8, 5, 6, width=8, max_width=8, depth=2, demodulated=demodulated).eval()
    half_d = StyleDiscriminator(8, width=8, max_width=8).eval()
    for big, little in ((large, half), (large_d, half_d)):
        weights = big.state_dict()
        little.load_state_dict({name: weights[name] for name in little.state_dict()} | little_stage(little))
    images = faded(large, 8, 1.0, z)
    large_d.set_stage(8)
    torch.testing.assert_close(half(z), images)
    torch.testing.assert_close(half_d(images), large_d(images))


def little_stage(net: nn.Module) -> dict[str, Tensor]:
    return {"_extra_state": net.state_dict()["_extra_state"]}


@pytest.mark.parametrize("size", [8, 16])
def test_the_discriminator_fades_in_too(size: int) -> None:
    """At alpha 0 it sees the image halved, as the smaller net does; before the head it is linear in alpha."""
    D, images = small_d(), noise(3, 1, size, size)

    def seen(pixels: int, alpha: float, x: Tensor) -> Tensor:
        D.set_stage(pixels, alpha)
        out: Tensor = D(x)
        return out

    smaller, grown = seen(size // 2, 1.0, F.avg_pool2d(images, 2)), seen(size, 1.0, images)
    assert torch.equal(seen(size, 0.0, images), smaller)
    assert not torch.allclose(smaller, grown)
    near = seen(size, 1 - 1e-4, images)
    torch.testing.assert_close(near, grown, rtol=0, atol=1e-2)
    assert not torch.equal(near, grown)
    assert not torch.allclose(near, seen(size, 1e-4, images), atol=1e-3)


def test_layers_above_the_stage_get_no_gradient() -> None:
    G, D = small(), small_d()
    for net in (G, D):
        net.set_stage(8)
    D(G(noise(2, 5))).sum().backward()
    for layer in (G.layers[3], G.layers[4], G.to_rgb[2], D.blocks[1], D.from_rgb[2]):
        assert all(p.grad is None for p in layer.parameters())


@pytest.mark.parametrize("make", [small, small_d])
def test_checkpoints_and_copies_keep_the_stage(
    make: Callable[[], StyleGenerator | StyleDiscriminator],
) -> None:
    net, other = make(), make()
    net.set_stage(8, 0.3)
    state = net.state_dict()
    assert all(isinstance(value, Tensor) for value in state.values())
    other.load_state_dict({name: value.clone() for name, value in state.items()})
    assert (other.level, other.alpha, other.stage) == (8, 0.3, 1)
    twin = copy.deepcopy(net)
    assert (twin.level, twin.alpha) == (8, 0.3)
    x = noise(2, 5) if isinstance(net, StyleGenerator) else noise(2, 1, 8, 8)
    assert torch.equal(other(x), net(x))


def test_an_interrupted_run_goes_on_bit_for_bit_at_its_stage(tmp_path: Path) -> None:
    """Mixing and noise draw from the global generator; stage and mean of w are in the checkpoint."""
    pictures = torch.randint(0, 256, (16, 1, 8, 8), generator=seeded()).to(torch.uint8)
    data = ImageData(pictures, torch.zeros(16, dtype=torch.long))

    def trained(steps: int, directory: Path | None) -> list[Tensor]:
        torch.manual_seed(0)
        G, D = small(mixing=0.9).train(), small_d().train()
        for net in (G, D):
            net.set_stage(8, 0.5)
        config = TrainConfig(steps, batch_size=4, ema_half_life=20)
        run = fit(G, D, data, loss=NON_SATURATING, config=config, checkpoint_dir=directory, progress=False)
        assert isinstance(run.ema, StyleGenerator)
        assert (run.ema.level, run.ema.alpha) == (8, 0.5)
        return [value for net in (run.G, run.D, run.ema) for value in net.state_dict().values()]

    trained(1, tmp_path)
    for resumed, whole in zip(trained(3, tmp_path), trained(3, None), strict=True):
        assert torch.equal(resumed, whole)


# The discriminator


@pytest.mark.parametrize("minibatch_std", [True, False])
def test_a_collapsed_batch_looks_different_only_through_the_deviation(minibatch_std: bool) -> None:
    D = small_d(minibatch_std=minibatch_std)
    images = noise(4, 1, 16, 16)
    alone, together = torch.cat([D(x[None]) for x in images]), D(images)
    assert torch.allclose(alone, together, atol=1e-5) is not minibatch_std
    assert any(isinstance(m, MinibatchStd) for m in D.modules()) is minibatch_std


@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_r1_can_be_minimized(alpha: float) -> None:
    """The squared norm of D's gradient in the image falls when it is descended, and stays finite."""
    D, x = small_d(8).train(), noise(4, 1, 8, 8).requires_grad_()
    D.set_stage(8, alpha)
    optimizer, values = torch.optim.Adam(D.parameters(), 1e-3), []
    for _ in range(3):
        (of_x,) = torch.autograd.grad(D(x).sum(), x, create_graph=True)
        penalty = of_x.square().sum((1, 2, 3)).mean()
        values.append(penalty.item())
        optimizer.zero_grad()
        penalty.backward()
        optimizer.step()
    assert all(p.isfinite().all() for p in D.parameters())
    assert 0 < values[-1] < values[0]


def test_the_image_gradient_agrees_with_finite_differences() -> None:
    D = small_d(8).double()
    D.set_stage(8, 0.5)
    x = noise(2, 1, 8, 8).double().requires_grad_()
    assert torch.autograd.gradcheck(D, (x,), fast_mode=True)
    assert torch.autograd.gradgradcheck(D, (x,), fast_mode=True)


# Weights, precision, refusals


@pytest.mark.parametrize("make", [StyleGenerator, StyleDiscriminator])
def test_the_seed_decides_weights_and_fixed_noise(
    make: type[StyleGenerator] | type[StyleDiscriminator],
) -> None:
    def weights(seed: int, global_seed: int) -> Tensor:
        torch.manual_seed(global_seed)
        net = make(8, width=2, max_width=4, generator=seeded(seed))
        return torch.cat([value.flatten() for value in net.state_dict().values()])

    assert torch.equal(weights(0, 1), weights(0, 2))
    assert not torch.equal(weights(0, 1), weights(1, 1))


@both
def test_under_autocast_images_and_logits_stay_close(demodulated: bool) -> None:
    G, D, z = small(demodulated=demodulated), small_d(), noise(3, 5)
    for net in (G, D):
        net.set_stage(16, 0.5)
    exact = G(z)
    with torch.autocast("cpu", torch.bfloat16):
        fast, logits = G(z, truncation=0.9), D(exact)
    assert (fast.float() - G(z, truncation=0.9)).abs().mean() < 0.05
    torch.testing.assert_close(logits.float(), D(exact), rtol=0.1, atol=0.1)


def test_options_show_in_the_nets_description() -> None:
    """A checkpoint tells nets apart by it."""
    nets = [small(), small(demodulated=True), small(mixing=0.5), small(8)]
    assert len({repr(net) for net in nets}) == len(nets)
    assert any(isinstance(m, ModulatedConv2d) and not m.demodulate for m in nets[1].to_rgb)


TINY = small(8)
TINY_D = small_d(8)


@pytest.mark.parametrize("size", [0, 4, 28, 48, 512, -8, 8.0])
@pytest.mark.parametrize("make", [StyleGenerator, StyleDiscriminator])
def test_a_size_that_is_no_power_of_two_is_refused(
    make: type[StyleGenerator] | type[StyleDiscriminator], size: float
) -> None:
    with pytest.raises(
        ValueError, match=rf"16, 32, 64, 128 or 256, got {size}; .* power of two \(MNIST to 32"
    ):
        make(size)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: StyleGenerator(8, width=0),
            r"width and max_width of at least 1, an integer, got \(0, 128\)",
        ),
        (lambda: StyleDiscriminator(8, width=9, max_width=8), "width of at most max_width, got 9 and 8"),
        (lambda: StyleGenerator(8, mixing=1.1), r"mixing probability in \[0, 1\], got 1.1"),
        (lambda: StyleGenerator(8, 0), r"at least 1, an integer, got \(0, 128\)"),
        (lambda: StyleGenerator(8, channels=0), r"at least 1, an integer, got \(32, 0\)"),
        (lambda: StyleDiscriminator(8, channels=0), r"at least 1, an integer, got \(0, 32\)"),
        (lambda: TINY(noise(3, 4)), r"expected z \(N, 5\), got \(3, 4\)"),
        (lambda: TINY(noise(5)), r"expected z \(N, 5\), got \(5,\)"),
        (lambda: TINY(noise(0, 5)), r"at least 1 sample, got z \(0, 5\)"),
        (lambda: TINY(noise(3, 5).double()), "expected z of torch.float32"),
        (lambda: TINY(noise(3, 5), noise(3, 5)), "expected z2 and cutoff together"),
        (lambda: TINY(noise(3, 5), cutoff=2), "expected z2 and cutoff together"),
        (lambda: TINY(noise(3, 5), noise(2, 5), 1), r"expected w2 \(3, 6\) of floats, got \(2, 6\)"),
        (lambda: TINY(noise(3, 5), noise(3, 5), 5), r"cutoff in 0\.\.4, the number of layers, got 5"),
        (lambda: TINY.truncate(noise(3, 6), 0.5, -1), r"cutoff in 0\.\.4, the number of layers, got -1"),
        (lambda: TINY.truncate(noise(3, 5), 0.5), r"expected w \(N, 4, 6\), got \(3, 4, 5\)"),
        (lambda: TINY.synthesize(noise(3, 3, 6)), r"expected w \(N, 4, 6\), got \(3, 3, 6\)"),
        (lambda: TINY.synthesize(noise(6)), r"expected w \(N, 4, 6\), got \(6,\)"),
        (lambda: TINY.synthesize(noise(3, 6), [None]), "noise for 4 layers, got 1; None adds none"),
        (lambda: TINY.synthesize(noise(3, 6), 4 * [noise(3, 1, 4, 4)]), r"noise \(3, 1, 8, 8\) of floats"),
        (lambda: TINY_D(noise(3, 1, 16, 16)), r"expected images \(N, 1, 8, 8\), got \(3, 1, 16, 16\)"),
        (lambda: TINY_D(noise(1, 8, 8)), r"expected images \(N, 1, 8, 8\), got \(1, 8, 8\)"),
        (lambda: TINY_D(torch.zeros(2, 1, 8, 8).byte()), "got torch.uint8; divide by 127.5 and subtract 1"),
        (lambda: TINY_D(noise(0, 1, 8, 8)), "at least 1 sample"),
        (lambda: TINY.set_stage(16), "stage of 4, 8 pixels, got 16"),
        (lambda: TINY_D.set_stage(6), "stage of 4, 8 pixels, got 6"),
        (lambda: TINY.set_stage(8, 1.5), r"alpha in \[0, 1\], got 1.5; 0 shows the smaller net"),
        (lambda: TINY.set_stage(8, float("nan")), r"alpha in \[0, 1\], got nan"),
        (lambda: TINY.set_stage(4, 0.5), "alpha 1 at 4 pixels, got 0.5"),
    ],
)
def test_bad_input_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
    assert (TINY.level, TINY.alpha, TINY_D.level) == (8, 1.0, 8)


def test_images_have_the_side_of_the_stage() -> None:
    D = small_d()
    D.set_stage(8)
    with pytest.raises(ValueError, match=r"expected images \(N, 1, 8, 8\), got \(3, 1, 16, 16\)"):
        D(noise(3, 1, 16, 16))
