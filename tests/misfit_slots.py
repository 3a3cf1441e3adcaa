"""The public calls that take tensors or counts, argument by argument: what fits, and what does not."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any
from unittest import mock

import torch
from hypothesis import strategies as st
from misfits import (
    COMPLEX,
    DTYPES,
    FINITE,
    FLOATS,
    INTEGERS,
    NO_TENSORS,
    UNIT,
    Slot,
    Wanted,
    filled,
    no_counts,
    no_rates,
    slot,
)
from torch import Tensor, nn

from gancourse import data, distributed, features, losses, metrics, models, penalties, plot, regularizers
from gancourse.data.loaders import loader_of
from gancourse.pretrained import card, pretrained
from gancourse.sampling import generate, lerp, sample, slerp
from gancourse.training import Run, Schedule, TrainConfig, d_step, fit, g_step

NO_REAL = tuple(d for d in DTYPES if d not in COMPLEX)
BYTES = (torch.uint8,)
LONG = (torch.int64,)


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def rows(*shape: int) -> Tensor:
    return torch.randn(shape, generator=rng())


def count(name: str, call: Callable[[Any], object], good: int, **bounds: Any) -> Slot:
    return Slot(name, call, no_counts(**bounds), good)


def rate(name: str, call: Callable[[Any], object], good: float, *bounds: float, **ends: bool) -> Slot:
    return Slot(name, call, no_rates(*bounds, **ends), good)


def one_of(name: str, call: Callable[[Any], object], good: Any, *bad: Any) -> Slot:
    return Slot(name, call, st.sampled_from(bad), good)


# Data

BYTE_IMAGES = Wanted(((3, "C", "H", "W"),), BYTES)
LABELS_3 = torch.arange(3)
IMAGES = data.ImageData(torch.zeros(4, 1, 28, 28, dtype=torch.uint8), torch.arange(4))
POINTS = Wanted((("N", "D"), ("N", "C", "H", "W")), FLOATS, FINITE)
PICTURES = Wanted((("N", "C", "H", "W"),), FLOATS, UNIT)
RING = data.ring(4)
WORDS = st.text(max_size=9).filter(lambda s: s not in ("train", "test", "dcgan-28"))
NO_SIZES = st.one_of(st.integers(-5, 27), st.integers(65, 999), st.sampled_from([28.0, 30.5, None, "28"]))


def loader(state: Any) -> None:
    made = data.DeviceLoader(IMAGES, 2)
    made.load_state_dict(made.state_dict() | {"position": state})


DATA = [
    slot("ImageData(images)", lambda x: data.ImageData(x, LABELS_3), BYTE_IMAGES),
    slot(
        "ImageData(labels)",
        lambda y: data.ImageData(filled((3, 1, 2, 2), torch.uint8), y),
        Wanted(((3,),), LONG),
    ),
    count("ImageData.take", IMAGES.take, 2, at_most=4),
    slot("to_unit", data.to_unit, Wanted((("N", ...), ()), (torch.float32, *FLOATS[1:], torch.uint8), UNIT)),
    slot("Mixture(centers)", lambda x: data.Mixture(x, 0.1), Wanted((("K", "D"),), never=FINITE)),
    slot(
        "Mixture(weights)",
        lambda w: data.Mixture(rows(4, 2), 0.1, w),
        Wanted(((4,),), FLOATS, (*FINITE, -1.0, 9.0)),
        good=torch.full((4,), 0.25),
        optional=True,
    ),
    rate("Mixture(std)", lambda s: data.Mixture(rows(4, 2), s), 0.1, 0.0),
    count("Mixture.sample", RING.sample, 3),
    slot("Mixture.log_prob", RING.log_prob, Wanted((("N", 2),), FLOATS, FINITE)),
    count("ring(modes)", data.ring, 3),
    rate("ring(radius)", lambda r: data.ring(3, r), 1.0, 0.0),
    count("grid(side)", data.grid, 3),
    rate("grid(spacing)", lambda s: data.grid(3, s), 1.0, 0.0),
    rate("bimodal(std)", data.bimodal, 1.0, 0.0),
    slot(
        "DeviceLoader(points)",
        lambda x: data.DeviceLoader(x, 2),
        Wanted(POINTS.shapes, FLOATS, FINITE, at_least=2),
    ),
    slot(
        "DeviceLoader(pictures)",
        lambda x: data.DeviceLoader(x, 2),
        Wanted((*PICTURES.shapes, ("N", "D")), FLOATS, UNIT, 2),
    ),
    one_of(
        "DeviceLoader(1e300)",
        lambda v: data.DeviceLoader(torch.full((3, 2), v, dtype=torch.float64), 1),
        1.0,
        1e300,
        -1e39,
    ),
    count("DeviceLoader(batch_size)", lambda n: data.DeviceLoader(IMAGES, n), 2, at_most=4),
    count("DeviceLoader(batch_size of points)", lambda n: data.DeviceLoader(rows(4, 2), n), 4, at_most=4),
    Slot("DeviceLoader.load_state_dict", loader, st.one_of(st.integers(-99, -1), st.integers(3, 99)), 2),
    count("MixtureLoader(batch_size)", lambda n: data.MixtureLoader(RING, n), 2),
    one_of(
        "loader_of(data)",
        lambda x: loader_of(x, 2, device="cpu", seed=0),
        IMAGES,
        None,
        [1.0],
        "ring",
        {"images": IMAGES},
        rows(3, 2).numpy(),
        data.DeviceLoader(IMAGES, 3),
        rows(1, 2),
    ),
    Slot("digits(split)", data.digits, WORDS, "test"),
    Slot("digits(size)", lambda n: data.digits("test", n), NO_SIZES, 28),
    Slot("mnist(split)", data.mnist, WORDS, "test"),
    Slot("mnist(size)", lambda n: data.mnist("test", n), NO_SIZES, 28),
    count("stacked_mnist(n)", lambda n: data.stacked_mnist(n, split="test"), 2),
    count(
        "stacked_mnist(seed)",
        lambda n: data.stacked_mnist(2, seed=n, split="test"),
        2,
        at_least=0,
        at_most=2**63 - 1,
    ),
    Slot("stacked_mnist(size)", lambda n: data.stacked_mnist(2, split="test", size=n), NO_SIZES, 28),
    Slot("stacked_mnist(split)", lambda s: data.stacked_mnist(2, split=s), WORDS, "test"),
]

# Losses

LOGITS = Wanted((("N",),), FLOATS)
THREE = Wanted(((3,),), FLOATS)
PAIRS = [losses.MINIMAX, losses.NON_SATURATING, losses.LEAST_SQUARES, losses.HINGE, losses.WASSERSTEIN]
PAIRS += [losses.smooth_real_labels(losses.MINIMAX), losses.noisy_labels(losses.MINIMAX, 0.2)]


def of_loss(loss: losses.GANLoss, wanted: Wanted) -> list[Slot]:
    z = torch.zeros(3)
    return [
        slot(f"{loss.name}.d(real)", lambda x: loss.d(real=x, fake=z), wanted),
        slot(f"{loss.name}.d(fake)", lambda x: loss.d(real=z, fake=x), wanted),
        slot(f"{loss.name}.g(fake)", lambda x: loss.g(fake=x, real=z), wanted),
        slot(f"{loss.name}.g(real)", lambda x: loss.g(fake=z, real=x), wanted, optional=not loss.relative),
    ]


LOSSES = [s for loss in PAIRS for s in of_loss(loss, LOGITS)] + of_loss(losses.RELATIVISTIC, THREE)
LOSSES += [
    rate(
        "smooth_real_labels",
        lambda t: losses.smooth_real_labels(losses.MINIMAX, t),
        0.9,
        0.5,
        1.0,
        high_fits=True,
    ),
    rate("noisy_labels", lambda t: losses.noisy_labels(losses.MINIMAX, t), 0.1, 0.0, 0.5, low_fits=True),
    one_of("noisy_labels(loss)", losses.noisy_labels, losses.MINIMAX, losses.HINGE, losses.WASSERSTEIN),
]

# Penalties and regularizers

CRITIC = models.MLPDiscriminator(3, 4, 1, generator=rng())
SAMPLES = Wanted((("N", 3),), (torch.float32, torch.bfloat16, torch.float16))
PAIRED = Wanted(((2, 3),), (torch.float32, torch.bfloat16, torch.float16))
EXACT = Wanted((("N", 3),))
WITH_BATCH_NORM = models.DCGANDiscriminator(28, 1, 2, generator=rng())


def answers(logits: Any) -> Tensor:
    return penalties.r1(lambda x: logits, rows(3, 2), rows(3, 2))


PENALTIES = [
    slot("gradient_penalty(real)", lambda x: penalties.gradient_penalty(CRITIC, x, rows(2, 3)), PAIRED),
    slot("gradient_penalty(fake)", lambda x: penalties.gradient_penalty(CRITIC, rows(2, 3), x), PAIRED),
    slot("interpolate(real)", lambda x: penalties.interpolate(x, rows(2, 3)), Wanted(((2, 3),), FLOATS)),
    slot("interpolate(fake)", lambda x: penalties.interpolate(rows(2, 3), x), Wanted(((2, 3),), FLOATS)),
    slot("gradient_norms", lambda x: penalties.gradient_norms(CRITIC, x), SAMPLES),
    slot("r1(real)", lambda x: penalties.r1(CRITIC, x, rows(2, 3)), SAMPLES),
    slot("r2(fake)", lambda x: penalties.r2(CRITIC, rows(2, 3), x), SAMPLES),
    slot("r1_r2(real)", lambda x: penalties.r1_r2(CRITIC, x, rows(2, 3)), SAMPLES),
    slot("r1_r2(fake)", lambda x: penalties.r1_r2(CRITIC, rows(2, 3), x), SAMPLES),
    slot("what a critic answers", answers, Wanted(((3,),), FLOATS), good=torch.zeros(3, requires_grad=True)),
    one_of(
        "r1(critic with BatchNorm)",
        lambda D: penalties.r1(D, torch.zeros(2, 1, 28, 28), torch.zeros(2)),
        models.DCGANDiscriminator(28, 1, 2, batch_norm=False),
        WITH_BATCH_NORM,
    ),
    rate("clip_weights_", lambda b: penalties.clip_weights_(nn.Linear(2, 2), b), 0.1, 0.0),
    slot("feature_matching(real)", lambda x: regularizers.feature_matching(CRITIC, x, rows(2, 3)), EXACT),
    slot("feature_matching(fake)", lambda x: regularizers.feature_matching(CRITIC, rows(2, 3), x), EXACT),
    one_of(
        "feature_matching(D)",
        lambda D: regularizers.feature_matching(D, rows(2, 3), rows(2, 3)),
        CRITIC,
        nn.Linear(3, 1),
        None,
        "D",
    ),
    slot(
        "add_instance_noise(x)",
        lambda x: regularizers.add_instance_noise(x, 0.1),
        Wanted((("N", "C", ...),), FLOATS),
    ),
    rate(
        "add_instance_noise(std)",
        lambda s: regularizers.add_instance_noise(rows(2, 3), s),
        0.1,
        0.0,
        low_fits=True,
    ),
    slot(
        "unrolled(real)",
        lambda x: regularizers.unrolled(CRITIC, losses.MINIMAX, x, rows(2, 3), steps=1, lr=0.1),
        EXACT,
    ),
    slot(
        "unrolled(fake)",
        lambda x: regularizers.unrolled(CRITIC, losses.MINIMAX, rows(2, 3), x, steps=1, lr=0.1),
        EXACT,
    ),
    count(
        "unrolled(steps)",
        lambda n: regularizers.unrolled(CRITIC, losses.MINIMAX, rows(2, 3), rows(2, 3), steps=n, lr=0.1),
        1,
        at_least=0,
    ),
    rate(
        "unrolled(lr)",
        lambda r: regularizers.unrolled(CRITIC, losses.MINIMAX, rows(2, 3), rows(2, 3), steps=1, lr=r),
        0.1,
        0.0,
    ),
]

# Metrics and features

FEATURES = Wanted((("N", 2),), FLOATS, FINITE, at_least=2)
ANY_FEATURES = Wanted((("N", "F"),), FLOATS, FINITE)
MANY = Wanted((("N", 2),), FLOATS, FINITE, at_least=4)
MEANS = Wanted(((3,),), NO_REAL, FINITE)
CLASSES = Wanted((("N",),), INTEGERS, (-1, 10, 2**40))
MU, COV = torch.zeros(3), torch.eye(3)
CLASSIFIER = features.MNISTClassifier()
DIGITS = Wanted((("N", 1, 28, 28),), (*FLOATS, torch.uint8), UNIT)
FLOAT_DIGITS = Wanted((("N", 1, 28, 28),), placed=True, at_least=2)


class _Inception(nn.Module):
    """A stand-in for the FID network: uint8 images (N, 3, H, W) to features and logits."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1), requires_grad=False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        means = self.scale * images.flatten(2).float().mean(2)
        return means, means


