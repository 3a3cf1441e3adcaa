"""What steadies the game beside the loss: feature matching, noise on D's inputs, unrolling. Chapters 2 and 3.

Instance noise is taught in chapter 2, feature matching and the unrolled discriminator in chapter 3.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad

from gancourse.checks import is_count
from gancourse.distributed import local_part, world_size
from gancourse.losses import GANLoss
from gancourse.penalties import at_least_float32, check_samples
from gancourse.together import drawn, in_each_seed

_State = dict[str, Tensor]


def _features(D: nn.Module, whose: str, x: Tensor) -> Tensor:
    """Return D's features (N, F) of samples (N, ...), or of their packs."""
    features = getattr(D, "features", None)
    if not callable(features):
        raise ValueError(
            f"expected a discriminator with a method `features`, got {type(D).__name__} without; let it "
            "return the last hidden layer (N, F)"
        )
    check_samples(whose, x)
    found: Tensor = features(x)
    if found.ndim < 2:
        raise ValueError(f"expected features (N, F), got {tuple(found.shape)}; these look like logits")
    return at_least_float32(found).flatten(1)


def feature_matching(D: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """Return ||E f(x) - E f(G(z))||^2 of f = D.features on real (N, ...) and fake (M, ...) samples, a scalar.

    G's objective in Salimans et al. (2016), section 3.1: G matches the means of features, not D's verdict.
    Summed over the features, not averaged. Raises ValueError where D has no method `features`, for features
    that are not (N, ...), and for samples that are not floating (N, ...), N of at least 1.
    """
    on_real, on_fake = _features(D, "real", real), _features(D, "fake", fake)
    return (on_real.mean(0) - on_fake.mean(0)).square().sum()


def _normal_like(x: Tensor, generator: torch.Generator | None) -> Tensor:
    """Return this process's part of the whole batch's noise, in the shape of its samples x (N, ...)."""
    source = x.device if generator is None else generator.device
    shape = (len(x) * world_size(), *x.shape[1:])

    def draw(rng: torch.Generator | None) -> Tensor:
        return local_part(torch.randn(shape, generator=rng, device=source, dtype=x.dtype))

    return drawn(draw, generator).to(x.device)


def add_instance_noise(x: Tensor, std: float, generator: torch.Generator | None = None) -> Tensor:
    """Return x (N, ...) + std N(0, I), for both the real and the fake samples that D sees.

    Sønderby et al. (2017); Arjovsky and Bottou (2017): noise gives p_data and p_g a common support, where D*
    is finite and its gradient useful. `std` is in the units of x and decays to 0 in training; at 0 x itself
    comes back and nothing is drawn. Raises ValueError unless std is finite and at least 0, and for x that is
    not floating (N, ...), N of at least 1.
    """
    check_samples("the", x)
    if not 0 <= std < float("inf"):
        raise ValueError(f"expected a finite std of at least 0, got {std}")
    return x if std == 0 else x + std * _normal_like(x, generator)


def unrolled(
    D: nn.Module, loss: GANLoss, real: Tensor, fake: Tensor, *, steps: int, lr: float
) -> Callable[[Tensor], Tensor]:
    """Return D (N, ...) to logits (N,) as it will be after `steps` gradient steps on real and fake (N, ...).

    Metz et al. (2017): plain descent of D's loss with rate `lr`. G's loss on the result depends
    on `fake` = G(z) a second time, through the unrolled parameters: it feels how D will answer. D itself,
    its buffers included, stays as it is and collects no gradients. The graph of all steps is held. At 0 steps
    D itself comes back. Raises ValueError for steps below 0, an lr that is not above 0, a D without
    parameters, and for samples that are not floating (N, ...), N of at least 1.
    """
    state = unrolled_state(D, loss, real, fake, steps=steps, lr=lr)
    return D if steps == 0 else partial(_call, D, state)


def unrolled_state(
    D: nn.Module, loss: GANLoss, real: Tensor, fake: Tensor, *, steps: int, lr: float
) -> _State:
    """Return D's parameters and buffers (any shape), by name, as they are in what `unrolled` returns.

    They are for `torch.func.functional_call`, and differentiable functions of the fakes (N, ...). Raises
    ValueError as `unrolled` does.
    """
    _check_unrolling(D, steps, lr)
    check_samples("real", real)
    check_samples("fake", fake)
    parameters = {name: value.detach().clone() for name, value in D.named_parameters()}
    buffers = {name: value.clone() for name, value in D.named_buffers()}
    if not in_each_seed():
        for value in parameters.values():
            value.requires_grad_()

    def value_of(parameters: _State, buffers: _State) -> tuple[Tensor, _State]:
        buffers = {name: value.clone() for name, value in buffers.items()}  # BatchNorm's change when called
        D_k = partial(_call, D, parameters | buffers)
        return loss.d(real=D_k(real), fake=D_k(fake)), buffers

    for _ in range(steps):
        with torch.enable_grad():
            gradients, buffers = _gradients(value_of, parameters, buffers)
            parameters = {name: value - lr * gradients[name] for name, value in parameters.items()}
    return parameters | buffers


def _call(D: nn.Module, state: _State, x: Tensor) -> Tensor:
    logits: Tensor = functional_call(D, state, (x,))
    return logits


def _gradients(
    value_of: Callable[[_State, _State], tuple[Tensor, _State]], parameters: _State, buffers: _State
) -> tuple[_State, _State]:
    """Return the gradients in the parameters, themselves differentiable, and the new buffers."""
    if in_each_seed():  # where autograd cannot be called
        found: tuple[_State, _State] = grad(value_of, has_aux=True)(parameters, buffers)
        return found
    value, buffers = value_of(parameters, buffers)
    gradients = torch.autograd.grad(
        value, list(parameters.values()), create_graph=True, materialize_grads=True
    )
    return dict(zip(parameters, gradients, strict=True)), buffers


def _check_unrolling(D: nn.Module, steps: int, lr: float) -> None:
    if not is_count(steps, 0):
        raise ValueError(f"expected at least 0 unrolled steps, got {steps!r}; give a whole number")
    if not 0 < lr < float("inf"):
        raise ValueError(f"expected a finite lr above 0, got {lr}; D's own learning rate is a good start")
    if next(D.parameters(), None) is None:
        raise ValueError(f"expected a discriminator with parameters to unroll, got {type(D).__name__}")
