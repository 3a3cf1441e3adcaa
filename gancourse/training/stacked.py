"""Nets of one architecture stacked into one, and what is asked of them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.dropout import _DropoutNd

from gancourse.checks import check_seed
from gancourse.data.loaders import DeviceLoader
from gancourse.distributed import world_size
from gancourse.losses import GANLoss
from gancourse.together import each_seed
from gancourse.training.config import TrainConfig
from gancourse.training.players import check_kinds, copy_extra_state


class Stacked(nn.Module):
    """Map (S, N, ...) to (S, N, ...): S nets of one architecture, (N, ...) to (N, ...) each, called at once.

    `net` is one of them whose parameters and buffers are those of all, (S, ...): no layer of it can be called
    by itself. What is neither, such as the stage of a growing net, is one for all seeds.
    """

    def __init__(self, nets: Sequence[nn.Module]) -> None:
        super().__init__()
        self.net, self.size = copy.deepcopy(nets[0]), len(nets)
        every = [_tensors(net) for net in nets]
        for name, tensor in _tensors(self.net).items():
            tensor.data = torch.stack([tensors[name].detach() for tensors in every])

    def forward(self, x: Tensor) -> Tensor:
        """Map each seed's x (N, ...) of (S, N, ...) through its own net."""
        out: Tensor = self.each(lambda net, x: net(x), x)
        return out

    def each(self, f: Callable[..., Any], *given: Tensor, state: dict[str, Tensor] | None = None) -> Any:
        """Call f(net, ...) for each seed at once, with its net and its part (...) of every tensor (S, ...).

        `state` (S, ...) takes the place of parameters and buffers. Raises ValueError as `each_seed` does.
        """
        bound = _With(self.net)

        def of_one(state: dict[str, Tensor], *given: Tensor) -> Any:
            return functional_call(bound, state, (f, *given))

        state = _tensors(self.net) if state is None else state
        return each_seed(self.size, of_one, {f"net.{name}": t for name, t in state.items()}, *given)

    @torch.no_grad()
    def give(self, nets: Sequence[nn.Module]) -> None:
        """Copy each seed's parameters, buffers and the common rest into its net."""
        mine = _tensors(self.net)
        for i, net in enumerate(nets):
            for name, tensor in _tensors(net).items():
                tensor.copy_(mine[name][i])
            copy_extra_state(self.net, net)

    def copies(self, nets: Sequence[nn.Module]) -> list[nn.Module]:
        """Return copies of the nets with each seed's parameters and buffers."""
        found = [copy.deepcopy(net) for net in nets]
        self.give(found)
        return found

    def extra_repr(self) -> str:
        """Say how many nets there are."""
        return f"size={self.size}"


class _With(nn.Module):
    """A net handed to a function, so that `functional_call` binds it to other tensors meanwhile."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, f: Callable[..., Any], *given: Tensor) -> Any:
        return f(self.net, *given)


def _tensors(net: nn.Module) -> dict[str, Tensor]:
    return dict(chain(net.named_parameters(), net.named_buffers()))


def check_seeds(
    G: object, D: object, data: object, loss: GANLoss, config: TrainConfig, seeds: object
) -> tuple[list[nn.Module], list[nn.Module]]:
    """Return the lists of nets. Raises ValueError or TypeError, in words, for what cannot train together."""
    Gs, Ds, n = _listed("G", G), _listed("D", D), _count(seeds)
    if not len(Gs) == len(Ds) == n:
        raise ValueError(f"expected a G and a D for each of the {n} seeds, got {len(Gs)} and {len(Ds)}")
    for pair in zip(Gs, Ds, strict=True):
        check_kinds(*pair, loss, config)
    _check_config(config, data)
    _check_nets("G", Gs)
    _check_nets("D", Ds)
    _check_apart([*Gs, *Ds])
    return Gs, Ds


def _listed(name: str, nets: object) -> list[nn.Module]:
    if not isinstance(nets, list | tuple):
        raise TypeError(
            f"expected a list of nets as {name}, one for each seed, got {type(nets).__name__}; for a single "
            "net leave out seeds="
        )
    return list(nets)


def _count(seeds: object) -> int:
    if not isinstance(seeds, Sequence) or isinstance(seeds, str):
        raise TypeError(f"expected seeds such as (0, 1, 2), got {type(seeds).__name__}")
    for seed in seeds:
        check_seed(seed)
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"expected different seeds, at least one, got {seeds!r}; such as (0, 1, 2)")
    return len(seeds)


def _check_config(config: TrainConfig, data: object) -> None:
    if config.conditional or config.precision != "float32" or world_size() > 1:
        raise ValueError(
            "expected unconditional nets in float32 and one process where seeds are trained together, got "
            f"conditional={config.conditional}, precision={config.precision!r}, {world_size()} process(es); "
            "train the seeds one by one, without seeds="
        )
    if isinstance(data, DeviceLoader):
        raise ValueError(
            "expected the data themselves where seeds are trained together, each of which draws its own "
            "batches, got a DeviceLoader; pass what it was made of"
        )


def _check_nets(name: str, nets: list[nn.Module]) -> None:
    """Refuse nets not alike in all but their values, and dropout, whose draws would be no lone run's."""
    for i, net in enumerate(nets):
        if _form(net) != _form(nets[0]):
            raise ValueError(
                f"expected nets of one architecture, dtype, device and mode as {name}, got number {i} that "
                "differs from number 0; build all of them alike, with generators of their own"
            )
    if any(isinstance(module, _DropoutNd) and module.p > 0 for module in nets[0].modules()):
        raise ValueError(
            f"expected nets without dropout where seeds are trained together, got it in {name}; leave it "
            "out, or train the seeds one by one, without seeds="
        )


def _form(net: nn.Module) -> tuple[Any, ...]:
    tensors = [(n, t.shape, t.dtype, t.device, t.requires_grad) for n, t in _tensors(net).items()]
    modules = [  # classes by name: parametrized layers have one each
        (type(m).__qualname__, m.training, str(m.get_extra_state()) if _has_extra_state(m) else "")
        for m in net.modules()
    ]
    return repr(net), tensors, modules


def _has_extra_state(module: nn.Module) -> bool:
    return type(module).get_extra_state is not nn.Module.get_extra_state


def _check_apart(nets: list[nn.Module]) -> None:
    """Refuse a net given twice, and weights that two nets share: stacked, they would be two."""
    seen: set[int] = set()
    for net in nets:
        own = {id(p) for p in net.parameters()}
        if own & seen:
            raise ValueError(
                f"expected nets of its own for each seed, got a {type(net).__name__} that is given twice or "
                "shares weights; build one for each seed"
            )
        seen |= own