def crooked(value: float) -> Tensor:
    return torch.eye(3) + torch.tensor([[0, value, 0], [0, 0, 0], [0, 0, 0]])


def covariance(name: str, call: Callable[[Tensor], object]) -> list[Slot]:
    bent = st.floats(0.1, 1e6).map(crooked) | st.floats(0.1, 1e6).map(lambda v: -v * torch.eye(3))
    return [
        slot(name, call, Wanted(((3, 3),), NO_REAL, FINITE), good=COV),
        Slot(f"{name}, no covariance", call, bent, COV),
    ]


METRICS = [
    slot("FeatureStats.of", metrics.FeatureStats.of, ANY_FEATURES),
    Slot(
        "FeatureStats.merge",
        lambda n: metrics.FeatureStats.of(rows(3, 4)).merge(metrics.FeatureStats.of(rows(3, n))),
        st.sampled_from([1, 2, 3, 5, 6, 7]),
        4,
    ),
    Slot("FeatureStats.cov", lambda n: metrics.FeatureStats.of(rows(n, 3)).cov, st.just(1), 2),
    slot("frechet_distance(mu1)", lambda x: metrics.frechet_distance(x, COV, MU, COV), MEANS),
    slot("frechet_distance(mu2)", lambda x: metrics.frechet_distance(MU, COV, x, COV), MEANS),
    *covariance("frechet_distance(cov1)", lambda x: metrics.frechet_distance(MU, x, MU, COV)),
    *covariance("frechet_distance(cov2)", lambda x: metrics.frechet_distance(MU, COV, MU, x)),
    slot(
        "frechet_distance_from_features(real)",
        lambda x: metrics.frechet_distance_from_features(x, rows(5, 2)),
        FEATURES,
    ),
    slot(
        "frechet_distance_from_features(fake)",
        lambda x: metrics.frechet_distance_from_features(rows(5, 2), x),
        FEATURES,
    ),
    one_of(
        "extrapolate_to_infinity(values)",
        lambda v: metrics.extrapolate_to_infinity([10, 20, 40], v),
        [1.0, 2.0, 3.0],
        *[[1.0, value, 3.0] for value in FINITE],
        *[[1.0] * n for n in (0, 1, 2, 4, 5)],
    ),
    one_of(
        "extrapolate_to_infinity(sizes)",
        lambda n: metrics.extrapolate_to_infinity(n, [1.0, 2.0]),
        [1, 2],
        [1, 1],
        [1],
        [0, 1],
        [-1, 2],
        [1, 2, 3],
        [],
        [float("nan"), 1],
    ),
    slot(
        "kernel_distance(real)",
        lambda x: metrics.kernel_distance(x, rows(5, 2), subsets=1, subset_size=2),
        FEATURES,
    ),
    slot(
        "kernel_distance(fake)",
        lambda x: metrics.kernel_distance(rows(5, 2), x, subsets=1, subset_size=2),
        FEATURES,
    ),
    count(
        "kernel_distance(subset_size)",
        lambda n: metrics.kernel_distance(rows(5, 2), rows(6, 2), subsets=1, subset_size=n),
        2,
        at_least=2,
        at_most=5,
    ),
    count(
        "kernel_distance(subsets)",
        lambda n: metrics.kernel_distance(rows(5, 2), rows(6, 2), subsets=n, subset_size=3),
        1,
    ),
    count(
        "kernel_distance(degree)",
        lambda n: metrics.kernel_distance(rows(5, 2), rows(6, 2), subset_size=3, subsets=1, degree=n),
        3,
    ),
    slot("squared_mmd(real)", lambda x: metrics.squared_mmd(x, rows(5, 2)), FEATURES),
    slot("squared_mmd(fake)", lambda x: metrics.squared_mmd(rows(5, 2), x), FEATURES),
    count("squared_mmd(degree)", lambda n: metrics.squared_mmd(rows(5, 2), rows(6, 2), degree=n), 3),
    slot("inception_score(logits)", lambda x: metrics.inception_score(x), ANY_FEATURES),
    count("inception_score(splits)", lambda n: metrics.inception_score(rows(5, 2), splits=n), 5, at_most=5),
    slot("precision_recall(real)", lambda x: metrics.precision_recall(x, rows(5, 2)), MANY),
    slot("precision_recall(fake)", lambda x: metrics.precision_recall(rows(5, 2), x), MANY),
    count(
        "precision_recall(k)", lambda n: metrics.precision_recall(rows(5, 2), rows(6, 2), k=n), 4, at_most=4
    ),
    slot("density_coverage(real)", lambda x: metrics.density_coverage(x, rows(5, 2), k=3), MANY),
    slot(
        "density_coverage(fake)",
        lambda x: metrics.density_coverage(rows(5, 2), x, k=3),
        Wanted((("N", 2),), FLOATS, FINITE),
    ),
    count(
        "density_coverage(k)", lambda n: metrics.density_coverage(rows(5, 2), rows(6, 2), k=n), 4, at_most=4
    ),
    slot("mode_report(samples)", lambda x: metrics.mode_report(x, RING), Wanted((("N", 2),), FLOATS, FINITE)),
    rate("mode_report(threshold)", lambda t: metrics.mode_report(rows(5, 2), RING, threshold=t), 3.0, 0.0),
    count("perfect_mode_report(n_samples)", lambda n: metrics.perfect_mode_report(RING, n), 3),
    rate(
        "perfect_mode_report(threshold)",
        lambda t: metrics.perfect_mode_report(RING, 3, threshold=t),
        3.0,
        0.0,
    ),
    slot("class_histogram(classes)", metrics.class_histogram, CLASSES),
    count(
        "class_histogram(n_classes)",
        lambda n: metrics.class_histogram(torch.zeros(2, dtype=torch.int64), n),
        10,
    ),
    slot("stacked_report(classes)", lambda y: metrics.stacked_report(y, 10), CLASSES),
    count(
        "stacked_report(n_modes)", lambda n: metrics.stacked_report(torch.zeros(2, dtype=torch.int64), n), 10
    ),
    slot(
        "stacked_classes",
        lambda x: metrics.stacked_classes(x, CLASSIFIER.eval()),
        Wanted((("N", 3, 28, 28),), (*FLOATS, torch.uint8), UNIT),
    ),
    slot(
        "collapse_alarms",
        metrics.collapse_alarms,
        Wanted((("K",),), FLOATS, (*FINITE, -1.0, 2.0)),
        good=torch.tensor([0.4, 0.6]),
    ),
    slot("extract(images)", lambda x: features.extract(CLASSIFIER.eval(), x), DIGITS),
    count(
        "extract(batch_size)", lambda n: features.extract(CLASSIFIER.eval(), torch.zeros(2, 1, 28, 28), n), 1
    ),
    slot("MNISTClassifier", lambda x: CLASSIFIER.train()(x), FLOAT_DIGITS),
    slot(
        "MNISTClassifier.features",
        lambda x: CLASSIFIER.eval().features(x),
        Wanted(FLOAT_DIGITS.shapes, placed=True),
    ),
    slot(
        "MNISTClassifier.classify",
        lambda x: CLASSIFIER.eval().classify(x),
        Wanted((("N", 128),), placed=True),
    ),
    slot(
        "inception_features(images)",
        lambda x: features.inception_features(_Inception(), x),
        Wanted((("N", 3, "H", "W"), ("N", 1, "H", "W")), (*FLOATS, torch.uint8), UNIT),
    ),
    count(
        "inception_features(batch_size)",
        lambda n: features.inception_features(_Inception(), torch.zeros(2, 3, 4, 4), n),
        1,
    ),
    Slot("pretrained", pretrained, WORDS, "dcgan-28"),
    Slot("card", card, WORDS, "dcgan-28"),
    slot("tile(images)", plot.tile, Wanted((("N", "C", "H", "W"),), FLOATS)),
    count("tile(columns)", lambda n: plot.tile(torch.zeros(3, 1, 2, 2), n), 2),
]

