"""DCGAN at its three sizes: shapes, architecture, initial weights, refusals."""

from itertools import product

import pytest
import torch
from torch import Tensor, nn

from gancourse.losses import NON_SATURATING
from gancourse.models import DCGANDiscriminator, DCGANGenerator, dcgan_init_, resize_conv, transposed_conv
from gancourse.training import d_step, g_step

SIZES = (28, 32, 64)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed))


@pytest.mark.parametrize(("size", "channels", "width"), [*product(SIZES, (1, 3), (2,)), (28, 1, 3)])
def test_shapes_range_and_one_training_step(size: int, channels: int, width: int) -> None:
    G = DCGANGenerator(size, latent_dim=5, channels=channels, width=width, generator=seeded())
    D = DCGANDiscriminator(size, channels=channels, width=width, generator=seeded(1))
    x = G(noise(4, 5))
    assert x.shape == (4, channels, size, size)
    assert x.dtype == torch.float32
    assert x.abs().max() <= 1
    assert D(x).shape == (4,)
    real = noise(4, channels, size, size).clamp(-1, 1)
    before = [p.detach().clone() for net in (G, D) for p in net.parameters()]
    opt_g, opt_d = (torch.optim.SGD(net.parameters(), 0.1) for net in (G, D))
    d_step(G, D, opt_d, real=real, z=noise(4, 5), loss=NON_SATURATING)
    g_step(G, D, opt_g, z=noise(4, 5, seed=1), loss=NON_SATURATING)
    after = [p for net in (G, D) for p in net.parameters()]
    assert all(p.isfinite().all() for p in after)
    moved = [not torch.equal(a, b) for a, b in zip(before, after, strict=True)]
    assert all(moved), "a parameter got no gradient"


@pytest.mark.parametrize("size", SIZES)
def test_outputs_stay_in_range_however_large_the_input(size: int) -> None:
    G = DCGANGenerator(size, latent_dim=5, width=2, batch_norm=False, generator=seeded())
    x = G(1e6 * noise(4, 5))
    assert x.abs().max() <= 1
    assert x.abs().max() > 0.9


