"""Penalties on the critic's gradient, and weight clipping. Taught in chapter 4.

A penalty maps (critic, real (N, ...), fake (N, ...)) to a scalar without its weight, which the caller
multiplies by: `TrainConfig.penalty_weight` in `fit`. The critic maps a batch (N, ...) to logits (N,); it is a
module or any function, such as a conditional net bound to its labels. Real and fake samples are data here: no
gradient reaches G.

All is computed in float32 at least, with autocast off: a penalty differentiates a gradient, and bfloat16
keeps only 8 bits of it. A critic that turns autocast on in its own forward pass undoes this; pass the net
inside.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad
from torch.nn.modules.batchnorm import _BatchNorm

from gancourse.checks import check_tensor, is_float
from gancourse.distributed import rand_local
from gancourse.together import drawn, in_each_seed

Critic = Callable[[Tensor], Tensor]


def uniform(n: int, *, generator: torch.Generator | None = None, device: torch.device) -> Tensor:
    """Return n numbers (n,) from U[0, 1) on `device`, one for each sample of this process's part of a batch.

    `generator`, or the device's global one, may live on another device than the numbers. Where several seeds
    are trained together, each seed's numbers are those that it draws alone.
    """
    source = device if generator is None else generator.device
    return drawn(lambda rng: rand_local(n, generator=rng, device=source), generator).to(device)


def at_least_float32(x: Tensor) -> Tensor:
    """Return x (any shape) in float32 where it has fewer bits; float32 and float64 stay."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def check_samples(whose: str, x: Tensor) -> None:
    """Raise ValueError unless x is floating and (N, ...), N of at least 1. Values are not looked at.

    Raises TypeError for what is no tensor.
    """
    check_tensor(f"{whose} samples", x)
    if x.ndim < 2 or x.numel() == 0:
        raise ValueError(f"expected {whose} samples (N, ...), N of at least 1, got {tuple(x.shape)}")
    if not is_float(x):
        raise ValueError(
            f"expected floating {whose} samples in [-1, 1], got {x.dtype}; divide by 127.5 and subtract 1"
        )


def check_per_sample(critic: Critic) -> None:
    """Raise ValueError where a module of the critic (N, ...) to (N,) is BatchNorm that uses its batch.

    Each logit then depends on all samples, and "the gradient at one sample" is not defined: Gulrajani et al.
    (2017), section 4, leave BatchNorm out of the critic. In eval mode it is a fixed affine map and passes. A
    function that is no module cannot be looked into, and passes too.
    """
    if not isinstance(critic, nn.Module):
        return
    for name, module in critic.named_modules():
        if isinstance(module, _BatchNorm) and (module.training or module.running_mean is None):
            raise ValueError(
                f"expected a critic that judges each sample alone, got {type(module).__name__} {name!r} in "
                "training mode, which mixes the batch; build D with batch_norm=False, or use LayerNorm"
            )


def _gradients(critic: Critic, x: Tensor) -> Tensor:
    """Return the gradient of each logit at its own sample, (N, ...) as (N, F), differentiable once more."""
    check_per_sample(critic)
    x = at_least_float32(x.detach())
    with torch.enable_grad(), torch.autocast(x.device.type, enabled=False):
        if in_each_seed():
            return _gradients_of_func(critic, x).flatten(1)
        x.requires_grad_()
        # The sum is over the batch: each sample's gradient comes from its own logit only.
        logits = _logits(critic, x).sum()
        (gradient,) = torch.autograd.grad(logits, x, create_graph=True, materialize_grads=True)
    return gradient.flatten(1)