# Models

Y_ANYWHERE = Wanted(((3,),), LONG, (-1, 10, 2**40))
Y = Wanted(Y_ANYWHERE.shapes, LONG, Y_ANYWHERE.never, placed=True)
Z3 = Wanted((("N", 3),), placed=True)
Z3_BATCH = Wanted((("N", 3),), at_least=2, placed=True)
DIGITS_28 = Wanted((("N", 1, 28, 28),), placed=True)
THREE_28 = Wanted(((3, 1, 28, 28),), placed=True)
NOISE_4 = Wanted(((3, 1, 4, 4), (1, 1, 4, 4)), placed=True)
MAPS = Wanted((("N", 2, "H", "W"),), placed=True)
FOUR_LABELS, IMAGES_3, Z_3 = torch.arange(3), torch.zeros(3, 1, 28, 28), torch.zeros(3, 3)

STYLE = models.StyleGenerator(8, 3, 4, width=2, depth=1, generator=rng())
STYLE_2 = models.StyleGenerator(8, 3, 4, width=2, depth=1, demodulated=True, generator=rng())
STYLE_D = models.StyleDiscriminator(8, 1, 2, generator=rng())


def conditional() -> list[Slot]:
    """Return the slots of the conditional pairs, tiny: of 28 pixels, z (N, 3), 10 classes."""
    pairs: list[tuple[nn.Module, nn.Module]] = [
        (
            models.ConditionalMLPGenerator(28, 10, 3, width=(4,), embed_dim=2),
            models.ConditionalMLPDiscriminator(width=(4,), embed_dim=2),
        ),
        (
            models.ConditionalGenerator(28, 10, 3, width=2, embed_dim=2),
            models.ConditionalDiscriminator(width=2),
        ),
        (
            models.ConditionalGenerator(28, 10, 3, width=2, embed_dim=2).eval(),
            models.ProjectionDiscriminator(width=2),
        ),
    ]
    slots = []
    for G, D in pairs:
        of_g, of_d = f"{type(G).__name__}{'' if G.training else ' evaluating'}", type(D).__name__
        slots += [
            slot(f"{of_g}(z)", lambda z, G=G: G(z, FOUR_LABELS), Wanted(((3, 3),), placed=True)),
            slot(f"{of_g}(y)", lambda y, G=G: G(Z_3, y), Y),
            slot(f"{of_d}(images)", lambda x, D=D: D(x, FOUR_LABELS), THREE_28),
            slot(f"{of_d}(y)", lambda y, D=D: D(IMAGES_3, y), Y),
        ]
    return slots