def written_out_generator() -> nn.Sequential:
    """The 28-pixel generator of chapter 5, layer by layer."""
    return nn.Sequential(
        nn.Linear(100, 256 * 7 * 7, bias=False), nn.BatchNorm1d(256 * 7 * 7), nn.ReLU(),
        nn.Unflatten(1, (256, 7, 7)),
        nn.ConvTranspose2d(256, 128, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(128), nn.ReLU(),
        nn.ConvTranspose2d(128, 1, 4, stride=2, padding=1), nn.Tanh(),
    )  # fmt: skip


def written_out_discriminator() -> nn.Sequential:
    """The 28-pixel discriminator of chapter 5, layer by layer."""
    return nn.Sequential(
        nn.Conv2d(1, 64, 4, stride=2, padding=1), nn.LeakyReLU(0.2),
        nn.Conv2d(64, 128, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(128), nn.LeakyReLU(0.2),
        nn.Flatten(), nn.Linear(128 * 7 * 7, 1),
    )  # fmt: skip


def parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def test_the_28_pixel_generator_is_the_written_out_one() -> None:
    G, by_hand = DCGANGenerator(generator=seeded()), written_out_generator()
    assert [repr(layer) for layer in G.net] == [repr(layer) for layer in by_hand]
    by_hand.load_state_dict(G.net.state_dict())
    z = noise(4, 100)
    for mode in (True, False):
        assert torch.equal(G.train(mode)(z), by_hand.train(mode)(z))
    linear, conv, last = 100 * 12544 + 2 * 12544, 256 * 128 * 16 + 2 * 128, 128 * 16 + 1
    assert parameters(G) == linear + conv + last == 1_806_081


def test_the_28_pixel_discriminator_is_the_written_out_one() -> None:
    D, by_hand = DCGANDiscriminator(generator=seeded()), written_out_discriminator()
    assert [repr(layer) for layer in D.net] == [repr(layer) for layer in by_hand]
    by_hand.load_state_dict(D.net.state_dict())
    x = noise(4, 1, 28, 28).clamp(-1, 1)
    for mode in (True, False):
        assert torch.equal(D.train(mode)(x), by_hand.train(mode)(x).flatten())
    assert parameters(D) == (16 * 64 + 64) + (64 * 128 * 16 + 2 * 128) + (6272 + 1) == 138_689


def channels_of(net: nn.Module, kind: type[nn.Conv2d] | type[nn.ConvTranspose2d]) -> list[tuple[int, int]]:
    return [(m.in_channels, m.out_channels) for m in net.modules() if isinstance(m, kind)]


def test_at_64_pixels_and_width_128_it_is_the_generator_of_the_paper() -> None:
    """Radford et al. (2016), figure 1: 1024 channels of 4 x 4, then 512, 256, 128, and 3 of 64 x 64."""
    with torch.device("meta"):  # shapes only: no weights are made
        G = DCGANGenerator(64, latent_dim=100, channels=3, width=128)
    assert channels_of(G, nn.ConvTranspose2d) == [(1024, 512), (512, 256), (256, 128), (128, 3)]
    first = G.net[0]
    assert isinstance(first, nn.Linear)
    assert (first.in_features, first.out_features) == (100, 1024 * 4 * 4)


@pytest.mark.parametrize(
    ("size", "expected"), [(28, [1, 2]), (32, [1, 2, 4]), (64, [1, 2, 4, 8])], ids=["28", "32", "64"]
)
def test_the_discriminator_doubles_its_channels(size: int, expected: list[int]) -> None:
    D = DCGANDiscriminator(size, width=3)
    assert [out for _, out in channels_of(D, nn.Conv2d)] == [3 * m for m in expected]


@pytest.mark.parametrize("size", SIZES)
def test_normalization_is_nowhere_at_the_ends(size: int) -> None:
    """Batch normalization in G's last or D's first layer makes samples oscillate (Radford et al., 2016)."""
    G, D = DCGANGenerator(size, width=2), DCGANDiscriminator(size, width=2)
    assert isinstance(G.net[-1], nn.Tanh)
    assert isinstance(G.net[-2], nn.ConvTranspose2d)
    assert isinstance(D.net[0], nn.Conv2d)
    assert isinstance(D.net[1], nn.LeakyReLU)
    for net in (G, D):
        without = type(net)(size, width=2, batch_norm=False)
        assert any(isinstance(m, nn.BatchNorm2d) for m in net.modules())
        assert not any(isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d) for m in without.modules())


# Initial weights


def test_initial_weights_have_the_statistics_of_the_paper() -> None:
    for net in (DCGANGenerator(generator=seeded()), DCGANDiscriminator(generator=seeded())):
        for module in net.modules():
            if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
                tolerance = 4 * 0.02 / module.weight.numel() ** 0.5
                assert module.weight.std().item() == pytest.approx(0.02, abs=tolerance)
                assert module.weight.mean().item() == pytest.approx(0, abs=tolerance)
                assert module.bias is None or module.bias.count_nonzero() == 0
            elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                tolerance = 4 * 0.02 / module.weight.numel() ** 0.5
                assert module.weight.mean().item() == pytest.approx(1, abs=tolerance)
                assert module.weight.std().item() == pytest.approx(0.02, abs=tolerance)
                assert module.bias.count_nonzero() == 0


def test_scales_centered_on_zero_shrink_the_signal_fiftyfold() -> None:
    """The slip that `norm_mean` exists to show: the scale's size is then 1 / 50."""
    norm = nn.BatchNorm2d(2000)
    x = noise(8, 2000, 2, 2)
    sizes = []
    for mean in (1.0, 0.0):
        dcgan_init_(norm, norm_mean=mean, generator=seeded())
        sizes.append(norm(x).square().mean().sqrt().item())
    assert sizes[0] / sizes[1] == pytest.approx(50, rel=0.1)


def test_initialization_leaves_other_layers_alone() -> None:
    layer = nn.PReLU(init=0.25)
    dcgan_init_(nn.Sequential(layer, nn.ReLU()))
    assert layer.weight.item() == 0.25


@pytest.mark.parametrize("make", [DCGANGenerator, DCGANDiscriminator])
def test_the_seed_decides_the_initial_weights(make: type[DCGANGenerator] | type[DCGANDiscriminator]) -> None:
    def weights(seed: int, global_seed: int) -> Tensor:
        torch.manual_seed(global_seed)
        return torch.cat([p.detach().flatten() for p in make(width=2, generator=seeded(seed)).parameters()])

    assert torch.equal(weights(0, 1), weights(0, 2))
    assert not torch.equal(weights(0, 1), weights(1, 1))


# Upsampling


@pytest.mark.parametrize("up", [transposed_conv, resize_conv])
@pytest.mark.parametrize("bias", [True, False])
def test_upsampling_doubles_the_side(up: type[nn.Module], bias: bool) -> None:
    layer = up(3, 5, bias)
    assert layer(noise(2, 3, 7, 4)).shape == (2, 5, 14, 8)
    assert any(name.endswith("bias") for name, _ in layer.named_parameters()) == bias


def taps(layer: nn.Module) -> Tensor:
    """Return how many kernel taps reach each inner pixel: the layer with taps of one on an image of ones."""
    with torch.no_grad():
        for p in layer.parameters():
            p.fill_(1.0)
        out: Tensor = layer(torch.ones(1, 1, 8, 8))
    return out[0, 0, 3:-3, 3:-3]


def test_kernel_4_overlaps_evenly_and_kernel_3_does_not() -> None:
    """Odena et al. (2016): a kernel that the stride does not divide overlaps in a checkerboard."""
    assert taps(transposed_conv(1, 1, bias=False)).unique().tolist() == [4.0]
    assert taps(resize_conv(1, 1, bias=False)).unique().tolist() == [9.0]
    uneven = nn.ConvTranspose2d(1, 1, 3, stride=2, padding=1, output_padding=1, bias=False)
    assert taps(uneven).unique().tolist() == [1.0, 2.0, 4.0]


def test_a_generator_can_be_given_another_upsampling() -> None:
    G = DCGANGenerator(latent_dim=5, width=2, upsample=resize_conv, generator=seeded())
    assert G(noise(3, 5)).shape == (3, 1, 28, 28)
    assert not any(isinstance(m, nn.ConvTranspose2d) for m in G.modules())


# What they refuse


@pytest.mark.parametrize("make", [DCGANGenerator, DCGANDiscriminator])
def test_another_size_is_refused(make: type[DCGANGenerator] | type[DCGANDiscriminator]) -> None:
    with pytest.raises(ValueError, match="expected size 28, 32 or 64, got 48; resize"):
        make(48)


@pytest.mark.parametrize("shape", [(4, 6), (5,), (4, 5, 1, 1), (0,)])
def test_another_shape_of_z_is_refused(shape: tuple[int, ...]) -> None:
    G = DCGANGenerator(latent_dim=5, width=2)
    with pytest.raises(ValueError, match=r"expected z \(N, 5\), got \("):
        G(torch.zeros(shape))


@pytest.mark.parametrize("shape", [(4, 1, 32, 32), (4, 3, 28, 28), (1, 28, 28), (28, 28), (4, 784)])
def test_another_shape_of_images_is_refused(shape: tuple[int, ...]) -> None:
    D = DCGANDiscriminator(width=2)
    with pytest.raises(ValueError, match=r"expected images \(N, 1, 28, 28\), got \("):
        D(torch.zeros(shape))
