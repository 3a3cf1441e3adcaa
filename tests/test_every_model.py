"""Every pair of networks: shapes, and a step of each player, at several sizes, channels, widths, devices."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from tiny import same_bits, state
from torch import nn

from gancourse.losses import NON_SATURATING
from gancourse.models import (
    ConditionalDiscriminator,
    ConditionalGenerator,
    ConditionalMLPDiscriminator,
    ConditionalMLPGenerator,
    DCGANDiscriminator,
    DCGANGenerator,
    LinearDiscriminator,
    LinearGenerator,
    MLPDiscriminator,
    MLPGenerator,
    Packed,
    ProjectionDiscriminator,
    StyleDiscriminator,
    StyleGenerator,
    WithMinibatchDiscrimination,
    mnist_mlp,
    spectral_norm_,
)
from gancourse.training import d_step, g_step

GPU = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU"))
Players = tuple[nn.Module, nn.Module, tuple[int, ...], int | None]  # G, D, a sample's shape, classes


def images(
    G: Callable[..., nn.Module], D: Callable[..., nn.Module], size: int, channels: int, width: int
) -> Players:
    seed = torch.Generator().manual_seed(0)
    facts = {"size": size, "channels": channels, "width": width, "generator": seed}
    return G(**facts), D(**facts), (channels, size, size), None


def labelled(
    G: Callable[..., nn.Module], D: Callable[..., nn.Module], size: int, channels: int, width: int
) -> Players:
    return (*images(partial(G, n_classes=3), partial(D, n_classes=3), size, channels, width)[:2],
            (channels, size, size), 3)  # fmt: skip


def points(dim: int, width: int) -> Players:
    seed = torch.Generator().manual_seed(0)
    return (
        MLPGenerator(2, dim, width=width, generator=seed),
        MLPDiscriminator(dim, width=width, generator=seed),
        (dim,),
        None,
    )


def with_critic(change: Callable[[nn.Module], nn.Module], channels: int = 1) -> Players:
    seed = torch.Generator().manual_seed(0)
    D = DCGANDiscriminator(width=4, channels=channels, batch_norm=False, generator=seed)
    return DCGANGenerator(width=4, generator=seed), change(D), (1, 28, 28), None


def mlp_of_mnist() -> Players:
    return (*mnist_mlp(generator=torch.Generator().manual_seed(0)), (1, 28, 28), None)


CASES: dict[str, Callable[[], Players]] = {
    "linear": lambda: (LinearGenerator(), LinearDiscriminator(), (1,), None),
    "points 1-D": partial(points, 1, 8),
    "points 2-D, wide": partial(points, 2, 32),
    "MNIST MLP": mlp_of_mnist,
    "minibatch discrimination": partial(with_critic, WithMinibatchDiscrimination),
    "packed": partial(with_critic, partial(Packed, m=2), 2),
    "spectral norm": partial(with_critic, spectral_norm_),
    "conditional MLP": lambda: (
        ConditionalMLPGenerator(n_classes=3, width=(16, 32)),
        ConditionalMLPDiscriminator(n_classes=3, width=(32, 16)),
        (1, 28, 28),
        3,
    ),
}
for size, channels, width in ((28, 1, 4), (28, 3, 8), (32, 1, 8), (32, 3, 4), (64, 3, 4)):
    shape = (size, channels, width)
    CASES[f"DCGAN {shape}"] = partial(images, DCGANGenerator, DCGANDiscriminator, *shape)
    CASES[f"conditional {shape}"] = partial(labelled, ConditionalGenerator, ConditionalDiscriminator, *shape)
    CASES[f"projection {shape}"] = partial(labelled, ConditionalGenerator, ProjectionDiscriminator, *shape)
for size, channels, width in ((8, 1, 4), (16, 3, 4), (32, 1, 2), (64, 1, 2)):
    for demodulated in (False, True):
        CASES[f"StyleGAN {(size, channels, width)} demodulated {demodulated}"] = partial(
            images,
            partial(StyleGenerator, demodulated=demodulated),
            StyleDiscriminator,
            size,
            channels,
            width,
        )


def of_a_smaller_size(net: nn.Module, name: str) -> bool:
    """Tell whether a parameter belongs to images of a size that a growing net has outgrown."""
    kind, _, rest = name.partition(".")
    return kind in ("to_rgb", "from_rgb") and int(rest.split(".")[0]) < len(getattr(net, kind)) - 1


@pytest.mark.parametrize("device", ["cpu", GPU])
@pytest.mark.parametrize("case", CASES)
def test_shapes_and_a_step_of_each_player(case: str, device: str) -> None:
    G, D, shape, n_classes = CASES[case]()
    G, D = G.to(device), D.to(device)
    seed = torch.Generator().manual_seed(1)
    real = (torch.rand(4, *shape, generator=seed) * 2 - 1).to(device)
    z = torch.randn(4, int(G.latent_dim), generator=seed).to(device)  # type: ignore[arg-type]
    y = None if n_classes is None else (torch.arange(4) % n_classes).to(device)
    given = () if y is None else (y,)
    fake = G(z, *given)
    assert fake.shape == real.shape
    assert D(fake, *given).shape == (4 // int(getattr(D, "m", 1)),)
    if len(shape) == 3:
        assert -1 <= fake.min() <= fake.max() <= 1
    optimizers = [torch.optim.Adam(net.parameters(), 1e-3) for net in (G, D)]
    before = {net: state(net) for net in (G, D)}
    of_d = d_step(G, D, optimizers[1], real=real, z=z, loss=NON_SATURATING, y=y)
    moved_D = state(D)
    of_g = g_step(G, D, optimizers[0], z=z, loss=NON_SATURATING, y=y)
    assert of_d.loss.isfinite()
    assert of_g.loss.isfinite()
    for net, after in ((G, state(G)), (D, moved_D)):
        for name in (name for name, _ in net.named_parameters() if not of_a_smaller_size(net, name)):
            assert not torch.equal(after[name], before[net][name]), f"{name} did not move"
    parameters = {name: value for name, value in moved_D.items() if name in dict(D.named_parameters())}
    assert same_bits(parameters, {name: state(D)[name] for name in parameters}), "G's step moved D"