def under_autocast(net: nn.Module) -> Callable[[Any], object]:
    def call(x: Any) -> object:
        with torch.autocast("cpu", torch.bfloat16):
            return net(x)

    return call


MNIST_G, MNIST_D = models.mnist_mlp(4, 1, 3, generator=rng())
DCGAN_G, DCGAN_D = models.DCGANGenerator(28, 3, 1, 2), models.DCGANDiscriminator(28, 1, 2)
PACKED = models.Packed(models.MLPDiscriminator(6, 4, 1), 2)
TOLD = models.WithMinibatchDiscrimination(models.MLPDiscriminator(3, 4, 1), 2, 2)
AUTOCAST = FLOATS[:3]

MODELS = [
    slot("LinearGenerator", models.LinearGenerator(), Wanted((("N", 1),), placed=True)),
    slot("LinearDiscriminator", models.LinearDiscriminator(), Wanted((("N", 1),), placed=True)),
    slot("LinearDiscriminator.head", models.LinearDiscriminator().head, Wanted((("N", 1),), placed=True)),
    slot("MLPGenerator", models.MLPGenerator(3, 2, 4, 1), Z3),
    slot("MLPGenerator with BatchNorm", MNIST_G, Z3_BATCH),
    slot("MLPDiscriminator", CRITIC, Z3),
    slot("MLPDiscriminator.head", CRITIC.head, Wanted((("N", 4),), placed=True)),
    slot("MLPDiscriminator of images", MNIST_D, Wanted((("N", 1, 4, 4),), placed=True)),
    slot("DCGANGenerator", DCGAN_G, Z3_BATCH),
    slot("DCGANGenerator under autocast", under_autocast(DCGAN_G), Wanted((("N", 3),), AUTOCAST, at_least=2)),
    slot("DCGANDiscriminator", DCGAN_D, DIGITS_28),
    slot("DCGANDiscriminator under autocast", under_autocast(DCGAN_D), Wanted(DIGITS_28.shapes, AUTOCAST)),
    slot("DCGANDiscriminator.head", DCGAN_D.head, Wanted((("N", DCGAN_D.n_features),), placed=True)),
    *conditional(),
    slot("check_labels", lambda y: models.check_labels(y, 3, 10), Wanted(((3,),), LONG, (-1, 10))),
    slot("MinibatchDiscrimination", models.MinibatchDiscrimination(3, 2, 2), Z3_BATCH),
    slot("WithMinibatchDiscrimination", TOLD, Z3_BATCH),
    slot("WithMinibatchDiscrimination.head", TOLD.head, Wanted((("N", 6),), placed=True)),
    one_of(
        "WithMinibatchDiscrimination(D)",
        models.WithMinibatchDiscrimination,
        CRITIC,
        nn.Linear(3, 1),
        None,
        "D",
    ),
    slot("Packed", PACKED, Wanted(((4, 3), (2, 3), (6, 3)), placed=True)),
    one_of("Packed, odd batch", lambda n: PACKED(rows(n, 3)), 4, 1, 3, 5, 7),
    Slot(
        "Packed(m)",
        lambda m: models.Packed(models.MLPDiscriminator(6, 4, 1), m),
        no_counts(at_most=6) | st.sampled_from([4, 5]),
        3,
    ),
    slot("MinibatchStd", models.MinibatchStd(), Wanted((("N", "C", "H", "W"),), FLOATS)),
    slot("StyleDiscriminator", STYLE_D, Wanted((("N", 1, 8, 8),), placed=True)),
    slot("StyleGenerator(z)", STYLE, Z3),
    slot("StyleGenerator(z2)", lambda z: STYLE(Z_3, z, 1), Wanted(((3, 3),), placed=True)),
    count("StyleGenerator(cutoff)", lambda n: STYLE(Z_3, Z_3, n), 4, at_least=0, at_most=4),
    slot("StyleGenerator demodulated", STYLE_2, Z3),
    slot("StyleGenerator.synthesize(w)", STYLE.synthesize, Wanted((("N", 4), ("N", 4, 4)), placed=True)),
    slot(
        "StyleGenerator.synthesize(noise)",
        lambda n: STYLE.synthesize(torch.zeros(3, 4), [n, None, None, None]),
        NOISE_4,
        optional=True,
    ),
    one_of(
        "StyleGenerator.synthesize(noises)",
        lambda n: STYLE.synthesize(torch.zeros(3, 4), n),
        [None] * 4,
        [],
        [None],
        [None] * 5,
        [torch.zeros(1, 1, 4, 4)],
    ),
    slot(
        "StyleGenerator.truncate(w)",
        lambda w: STYLE.truncate(w, 0.5),
        Wanted((("N", 4), ("N", 4, 4)), placed=True),
    ),
    count(
        "StyleGenerator.truncate(cutoff)",
        lambda n: STYLE.truncate(torch.zeros(3, 4), 0.5, n),
        2,
        at_least=0,
        at_most=4,
    ),
    count("StyleGenerator.draw_noise", STYLE.draw_noise, 2),
    one_of(
        "StyleGenerator.set_stage",
        lambda n: models.StyleGenerator(8, 3, 4, width=2, depth=1).set_stage(n),
        4,
        0,
        2,
        6,
        16,
        -8,
        4.5,
    ),
    rate(
        "StyleDiscriminator.set_stage(alpha)",
        lambda a: models.StyleDiscriminator(8, 1, 2).set_stage(8, a),
        0.5,
        0.0,
        1.0,
        low_fits=True,
        high_fits=True,
    ),
    slot(
        "mix_styles(w)",
        lambda w: models.mix_styles(w, torch.zeros(3, 4), 1, 4),
        Wanted(((3, 4),), placed=True),
    ),
    slot(
        "mix_styles(w2)",
        lambda w: models.mix_styles(torch.zeros(3, 4), w, 1, 4),
        Wanted(((3, 4),), placed=True),
    ),
    slot("MappingNetwork", models.MappingNetwork(3, 4, 1), Z3),
    slot(
        "MappingNetwork.update_mean", models.MappingNetwork(3, 4, 1).update_mean, Wanted((("N", 4),), FLOATS)
    ),
    slot("PixelNorm", models.PixelNorm(), Wanted((("N", "C", ...),), FLOATS)),
    slot("EqualizedLinear", models.EqualizedLinear(3, 2), Z3),
    slot("EqualizedConv2d", models.EqualizedConv2d(2, 3), MAPS),
    slot(
        "adain(x)",
        lambda x: models.adain(x, torch.ones(3, 2), torch.ones(3, 2)),
        Wanted(((3, 2, "H", "W"),), placed=True),
    ),
    slot(
        "adain(scale)",
        lambda s: models.adain(torch.zeros(3, 2, 4, 4), s, torch.ones(3, 2)),
        Wanted(((3, 2),), placed=True),
    ),
    slot(
        "adain(bias)",
        lambda s: models.adain(torch.zeros(3, 2, 4, 4), torch.ones(3, 2), s),
        Wanted(((3, 2),), placed=True),
    ),
    slot(
        "AdaIN(x)",
        lambda x: models.AdaIN(4, 2)(x, torch.zeros(3, 4)),
        Wanted(((3, 2, "H", "W"),), placed=True),
    ),
    slot(
        "AdaIN(w)", lambda w: models.AdaIN(4, 2)(torch.zeros(3, 2, 4, 4), w), Wanted(((3, 4),), placed=True)
    ),
    slot("NoiseInjection(x)", models.NoiseInjection(2), Wanted(MAPS.shapes, FLOATS)),
    slot(
        "NoiseInjection(noise)",
        lambda n: models.NoiseInjection(2)(torch.zeros(3, 2, 4, 4), n),
        NOISE_4,
        optional=True,
    ),
    slot(
        "demodulation(weight)",
        lambda w: models.demodulation(w, torch.ones(3, 2)),
        Wanted((("O", 2, "K", "K"),), placed=True),
    ),
    slot(
        "demodulation(style)",
        lambda s: models.demodulation(torch.ones(2, 2, 3, 3), s),
        Wanted((("N", 2),), placed=True),
    ),
    slot(
        "modulated_conv(x)",
        lambda x: models.modulated_conv(x, torch.ones(2, 2, 3, 3), torch.ones(3, 2)),
        Wanted(((3, 2, "H", "W"),), placed=True),
    ),
    slot(
        "modulated_conv(weight)",
        lambda w: models.modulated_conv(torch.ones(3, 2, 4, 4), w, torch.ones(3, 2)),
        Wanted((("O", 2, 3, 3), ("O", 2, 1, 1)), placed=True),
    ),
    slot(
        "modulated_conv(style)",
        lambda s: models.modulated_conv(torch.ones(3, 2, 4, 4), torch.ones(2, 2, 3, 3), s),
        Wanted(((3, 2),), placed=True),
    ),
    slot(
        "ModulatedConv2d(x)",
        lambda x: models.ModulatedConv2d(2, 3, 4)(x, torch.zeros(3, 4)),
        Wanted(((3, 2, "H", "W"),), placed=True),
    ),
    slot(
        "ModulatedConv2d(w)",
        lambda w: models.ModulatedConv2d(2, 3, 4)(torch.zeros(3, 2, 4, 4), w),
        Wanted(((3, 4),), placed=True),
    ),
]

