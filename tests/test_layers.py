"""Minibatch discrimination, packing and spectral normalization: by hand, as theorems, and their slips."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from gancourse.losses import HINGE, NON_SATURATING
from gancourse.models import (
    ConditionalGenerator,
    DCGANDiscriminator,
    DCGANGenerator,
    Discriminator,
    LinearGenerator,
    MinibatchDiscrimination,
    MLPDiscriminator,
    MLPGenerator,
    Packed,
    ProjectionDiscriminator,
    WithMinibatchDiscrimination,
    spectral_norm_,
)
from gancourse.training import d_step, g_step


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed))


def every_parameter_moves(G: nn.Module, D: nn.Module, real: Tensor) -> bool:
    before = [p.detach().clone() for net in (G, D) for p in net.parameters()]
    opt_g, opt_d = (torch.optim.SGD(net.parameters(), 0.1) for net in (G, D))
    z = noise(len(real), int(G.latent_dim), seed=2)
    d_step(G, D, opt_d, real=real, z=z, loss=NON_SATURATING)
    g_step(G, D, opt_g, z=z, loss=NON_SATURATING)
    after = [p for net in (G, D) for p in net.parameters()]
    finite = all(p.isfinite().all() for p in after)
    return finite and not any(torch.equal(a, b) for a, b in zip(before, after, strict=True))


# Minibatch discrimination

Closeness = Callable[[MinibatchDiscrimination, Tensor], Tensor]


def identity_kernel() -> MinibatchDiscrimination:
    """Return one kernel of two dimensions that looks at the features themselves."""
    layer = MinibatchDiscrimination(2, kernels=1, kernel_dim=2)
    with torch.no_grad():
        layer.T.weight.copy_(torch.eye(2))
    return layer


def agrees_with_the_worked_example(closeness: Closeness) -> bool:
    """Three points (0, 0), (1, 0), (1, 2): L1 distances 1, 3 and 2."""
    points = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 2.0]])
    near, middle, far = math.exp(-1), math.exp(-2), math.exp(-3)
    expected = torch.tensor([[near + far], [near + middle], [far + middle]])
    return torch.allclose(closeness(identity_kernel(), points), expected)


def test_the_worked_example() -> None:
    assert agrees_with_the_worked_example(MinibatchDiscrimination.closeness)


def grouped(layer: MinibatchDiscrimination, features: Tensor) -> Tensor:
    return layer.T(features).unflatten(1, (layer.kernels, layer.kernel_dim))


def with_l2(layer: MinibatchDiscrimination, features: Tensor) -> Tensor:
    M = grouped(layer, features)
    return torch.exp(-(M[:, None] - M).square().sum(-1).sqrt()).sum(1) - 1


def with_itself(layer: MinibatchDiscrimination, features: Tensor) -> Tensor:
    M = grouped(layer, features)
    return torch.exp(-(M[:, None] - M).abs().sum(-1)).sum(1)


def over_kernels(layer: MinibatchDiscrimination, features: Tensor) -> Tensor:
    M = grouped(layer, features)
    return torch.exp(-(M[:, None] - M).abs()).sum(1).mean(-1) - 1


def averaged(layer: MinibatchDiscrimination, features: Tensor) -> Tensor:
    return layer.closeness(features) / (len(features) - 1)


@pytest.mark.parametrize("slip", [with_l2, with_itself, over_kernels, averaged])
def test_a_slip_disagrees_with_the_worked_example(slip: Closeness) -> None:
    assert not agrees_with_the_worked_example(slip)


def test_it_agrees_with_the_sum_written_out() -> None:
    layer, f = MinibatchDiscrimination(5, 3, 4, generator=seeded()), noise(6, 5)
    M = (f @ layer.T.weight.T).view(6, 3, 4)
    by_hand = torch.zeros(6, 3)
    for i, j, b in product(range(6), range(6), range(3)):
        by_hand[i, b] += torch.exp(-(M[i, b] - M[j, b]).abs().sum()).item() if i != j else 0
    torch.testing.assert_close(layer.closeness(f), by_hand)
    torch.testing.assert_close(layer(f), torch.cat([f, by_hand], 1))


def test_equal_samples_have_closeness_n_minus_1_and_far_ones_0() -> None:
    layer, one = MinibatchDiscrimination(4, 3, 2, generator=seeded()), noise(1, 4)
    torch.testing.assert_close(layer.closeness(one.expand(7, 4)), torch.full((7, 3), 6.0))
    assert layer.closeness(1e6 * noise(7, 4)).max() < 1e-6


def test_a_collapsed_batch_is_told_from_a_varied_one() -> None:
    layer = MinibatchDiscrimination(4, 16, 8, generator=seeded())
    varied, collapsed = noise(32, 4), noise(1, 4) + 0.01 * noise(32, 4, seed=1)
    assert layer.closeness(collapsed).mean() > 1.5 * layer.closeness(varied).mean()


def test_the_order_of_the_batch_does_not_matter() -> None:
    layer, f = MinibatchDiscrimination(4, generator=seeded()), noise(9, 4)
    order = torch.randperm(9, generator=seeded(1))
    torch.testing.assert_close(layer(f[order]), layer(f)[order])


@pytest.mark.parametrize("in_features", [4, 400])
@pytest.mark.parametrize("kernel_dim", [2, 20])
def test_unrelated_unit_features_begin_about_1_apart(in_features: int, kernel_dim: int) -> None:
    """Differences have deviation sqrt 2 / K each, mean absolute value sqrt(4 / pi) / K, and there are K."""
    layer = MinibatchDiscrimination(in_features, 50, kernel_dim, generator=seeded())
    M = grouped(layer, noise(40, in_features, seed=1)).detach()
    distances = (M[:20] - M[20:]).abs().sum(-1)
    assert distances.mean().item() == pytest.approx(math.sqrt(4 / math.pi), rel=0.2)


def test_first_and_second_derivatives_are_right() -> None:
    """A gradient penalty differentiates twice."""
    layer = MinibatchDiscrimination(3, 2, 2, generator=seeded()).double()
    f = noise(3, 3).double().requires_grad_()
    assert torch.autograd.gradcheck(layer, f)
    assert torch.autograd.gradgradcheck(layer, f)


def test_closeness_is_summed_in_float32_under_autocast() -> None:
    """256 samples alike: in bfloat16 a running sum would stand still at 256 of 8 bits, or round."""
    layer, one = MinibatchDiscrimination(4, generator=seeded()), noise(1, 4)
    with torch.autocast("cpu", torch.bfloat16):
        closeness = layer.closeness(one.expand(300, 4))
    assert closeness.dtype == torch.float32
    assert torch.equal(closeness, torch.full((300, 16), 299.0))


DISCRIMINATORS: dict[str, Callable[[], Discriminator]] = {
    "mlp": lambda: MLPDiscriminator(2, 8, generator=seeded()),
    "image mlp": lambda: MLPDiscriminator((1, 28, 28), 8, generator=seeded()),
    "dcgan 28": lambda: DCGANDiscriminator(28, width=2, generator=seeded()),
    "dcgan 64": lambda: DCGANDiscriminator(64, 3, 2, generator=seeded()),
}


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_any_discriminator_can_have_it(name: str) -> None:
    D = WithMinibatchDiscrimination(DISCRIMINATORS[name](), 5, 3, generator=seeded(1))
    shape = D.sample_shape
    G = MLPGenerator(4, shape, 8, generator=seeded(2))
    x = noise(6, *shape)
    assert D.features(x).shape == (6, D.n_features) == (6, D.D.n_features + 5)
    assert D(x).shape == (6,)
    assert every_parameter_moves(G, D, x)


def test_its_head_is_one_linear_layer_on_features_and_closeness() -> None:
    D, x = WithMinibatchDiscrimination(MLPDiscriminator(2, 8), 5, 3), noise(6, 2)
    last = D.D.net[-1]
    joined = nn.Linear(13, 1)
    with torch.no_grad():
        joined.weight.copy_(torch.cat([last.weight, D.on_closeness.weight], 1))
        joined.bias.copy_(last.bias)
    torch.testing.assert_close(D(x), joined(D.minibatch(D.D.features(x)))[:, 0])


def test_a_logit_depends_on_the_rest_of_the_batch() -> None:
    plain = MLPDiscriminator(2, 8, generator=seeded())
    D, x = WithMinibatchDiscrimination(plain, generator=seeded(1)), noise(6, 2)
    other = torch.cat([x[:1], x[:1].expand(5, 2)])
    torch.testing.assert_close(plain(x)[0], plain(other)[0])
    assert (D(x)[0] - D(other)[0]).abs() > 1e-3


def test_one_sample_alone_is_refused() -> None:
    for mode in (True, False):
        D = WithMinibatchDiscrimination(MLPDiscriminator(2, 8)).train(mode)
        with pytest.raises(ValueError, match="at least 2 samples, got 1; minibatch discrimination compares"):
            D(noise(1, 2))


@pytest.mark.parametrize("shape", [(4, 3), (4,), (4, 2, 1)])
def test_unfit_features_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected features \(N, 2\), got \("):
        MinibatchDiscrimination(2)(torch.zeros(shape))
    with pytest.raises(ValueError, match=r"expected features \(N, 24\), got \("):
        WithMinibatchDiscrimination(MLPDiscriminator(2, 8)).head(torch.zeros(shape))


@pytest.mark.parametrize("name", ["in_features", "kernels", "kernel_dim"])
def test_impossible_kernels_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"expected {name} of at least 1, an integer, got 0"):
        MinibatchDiscrimination(**({"in_features": 2} | {name: 0}))


# Packing

Pack = Callable[[Tensor, int], Tensor]


def consecutive_samples_whole(pack: Pack) -> bool:
    """Pack i holds samples i m to i m + m - 1, one behind the other, no pixel of another."""
    x = torch.arange(6.0)[:, None, None, None] + torch.arange(12).view(1, 3, 2, 2) / 100
    packed = pack(x, 2)
    return packed.shape == (3, 6, 2, 2) and all(
        torch.equal(packed[i], torch.cat([x[2 * i], x[2 * i + 1]])) for i in range(3)
    )


def the_librarys(x: Tensor, m: int) -> Tensor:
    return Packed(DCGANDiscriminator(28, 6, 2), m).pack(x.repeat(1, 1, 14, 14))[..., :2, :2]


def test_a_pack_holds_whole_consecutive_samples() -> None:
    assert consecutive_samples_whole(the_librarys)


@pytest.mark.parametrize(
    "slip",
    [
        lambda x, m: x.transpose(0, 1).reshape(len(x) // m, m * x.shape[1], *x.shape[2:]),
        lambda x, m: x.transpose(1, -1).reshape(len(x) // m, m * x.shape[1], *x.shape[2:]),
        lambda x, m: torch.cat(x.chunk(m), 1),
        lambda x, m: x.repeat(1, m, 1, 1)[::m],
        lambda x, m: x.unflatten(0, (-1, m)).transpose(1, 2).flatten(1, 2),
    ],
    ids=["channels first", "pixels mixed", "distant samples", "one sample twice", "channels interleaved"],
)
def test_a_wrong_reshape_mixes_samples(slip: Pack) -> None:
    assert not consecutive_samples_whole(slip)


@pytest.mark.parametrize("m", [1, 2, 3])
@pytest.mark.parametrize("channels", [1, 3])
def test_it_is_the_discriminator_on_images_packed_by_hand(m: int, channels: int) -> None:
    D = Packed(DCGANDiscriminator(28, m * channels, 2, generator=seeded()), m).eval()
    x = noise(6, channels, 28, 28)
    by_hand = torch.stack([torch.cat([x[i + j] for j in range(m)]) for i in range(0, 6, m)])
    assert D.sample_shape == (channels, 28, 28)
    assert D(x).shape == (6 // m,)
    assert torch.equal(D(x), D.D(by_hand))
    assert torch.equal(D(x.contiguous(memory_format=torch.channels_last)), D.D(by_hand))
    assert every_parameter_moves(DCGANGenerator(28, 5, channels, 2), D, x)


@pytest.mark.parametrize("m", [1, 2, 4])
def test_points_are_packed_by_hand(m: int) -> None:
    D, x = Packed(MLPDiscriminator(2 * m, 8, generator=seeded()), m), noise(8, 2)
    by_hand = torch.stack([torch.cat([*x[i : i + m]]) for i in range(0, 8, m)])
    assert torch.equal(D(x), D.D(by_hand))
    assert torch.equal(D.features(x), D.D.features(by_hand))
    assert every_parameter_moves(MLPGenerator(4, 2, 8), D, x)


def test_a_pack_of_two_can_tell_a_collapsed_generator_that_one_sample_cannot() -> None:
    """Real: -1 or 1 at random. Fake: a batch is all -1 or all 1. Single samples have equal distributions.

    Lin et al. (2018): in pairs half of the real ones differ, and no fake ones do; |x1 - x2| decides.
    """
    real = noise(2000, 1).sign()
    fake = noise(1000, 1, seed=1).sign().repeat_interleave(2, dim=0)
    assert abs(real.mean() - fake.mean()) < 0.1
    D = Packed(MLPDiscriminator(2, 2, 1), 2)
    with torch.no_grad():
        for p, value in zip(D.parameters(), ([[1, -1], [-1, 1]], [0, 0], [[1, 1]], [0]), strict=True):
            p.copy_(torch.tensor(value))
        assert (D(real) > 0.5).float().mean().item() == pytest.approx(0.5, abs=0.05)
        assert (D(fake) > 0.5).sum() == 0


def test_layers_stack() -> None:
    """Packing around minibatch discrimination around DCGAN."""
    D = Packed(WithMinibatchDiscrimination(DCGANDiscriminator(28, 2, 2)), 2)
    assert D(noise(8, 1, 28, 28)).shape == (4,)
    assert "m=2" in repr(D)


@pytest.mark.parametrize("n", [1, 3, 5])
def test_a_batch_that_the_pack_does_not_divide_is_refused(n: int) -> None:
    with pytest.raises(ValueError, match=f"batch that 2 samples a pack divide, got {n} samples"):
        Packed(MLPDiscriminator(4, 8), 2)(noise(n, 2))


def test_samples_of_another_shape_are_refused() -> None:
    D = Packed(DCGANDiscriminator(28, 2, 2), 2)
    with pytest.raises(ValueError, match=r"expected images \(N, 1, 28, 28\), got \(4, 2, 28, 28\)"):
        D(noise(4, 2, 28, 28))
    with pytest.raises(ValueError, match=r"expected x \(N, 2\), got \(4, 4\)"):
        Packed(MLPDiscriminator(4, 8), 2)(noise(4, 4))


@pytest.mark.parametrize(("channels", "m"), [(3, 2), (1, 2), (2, 0), (2, -1)])
def test_a_discriminator_for_another_pack_is_refused(channels: int, m: int) -> None:
    with pytest.raises(ValueError, match=f"got m = {m} and a D for {channels}; build D with m times"):
        Packed(DCGANDiscriminator(28, channels, 2), m)


@pytest.mark.parametrize("wrap", [lambda D: Packed(D, 1), WithMinibatchDiscrimination])
def test_a_net_without_features_is_refused(wrap: Callable[[nn.Module], nn.Module]) -> None:
    with pytest.raises(TypeError, match="expected a Discriminator, with features and a head, got Sequential"):
        wrap(nn.Sequential(nn.Linear(2, 1)))


# Spectral normalization


def matrix(layer: nn.Module) -> Tensor:
    """Return a layer's weight as the matrix (channels out, the rest)."""
    weight: Tensor = layer.weight.detach()
    return (weight.transpose(0, 1) if isinstance(layer, nn.ConvTranspose2d) else weight).flatten(1)


