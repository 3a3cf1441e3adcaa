"""Whether the checks are still what they were: functions, classes and constants before and after."""

import builtins
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

ALSO = ("builtins", "torch", "torch.nn.functional", "torch.autograd")
CLASSES = (("torch", "Tensor"), ("torch.nn", "Module"))  # whose methods every check calls
# What torch.compile and the import behind it replace themselves.
MAY_CHANGE = ("torch.manual_seed", "torch.nn.Module.__init__", "torch.nn.Module.__setstate__")
CONSTANTS = (tuple, list, dict, str, int, float)
PARTS = ("__func__", "__wrapped__", "fget", "func")  # where wrappers keep the function
CODE = ("__code__", "__defaults__", "__kwdefaults__")

Fact = tuple[str, Any, str, Any, tuple[tuple[Any, str, Any], ...], str | None]
Gap = tuple[str, Any, tuple[str, ...]]


@dataclass(frozen=True)
class Snapshot:
    """Facts that must still hold: attributes as they are, and no names where they would shadow others."""

    facts: tuple[Fact, ...]
    gaps: tuple[Gap, ...]


def taken() -> Snapshot:
    """Take a snapshot of gancourse as far as it is loaded, and of what of torch and Python it builds on.

    Only what is there now is compared later: an import in a function or a cache that fills is no change.
    """
    facts: list[Fact] = []
    gaps: list[Gap] = []
    for name, module in sorted(sys.modules.items()):
        own = name.partition(".")[0] == "gancourse"
        if isinstance(module, ModuleType) and (own or name in ALSO):
            facts += _of_module(name, module, own)
        if isinstance(module, ModuleType) and own:
            shadowing = tuple(word for word in vars(builtins) if word not in vars(module))
            gaps.append((name, module, shadowing))
    for label, cls in _classes():
        facts += [_fact(f"{label}.{key}", cls, key, value, False) for key, value in list(vars(cls).items())]
        inherited = {key for base in cls.__mro__ for key in vars(base)} - set(vars(cls))
        gaps.append((label, cls, tuple(sorted(inherited))))
    return Snapshot(tuple(fact for fact in facts if fact[0] not in MAY_CHANGE), tuple(gaps))


def _of_module(name: str, module: ModuleType, own: bool) -> Iterator[Fact]:
    for key, value in list(vars(module).items()):
        constant = name.startswith("gancourse.assignment") and type(value) in CONSTANTS
        if (callable(value) or constant) and not (key.startswith("__") and own):
            yield _fact(f"{name}.{key}", module, key, value, constant)


def _classes() -> Iterator[tuple[str, type]]:
    """Yield gancourse's own classes and those of torch whose methods count."""
    for name, module in sorted(sys.modules.items()):
        if name.partition(".")[0] == "gancourse":
            for key, value in list(vars(module).items()):
                if isinstance(value, type) and value.__module__ == name:
                    yield f"{name}.{key}", value
    for name, key in CLASSES:
        if name in sys.modules:
            yield f"{name}.{key}", getattr(sys.modules[name], key)


def _fact(label: str, owner: Any, key: str, value: Any, constant: bool) -> Fact:
    inside = tuple(
        (function, part, getattr(function, part))
        for function in _functions(value)
        for part in CODE
        if isinstance(function, types.FunctionType)
    )
    return label, owner, key, value, inside, repr(value) if constant else None


def _functions(value: Any) -> list[Any]:
    """Return the functions in a value: itself, or those that it wraps."""
    found = [value]
    if isinstance(value, types.FunctionType | staticmethod | classmethod | property) or callable(value):
        held = [vars(type(value)).get(part) is not None or part in _own(value) for part in PARTS]
        found += [getattr(value, part, None) for part, there in zip(PARTS, held, strict=True) if there]
    return found


def _own(value: Any) -> dict[str, Any]:
    own = getattr(value, "__dict__", {})
    return {} if isinstance(value, type) or not isinstance(own, dict) else own


def comparison() -> Callable[[Snapshot], list[str]]:
    """Return `changed` in a form that no later change of this module or of the builtins reaches."""
    return types.FunctionType(changed.__code__, {"__builtins__": dict(vars(builtins))})


def changed(before: Snapshot) -> list[str]:
    """Name what differs now."""
    found = []
    for label, owner, key, value, inside, text in before.facts:
        now = owner.__dict__.get(key)
        same = now is value and (text is None or repr(now) == text)
        for function, part, held in inside:
            same = same and getattr(function, part) is held
        if not same:
            found.append(label)
    for label, owner, names in before.gaps:
        found += [f"{label}.{name}" for name in names if name in owner.__dict__]
    return found
