"""Input that does not fit, made by hypothesis, and what an answer to it must be."""

from __future__ import annotations

import dis
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

import gancourse

LIBRARY = Path(gancourse.__file__).parent
FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
INTEGERS = (torch.int64, torch.uint8, torch.int8, torch.int16, torch.int32)
COMPLEX = (torch.complex64, torch.complex128)
DTYPES = (
    *FLOATS, *INTEGERS, *COMPLEX, torch.bool, torch.uint16, torch.uint32, torch.uint64,
    torch.float8_e4m3fn, torch.float8_e5m2,
)  # fmt: skip
FINITE = (math.nan, math.inf, -math.inf)  # values that no tensor of finite numbers has
UNIT = (*FINITE, 1.5, -1.1, 255.0)  # values that no image in [-1, 1] has
NO_TENSORS = (3.5, 2, "0", [0.0, 1.0], np.zeros((2, 3), np.float32), [torch.zeros(2)], {"x": 1}, object)

Axes = tuple[Any, ...]  # a length, a letter for any length above 0, or ... for any further axes


@dataclass(frozen=True)
class Wanted:
    """The tensors that fit: of one of the shapes and dtypes, without any of the values `never`.

    `at_least` is the least length of the first axis, where it is a letter. `placed` asks for the CPU too.
    """

    shapes: tuple[Axes, ...]
    dtypes: tuple[torch.dtype, ...] = (torch.float32,)
    never: tuple[float, ...] = ()
    at_least: int = 1
    placed: bool = False

    def fits(self, shape: tuple[int, ...]) -> bool:
        return any(_matches(shape, axes, self.at_least) for axes in self.shapes)

    def good(self) -> Tensor:
        lengths = [3 if isinstance(axis, str) else axis for axis in self.shapes[0] if axis is not ...]
        if isinstance(self.shapes[0][:1], tuple) and isinstance(self.shapes[0][0], str):
            lengths[0] = max(3, self.at_least)
        return filled(tuple(lengths), self.dtypes[0])


def _matches(shape: tuple[int, ...], axes: Axes, at_least: int) -> bool:
    if axes and axes[-1] is ...:
        axes = (*axes[:-1], *["X"] * max(0, len(shape) - len(axes) + 1))
    if len(shape) != len(axes):
        return False
    letters = isinstance(axes[0], str) if axes else False
    enough = not letters or shape[0] >= at_least
    return enough and all(
        length > 0 if isinstance(axis, str) else length == axis
        for length, axis in zip(shape, axes, strict=True)
    )


