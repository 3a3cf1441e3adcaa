"""Look inside a network while it runs: what it computes on its way, whatever its style."""

import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


@dataclass
class Tap:
    """One intermediate result (N, ...) of a forward pass, and what the backward pass brings to it.

    `maker` names the function of torch that made it, `sources` the positions of the taps that went into it.
    """

    maker: str
    value: Tensor
    sources: tuple[int, ...]
    grad: Tensor | None = None

    def receive(self, grad: Tensor) -> None:
        """Keep the gradient of the sum of the outputs."""
        self.grad = grad.detach().clone()


@dataclass(frozen=True)
class Trace:
    """A forward and a backward pass: output, the gradient to the input (or None), the taps in their order."""

    output: Any
    grad: Tensor | None
    taps: list[Tap]


class _Recorder(TorchFunctionMode):
    """Note every result that has a gradient and keeps the batch axis; change nothing."""

    def __init__(self, given: Tensor) -> None:
        super().__init__()
        self.n = len(given)
        self.taps: list[Tap] = []
        self.seen: dict[int, tuple[Tensor, int]] = {}  # holds the tensors, so that no id is used again
        self.note("input", given, ())

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        sources = tuple(self.seen[id(a)][1] for a in _flat(args) if id(a) in self.seen)
        result = func(*args, **(kwargs or {}))
        out = result[0] if isinstance(result, tuple) and result else result
        if isinstance(out, Tensor) and out.requires_grad and out.ndim and len(out) == self.n:
            self.note(getattr(func, "__name__", ""), out, sources)
        return result

    def note(self, maker: str, out: Tensor, sources: tuple[int, ...]) -> None:
        """Keep the values, and the gradient once it comes."""
        tap = Tap(maker, out.detach().clone(), sources)
        # A hook sees the gradient of the values of now, also where an activation overwrites them later.
        out.register_hook(tap.receive)
        self.seen[id(out)] = (out, len(self.taps))
        self.taps.append(tap)


def _flat(args: Any) -> Iterator[Any]:
    for a in args:
        yield from a if isinstance(a, list | tuple) else (a,)


def trace(net: Callable[[Tensor], Any], x: Tensor, *, train: bool = False) -> Trace:
    """Run net on x (N, ...) and back, in the mode asked for; random numbers follow from one seed."""
    for module in modules_in(net):
        module.train(train)
    torch.manual_seed(0)
    leaf = x.clone().requires_grad_()
    with torch.enable_grad():
        given = leaf.clone()  # no leaf, so that a network may overwrite it
        recorder = _Recorder(given)
        with recorder:
            output = net(given)
        grad = None
        if isinstance(output, Tensor) and output.requires_grad:
            grad = torch.autograd.grad(output.sum(), leaf, allow_unused=True)[0]
    return Trace(output, grad, recorder.taps)


def modules_in(thing: Any, depth: int = 3) -> list[nn.Module]:
    """Return the modules that a call uses: itself, or those in its closure, attributes and globals."""
    if isinstance(thing, nn.Module):
        return [thing]
    if depth == 0 or isinstance(thing, type | types.ModuleType | Tensor | str | int | float):
        return []
    found = {id(m): m for held in _held(thing) for m in modules_in(held, depth - 1)}
    return list(found.values())


def device_of(net: Any) -> torch.device:
    """Return where a network is, or the first of those that a function uses."""
    return next((w.device for module in modules_in(net) for w in module.parameters()), torch.device("cpu"))


def _held(thing: Any) -> list[Any]:
    if isinstance(thing, list | tuple):
        return list(thing)
    if isinstance(thing, dict):
        return list(thing.values())
    if isinstance(thing, types.FunctionType):
        cells = [cell.cell_contents for cell in thing.__closure__ or () if cell != types.CellType()]
        names = [thing.__globals__.get(name) for name in thing.__code__.co_names]
        return [*cells, *names, *(thing.__defaults__ or ())]
    if isinstance(thing, types.MethodType):
        return [thing.__self__, thing.__func__]
    held = list(getattr(thing, "__dict__", {}).values())
    return [*held, *(getattr(thing, name, None) for name in ("func", "args", "keywords"))]
