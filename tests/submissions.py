"""What a student may hand over besides a solution, and what of the student's must stay as it was."""

from __future__ import annotations

import json
import os
import random
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

BOOK = Path(__file__).resolve().parent.parent / "book"


def in_the_book(reread: str) -> bool:
    """Tell whether a rule's place to reread is a heading, or the title of an exercise, of that chapter."""
    found = re.fullmatch(r'chapter (\d)(b?), (its exercise )?"(.+)"', reread)
    assert found is not None, reread
    (chapter,) = BOOK.glob(f"{int(found[1]):02d}{found[2]}-*.ipynb")
    cells = json.loads(chapter.read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    mark = "```{exercise}" if found[3] else "#+"
    return re.search(rf"^{mark} {re.escape(found[4])}$", text, re.MULTILINE) is not None


def state(*modules: nn.Module) -> list[object]:
    """Return all that can be told of modules, as values that compare."""
    return [
        (
            [(name, value.tolist()) for name, value in module.state_dict().items()],
            [None if w.grad is None else w.grad.tolist() for w in module.parameters()],
            [w.requires_grad for w in module.parameters()],
            [part.training for part in module.modules()],
        )
        for module in modules
    ]


def surroundings() -> list[object]:
    """Return what a check might change around it: random states, modes of torch, directory, threads."""
    return [
        torch.get_rng_state().tolist(),
        random.getstate(),
        np.random.get_state()[1].tolist(),  # noqa: NPY002 - what students draw from
        torch.is_grad_enabled(),
        torch.get_default_dtype(),
        os.getcwd(),
        threading.active_count(),
        sys.stdout,
    ]


def used(module: nn.Module, *inputs: Tensor) -> nn.Module:
    """Give a module what training leaves: gradients, a part in evaluation mode, a frozen weight."""
    module(*inputs).sum().backward()
    parts, weights = [*module.modules()], [*module.parameters()]
    parts[-1].eval()
    weights[0].requires_grad_(False)
    return module


def raising(error: BaseException) -> Callable[..., Any]:
    def submitted(*_: object) -> Any:
        raise error

    return submitted


class Prickly:
    """An object that answers every question about it with an error."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __call__(self, *_: object) -> Any:
        raise RuntimeError("call")


class Untold(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def endless(*_: object) -> Any:
    while True:
        try:
            while True:
                pass
        except BaseException:  # what a hostile student would write
            pass


def deep(*given: object) -> Any:
    return deep(*given)


class Empty(nn.Module):
    """A module without `forward`, which torch answers with NotImplementedError."""


class Uncopied(nn.Module):
    """Wrap a module so that it cannot be copied."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.held = net, (n for n in range(3))

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.net(x)
        return made


HOSTILE: dict[str, Any] = {
    "a number": 3.5,
    "a text": "G",
    "a list": [1, 2],
    "a tensor": torch.ones(3),
    "an object": object(),
    "a module of Python": sys,
    "a class": nn.Linear,
    "an exception": ValueError,
    "no arguments": lambda: None,
    "None for an answer": lambda *_: None,
    "a text for an answer": lambda *_: "10 of 10",
    "itself for an answer": lambda *given: given[0],
    "not finite": lambda *given: given[0] * float("nan"),
    "complex": lambda *given: given[0] * 1j,
    "empty": lambda *_: torch.empty(0),
    "sparse": lambda *given: given[0].to_sparse(),
    "without storage": lambda *given: given[0].to("meta"),
    "an error": raising(ValueError("no")),
    "an error without words": raising(Untold()),
    "the end of Python": raising(SystemExit(0)),
    "an interrupt": raising(KeyboardInterrupt()),
    "no end of calls": deep,
    "prickly": Prickly(),
    "Identity": nn.Identity(),
}