def normalized_layers(net: nn.Module) -> list[nn.Module]:
    return [m for m in net.modules() if parametrize.is_parametrized(m, "weight")]


NETS: dict[str, tuple[Callable[[], nn.Module], int]] = {  # and how many layers have weights to normalize
    "mlp": (lambda: MLPDiscriminator(2, 16, 2, generator=seeded()), 3),
    "dcgan D": (lambda: DCGANDiscriminator(28, width=4, batch_norm=False, generator=seeded()), 3),
    "dcgan G": (lambda: DCGANGenerator(28, 5, width=2, generator=seeded()), 3),
    "embedding": (lambda: ConditionalGenerator(28, 3, 5, width=2, embed_dim=4, generator=seeded()), 4),
    "projection": (lambda: ProjectionDiscriminator(28, 3, width=2, generator=seeded()), 4),
}


@pytest.mark.parametrize("name", NETS)
def test_the_largest_singular_value_is_1(name: str) -> None:
    make, count = NETS[name]
    net = make()
    assert spectral_norm_(net, iterations=200, generator=seeded(1)) is net
    layers = normalized_layers(net.eval())
    assert len(layers) == count
    for layer in layers:
        assert torch.linalg.svdvals(matrix(layer))[0].item() == pytest.approx(1, abs=1e-3)


