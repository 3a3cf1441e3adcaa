"""What a function can reach without being handed it: the optimizers of the notebook around it."""

import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

KINDS = (torch.optim.Optimizer, torch.Generator)
MANY = 100  # a longer list holds data
PLAIN = (nn.Module, type, types.ModuleType, Tensor, str, bytes, int, float)


def reached(thing: Any, depth: int = 3) -> list[Any]:
    """Return optimizers and generators in a call's closure, globals, defaults and attributes."""
    found: dict[int, Any] = {}
    try:
        _collect(thing, depth, found)
    except Exception:  # an object whose attributes raise hides what it holds
        return list(found.values())
    return list(found.values())


def _collect(thing: Any, depth: int, found: dict[int, Any]) -> None:
    if isinstance(thing, KINDS):
        found[id(thing)] = thing
    elif depth and not isinstance(thing, PLAIN):
        for held in _held(thing):
            _collect(held, depth - 1, found)


def _held(thing: Any) -> list[Any]:
    if isinstance(thing, list | tuple):
        return list(thing[:MANY])
    if isinstance(thing, dict):
        return list(thing.values())[:MANY]
    if isinstance(thing, types.MethodType):
        return [thing.__self__, thing.__func__]
    held = list(getattr(thing, "__dict__", {}).values())
    if isinstance(thing, types.FunctionType):
        filled = [cell for cell in thing.__closure__ or () if cell != types.CellType()]
        held += [cell.cell_contents for cell in filled] + list(thing.__defaults__ or ())
        held += [thing.__globals__.get(name) for name in thing.__code__.co_names]
    return [*held, *(getattr(thing, name, None) for name in ("func", "args", "keywords"))]


@contextmanager
def unmoved(things: list[Any]) -> Iterator[None]:
    """Give back optimizers and generators as they were; modules are the business of `untouched`."""
    kept = [_keep(thing) for thing in things]
    try:
        yield
    finally:
        for give_back in kept:
            give_back()


def _keep(thing: Any) -> Callable[[], None]:
    if isinstance(thing, torch.Generator):
        state = thing.get_state()
        return lambda: void(thing.set_state(state))
    moments = {p: {name: _copy(v) for name, v in held.items()} for p, held in thing.state.items()}
    groups = [{name: v for name, v in group.items() if name != "params"} for group in thing.param_groups]

    def give_back() -> None:
        thing.state.clear()
        thing.state.update(moments)
        for group, held in zip(thing.param_groups, groups, strict=False):
            group.update(held)

    return give_back


def _copy(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, Tensor) else value


def void(_: object) -> None:
    """Drop a value."""
