"""The fully connected nets: shapes, counts by hand, initial weights, one training step, refusals."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from gancourse.losses import NON_SATURATING
from gancourse.models import (
    LinearDiscriminator,
    LinearGenerator,
    MLPDiscriminator,
    MLPGenerator,
    he_init_,
    leaky_relu,
    mnist_mlp,
)
from gancourse.training import d_step, g_step

Pair = tuple[nn.Module, nn.Module]
PAIRS: dict[str, Callable[[], Pair]] = {
    "linear": lambda: (LinearGenerator(), LinearDiscriminator()),
    "points": lambda: (
        MLPGenerator(2, 2, 16, generator=seeded()),
        MLPDiscriminator(2, 16, generator=seeded()),
    ),
    "chapter 1": lambda: (MLPGenerator(1, 1, (16,)), MLPDiscriminator(1, (32, 16))),
    "no hidden layer": lambda: (MLPGenerator(3, 2, depth=0), MLPDiscriminator(2, depth=0)),
    "images": lambda: mnist_mlp(8, channels=3, latent_dim=5, generator=seeded()),
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed))


def parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize("pair", PAIRS)
def test_shapes_and_one_training_step(pair: str) -> None:
    G, D = PAIRS[pair]()
    z, real = noise(6, int(G.latent_dim)), 2 + noise(6, *D.sample_shape, seed=1)
    assert G(z).shape == real.shape
    assert D(real).shape == (6,)
    assert D.features(real).shape == (6, D.n_features)
    before = [p.detach().clone() for net in (G, D) for p in net.parameters()]
    opt_g, opt_d = (torch.optim.SGD(net.parameters(), 0.1) for net in (G, D))
    d_step(G, D, opt_d, real=real, z=z, loss=NON_SATURATING)
    g_step(G, D, opt_g, z=z, loss=NON_SATURATING)
    after = [p for net in (G, D) for p in net.parameters()]
    assert all(p.isfinite().all() for p in after)
    assert not any(torch.equal(a, b) for a, b in zip(before, after, strict=True)), (
        "a parameter got no gradient"
    )


@pytest.mark.parametrize("pair", PAIRS)
def test_the_discriminator_is_its_head_on_its_features(pair: str) -> None:
    _, D = PAIRS[pair]()
    x = noise(4, *D.eval().sample_shape)
    assert torch.equal(D.head(D.features(x)), D(x))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_net_can_be_converted(dtype: torch.dtype) -> None:
    G, D = (net.to(dtype) for net in PAIRS["images"]())
    x = G(noise(4, 5).to(dtype))
    assert x.dtype == D(x).dtype == dtype


def test_autocast_may_mix_precisions() -> None:
    G, D = PAIRS["images"]()
    with torch.autocast("cpu", torch.bfloat16):
        x = G(noise(4, 5))
        assert x.dtype == D(x).dtype == torch.bfloat16
        with pytest.raises(ValueError, match=r"expected z of torch\.float32, .* got torch\.float64"):
            G(noise(4, 5).double())


# The linear pair


def test_the_linear_pair_is_two_lines() -> None:
    z = noise(5, 1)
    torch.testing.assert_close(LinearGenerator(0.6, -1.0)(z), 0.6 * z - 1)
    torch.testing.assert_close(LinearDiscriminator(0.5, 2)(z), 0.5 * z[:, 0] + 2)
    assert LinearGenerator().weight.item() == pytest.approx(0.6)
    assert LinearDiscriminator().weight.item() == pytest.approx(0.5)
    assert LinearGenerator().bias.item() == LinearDiscriminator().bias.item() == 0


def test_the_linear_generators_samples_are_normal_with_mean_b_and_deviation_w() -> None:
    x = LinearGenerator(-2.0, 3.0)(noise(20_000, 1)).detach()
    assert x.mean().item() == pytest.approx(3, abs=4 * 2 / 20_000**0.5)
    assert x.std().item() == pytest.approx(2, rel=0.02)


# Architecture


def test_layers_of_the_small_nets() -> None:
    """Chapter 1: G 1-16-1, D 1-32-16-1."""
    G, D = PAIRS["chapter 1"]()
    assert [type(m) for m in G.net] == [nn.Linear, nn.LeakyReLU, nn.Linear]
    assert [m.out_features for m in D.net if isinstance(m, nn.Linear)] == [32, 16, 1]
    assert [m.negative_slope for m in D.net if isinstance(m, nn.LeakyReLU)] == [0.2, 0.2]
    assert parameters(G) == (16 + 16) + (16 + 1)
    assert parameters(D) == (32 + 32) + (32 * 16 + 16) + (16 + 1)


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_depth_counts_the_hidden_layers(depth: int) -> None:
    for net in (MLPGenerator(2, 2, 7, depth), MLPDiscriminator(2, 7, depth)):
        linear = [m for m in net.modules() if isinstance(m, nn.Linear)]
        assert [m.out_features for m in linear[:-1]] == [7] * depth
        same = type(net)(2, 2, [7] * depth) if isinstance(net, MLPGenerator) else type(net)(2, [7] * depth)
        assert repr(same) == repr(net)


def test_without_hidden_layers_the_discriminator_is_a_linear_function_of_the_sample() -> None:
    D, x = MLPDiscriminator((2, 3), depth=0), noise(4, 2, 3)
    assert torch.equal(D.features(x), x.flatten(1))
    torch.testing.assert_close(D(x + x) + D(0 * x), 2 * D(x))


def test_another_activation() -> None:
    D = MLPDiscriminator(2, 4, 2, activation=nn.Tanh)
    assert [type(m) for m in D.net] == [nn.Linear, nn.Tanh, nn.Linear, nn.Tanh, nn.Linear]
    assert leaky_relu()(torch.tensor([-1.0, 2.0])).tolist() == pytest.approx([-0.2, 2.0])


def test_the_mnist_pair_is_the_written_out_one() -> None:
    G, D = mnist_mlp(generator=seeded())
    layers = [
        nn.Linear(100, 256, bias=False), nn.BatchNorm1d(256), nn.LeakyReLU(0.2),
        nn.Linear(256, 512, bias=False), nn.BatchNorm1d(512), nn.LeakyReLU(0.2),
        nn.Linear(512, 1024, bias=False), nn.BatchNorm1d(1024), nn.LeakyReLU(0.2),
        nn.Linear(1024, 784), nn.Tanh(), nn.Unflatten(1, (1, 28, 28)),
    ]  # fmt: skip
    assert [repr(m) for m in G.net] == [repr(m) for m in layers]
    layers = [
        nn.Flatten(),
        nn.Linear(784, 1024), nn.LeakyReLU(0.2), nn.Dropout(0.3),
        nn.Linear(1024, 512), nn.LeakyReLU(0.2), nn.Dropout(0.3),
        nn.Linear(512, 256), nn.LeakyReLU(0.2), nn.Dropout(0.3),
        nn.Linear(256, 1),
    ]  # fmt: skip
    assert [repr(m) for m in D.net] == [repr(m) for m in layers]


def test_the_mnist_pairs_parameters_by_hand() -> None:
    """A layer has n_in n_out weights and n_out biases; under BatchNorm a scale and a shift are the biases."""
    G, D = mnist_mlp()
    hidden = (100 * 256 + 2 * 256) + (256 * 512 + 2 * 512) + (512 * 1024 + 2 * 1024)
    assert parameters(G) == hidden + (1024 * 784 + 784) == 1_488_144
    assert parameters(D) == 785 * 1024 + 1025 * 512 + 513 * 256 + 257 == 1_460_225


@pytest.mark.parametrize("scale", [1.0, 1e6])
def test_images_stay_in_range(scale: float) -> None:
    G, _ = mnist_mlp(8, latent_dim=5, generator=seeded())
    x = G.eval()(scale * noise(4, 5))
    assert x.shape == (4, 1, 8, 8)
    assert x.abs().max() <= 1


def test_points_are_not_bounded() -> None:
    assert MLPGenerator(2, 2, 8, generator=seeded())(100 * noise(9, 2)).abs().max() > 1


def test_dropout_acts_in_training_only() -> None:
    _, D = mnist_mlp(8, generator=seeded())
    x = noise(4, 1, 8, 8)
    assert not torch.equal(D(x), D(x))
    D.eval()
    assert torch.equal(D(x), D(x))


# Initial weights


def test_every_layer_passes_the_variance_on() -> None:
    """He et al. (2015): the mean square of what enters a layer behind LeakyReLU .2, times 2 / 1.04 twice."""
    G = MLPGenerator(500, 500, 500, 20, generator=seeded())
    x = noise(200, 500, seed=1)
    sizes = []
    for layer in G.net:
        x = layer(x)
        sizes += [x.square().mean().item()] if isinstance(layer, nn.Linear) else []
    assert sizes[0] == pytest.approx(2 / 1.04, rel=0.05)
    assert sizes[-1] == pytest.approx(2 / 1.04, rel=0.4), "20 layers later"


@pytest.mark.parametrize("wrong_std", [0.02, 1 / math.sqrt(500), math.sqrt(3 / 500)])
def test_another_scale_does_not(wrong_std: float) -> None:
    """DCGAN's .02, 1 / sqrt(fan in) and 1.5 times He's variance leave the corridor within 20 layers."""
    G = MLPGenerator(500, 500, 500, 20)
    for p in G.parameters():
        if p.ndim == 2:
            nn.init.normal_(p, 0, wrong_std, generator=seeded())
    assert not 1 / 4 < G(noise(200, 500, seed=1)).square().mean().item() / (2 / 1.04) < 4


def test_the_image_generators_output_fills_the_range_of_tanh() -> None:
    """Behind BatchNorm and LeakyReLU units have mean square .52; He's weights make that 1 before tanh."""
    G, _ = mnist_mlp(generator=seeded())
    assert G(noise(64, 100)).atanh().square().mean().item() == pytest.approx(1, rel=0.1)


