"""What every entrance of the library asks of its input, in the same words."""

from __future__ import annotations

import inspect
from numbers import Integral

import torch
from torch import Tensor, nn

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def check_tensor(name: str, value: object) -> None:
    """Raise TypeError unless the value is a tensor, of any shape."""
    if not isinstance(value, Tensor):
        raise TypeError(
            f"expected a tensor for {name}, got {type(value).__name__}; torch.as_tensor makes one of numbers"
        )


def is_float(x: Tensor) -> bool:
    """Tell whether x (any shape) holds floats of 16, 32 or 64 bits; float8 only stores."""
    return x.dtype in FLOATS


def is_count(value: object, at_least: int = 1) -> bool:
    """Tell whether the value is an integer, Python's or NumPy's, of at least `at_least`."""
    return isinstance(value, Integral) and int(value) >= at_least


def check_seed(seed: object) -> None:
    """Raise ValueError unless the seed is an integer from 0 to 2^63 - 1."""
    if not (is_count(seed, 0) and isinstance(seed, Integral) and int(seed) < 2**63):
        raise ValueError(f"expected a seed from 0 to 2^63 - 1, an integer, got {seed!r}")


def check_takes(net: nn.Module, *given: Tensor) -> None:
    """Raise TypeError unless the net's `forward` can be called with as many tensors, (N, ...) each."""
    try:
        inspect.signature(net.forward).bind(*given)
    except TypeError as error:
        raise TypeError(
            f"expected a net that takes {len(given)} tensors, samples and, if conditional, labels, "
            f"got {type(net).__name__}, whose forward cannot be called so: {error}"
        ) from None