SIZES = (0, 8, 27, 29, 128, -28, 28.5, None, "28")
BUILT = [
    count("MLPGenerator(latent_dim)", lambda n: models.MLPGenerator(n, 2), 2),
    count("MLPGenerator(out_dim)", lambda n: models.MLPGenerator(2, n), 2),
    count("MLPGenerator(width)", lambda n: models.MLPGenerator(2, 2, n), 2),
    Slot(
        "MLPGenerator(depth)",
        lambda n: models.MLPGenerator(2, 2, 2, n),
        no_counts(0).filter(lambda n: n is not None),
        0,
    ),
    count("MLPDiscriminator(in_dim)", models.MLPDiscriminator, 2),
    rate(
        "MLPDiscriminator(dropout)",
        lambda p: models.MLPDiscriminator(2, 2, dropout=p),
        0.5,
        0.0,
        1.0,
        low_fits=True,
    ),
    one_of("DCGANGenerator(size)", lambda n: models.DCGANGenerator(n, 3, 1, 1), 28, *SIZES),
    count("DCGANGenerator(latent_dim)", lambda n: models.DCGANGenerator(28, n, 1, 1), 2),
    count("DCGANGenerator(channels)", lambda n: models.DCGANGenerator(28, 2, n, 1), 2),
    count("DCGANDiscriminator(width)", lambda n: models.DCGANDiscriminator(28, 1, n), 2),
    count(
        "ConditionalGenerator(n_classes)",
        lambda n: models.ConditionalGenerator(28, n, 2, width=1, embed_dim=2),
        2,
    ),
    count(
        "ConditionalGenerator(embed_dim)",
        lambda n: models.ConditionalGenerator(28, 2, 2, width=1, embed_dim=n),
        2,
    ),
    count(
        "ConditionalMLPDiscriminator(size)",
        lambda n: models.ConditionalMLPDiscriminator(n, width=(2,), embed_dim=2),
        2,
    ),
    one_of("ProjectionDiscriminator(size)", lambda n: models.ProjectionDiscriminator(n, width=1), 28, *SIZES),
    count("MinibatchDiscrimination(kernels)", lambda n: models.MinibatchDiscrimination(3, n, 2), 2),
    count("spectral_norm_(iterations)", lambda n: models.spectral_norm_(nn.Linear(2, 2), iterations=n), 2),
    one_of(
        "spectral_norm_(net)",
        models.spectral_norm_,
        nn.Linear(2, 2),
        nn.ReLU(),
        models.spectral_norm_(nn.Linear(2, 2)),
    ),
    one_of(
        "StyleGenerator(size)",
        lambda n: models.StyleGenerator(n, 2, 2, width=1, max_width=2, depth=1),
        8,
        0,
        4,
        28,
        12,
        512,
        8.0,
        None,
        "8",
    ),
    rate(
        "StyleGenerator(mixing)",
        lambda p: models.StyleGenerator(8, 2, 2, width=1, depth=1, mixing=p),
        0.5,
        0.0,
        1.0,
        low_fits=True,
        high_fits=True,
    ),
    count(
        "StyleGenerator(width)",
        lambda n: models.StyleGenerator(8, 2, 2, width=n, max_width=4, depth=1),
        2,
        at_most=4,
    ),
    count("StyleDiscriminator(channels)", lambda n: models.StyleDiscriminator(8, n, 1), 2),
    count("MappingNetwork(depth)", lambda n: models.MappingNetwork(2, 2, n), 2),
    count("MappingNetwork(style_dim)", lambda n: models.MappingNetwork(2, n, 2), 2),
    count("EqualizedLinear(c_in)", lambda n: models.EqualizedLinear(n, 2), 2),
    count("EqualizedConv2d(kernel)", lambda n: models.EqualizedConv2d(2, 2, n), 3),
    one_of("EqualizedConv2d(even kernel)", lambda n: models.EqualizedConv2d(2, 2, n), 3, 2, 4, 6, 8),
    count("AdaIN(channels)", lambda n: models.AdaIN(2, n), 2),
    count("NoiseInjection(channels)", models.NoiseInjection, 2),
    count("ModulatedConv2d(c_out)", lambda n: models.ModulatedConv2d(2, n, 2), 2),
]

