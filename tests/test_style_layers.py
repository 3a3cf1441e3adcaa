"""StyleGAN's layers: what each does to statistics, against formulas written out; and planted bugs."""

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gancourse.models import (
    AdaIN,
    EqualizedConv2d,
    EqualizedLinear,
    MappingNetwork,
    MinibatchStd,
    ModulatedConv2d,
    NoiseInjection,
    PixelNorm,
    adain,
    demodulation,
    modulated_conv,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64).to(dtype)


def rms(x: Tensor) -> float:
    return x.square().mean().sqrt().item()


# Pixel norm and the equalized learning rate


@pytest.mark.parametrize("shape", [(3, 5), (2, 4, 3, 3)])
def test_pixel_norm_makes_each_pixels_channels_one_in_root_mean_square(shape: tuple[int, ...]) -> None:
    x = PixelNorm()(7 * noise(*shape))
    torch.testing.assert_close(x.square().mean(1), torch.ones(shape[:1] + shape[2:]))
    assert PixelNorm()(torch.zeros(shape)).count_nonzero() == 0


@pytest.mark.parametrize("c_in", [16, 256])
@pytest.mark.parametrize("gain", [1.0, math.sqrt(2)])
def test_equalized_layers_store_unit_weights_and_multiply_the_variance_by_the_gains(
    c_in: int, gain: float
) -> None:
    linear = EqualizedLinear(c_in, 64, gain=gain, generator=seeded())
    conv = EqualizedConv2d(c_in, 64, 3, gain=gain, generator=seeded())
    for layer, x in [(linear, noise(256, c_in)), (conv, noise(4, c_in, 10, 10))]:
        assert layer.weight.std().item() == pytest.approx(1, rel=0.1)
        inner = layer(x) if x.ndim == 2 else layer(x)[:, :, 1:-1, 1:-1]  # the border reads zeros
        assert rms(inner) == pytest.approx(gain, rel=0.15)


@pytest.mark.parametrize("lr_multiplier", [1.0, 0.01])
def test_the_multiplier_changes_the_speed_of_learning_and_not_the_first_output(lr_multiplier: float) -> None:
    x, plain = noise(4, 6), EqualizedLinear(6, 3, bias=0.5, generator=seeded())
    layer = EqualizedLinear(6, 3, bias=0.5, lr_multiplier=lr_multiplier, generator=seeded())
    first = layer(x)
    torch.testing.assert_close(first, plain(x))
    for net in (plain, layer):
        for p, of_p in zip(
            net.parameters(), torch.autograd.grad(net(x).sum(), net.parameters()), strict=True
        ):
            p.data -= 0.001 * of_p.sign()  # Adam's first step
    moved, reference = layer(x) - first, plain(x) - first
    torch.testing.assert_close(moved, lr_multiplier * reference, rtol=1e-2, atol=1e-5 * lr_multiplier)


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_an_equalized_convolution_is_a_convolution_with_scaled_weights(kernel: int) -> None:
    layer, x = EqualizedConv2d(3, 4, kernel, generator=seeded()), noise(2, 3, 6, 5)
    nn.init.constant_(layer.bias, 0.3)
    weight = layer.weight * math.sqrt(2 / (3 * kernel**2))
    torch.testing.assert_close(layer(x), F.conv2d(x, weight, layer.bias, padding="same"))


# The mapping network


@pytest.mark.parametrize(("latent_dim", "style_dim", "depth"), [(5, 7, 8), (16, 16, 2), (4, 3, 1)])
def test_the_mapping_forgets_the_length_of_z(latent_dim: int, style_dim: int, depth: int) -> None:
    mapping = MappingNetwork(latent_dim, style_dim, depth, generator=seeded()).eval()
    z = noise(6, latent_dim)
    w = mapping(z)
    assert w.shape == (6, style_dim)
    torch.testing.assert_close(mapping(1000 * z), w)
    assert (mapping(-z) - w).abs().max() > 1e-3
    assert sum(isinstance(m, EqualizedLinear) for m in mapping.modules()) == depth
    assert mapping(torch.zeros(1, latent_dim)).isfinite().all()