def test_biases_begin_at_zero_and_scales_at_one() -> None:
    for net in mnist_mlp(8, generator=seeded()):
        for module in net.modules():
            if isinstance(module, nn.BatchNorm1d):
                assert torch.equal(module.weight, torch.ones_like(module.weight)), "a scale around 0 kills G"
            if isinstance(module, nn.Linear | nn.BatchNorm1d) and module.bias is not None:
                assert module.bias.count_nonzero() == 0


def test_initialization_leaves_other_layers_alone() -> None:
    layer = nn.PReLU(init=0.3)
    he_init_(nn.Sequential(layer, nn.Linear(2, 2, bias=False)))
    assert layer.weight.item() == pytest.approx(0.3)


@pytest.mark.parametrize(
    "make",
    [
        lambda g: MLPGenerator(2, 3, 4, generator=g),
        lambda g: MLPDiscriminator(2, 4, generator=g),
        lambda g: nn.ModuleList(mnist_mlp(8, generator=g)),
    ],
    ids=["G", "D", "mnist"],
)
def test_the_seed_decides_the_initial_weights(make: Callable[[torch.Generator], nn.Module]) -> None:
    def weights(seed: int, global_seed: int) -> Tensor:
        torch.manual_seed(global_seed)
        return torch.cat([p.detach().flatten() for p in make(seeded(seed)).parameters()])

    assert torch.equal(weights(0, 1), weights(0, 2))
    assert not torch.equal(weights(0, 1), weights(1, 1))