# Sampling and training

G2, D2 = models.MLPGenerator(3, 2, 4, 1, generator=rng()), models.MLPDiscriminator(2, 4, 1, generator=rng())
C_G = models.ConditionalMLPGenerator(4, 10, 3, width=(4,), embed_dim=2)
C_D = models.ConditionalMLPDiscriminator(4, 10, width=(4,), embed_dim=2)
T = torch.linspace(0, 1, 3)
Z_4, W_4 = torch.tensor([1.0, 0, 0, 0]), torch.tensor([0, 1.0, 0, 0])
END = Wanted(((4,),), never=FINITE)
FRACTIONS = Wanted((("T",),), never=FINITE)
RELATIVE = losses.RELATIVISTIC


def d_learns(G: nn.Module = G2, D: nn.Module = D2, **given: Any) -> object:
    usual = {"real": rows(3, 2), "z": rows(3, 3), "loss": losses.MINIMAX}
    return d_step(G, D, torch.optim.SGD(D.parameters(), lr=0.0), **(usual | given))


def g_learns(G: nn.Module = G2, D: nn.Module = D2, **given: Any) -> object:
    usual = {"z": rows(3, 3), "loss": losses.MINIMAX}
    return g_step(G, D, torch.optim.SGD(G.parameters(), lr=0.0), **(usual | given))