def test_the_mapping_keeps_the_scale_of_its_input_through_eight_layers() -> None:
    """He's constant: w is of the order of 1, where a tenth of the weights would leave 1e-8."""
    w = MappingNetwork(128, 128, generator=seeded())(noise(64, 128))
    assert 0.3 < rms(w) < 3


def test_the_mean_of_w_moves_in_training_only_and_converges() -> None:
    mapping = MappingNetwork(4, 6, 2, decay=0.9, generator=seeded())
    w = mapping(noise(8, 4))
    torch.testing.assert_close(mapping.w_mean, 0.1 * w.mean(0))
    before = mapping.w_mean.clone()
    mapping.eval()(noise(8, 4))
    assert torch.equal(mapping.w_mean, before)
    for _ in range(200):
        mapping.update_mean(w)
    torch.testing.assert_close(mapping.w_mean, w.mean(0))
    assert "w_mean" in mapping.state_dict()
    assert not mapping.w_mean.requires_grad


# AdaIN

AdaINFunction = Callable[[Tensor, Tensor, Tensor], Tensor]


def is_adain(f: AdaINFunction) -> bool:
    """Tell whether f gives each sample's channels the mean and deviation asked for, and keeps the picture."""
    x = 3 * noise(4, 5, 6, 7, dtype=torch.float64) + noise(4, 5, 1, 1, seed=1, dtype=torch.float64)
    scale, bias = (noise(4, 5, seed=s, dtype=torch.float64) for s in (2, 3))
    out = f(x, scale, bias)
    std, mean = torch.std_mean(out, (2, 3), unbiased=False)
    centered, spread = x - x.mean((2, 3), keepdim=True), x.std((2, 3), unbiased=False)
    correlation = (centered * out).mean((2, 3)) / (spread * std)
    styled = torch.allclose(mean, bias) and torch.allclose(std, scale.abs(), rtol=1e-4)
    return styled and torch.allclose(correlation, scale.sign())