# What they refuse


@pytest.mark.parametrize("shape", [(4, 6), (5,), (), (4, 5, 1), (0,)])
def test_another_shape_of_z_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected z \(N, 5\), got \("):
        MLPGenerator(5, 2, 4)(torch.zeros(shape))
    with pytest.raises(ValueError, match=r"expected z \(N, 1\), got \("):
        LinearGenerator()(torch.zeros(shape))


@pytest.mark.parametrize("shape", [(4, 784), (4, 28, 28), (1, 28, 28), (4, 3, 28, 28), (4, 1, 32, 32)])
def test_another_shape_of_images_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected images \(N, 1, 28, 28\), got \("):
        MLPDiscriminator((1, 28, 28), 4)(torch.zeros(shape))


def test_another_shape_of_points_is_refused() -> None:
    for D in (MLPDiscriminator(1, 4), LinearDiscriminator()):
        with pytest.raises(ValueError, match=r"expected x \(N, 1\), got \(4,\)"):
            D(torch.zeros(4))


def test_another_shape_of_features_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected features \(N, 4\), got \(3, 5\)"):
        MLPDiscriminator(2, 4).head(torch.zeros(3, 5))


def test_an_empty_batch_is_refused() -> None:
    G, D = PAIRS["points"]()
    with pytest.raises(ValueError, match=r"expected at least 1 sample, got z \(0, 2\)"):
        G(torch.zeros(0, 2))
    with pytest.raises(ValueError, match=r"expected at least 1 sample, got x \(0, 2\)"):
        D(torch.zeros(0, 2))


def test_a_batch_of_one_under_batch_norm_is_refused_in_training_only() -> None:
    G, D = PAIRS["images"]()
    with pytest.raises(ValueError, match=r"at least 2 samples in training mode.*BatchNorm.*\.eval\(\)"):
        G(noise(1, 5))
    assert D(G.eval()(noise(1, 5))).shape == (1,)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool])
