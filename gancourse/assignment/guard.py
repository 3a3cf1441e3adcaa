"""Run a student's code so that it cannot hang the check, end it, or change anything behind its back."""

import contextlib
import copy
import io
import random
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, is_lazy

SECONDS = 8.0
TO_DO = "fill it in, run its cell, then run this cell again"
OWN = ("/gancourse/", "/torch/", "/contextlib.py")


class TimeUp(BaseException):
    """The student's code did not return in time; no Exception, so that `except Exception` lets it pass."""


@dataclass(frozen=True)
class Outcome:
    """What a call gave: its value, or the words for its failure; `undone` where a blank was not filled in."""

    value: Any = None
    error: str | None = None
    undone: bool = False


@dataclass
class Clock:
    """The seconds that a check may still give to the student's code."""

    seconds: float = SECONDS
    started: float = field(default_factory=time.monotonic)

    def left(self) -> float:
        """Return the seconds that are left, never less than a moment."""
        return max(self.seconds - (time.monotonic() - self.started), 0.05)


def attempt(clock: Clock, call: Callable[..., Any], *arguments: Any, **named: Any) -> Outcome:
    """Call the student's code; whatever it does, return its value or say what went wrong.

    What it prints and warns is dropped. It is stopped when the clock has run out.
    """
    with _stop_button() as pressed:
        outcome = _outcome(clock, call, arguments, named)
    if pressed:  # whatever the code made of it
        raise KeyboardInterrupt
    return outcome


def _outcome(
    clock: Clock, call: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any]
) -> Outcome:
    quiet = io.StringIO()
    try:
        with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with limit(clock.left()):
                return Outcome(next(_apart(call, *arguments, **named)))
    except NotImplementedError as error:
        return Outcome(error=_to_do(error), undone=True)
    except TimeUp:
        return Outcome(error=f"no answer after {clock.seconds:g} seconds; is there a loop that never ends?")
    except BaseException as error:  # SystemExit too: a check outlives whatever it is given
        return Outcome(error=words(error))


@contextlib.contextmanager
def _stop_button() -> Iterator[list[int]]:
    """Note whether the notebook's stop button was pressed inside: the student's code may hold the error."""
    pressed: list[int] = []

    def press(number: int, frame: FrameType | None) -> None:
        pressed.append(number)
        raise KeyboardInterrupt

    here = threading.current_thread() is threading.main_thread()  # Python allows handlers only there
    if not here or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield pressed
        return
    signal.signal(signal.SIGINT, press)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _to_do(error: NotImplementedError) -> str:
    """Say which blank a NotImplementedError comes from."""
    try:
        if said := _text(error).removeprefix("NotImplementedError:").strip():
            return said
        name = _theirs(error)[-1].name
    except BaseException:  # an error whose text raises, or one of no line of the student's
        return TO_DO
    return f"{name} is still blank; {TO_DO}" if name.isidentifier() and not name.startswith("__") else TO_DO


def _apart(call: Callable[..., Any], *arguments: Any, **named: Any) -> Iterator[Any]:
    # An error raised by a trace function within a handler stays in `sys.exception()` of whoever runs it.
    # A generator has a state of its own for that, which ends with it.
    yield call(*arguments, **named)


def words(error: BaseException) -> str:
    """Name the error, and the line of the student's code that raised it."""
    if isinstance(error.__cause__, StopIteration):  # which no generator lets out under its own name
        error = error.__cause__
    try:
        theirs = _theirs(error)
        return _text(error) + (f" (at `{theirs[-1].line}`)" if theirs and theirs[-1].line else "")
    except BaseException:  # an error whose text raises
        return type(error).__name__


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".strip().splitlines()[0][:300]


def _theirs(error: BaseException) -> list[traceback.FrameSummary]:
    """Return the frames of the student's code that an error passed through, the last one last."""
    frames = traceback.extract_tb(error.__traceback__)
    return [frame for frame in frames if not any(part in frame.filename for part in OWN)]


@contextlib.contextmanager
def limit(seconds: float) -> Iterator[None]:
    """Raise TimeUp in the code inside after so many seconds; in the main thread of a POSIX system only."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def strike(number: int, frame: FrameType | None) -> None:
        # Code that swallows the exception meets it again at its next line, also within its handlers.
        while frame is not None and frame.f_code is not limit.__wrapped__.__code__:  # type: ignore[attr-defined]
            frame.f_trace = trace
            frame = frame.f_back
        sys.settrace(trace)
        raise TimeUp

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line" and not any(part in frame.f_code.co_filename for part in OWN):
            raise TimeUp
        return trace

    before, tracer = signal.signal(signal.SIGALRM, strike), sys.gettrace()
    signal.setitimer(signal.ITIMER_REAL, seconds, 0.25)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        sys.settrace(tracer)


# ------------------------------------------------------------------ nothing is changed


@contextlib.contextmanager
def untouched(*modules: object, seed: int = 0) -> Iterator[None]:
    """Give back random states and the modules' weights, buffers, gradients and modes as they were.

    Inside, gradients are on and every random number follows from the seed.
    """
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    numbers, mine = np.random.get_state(), random.getstate()  # noqa: NPY002 - what student code draws from
    kept = [keep(module) for module in modules if isinstance(module, nn.Module)]
    try:
        with torch.random.fork_rng(devices), torch.enable_grad():
            torch.manual_seed(seed)
            np.random.seed(seed)  # noqa: NPY002
            random.seed(seed)
            yield
    finally:
        for give_back in kept:
            give_back()
        np.random.set_state(numbers)  # noqa: NPY002
        random.setstate(mine)


def keep(module: nn.Module) -> Callable[[], None]:
    """Remember a module's weights, buffers, gradients and modes; return what restores them."""
    tensors = [tensor for tensor in (*module.parameters(), *module.buffers()) if not is_lazy(tensor)]
    values = [(tensor, tensor.detach().clone()) for tensor in tensors]
    grads = [
        (tensor, tensor.grad, None if tensor.grad is None else tensor.grad.detach().clone())
        for tensor in tensors
    ]
    needs = [(tensor, tensor.requires_grad) for tensor in tensors]
    modes = [(part, part.training) for part in module.modules()]

    def give_back() -> None:
        with torch.no_grad():
            for tensor, value in values:
                tensor.copy_(value)
            for tensor, grad, held in grads:
                tensor.grad = grad
                if grad is not None and held is not None:
                    grad.copy_(held)
        for tensor, need in needs:
            if tensor.is_leaf:
                tensor.requires_grad_(need)
        for part, mode in modes:
            part.training = mode

    return give_back


def own_copy(module: Any) -> Any:
    """Return a copy of a module on the CPU to experiment with; what cannot be copied is returned itself."""
    if not isinstance(module, nn.Module):
        return module
    module = getattr(module, "_orig_mod", module)  # of torch.compile: compiling anew would take the time
    # Tensors without a shape cannot be copied as buffers, those of LazyBatchNorm: take new ones.
    lazy = {id(b): UninitializedBuffer(dtype=b.dtype) for b in module.buffers() if is_lazy(b)}  # type: ignore[call-arg]
    try:
        return copy.deepcopy(module, lazy).cpu()
    except Exception:  # a module that holds what cannot be copied: `untouched` restores it
        return module


def plain(value: Any) -> Tensor | None:
    """Return a tensor's values as float32 on the CPU; None for what is no tensor of numbers."""
    if not isinstance(value, Tensor) or value.is_complex() or value.dtype == torch.bool:
        return None
    if value.is_meta or value.layout != torch.strided:
        return None
    return value.detach().to("cpu", torch.float32).clone().as_subclass(Tensor)