def filled(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Return a tensor of values from 0 up to .9, which integers cut to 0."""
    return torch.linspace(0, 0.9, math.prod(shape)).reshape(shape).to(dtype)


def misfits(wanted: Wanted, *, optional: bool = False) -> st.SearchStrategy[Any]:
    """Draw tensors of another shape, dtype, device or with a forbidden value, and what is no tensor."""
    parts: list[st.SearchStrategy[Any]] = [_of_other_shape(wanted), _of_other_shape(wanted)]
    parts += [_of_other_dtype(wanted), st.sampled_from(NO_TENSORS if optional else (None, *NO_TENSORS))]
    if wanted.never:
        parts += [_of_other_values(wanted)] * 2
    if wanted.placed:
        parts += [st.builds(lambda: wanted.good().to("meta"))]
    return st.one_of(parts)


def _of_other_shape(wanted: Wanted) -> st.SearchStrategy[Tensor]:
    good = list(wanted.good().shape)
    anything = st.lists(st.integers(0, 4), max_size=5)
    changed = st.builds(
        lambda at, length: [*good[: at % max(1, len(good))], length, *good[at % max(1, len(good)) + 1 :]],
        st.integers(0, 4),
        st.integers(0, 40),
    )
    longer = st.builds(lambda at: [*good[:at], 1, *good[at:]], st.integers(0, len(good)))
    shorter = st.builds(lambda at: good[:at] + good[at + 1 :], st.integers(0, max(0, len(good) - 1)))
    shapes = st.one_of(changed, anything, longer, shorter).map(tuple).filter(lambda s: not wanted.fits(s))
    return st.builds(filled, shapes, st.sampled_from(wanted.dtypes))


def _of_other_dtype(wanted: Wanted) -> st.SearchStrategy[Tensor]:
    others = [dtype for dtype in DTYPES if dtype not in wanted.dtypes]
    return st.sampled_from(others).map(lambda dtype: filled(tuple(wanted.good().shape), dtype))


def _of_other_values(wanted: Wanted) -> st.SearchStrategy[Tensor]:
    whole = any(dtype in FLOATS for dtype in wanted.dtypes)
    dtypes = [d for d in wanted.dtypes if d in FLOATS] if whole else [torch.int64]

    def spoiled(dtype: torch.dtype, value: float, at: int) -> Tensor:
        flat = wanted.good().to(dtype).flatten()
        flat[at % len(flat)] = value
        return flat.reshape(wanted.good().shape)

    return st.builds(spoiled, st.sampled_from(dtypes), st.sampled_from(wanted.never), st.integers(0, 9999))


def no_counts(at_least: int = 1, at_most: int | None = None) -> st.SearchStrategy[Any]:
    """Draw what is no integer from `at_least` to `at_most`: other integers, fractions, NaN, no numbers."""
    parts: list[st.SearchStrategy[Any]] = [st.integers(at_least - 10**6, at_least - 1), st.floats(-4, 40)]
    parts += [st.sampled_from([math.nan, math.inf, -math.inf, "3", None, [1.5], 1.0])]
    if at_most is not None:
        parts += [st.integers(at_most + 1, at_most + 10**6)]
    return st.one_of(parts)


def no_rates(
    low: float, high: float = math.inf, *, low_fits: bool = False, high_fits: bool = False
) -> st.SearchStrategy[float]:
    """Draw floats outside the range from low to high, its ends too unless they fit, NaN and infinity."""
    below = st.floats(max_value=low, exclude_max=low_fits, allow_infinity=False)
    parts: list[st.SearchStrategy[float]] = [below, st.sampled_from(FINITE)]
    if high < math.inf:
        parts += [st.floats(min_value=high, exclude_min=high_fits, allow_infinity=False)]
    return st.one_of(parts)


@dataclass(frozen=True)
class Slot:
    """One argument of one call: `good` is taken, and each `bad` value must be refused."""

    name: str
    call: Callable[[Any], object]
    bad: st.SearchStrategy[Any]
    good: Any


def slot(name: str, call: Callable[[Any], object], wanted: Wanted, **facts: Any) -> Slot:
    """Return the slot of a tensor."""
    return Slot(
        name, call, misfits(wanted, optional=facts.get("optional", False)), facts.get("good", wanted.good())
    )


def shown(value: Any) -> str:
    """Name a value so that different ones have different names."""
    if not isinstance(value, Tensor):
        return f"{type(value).__name__} {value!r}"
    bits = b"" if value.is_meta else value.detach().flatten().view(torch.uint8).numpy().tobytes()
    return f"{value.dtype} {tuple(value.shape)} on {value.device} #{hash(bits)}"


def answer(call: Callable[[Any], object], value: Any) -> Exception | None:
    """Return what a call raises, or None where it takes the value."""
    try:
        call(value)
    except Exception as error:
        return error
    return None


def check_refused(call: Callable[[Any], object], value: Any) -> None:
    """Assert that a call raises, in a raise statement of the library, an error that says why."""
    error = answer(call, value)
    assert error is not None, f"{shown(value)} was taken"
    fault = _fault(error)
    assert not fault, f"{shown(value)}: {type(error).__name__}: {error}\n{fault}"


def _fault(error: Exception) -> str:
    """Say what is wrong with an answer to bad input, or nothing."""
    if type(error) not in (ValueError, TypeError):
        return "expected a ValueError or a TypeError"
    frame, position = _innermost(error)
    file = Path(frame.f_code.co_filename)
    if LIBRARY not in file.parents:
        return f"it was raised in {file}, not in the library"
    if dis.opname[frame.f_code.co_code[position]] != "RAISE_VARARGS":
        return (
            f"it came out of torch or Python at {file.name}:{frame.f_lineno}, where no raise statement stands"
        )
    if error.__context__ is not None and not error.__suppress_context__:
        return f"behind it stands {error.__context__!r}"
    said = "expected" in str(error) and "got" in str(error)
    return "" if said else "it does not say what was expected and what came"


def _innermost(error: Exception) -> tuple[FrameType, int]:
    traceback = error.__traceback__
    assert traceback is not None
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback.tb_frame, traceback.tb_lasti
