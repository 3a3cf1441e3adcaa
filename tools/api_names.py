"""What the library's reference must hold, and which docstrings are missing."""

from __future__ import annotations

import importlib
import inspect
import typing
from functools import cache
from typing import Any

# In the order of the reference. A package says in __all__ what is public, a module in its names.
PARTS = (
    "data", "models", "losses", "penalties", "regularizers", "training", "metrics", "features", "sampling",
    "distributed", "pretrained", "widgets", "widgets.game", "assignment",
    "assignment.grading",
)  # fmt: skip


def is_ours(value: object, module: str) -> bool:
    """Tell whether a name of a module was made there: a class, a function, a pair of losses, an alias."""
    if inspect.isclass(value) or inspect.isroutine(value):
        return value.__module__ == module
    return is_made_of_types(value) or type(value).__name__ == "GANLoss"


def is_made_of_types(value: object) -> bool:
    """Tell whether a value is an alias such as Callable[[Tensor], Tensor]."""
    return typing.get_origin(value) is not None


def names_of(module: Any) -> list[str]:
    """Return a module's public names."""
    listed: list[str] | None = getattr(module, "__all__", None)
    if listed is not None:
        return listed
    return [n for n, v in vars(module).items() if not n.startswith("_") and is_ours(v, module.__name__)]


@cache
def public() -> dict[str, object]:
    """Return what the reference must hold: full name to object, each under the first name that has it."""
    found: dict[str, object] = {}
    for part in PARTS:
        module = importlib.import_module(f"gancourse.{part}")
        for name in names_of(module):
            value = getattr(module, name)
            if not any(value is other for other in found.values()):
                found[f"gancourse.{part}.{name}"] = value
    return found


def undocumented(objects: dict[str, object]) -> list[str]:
    """List the classes, functions and their public methods whose docstring is missing or has no sentence."""
    lacking = []
    for name, value in objects.items():
        if inspect.isclass(value) or inspect.isroutine(value):
            members = own_members(value) if inspect.isclass(value) else {}
            named = {name: value} | {f"{name}.{n}": member for n, member in members.items()}
            lacking += [n for n, v in named.items() if not has_sentence(v)]
    return lacking


def own_members(cls: type) -> dict[str, object]:
    """Return the public methods and properties that a class defines itself."""
    kinds = (property, classmethod, staticmethod)
    return {
        n: v
        for n, v in vars(cls).items()
        if not n.startswith("_") and (inspect.isfunction(v) or isinstance(v, kinds))
    }


def has_sentence(value: object) -> bool:
    """Tell whether a docstring begins with a sentence of at least two words."""
    first = (getattr(value, "__doc__", None) or "").strip().split("\n\n")[0]
    # dataclass and NamedTuple write a signature where there is no docstring.
    return len(first.split()) >= 2 and not first.startswith(f"{getattr(value, '__name__', '')}(")