def test_integers_are_refused(dtype: torch.dtype) -> None:
    with pytest.raises(
        ValueError, match=f"images of torch.float32, got {dtype}; divide by 127.5 and subtract 1"
    ):
        MLPDiscriminator((1, 8, 8), 4)(torch.zeros(2, 1, 8, 8, dtype=dtype))
    with pytest.raises(ValueError, match=rf"x of torch.float32, got {dtype}; convert it with .float\(\)"):
        MLPDiscriminator(2, 4)(torch.zeros(2, 2, dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_another_precision_is_refused(dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match=f"expected z of torch.float32, as the weights are, got {dtype}"):
        MLPGenerator(2, 2, 4)(torch.zeros(3, 2, dtype=dtype))


def test_another_device_is_refused() -> None:
    with pytest.raises(ValueError, match="expected z on cpu, where the weights are, got meta"):
        MLPGenerator(2, 2, 4)(torch.zeros(3, 2, device="meta"))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: MLPGenerator(0, 2), "latent_dim of at least 1, an integer, got 0"),
        (lambda: MLPGenerator(2, (1, 0)), r"out_dim of at least 1, an integer, got \(1, 0\)"),
        (lambda: MLPGenerator(2, ()), r"out_dim of at least 1, an integer, got \(\)"),
        (lambda: MLPDiscriminator(-1), "in_dim of at least 1, an integer, got -1"),
        (lambda: MLPDiscriminator(2, 0), "width of at least 1, an integer, got 0"),
        (lambda: MLPDiscriminator(2, (8, 0.5)), r"width of at least 1, an integer, got \(8, 0\.5\)"),
        (lambda: MLPDiscriminator(2, 8, -1), "depth of at least 0 hidden layers, got -1"),
        (lambda: MLPDiscriminator(2, (8, 8), 3), r"depth 2, the number of widths in \(8, 8\), got 3"),
        (lambda: MLPDiscriminator(2, 8, dropout=1.0), r"dropout probability in \[0, 1\), got 1\.0"),
    ],
)
def test_impossible_nets_are_refused(make: Callable[[], nn.Module], text: str) -> None:
    with pytest.raises(ValueError, match=f"expected a? ?{text}"):
        make()