def trained(G: Any = None, D: Any = None, real: Any = None, **given: Any) -> Run:
    """Train for one step of two samples."""
    G, D = (
        (models.MLPGenerator(3, 2, 4, 1) if G is None else G),
        (models.MLPDiscriminator(2, 4, 1) if D is None else D),
    )
    usual = {"loss": losses.MINIMAX, "config": TrainConfig(steps=1, batch_size=2)}
    return fit(G, D, rows(4, 2) if real is None else real, progress=False, **(usual | given))


def conditional_run(labels: Tensor, G: nn.Module = C_G, D: nn.Module = C_D) -> Run:
    """Train a conditional pair on four black images of 4 pixels."""
    images = data.ImageData(torch.zeros(4, 1, 4, 4, dtype=torch.uint8), labels)
    return trained(G, D, images, config=TrainConfig(steps=1, batch_size=4, conditional=True))


@cache
def run() -> Run:
    return trained(config=TrainConfig(steps=2, batch_size=2, snapshots=(1,)))


def shared(batch: Any) -> Tensor:
    with mock.patch.multiple(distributed, world_size=lambda: 3, rank=lambda: 1):
        return distributed.local_part(batch)


UNEVEN = st.builds(
    filled, st.tuples(st.integers(1, 40).filter(lambda n: n % 3), st.integers(0, 3)), st.sampled_from(DTYPES)
)
UNEVEN |= st.sampled_from([torch.tensor(3.0), *NO_TENSORS])


def config(name: str) -> Callable[[Any], TrainConfig]:
    return lambda value: TrainConfig(**({"steps": 3} | {name: value}))


FIT = [
    slot(
        "fit(data)", lambda x: trained(real=x), Wanted((("N", 2),), FLOATS, FINITE, at_least=2), optional=True
    ),
    slot(
        "fit(images)",
        lambda x: trained(MNIST_G, MNIST_D, x),
        Wanted((("N", 1, 4, 4),), FLOATS, UNIT, at_least=2),
        optional=True,
    ),
    one_of(
        "fit(data that G does not make)",
        lambda x: trained(real=x),
        rows(4, 2),
        rows(4, 3),
        IMAGES,
        data.bimodal(),
        [rows(4, 2)],
    ),
    one_of(
        "fit(loss)", lambda x: trained(loss=x), losses.HINGE, nn.BCELoss(), None, "hinge", losses.log_loss_d
    ),
    one_of(
        "fit(config)", lambda x: trained(config=x), TrainConfig(steps=1, batch_size=2), None, {"steps": 1}, 5
    ),
    one_of(
        "fit(G)",
        lambda G: trained(G),
        models.MLPGenerator(3, 2, 4, 1),
        nn.Linear(3, 2),
        nn.Identity(),
        models.MLPGenerator(3, 5, 4, 1),
        lambda z: z,
        C_G,
        "G",
    ),
    one_of(
        "fit(D)",
        lambda D: trained(None, D),
        models.MLPDiscriminator(2, 4, 1),
        nn.Linear(2, 1),
        nn.Linear(2, 2),
        nn.Identity(),
        models.MLPDiscriminator(3, 4, 1),
        DCGAN_D,
        C_D,
        lambda x: x,
        "D",
    ),
    one_of(
        "fit(batch of one)",
        lambda n: trained(
            MNIST_G, MNIST_D, torch.zeros(4, 1, 4, 4), config=TrainConfig(steps=1, batch_size=n)
        ),
        2,
        1,
        5,
        99,
    ),
    one_of(
        "fit(labels)",
        conditional_run,
        torch.arange(4),
        torch.arange(4) + 7,
        torch.arange(4) - 1,
        torch.full((4,), 10),
    ),
    one_of(
        "fit(unconditional nets, conditional)",
        lambda nets: conditional_run(torch.arange(4), *nets),
        (C_G, C_D),
        (MNIST_G, MNIST_D),
        (C_G, MNIST_D),
        (MNIST_G, C_D),
    ),
    one_of(
        "fit(conditional, no labels)",
        lambda x: trained(C_G, C_D, x, config=TrainConfig(steps=1, batch_size=2, conditional=True)),
        data.ImageData(torch.zeros(4, 1, 4, 4, dtype=torch.uint8), torch.arange(4)),
        torch.zeros(4, 1, 4, 4),
    ),
]