def test_few_iterations_come_near_and_training_comes_nearer() -> None:
    """Power iteration approaches the largest singular value from below: the norm falls towards 1."""
    D = spectral_norm_(MLPDiscriminator(64, 64, generator=seeded()), iterations=1, generator=seeded(1))
    layer = normalized_layers(D)[0]

    def norm() -> float:
        D.eval()
        value = torch.linalg.svdvals(matrix(layer))[0].item()
        D.train()
        return value

    first = norm()
    for _ in range(200):
        D(noise(2, 64))
    assert first > 1.01
    assert 1 - 1e-5 < norm() < 1.01


def test_a_normalized_net_has_slope_at_most_1() -> None:
    """LeakyReLU and every linear layer have slope at most 1, so has D: what a Wasserstein critic needs."""
    D = MLPDiscriminator(8, 32, generator=seeded())
    for p in D.parameters():
        nn.init.normal_(p, 0, 3, generator=seeded(2))
    x, y = 5 * noise(500, 8), 5 * noise(500, 8, seed=1)

    def steepest() -> float:
        with torch.no_grad():
            return ((D(x) - D(y)).abs() / (x - y).norm(dim=1)).max().item()

    assert steepest() > 100
    spectral_norm_(D, iterations=200, generator=seeded(3)).eval()
    assert steepest() <= 1.001