def _gradients_of_func(critic: Critic, x: Tensor) -> Tensor:
    """Return the same, (N, ...), where autograd cannot be called: see `gancourse.together`."""
    buffers = dict(critic.named_buffers()) if isinstance(critic, nn.Module) else {}

    def summed(x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        # Under grad no buffer from outside may change, and spectral norm's change in each forward pass.
        copies = {name: value.clone() for name, value in buffers.items()}
        bound = partial(functional_call, critic, copies) if isinstance(critic, nn.Module) else critic
        return _logits(bound, x).sum(), copies

    found: tuple[Tensor, dict[str, Tensor]] = grad(summed, has_aux=True)(x)
    gradient, changed = found
    for name, value in buffers.items():
        value.copy_(changed[name])
    return gradient


def _logits(critic: Critic, x: Tensor) -> Tensor:
    """Return the critic's logits (N,) at samples x (N, ...) that want a gradient."""
    logits = critic(x)
    check_tensor("the critic's logits", logits)
    if logits.shape != x.shape[:1]:
        raise ValueError(
            f"expected one logit a sample, ({len(x)},), got {tuple(logits.shape)}; flatten them, and "
            "give a critic of packed samples the packs"
        )
    if not is_float(logits):
        raise ValueError(f"expected floating logits, got {logits.dtype}")
    if not logits.requires_grad:
        raise ValueError("expected logits with a gradient, got detached ones; take no_grad out of D")
    return logits


def _norms(vectors: Tensor) -> Tensor:
    """Map vectors (N, F) to Euclidean norms (N,) whose derivatives at the zero vector are zero, not NaN."""
    squared = vectors.square().sum(1)
    zero = squared == 0
    # Both branches of `where` are differentiated: the root must not even see a zero.
    return torch.where(zero, squared, torch.where(zero, 1.0, squared).sqrt())


def gradient_norms(critic: Critic, x: Tensor) -> Tensor:
    """Return the norms (N,) of the critic's gradients at samples x (N, ...), over all axes but the first.

    They are differentiable in the critic's parameters. Raises ValueError for samples that are not floating
    (N, ...), N of at least 1, for logits that are not (N,), and as `check_per_sample`.
    """
    check_samples("the", x)
    return _norms(_gradients(critic, x))


def interpolate(real: Tensor, fake: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    """Return eps x + (1 - eps) G(z) (N, ...) of real x (N, ...) and fake G(z) (N, ...), in float32 at least.

    One eps per sample, from U[0, 1]: a point somewhere on each segment, Gulrajani et al. (2017), section 4.
    The segments' other points are drawn in later steps. Raises ValueError where the shapes differ, and for
    samples that are not floating (N, ...), N of at least 1.
    """
    check_samples("real", real)
    check_samples("fake", fake)
    if real.shape != fake.shape:
        raise ValueError(
            f"expected real and fake samples of one shape, got {tuple(real.shape)} and {tuple(fake.shape)}"
        )
    real = at_least_float32(real.detach())
    fake = fake.detach().to(real.dtype)
    eps = uniform(len(real), generator=generator, device=real.device)
    return torch.lerp(fake, real, eps.to(real.dtype).view(-1, *[1] * (real.ndim - 1)))


def gradient_penalty(
    critic: Critic, real: Tensor, fake: Tensor, *, generator: torch.Generator | None = None
) -> Tensor:
    """Return E (||grad D(x_hat)|| - 1)^2, x_hat between real (N, ...) and fake (N, ...): WGAN-GP, unweighted.

    Gulrajani et al. (2017), eq. 3, who weigh it by 10. Two-sided: gradients shorter than 1 are pulled up too.
    `generator`, or torch's global one, draws where on the segments. Raises ValueError as `interpolate` and
    `gradient_norms` do.
    """
    norms = gradient_norms(critic, interpolate(real, fake, generator=generator))
    return (norms - 1).square().mean()


def _half_squared_norm(critic: Critic, whose: str, x: Tensor) -> Tensor:
    check_samples(whose, x)
    return _gradients(critic, x).square().sum(1).mean() / 2


def r1(critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
    """Return E ||grad D(x)||^2 / 2 on real samples (N, ...), without the weight gamma; fakes are not used.

    Mescheder et al. (2018), eq. 9. It pulls the gradient to 0, not to 1 as WGAN-GP does. Raises ValueError as
    `gradient_norms` does.
    """
    return _half_squared_norm(critic, "real", real)


def r2(critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
    """Return E ||grad D(G(z))||^2 / 2 on fake samples (N, ...), without the weight gamma; real are not used.

    Mescheder et al. (2018), eq. 10. Raises ValueError as `gradient_norms` does.
    """
    return _half_squared_norm(critic, "fake", fake)


def r1_r2(critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
    """Return R1 on real samples (N, ...) plus R2 on fake ones (M, ...), without the weight gamma.

    Huang et al. (2024), who pair it with the relativistic loss. Raises ValueError as `gradient_norms` does.
    """
    return r1(critic, real, fake) + r2(critic, real, fake)


@torch.no_grad()
def clip_weights_(net: nn.Module, bound: float = 0.01) -> None:
    """Clip every parameter (any shape) of a net to [-bound, bound], in place; buffers stay.

    Arjovsky et al. (2017), algorithm 1, after each step of the critic. Crude: the Lipschitz constant that
    results depends on the number of layers and units. Raises ValueError unless bound is above 0 and finite.
    """
    if not 0 < bound < float("inf"):
        raise ValueError(f"expected a finite bound above 0, got {bound}; 0.01 is the paper's")
    for parameter in net.parameters():
        parameter.clamp_(-bound, bound)
