"""Nets that are told the class: what the label changes, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from gancourse.losses import NON_SATURATING
from gancourse.models import (
    ConditionalDiscriminator,
    ConditionalGenerator,
    ConditionalMLPDiscriminator,
    ConditionalMLPGenerator,
    DCGANDiscriminator,
    ProjectionDiscriminator,
    check_labels,
)
from gancourse.training import d_step, g_step

K, Z = 3, 5
Factory = Callable[..., nn.Module]


def mlp_g(size: int = 28, channels: int = 1, seed: int = 0) -> nn.Module:
    return ConditionalMLPGenerator(size, K, Z, channels, (8, 6), 4, generator=seeded(seed))


def conv_g(size: int = 28, channels: int = 1, seed: int = 0) -> nn.Module:
    return ConditionalGenerator(size, K, Z, channels, 2, 4, generator=seeded(seed))


def mlp_d(size: int = 28, channels: int = 1, seed: int = 0) -> nn.Module:
    return ConditionalMLPDiscriminator(size, K, channels, (8, 6), 4, dropout=0, generator=seeded(seed))


def conv_d(size: int = 28, channels: int = 1, seed: int = 0) -> nn.Module:
    return ConditionalDiscriminator(size, K, channels, 2, generator=seeded(seed))


def projection(size: int = 28, channels: int = 1, seed: int = 0) -> nn.Module:
    return ProjectionDiscriminator(size, K, channels, 2, generator=seeded(seed))


GENERATORS, DISCRIMINATORS = [mlp_g, conv_g], [mlp_d, conv_d, projection]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed))


Y = torch.tensor([0, 1, 2, 0, 1, 2])


@pytest.mark.parametrize(("make_g", "make_d"), [(mlp_g, mlp_d), (conv_g, conv_d), (conv_g, projection)])
@pytest.mark.parametrize(("size", "channels"), [(28, 1), (32, 3), (64, 1)])
def test_shapes_range_and_one_training_step(
    make_g: Factory, make_d: Factory, size: int, channels: int
) -> None:
    G, D = make_g(size, channels), make_d(size, channels)
    assert (G.latent_dim, G.n_classes, D.n_classes) == (Z, K, K)
    z, real = noise(6, Z), noise(6, channels, size, size).clamp(-1, 1)
    x = G(z, Y)
    assert x.shape == real.shape == (6, *D.sample_shape)
    assert x.abs().max() <= 1
    assert D(x, Y).shape == (6,)
    before = [p.detach().clone() for net in (G, D) for p in net.parameters()]
    opt_g, opt_d = (torch.optim.SGD(net.parameters(), 0.1) for net in (G, D))
    d_step(G, D, opt_d, real=real, z=z, y=Y, loss=NON_SATURATING)
    g_step(G, D, opt_g, z=z, y=Y, loss=NON_SATURATING)
    after = [p for net in (G, D) for p in net.parameters()]
    assert all(p.isfinite().all() for p in after)
    assert not any(torch.equal(a, b) for a, b in zip(before, after, strict=True)), (
        "a parameter got no gradient"
    )


@pytest.mark.parametrize("make", GENERATORS)
def test_the_label_changes_the_image_and_only_its_own(make: Factory) -> None:
    G, z = make().eval(), noise(6, Z)
    changed = Y.clone()
    changed[0] = 1
    a, b = G(z, Y), G(z, changed)
    assert not torch.allclose(a[0], b[0])
    torch.testing.assert_close(a[1:], b[1:])


@pytest.mark.parametrize("make", DISCRIMINATORS)
def test_the_label_changes_the_logit_and_only_its_own(make: Factory) -> None:
    D, x = make().eval(), noise(6, 1, 28, 28)
    changed = Y.clone()
    changed[0] = 1
    a, b = D(x, Y), D(x, changed)
    assert a[0] != b[0]
    torch.testing.assert_close(a[1:], b[1:])


@pytest.mark.parametrize("make", [*GENERATORS, *DISCRIMINATORS])
def test_only_the_vectors_of_present_labels_learn(make: Factory) -> None:
    net = make()
    x = noise(6, Z) if make in GENERATORS else noise(6, 1, 28, 28)
    net(x, torch.tensor([0, 2, 0, 2, 0, 2])).square().sum().backward()
    rows = net.embed.weight.grad.abs().sum(1)
    assert (rows > 0).tolist() == [True, False, True]


@pytest.mark.parametrize("make", [*GENERATORS, *DISCRIMINATORS])
def test_the_seed_decides_the_initial_weights(make: Factory) -> None:
    def weights(seed: int, global_seed: int) -> Tensor:
        torch.manual_seed(global_seed)
        return torch.cat([p.detach().flatten() for p in make(seed=seed).parameters()])

    assert torch.equal(weights(0, 1), weights(0, 2))
    assert not torch.equal(weights(0, 1), weights(1, 1))


@pytest.mark.parametrize("make", [*GENERATORS, *DISCRIMINATORS])
def test_bfloat16_autocast_comes_near(make: Factory) -> None:
    net = make().eval()
    x = noise(6, Z) if make in GENERATORS else noise(6, 1, 28, 28)
    with torch.no_grad():
        exact = net(x, Y)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = net(x, Y).float()
    assert (exact - rounded).abs().max() < 0.02 + 0.05 * exact.abs().max()


# Each net as its paper has it


def test_the_embedding_is_a_linear_layer_on_one_hot_labels() -> None:
    """Mirza and Osindero (2014) write one-hot labels times a matrix."""
    G, z = mlp_g().eval(), noise(6, Z)
    one_hot = nn.functional.one_hot(Y, K).float()
    by_hand = G.G(torch.cat([z, one_hot @ G.embed.weight], 1))
    torch.testing.assert_close(G(z, Y), by_hand)


def test_default_nets_are_the_mnist_pair_with_10_more_inputs() -> None:
    G, D = ConditionalMLPGenerator(), ConditionalMLPDiscriminator()
    count = [sum(p.numel() for p in net.parameters()) for net in (G, D)]
    assert count == [1_488_144 + 10 * 256 + 10 * 10, 1_460_225 + 10 * 1024 + 10 * 10]
    assert [m.p for m in D.modules() if isinstance(m, nn.Dropout)] == [0.3] * 3


def test_a_convolutional_discriminator_sees_the_label_as_one_more_channel() -> None:
    D, x = ConditionalDiscriminator(28, K, 3, 2).eval(), noise(6, 3, 28, 28)
    maps = D.embed.weight[Y].view(6, 1, 28, 28)
    assert D.D.sample_shape == (4, 28, 28)
    torch.testing.assert_close(D(x, Y), D.D(torch.cat([x, maps], 1)))


@pytest.mark.parametrize("size", [28, 64])
def test_two_labels_logits_differ_by_an_inner_product(size: int) -> None:
    """D(x, a) - D(x, b) = <v_a - v_b, f(x)>: linear in the features, as the paper derives."""
    D, x = projection(size).eval(), noise(6, 1, size, size)
    a, b = Y, (Y + 1) % K
    v, f = D.embed.weight, D.features(x)
    torch.testing.assert_close(D(x, a) - D(x, b), ((v[a] - v[b]) * f).sum(1), atol=1e-5, rtol=1e-4)


def test_concatenation_is_no_projection() -> None:
    """Where the label enters below, it changes the last features themselves."""
    D, x = conv_d().eval(), noise(6, 1, 28, 28)
    assert not torch.allclose(D.features(x, Y), D.features(x, (Y + 1) % K))


def test_without_label_vectors_projection_is_the_unconditional_discriminator() -> None:
    D, x = projection().eval(), noise(6, 1, 28, 28)
    nn.init.zeros_(D.embed.weight)
    torch.testing.assert_close(D(x, Y), D.D(x))


def test_projection_finds_the_best_logit_where_the_posteriors_are_softmaxes() -> None:
    """Two classes at -1 and +1 with deviation 1: log p(1|x) - log p(0|x) = 2 x, on the feature f(x) = x."""
    x = torch.linspace(-3, 3, 7, dtype=torch.float64)
    log_density = torch.stack([-((x + 1) ** 2) / 2, -((x - 1) ** 2) / 2])
    posterior = log_density.log_softmax(0)
    torch.testing.assert_close(posterior[1] - posterior[0], 2 * x)


@pytest.mark.parametrize("size", [28, 32, 64])
@pytest.mark.parametrize("batch_norm", [True, False])
def test_features_and_head_make_the_dcgan_discriminator(size: int, batch_norm: bool) -> None:
    D = DCGANDiscriminator(size, width=2, batch_norm=batch_norm, generator=seeded()).eval()
    x = noise(4, 1, size, size)
    features = D.features(x)
    assert features.shape == (4, D.n_features)
    assert torch.equal(D.net(x).flatten(), D(x))
    assert torch.equal(D.head(features), D(x))
    assert list(D.state_dict()) == [f"net.{name}" for name in D.net.state_dict()]


@pytest.mark.parametrize("make", [conv_d, projection])
def test_batch_norm_can_be_left_out(make: Factory) -> None:
    D = ConditionalDiscriminator if make is conv_d else ProjectionDiscriminator
    norms = nn.BatchNorm1d | nn.BatchNorm2d
    assert any(isinstance(m, norms) for m in make().modules())
    assert not any(isinstance(m, norms) for m in D(width=2, batch_norm=False).modules())


# What they refuse

BAD_LABELS = [
    (torch.tensor([0, 1, 3]), r"labels in 0\.\.2, got 0\.\.3; raise n_classes"),
    (torch.tensor([0, -1, 1]), r"labels in 0\.\.2, got -1\.\.1; .* number the classes from 0"),
    (torch.tensor([0.0, 1, 2]), r"labels of torch.int64, got torch.float32; convert them with \.long\(\)"),
    (torch.tensor([0, 1, 2], dtype=torch.uint8), "labels of torch.int64, got torch.uint8"),
    (torch.tensor([0, 1, 2], dtype=torch.int32), "labels of torch.int64, got torch.int32"),
    (torch.tensor([True, False, True]), "labels of torch.int64, got torch.bool"),
    (torch.tensor([0, 1]), r"labels \(3,\), one a sample, got \(2,\)"),
    (torch.tensor(1), r"labels \(3,\), one a sample, got \(\)"),
    (torch.zeros(0, dtype=torch.int64), r"labels \(3,\), one a sample, got \(0,\)"),
    (torch.eye(3), r"labels \(3,\), one a sample, got \(3, 3\); of one-hot rows take \.argmax\(1\)"),
    (torch.zeros(3, dtype=torch.int64, device="meta"), "labels on cpu, where the weights are, got meta"),
]


@pytest.mark.parametrize("make", [*GENERATORS, *DISCRIMINATORS])
@pytest.mark.parametrize(("y", "text"), BAD_LABELS)
def test_unfit_labels_are_refused(make: Factory, y: Tensor, text: str) -> None:
    net = make().eval()
    x = noise(3, Z) if make in GENERATORS else noise(3, 1, 28, 28)
    with pytest.raises(ValueError, match=f"expected {text}"):
        net(x, y)


def test_fit_labels_pass() -> None:
    check_labels(Y, 6, K)
    check_labels(torch.zeros(0, dtype=torch.int64), 0, K)


@pytest.mark.parametrize("make", GENERATORS)
def test_unfit_z_is_refused(make: Factory) -> None:
    G = make()
    with pytest.raises(ValueError, match=r"expected z \(N, 5\), got \(6, 9\)"):
        G(noise(6, Z + 4), Y)  # the label's share of the joined vector is no business of the caller
    with pytest.raises(ValueError, match="expected at least 2 samples in training mode"):
        G(noise(1, Z), Y[:1])
    assert G.eval()(noise(1, Z), Y[:1]).shape == (1, 1, 28, 28)


@pytest.mark.parametrize("make", DISCRIMINATORS)
def test_unfit_images_are_refused(make: Factory) -> None:
    with pytest.raises(ValueError, match=r"expected images \(N, 1, 28, 28\), got \(6, 2, 28, 28\)"):
        make()(noise(6, 2, 28, 28), Y)
    with pytest.raises(ValueError, match=r"got torch\.uint8; divide by 127.5 and subtract 1"):
        make()(torch.zeros(6, 1, 28, 28, dtype=torch.uint8), Y)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: ConditionalGenerator(48), "size 28, 32 or 64, got 48"),
        (lambda: ConditionalDiscriminator(48), "size 28, 32 or 64, got 48"),
        (lambda: ProjectionDiscriminator(48), "size 28, 32 or 64, got 48"),
        (lambda: ConditionalGenerator(n_classes=0, width=2), "n_classes of at least 1, an integer, got 0"),
        (lambda: ProjectionDiscriminator(n_classes=-1, width=2), "n_classes of at least 1"),
        (lambda: ConditionalGenerator(embed_dim=0), r"latent_dim and embed_dim of at least 1, .* \(100, 0\)"),
        (lambda: ConditionalMLPGenerator(latent_dim=0), "latent_dim and embed_dim of at least 1"),
        (lambda: ConditionalMLPDiscriminator(embed_dim=-3), "embed_dim of at least 1, an integer, got -3"),
        (lambda: ConditionalMLPDiscriminator(0), "channels and size of at least 1"),
        (lambda: ConditionalDiscriminator(channels=0), "channels and size of at least 1"),
        (lambda: ProjectionDiscriminator(width=0), r"channels and width of at least 1, .* got \(1, 0\)"),
    ],
)
def test_impossible_nets_are_refused(make: Callable[[], nn.Module], text: str) -> None:
    with pytest.raises(ValueError, match=f"expected {text}"):
        make()