def test_nothing_iterates_in_eval_mode() -> None:
    D = spectral_norm_(MLPDiscriminator(8, 32, generator=seeded()), generator=seeded(1))
    state = copy.deepcopy(D.state_dict())
    D.eval()(noise(4, 8))
    assert all(torch.equal(state[name], value) for name, value in D.state_dict().items())
    D.train()(noise(4, 8))
    changed = {name for name, value in D.state_dict().items() if not torch.equal(state[name], value)}
    assert changed
    assert all(name.endswith(("_u", "_v")) for name in changed)


def test_the_net_computes_the_same_up_to_scale_at_first() -> None:
    """One linear layer without bias is divided by its norm, and by nothing else."""
    layer = nn.Linear(4, 3, bias=False)
    weight = layer.weight.detach().clone()
    spectral_norm_(layer, iterations=200, generator=seeded()).eval()
    torch.testing.assert_close(layer.weight, weight / torch.linalg.svdvals(weight)[0])


def test_the_seed_decides_where_power_iteration_begins() -> None:
    def vectors(seed: int, global_seed: int) -> Tensor:
        D = MLPDiscriminator(8, 32, generator=seeded())
        torch.manual_seed(global_seed)
        spectral_norm_(D, iterations=1, generator=seeded(seed))
        return torch.cat([b.flatten() for b in D.buffers()])

    assert torch.equal(vectors(0, 1), vectors(0, 2))
    assert not torch.equal(vectors(0, 1), vectors(1, 1))