def adain_over(*axes: int, swapped: bool = False) -> AdaINFunction:
    def f(x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
        scale, bias = (bias, scale) if swapped else (scale, bias)
        std, mean = torch.std_mean(x, axes, unbiased=False, keepdim=True)
        return scale[:, :, None, None] * (x - mean) / std + bias[:, :, None, None]

    return f


def test_adain_gives_the_maps_the_styles_mean_and_deviation() -> None:
    assert is_adain(adain)
    assert is_adain(adain_over(2, 3))


@pytest.mark.parametrize(
    "wrong",
    [
        adain_over(0, 2, 3),
        adain_over(1, 2, 3),
        adain_over(1),
        adain_over(3),
        adain_over(2, 3, swapped=True),
        lambda x, scale, bias: scale[:, :, None, None] * x + bias[:, :, None, None],
        lambda x, scale, bias: adain(x, 1 + scale, bias),
        lambda x, scale, bias: adain(x, scale.square(), bias),
    ],
    ids=["batch", "layer", "channels", "rows", "swapped", "no statistics", "scale + 1", "variance"],
)
def test_a_wrong_adain_is_caught(wrong: AdaINFunction) -> None:
    assert not is_adain(wrong)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_adain_removes_the_style_of_its_input(dtype: torch.dtype) -> None:
    """Scaling and shifting any channel of the input changes nothing."""
    x, scale, bias = (
        noise(2, 3, 8, 8, dtype=dtype),
        noise(2, 3, dtype=dtype),
        noise(2, 3, seed=1, dtype=dtype),
    )
    factor = torch.tensor([1.0, 5.0, 20.0], dtype=dtype)[:, None, None]
    torch.testing.assert_close(
        adain(factor * x + factor, scale, bias), adain(x, scale, bias), rtol=0, atol=1e-4
    )


def test_a_constant_channel_becomes_its_bias_with_finite_gradients() -> None:
    x = torch.full((2, 3, 4, 4), 7.0, requires_grad=True)
    out = adain(x, torch.ones(2, 3), torch.full((2, 3), 0.5))
    torch.testing.assert_close(out, torch.full_like(out, 0.5), rtol=0, atol=1e-3)
    out.square().sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_the_adain_layer_takes_the_style_from_w_and_begins_around_one_and_zero() -> None:
    layer, x, w = AdaIN(16, 3, generator=seeded()), noise(2, 3, 9, 9), noise(2, 16, seed=1)
    y = F.linear(w, layer.affine.weight / 4, layer.affine.bias)
    torch.testing.assert_close(layer(x, w), adain(x, y[:, :3], y[:, 3:]))
    std, mean = torch.std_mean(layer(x, torch.zeros(2, 16)), (2, 3), unbiased=False)
    torch.testing.assert_close(std, torch.ones(2, 3), rtol=0, atol=1e-4)
    torch.testing.assert_close(mean, torch.zeros(2, 3))


# Noise


def test_noise_begins_at_strength_zero_and_is_one_picture_for_all_channels() -> None:
    layer, x, field = NoiseInjection(3), noise(2, 3, 4, 4), noise(2, 1, 4, 4, seed=1)
    assert torch.equal(layer(x, field), x)
    assert torch.equal(layer(x), x)
    with torch.no_grad():
        layer.strength.copy_(torch.tensor([0.0, 1.0, -2.0]))
    added = layer(x, field) - x
    torch.testing.assert_close(added, torch.cat([0 * field, field, -2 * field], 1))
    torch.testing.assert_close(layer(x, field[:1]) - x, added[:1].expand(2, -1, -1, -1))
    layer(x, field).sum().backward()
    assert layer.strength.grad is not None
    assert layer.strength.grad.count_nonzero() == 3


# The modulated convolution

Demodulation = Callable[[Tensor, Tensor], Tensor]


def has_unit_norms(f: Demodulation) -> bool:
    """Tell whether each sample's each output channel has weights of norm 1 after modulation by f."""
    weight, style = noise(4, 4, 3, 3, dtype=torch.float64), noise(4, 4, seed=1, dtype=torch.float64)
    demodulated = weight * style[:, None, :, None, None] * f(weight, style)[:, :, None, None, None]
    return torch.allclose(demodulated.square().sum((2, 3, 4)), torch.ones(4, 4, dtype=torch.float64))


def norm_over(*axes: int) -> Demodulation:
    def f(weight: Tensor, style: Tensor) -> Tensor:
        modulated = weight * style[:, None, :, None, None]  # (N, O, C, K, K)
        return modulated.square().sum(axes, keepdim=True).rsqrt().flatten(1)[:, :4].expand(4, 4)

    return f


def test_demodulated_weights_have_norm_one() -> None:
    assert has_unit_norms(demodulation)
    assert has_unit_norms(norm_over(2, 3, 4))


@pytest.mark.parametrize(
    "wrong",
    [
        norm_over(1, 3, 4),
        norm_over(0, 2, 3, 4),
        norm_over(1, 2, 3, 4),
        lambda weight, style: demodulation(weight, torch.ones_like(style)),
        lambda weight, style: demodulation(weight.transpose(0, 1), style),
        lambda weight, style: demodulation(weight, style).square(),
        lambda weight, style: torch.ones_like(style),
    ],
    ids=["input channels", "batch", "all channels", "no style", "transposed", "squared", "none"],
)
def test_a_wrong_demodulation_is_caught(wrong: Demodulation) -> None:
    assert not has_unit_norms(wrong)


@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize(("c_in", "c_out", "kernel"), [(3, 5, 3), (4, 2, 1)])
def test_it_is_the_papers_grouped_convolution(c_in: int, c_out: int, kernel: int, demodulate: bool) -> None:
    x, style = noise(4, c_in, 6, 5, dtype=torch.float64), noise(4, c_in, seed=1, dtype=torch.float64)
    weight = noise(c_out, c_in, kernel, kernel, seed=2, dtype=torch.float64)
    own = weight * style[:, None, :, None, None]  # (N, O, C, K, K)
    if demodulate:
        own = own / (own.square().sum((2, 3, 4), keepdim=True) + 1e-8).sqrt()
    grouped = F.conv2d(x.reshape(1, -1, 6, 5), own.flatten(0, 1), padding=kernel // 2, groups=4)
    out = modulated_conv(x, weight, style, demodulate)
    torch.testing.assert_close(out, grouped.view(4, c_out, 6, 5))


def test_demodulation_forgets_the_size_of_the_style_and_keeps_the_variance() -> None:
    x, weight, style = noise(2, 64, 16, 16), noise(32, 64, 3, 3, seed=1), 1 + noise(2, 64, seed=2).abs()
    out = modulated_conv(x, weight, style)
    torch.testing.assert_close(modulated_conv(x, weight, 30 * style), out, rtol=1e-4, atol=1e-4)
    assert rms(out[:, :, 1:-1, 1:-1]) == pytest.approx(1, rel=0.05)
    assert modulated_conv(x, weight, torch.zeros(2, 64)).isfinite().all()


def test_the_modulated_layer_adds_its_bias_after_demodulation() -> None:
    layer, x, w = ModulatedConv2d(3, 4, 5, generator=seeded()), noise(2, 3, 6, 6), noise(2, 5, seed=1)
    before = layer(x, w)
    nn.init.constant_(layer.conv.bias, 0.7)
    torch.testing.assert_close(layer(x, w), before + 0.7)
    style = layer.affine(torch.zeros(2, 5))
    torch.testing.assert_close(style, torch.ones(2, 3))
    assert "demodulate=True" in repr(layer)


# The batch's deviation


@pytest.mark.parametrize("n", [1, 2, 6])
def test_the_batchs_deviation_is_one_more_channel(n: int) -> None:
    x = noise(n, 3, 4, 4).requires_grad_()
    out = MinibatchStd()(x)
    assert torch.equal(out[:, :3], x)
    torch.testing.assert_close(out[:, 3], x.std(0, unbiased=False).mean().expand(n, 4, 4), rtol=0, atol=2e-4)
    out.sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_equal_samples_have_no_deviation_and_finite_gradients() -> None:
    x = noise(1, 3, 4, 4).repeat(5, 1, 1, 1).requires_grad_()
    out = MinibatchStd()(x)
    assert out[:, 3].max() < 1e-3
    (first,) = torch.autograd.grad(out.square().sum(), x, create_graph=True)
    first.square().sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


# Weights, precision, refusals

LAYERS: dict[str, Callable[[torch.Generator], nn.Module]] = {
    "linear": lambda g: EqualizedLinear(4, 5, generator=g),
    "conv": lambda g: EqualizedConv2d(4, 5, generator=g),
    "mapping": lambda g: MappingNetwork(4, 5, 2, generator=g),
    "adain": lambda g: AdaIN(4, 5, generator=g),
    "modulated": lambda g: ModulatedConv2d(4, 5, 6, generator=g),
}


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_the_seed_decides_the_initial_weights(make: Callable[[torch.Generator], nn.Module]) -> None:
    def weights(seed: int, global_seed: int) -> Tensor:
        torch.manual_seed(global_seed)
        return torch.cat([p.detach().flatten() for p in make(seeded(seed)).parameters()])

    assert torch.equal(weights(0, 1), weights(0, 2))
    assert not torch.equal(weights(0, 1), weights(1, 1))


def test_under_autocast_statistics_stay_close_to_those_of_float32() -> None:
    layer, modulated = AdaIN(8, 4, generator=seeded()), ModulatedConv2d(4, 4, 8, generator=seeded())
    x, w = 100 + noise(2, 4, 8, 8), noise(2, 8, seed=1)
    with torch.autocast("cpu", torch.bfloat16):
        fast, fast_modulated = layer(x, w), modulated(x - 100, w)
    torch.testing.assert_close(fast.float(), layer(x, w), rtol=0.05, atol=0.05)
    torch.testing.assert_close(fast_modulated.float(), modulated(x - 100, w), rtol=0.05, atol=0.05)


MAPS, STYLE = torch.zeros(2, 4, 3, 3), torch.zeros(2, 4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PixelNorm()(torch.zeros(3)), r"expected x \(N, C, \.\.\.\) of floats, got \(3,\)"),
        (lambda: PixelNorm()(torch.zeros(3, 0)), r"got \(3, 0\)"),
        (lambda: PixelNorm()(torch.zeros(3, 2).long()), r"got \(3, 2\) of torch\.int64"),
        (lambda: EqualizedLinear(0, 3), r"channels in and out of at least 1, an integer, got \(0, 3\)"),
        (lambda: EqualizedConv2d(3, 0), r"got \(3, 0\)"),
        (lambda: EqualizedConv2d(3, 3, 2), "odd kernel, which keeps height and width, got 2"),
        (lambda: EqualizedLinear(3, 3)(torch.zeros(2, 4)), r"x \(N, 3\) of floats, got \(2, 4\)"),
        (lambda: EqualizedConv2d(3, 3)(MAPS), r"x \(N, 3, H, W\) of floats, got \(2, 4, 3, 3\)"),
        (lambda: EqualizedConv2d(4, 3)(MAPS.byte()), r"got \(2, 4, 3, 3\) of torch\.uint8"),
        (lambda: MappingNetwork(3, 3, 0), "depth of at least 1, an integer, got 0"),
        (lambda: MappingNetwork(3, 3, 1)(torch.zeros(0, 3)), r"at least 1 sample, got z \(0, 3\)"),
        (lambda: MappingNetwork(3, 3, 1)(torch.zeros(3)), r"expected z \(N, 3\), got \(3,\)"),
        (lambda: adain(torch.zeros(2, 4), STYLE, STYLE), r"x \(N, C, H, W\) of floats, got \(2, 4\)"),
        (lambda: adain(MAPS, STYLE[:1], STYLE), r"scale \(2, 4\) of floats, got \(1, 4\)"),
        (lambda: adain(MAPS, STYLE, STYLE[:, :3]), r"bias \(2, 4\) of floats, got \(2, 3\)"),
        (lambda: adain(MAPS[:, :, :1, :1], STYLE, STYLE), "at least 2 pixels, got 1 x 1"),
        (lambda: AdaIN(5, 4)(MAPS, STYLE), r"x \(N, 5\) of floats, got \(2, 4\)"),
        (lambda: NoiseInjection(3)(MAPS), r"x \(N, 3, H, W\) of floats, got \(2, 4, 3, 3\)"),
        (lambda: NoiseInjection(4)(MAPS, MAPS), r"noise \(2, 1, 3, 3\) of floats, got \(2, 4, 3, 3\)"),
        (lambda: NoiseInjection(4)(MAPS, torch.zeros(3, 1, 3, 3)), r"noise \(2, 1, 3, 3\) .* got \(3, 1,"),
        (lambda: NoiseInjection(4)(MAPS, torch.tensor(1.0)), r"noise \(2, 1, 3, 3\) of floats, got \(\)"),
        (lambda: demodulation(torch.zeros(3, 5, 1, 1), STYLE), r"style \(N, 5\) of floats, got \(2, 4\)"),
        (lambda: modulated_conv(MAPS, torch.zeros(3, 4), STYLE), r"weight \(O, C, K, K\) of floats"),
        (lambda: modulated_conv(MAPS, torch.zeros(3, 5, 1, 1), STYLE), r"x \(N, 5, H, W\) of floats"),
        (lambda: modulated_conv(MAPS, torch.zeros(3, 4, 1, 1), STYLE[:1]), r"style \(2, 4\) .* got \(1, 4\)"),
        (lambda: EqualizedLinear(3, 3)(torch.zeros(2, 3).double()), r"float32 on cpu, got .*float64 .*\.to"),
        (
            lambda: adain(MAPS, STYLE.double(), STYLE),
            r"scale of torch\.float32 .* got \(2, 4\) of torch\.float64",
        ),
        (lambda: NoiseInjection(4)(MAPS, MAPS[:, :1].double()), r"noise of torch\.float32 on cpu, got"),
        (
            lambda: modulated_conv(MAPS.double(), torch.zeros(3, 4, 1, 1), STYLE),
            r"x of torch\.float32 on cpu",
        ),
        (lambda: MinibatchStd()(STYLE), r"x \(N, C, H, W\) of floats, got \(2, 4\)"),
    ],
)
def test_bad_input_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
