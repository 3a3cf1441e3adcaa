"""The products that stand in for strided convolutions compute the same function."""

import pytest
import torch
import torch.nn.functional as F

from gancourse.training.convolution import fast_convolutions

CASES = [
    (torch.conv2d, (3, 64, 14, 14), (96, 64, 4, 4), 96),
    (torch.conv2d, (2, 80, 8, 12), (64, 80, 4, 4), 64),
    (torch.conv_transpose2d, (3, 96, 7, 7), (96, 64, 4, 4), 64),
    (torch.conv_transpose2d, (2, 64, 4, 6), (64, 80, 4, 4), 80),
]


def tensors(shape, weight, bias, channels_last):
    seed = torch.Generator().manual_seed(0)
    # Values that bfloat16 holds exactly, and sums small enough: what is left to differ is the arithmetic.
    x, w, b = (torch.randint(-2, 3, size, generator=seed).float() for size in (shape, weight, (bias,)))
    if channels_last:
        x = x.to(memory_format=torch.channels_last)
    return [t.requires_grad_() for t in (x, w, b)]


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(("function", "shape", "weight", "bias"), CASES)
def test_output_and_gradients_equal_the_librarys(function, shape, weight, bias, channels_last):
    x, w, b = tensors(shape, weight, bias, channels_last)
    expected = function(x, w, b, 2, 1)
    grad = torch.randint(-1, 2, expected.shape, generator=torch.Generator().manual_seed(1)).float()
    reference = [expected, *torch.autograd.grad(expected, (x, w, b), grad)]
    with fast_convolutions():
        found = function(x, w, b, 2, 1)
    assert found.dtype == torch.bfloat16  # so it did take the other way
    ours = [found, *torch.autograd.grad(found.float(), (x, w, b), grad)]
    for mine, theirs in zip(ours, reference, strict=True):
        assert mine.shape == theirs.shape
        assert (mine.float() - theirs).norm() <= 5e-3 * theirs.norm()  # 8 bits: 2^-9 a rounding


@pytest.mark.parametrize("kernel", [3, 4])
def test_other_convolutions_are_left_alone(kernel):
    x, w = torch.randn(2, 64, 8, 8), torch.randn(64, 64, kernel, kernel)
    with fast_convolutions():
        assert torch.equal(F.conv2d(x, w, None, 1, 1), torch.conv2d(x, w, None, 1, 1))
    narrow = torch.randn(64, 1, 4, 4)
    with fast_convolutions():
        assert F.conv2d(x[:, :1], narrow, None, 2, 1).dtype == torch.float32


def test_no_second_derivative_goes_wrong_in_silence():
    x, w, _ = tensors((2, 64, 8, 8), (64, 64, 4, 4), 64, True)
    with fast_convolutions():
        first = torch.autograd.grad(F.conv2d(x, w, None, 2, 1).float().square().sum(), x, create_graph=True)[
            0
        ]
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.square().sum().backward()


@pytest.mark.parametrize(("function", "shape", "weight", "bias"), CASES)
def test_memory_that_is_used_again_changes_no_earlier_result(function, shape, weight, bias):
    x, w, b = tensors(shape, weight, bias, True)
    with fast_convolutions():
        first = function(x, w, b, 2, 1)
        kept = first.detach().clone()
        second = function(-x, w, b, 2, 1)  # of the same shape, so in the same memory
    assert torch.equal(first, kept)
    assert not torch.equal(first, second)
    # Both backward passes fill it again. The gradients of f(x) + f(-x) vanish, f being linear.
    for gradient in torch.autograd.grad((first + second).float().sum(), (x, w)):
        assert torch.equal(gradient, torch.zeros_like(gradient))


def test_a_gradient_comes_in_the_layout_of_its_images():
    x = torch.randn(2, 64, 8, 8).to(memory_format=torch.channels_last).requires_grad_()
    seen = []
    with fast_convolutions():
        inner = x.sin()
        inner.register_hook(seen.append)
        F.leaky_relu(inner, 0.2).flatten(1).square().sum().backward()
    (grad,) = seen
    assert grad.is_contiguous(memory_format=torch.channels_last)
    plain = torch.autograd.grad(F.leaky_relu(x.sin(), 0.2).flatten(1).square().sum(), x)[0]
    assert torch.equal(x.grad, plain)
