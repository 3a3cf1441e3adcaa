"""Tell one version of a student's code from another, so that a training is only continued by its own code."""

import hashlib
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any

import torch
from torch import Tensor

FOREIGN = ("torch", "gancourse", "builtins")
LARGE = 100_000  # numbers in a tensor; of data, the shape must do


def fingerprint(*things: Any) -> str:
    """Return a hash of functions, classes and what they use of their own module: comments do not count.

    Of what comes from another module, the name counts. The same code has the same hash in each process of one
    version of Python.
    """
    total = hashlib.sha256()
    for thing in things:
        for part in _parts(thing, set()):
            total.update(len(part).to_bytes(8, "big") + part)
    return total.hexdigest()


def _parts(thing: Any, seen: set[int]) -> Iterator[bytes]:
    if isinstance(thing, FunctionType | type):
        yield f"{thing.__module__}.{thing.__qualname__}".encode()
        if id(thing) not in seen and thing.__module__.split(".")[0] not in FOREIGN:
            seen.add(id(thing))
            parts = _of_class(thing, seen) if isinstance(thing, type) else _of_function(thing, seen)
            yield from parts
    elif isinstance(thing, Tensor):
        yield f"{thing.dtype} {tuple(thing.shape)}".encode()
        if thing.numel() <= LARGE:
            yield thing.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
    elif isinstance(thing, dict):
        yield from (part for pair in thing.items() for item in pair for part in _parts(item, seen))
    elif isinstance(thing, list | tuple):
        yield from (part for item in thing for part in _parts(item, seen))
    elif isinstance(thing, str | bytes | int | float | complex | bool | None):
        yield repr(thing).encode()
    else:
        yield type(thing).__qualname__.encode()


def _of_function(function: FunctionType, seen: set[int]) -> Iterator[bytes]:
    yield from _of_code(function.__code__)
    yield from _parts([function.__defaults__, function.__kwdefaults__], seen)
    for cell in function.__closure__ or ():
        try:
            yield from _parts(cell.cell_contents, seen)
        except ValueError:  # a variable without a value yet
            continue
    for name in sorted(_names(function.__code__)):
        if name in function.__globals__:
            yield name.encode()
            yield from _parts(function.__globals__[name], seen)


def _of_class(kind: type, seen: set[int]) -> Iterator[bytes]:
    yield from _parts(list(kind.__bases__), seen)
    for name, value in sorted(vars(kind).items()):
        if not name.startswith("__") or isinstance(value, FunctionType):
            yield name.encode()
            yield from _parts(getattr(value, "__func__", value), seen)


def _of_code(code: CodeType) -> Iterator[bytes]:
    yield code.co_code
    yield repr(code.co_names).encode()
    for constant in code.co_consts:
        yield from _of_code(constant) if isinstance(constant, CodeType) else [repr(constant).encode()]


def _names(code: CodeType) -> set[str]:
    inner = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return set(code.co_names).union(*map(_names, inner))