def test_without_a_generator_the_global_seed_decides() -> None:
    def vectors(global_seed: int) -> Tensor:
        D = MLPDiscriminator(8, 32, generator=seeded())
        torch.manual_seed(global_seed)
        return torch.cat([b.flatten() for b in spectral_norm_(D, iterations=1).buffers()])

    assert torch.equal(vectors(1), vectors(1))
    assert not torch.equal(vectors(1), vectors(2))


def test_a_net_in_eval_mode_stays_in_it() -> None:
    D = spectral_norm_(MLPDiscriminator(8, 32).eval())
    assert not any(m.training for m in D.modules() if isinstance(m, nn.Linear))


@pytest.mark.parametrize("precision", [None, torch.bfloat16])
def test_a_normalized_discriminator_learns(precision: torch.dtype | None) -> None:
    G = DCGANGenerator(28, 5, width=2, generator=seeded())
    D = spectral_norm_(
        DCGANDiscriminator(28, width=2, batch_norm=False, generator=seeded(1)), generator=seeded(2)
    )
    opt = torch.optim.Adam(D.parameters(), 0.01)
    real = torch.ones(4, 1, 28, 28)
    with torch.autocast("cpu", precision, enabled=precision is not None):
        losses = [d_step(G, D, opt, real=real, z=noise(4, 5), loss=HINGE).loss.item() for _ in range(15)]
    assert losses[-1] < losses[0] - 0.05
    assert D.features(real).isfinite().all()


def test_what_spectral_norm_refuses() -> None:
    with pytest.raises(ValueError, match="at least 1 power iteration, got 0"):
        spectral_norm_(MLPDiscriminator(2, 4), iterations=0)
    with pytest.raises(ValueError, match="linear, convolutional or embedding layers, got LinearGenerator"):
        spectral_norm_(LinearGenerator())
    D = spectral_norm_(MLPDiscriminator(2, 4))
    with pytest.raises(
        ValueError, match="MLPDiscriminator without spectral norm, got one that has it already"
    ):
        spectral_norm_(D)