TRAINING = [
    slot("generate(z)", lambda z: generate(G2, z), Wanted((("N", 3),), never=FINITE)),
    slot("generate(y)", lambda y: generate(C_G, rows(3, 3), y), Y_ANYWHERE),
    count("generate(batch_size)", lambda n: generate(G2, rows(3, 3), batch_size=n), 2),
    one_of("generate(G)", lambda G: generate(G, rows(3, 3)), G2, C_G, models.MLPGenerator(4, 2)),
    one_of("generate(G with labels)", lambda G: generate(G, rows(3, 3), LABELS_3), C_G, G2, nn.Linear(3, 3)),
    count("sample(n)", lambda n: sample(G2, n, seed=0), 2),
    count("sample(seed)", lambda n: sample(G2, 2, seed=n), 2, at_least=0, at_most=2**63 - 1),
    one_of("sample(G)", lambda G: sample(G, 2, seed=0), G2, nn.Linear(3, 3), nn.Identity(), C_G),
    slot("sample(y)", lambda y: sample(C_G, 3, seed=0, y=y), Y_ANYWHERE),
    *[
        slot(f"{walk.__name__}(z0)", lambda z, walk=walk: walk(z, Z_4, T), END, good=W_4)
        for walk in (lerp, slerp)
    ],
    *[
        slot(f"{walk.__name__}(z1)", lambda z, walk=walk: walk(Z_4, z, T), END, good=W_4)
        for walk in (lerp, slerp)
    ],
    *[
        slot(f"{walk.__name__}(t)", lambda t, walk=walk: walk(Z_4, W_4, t), FRACTIONS)
        for walk in (lerp, slerp)
    ],
    Slot("slerp of parallel ends", lambda z: slerp(Z_4, z, T), st.floats(-9, 9).map(lambda c: c * Z_4), W_4),
    slot("d_step(real)", lambda x: d_learns(real=x), Wanted((("N", 2),))),
    slot("d_step(z)", lambda z: d_learns(z=z), Wanted((("N", 3),))),
    slot("d_step(y)", lambda y: d_learns(C_G, C_D, real=torch.zeros(3, 1, 4, 4), y=y), Y, optional=True),
    slot("g_step(z)", lambda z: g_learns(z=z), Wanted((("N", 3),))),
    slot("g_step(y)", lambda y: g_learns(C_G, C_D, y=y), Y, optional=True),
    slot("g_step(real), relative", lambda x: g_learns(loss=RELATIVE, real=x), Wanted(((3, 2),))),
    one_of(
        "g_step(penalty without real)",
        lambda x: g_learns(penalty=lambda D, real, fake: fake.mean(), real=x),
        rows(3, 2),
        None,
    ),
    *[
        count(f"TrainConfig({name})", config(name), 3)
        for name in ("steps", "batch_size", "d_steps", "checkpoint_every")
    ],
    *[
        rate(f"TrainConfig({name})", config(name), 0.5, 0.0, low_fits=True)
        for name in ("lr_g", "lr_d", "ema_half_life", "penalty_weight", "instance_noise", "clip", "unroll_lr")
    ],
    count("TrainConfig(seed)", config("seed"), 3, at_least=0, at_most=2**63 - 1),
    Slot(
        "TrainConfig(unroll)",
        config("unroll"),
        st.integers(-99, -1) | st.floats(-9, 9) | st.sampled_from(FINITE),
        3,
    ),
    Slot(
        "TrainConfig(betas)",
        config("betas"),
        st.tuples(no_rates(0.0, 1.0, low_fits=True), st.just(0.9))
        | st.tuples(st.just(0.5), no_rates(0.0, 1.0, low_fits=True))
        | st.sampled_from([(), (0.5,), (0.5, 0.9, 0.9)]),
        (0.5, 0.9),
    ),
    Slot("TrainConfig(snapshots)", config("snapshots"), st.tuples(no_counts(at_most=3)), (1, 3)),
    Slot("TrainConfig(precision)", config("precision"), WORDS, "bfloat16"),
    rate("Schedule(start)", lambda v: Schedule(v, 1.0, 5), 0.5, 0.0, low_fits=True),
    rate("Schedule(end)", lambda v: Schedule(1.0, v, 5), 0.5, 0.0, low_fits=True),
    rate("Schedule(geometric)", lambda v: Schedule(1.0, v, 5, "geometric"), 0.5, 0.0),
    Slot("Schedule(steps)", lambda n: Schedule(1.0, 0.0, n), st.integers(-99, 0), 5),
    Slot("Schedule(shape)", lambda s: Schedule(1.0, 0.0, 5, s), WORDS, "cosine"),
    count("Run.at", lambda n: run().at(n), 1, at_most=1),
    count("Run.watch(n)", lambda n: run().watch(1, n), 2),
    Slot("local_part", shared, UNEVEN, rows(6, 2)),
]

PLOTS = [
    one_of(
        "draw_images(channels)", lambda n: plot.sample_grids([torch.zeros(2, n, 2, 2)], [""]), 3, 2, 4, 5, 0
    ),
    one_of(
        "sample_grids(sets)",
        lambda sets: plot.sample_grids(sets, ["a"]),
        [torch.zeros(2, 1, 2, 2)],
        [],
        [torch.zeros(2, 1, 2, 2)] * 2,
    ),
    slot("class_bars(shares)", lambda x: plot.class_bars(x, torch.ones(3) / 3), Wanted(((3,),), FLOATS)),
    slot("class_bars(real_shares)", lambda x: plot.class_bars(torch.ones(3) / 3, x), Wanted(((3,),), FLOATS)),
]

SLOTS = [*DATA, *LOSSES, *PENALTIES, *METRICS, *MODELS, *BUILT, *FIT, *TRAINING, *PLOTS]
