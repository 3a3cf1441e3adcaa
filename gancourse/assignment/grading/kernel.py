"""A kernel of the student's own, whose cells end within limits that the parent's clock and memory set."""

import os
import queue
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_client.manager import KernelManager

import gancourse
from gancourse.assignment.grading.limits import Limits
from gancourse.assignment.grading.outputs import Outputs
from gancourse.assignment.grading.processes import MARK, Family, StoppedError, runs, sweep

STARTING, UNHEARD, LATE = 120.0, 30.0, 3.0  # seconds
stopping = threading.Event()  # set by whoever wants all kernels to end


class InterruptedGradingError(Exception):
    """Whoever grades asked to stop."""


class LostError(Exception):
    """Jupyter lost a request: the kernel never said that it began."""


@dataclass
class Watch:
    """The limits of a submission, looked at while its kernel computes."""

    family: Family
    limits: Limits
    ends: float
    looked: float = 0.0

    def look(self) -> None:
        """Raise StoppedError where the memory is used up, InterruptedGradingError where grading is to end."""
        if time.monotonic() - self.looked < 0.2:
            return
        self.looked = time.monotonic()
        if stopping.is_set():
            raise InterruptedGradingError
        if self.family.gigabytes() > self.limits.gigabytes:
            raise StoppedError(f"the notebook took more than {self.limits.gigabytes:g} GB of memory")


@dataclass
class Kernel:
    """A running kernel; `run` executes one cell. After a StoppedError it is of no use any more."""

    manager: Any
    client: Any
    limits: Limits
    watch: Watch

    def run(self, source: str, seconds: float, outputs: Outputs) -> bool:
        """Execute a cell, interrupt it when its time is over; return whether it ended by itself."""
        asked = self.client.execute(source, store_history=False, allow_stdin=False, stop_on_error=False)
        cell = Cell(self, asked, outputs)
        ended = cell.wait(min(time.monotonic() + seconds, self.watch.ends))
        if not ended:
            self.manager.interrupt_kernel()
            if not cell.wait(time.monotonic() + self.limits.grace_seconds):
                raise StoppedError(f"a cell did not end after {seconds:g} seconds, nor when interrupted")
        if time.monotonic() > self.watch.ends:
            raise StoppedError(f"the notebook took more than {self.limits.notebook_seconds:g} seconds")
        return ended


@dataclass
class Cell:
    """A request to a kernel, and what came back so far."""

    kernel: Kernel
    request: str
    outputs: Outputs
    begun: bool = False
    idle: bool = False
    replied: float = 0.0
    asked: float = field(default_factory=time.monotonic)

    def wait(self, ends: float) -> bool:
        """Take messages until the cell has ended or the time is over; return whether it has ended."""
        while time.monotonic() < ends:
            with suppress(queue.Empty):
                self._take(self.kernel.client.get_iopub_msg(timeout=0.1))
            with suppress(queue.Empty):
                self._reply(self.kernel.client.get_shell_msg(timeout=0))
            # Outputs are complete when the kernel is idle; where that message is lost, the reply tells it.
            if self.idle or (self.replied and time.monotonic() - self.replied > LATE):
                return True
            self._look()
        return False

    def _look(self) -> None:
        self.kernel.watch.look()
        if not self.kernel.manager.is_alive():
            raise StoppedError("the kernel died: a cell ended the process, or crashed it")
        if not self.begun and time.monotonic() - self.asked > UNHEARD:
            raise LostError("the kernel did not begin a cell")

    def _reply(self, message: dict[str, Any]) -> None:
        if self._is_mine(message):
            self.begun, self.replied = True, time.monotonic()

    def _take(self, message: dict[str, Any]) -> None:
        if not self._is_mine(message):
            return
        self.begun = True
        content = message["content"]
        if message["msg_type"] == "status":
            self.idle = content.get("execution_state") == "idle"
        else:
            self.outputs.add(message["msg_type"], content)

    def _is_mine(self, message: dict[str, Any]) -> bool:
        return bool(message["parent_header"].get("msg_id") == self.request)


@contextmanager
def started(limits: Limits, folder: Path, profile: str) -> Iterator[Kernel]:
    """Start a kernel in a folder; no process of it is left behind."""
    manager: Any = KernelManager(kernel_name="python3")
    with tempfile.TemporaryDirectory(prefix="ipython-", ignore_cleanup_errors=True) as home:
        environment = surroundings(folder, profile) | {"IPYTHONDIR": home}
        family = None
        try:
            manager.start_kernel(cwd=str(folder), env=environment, extra_arguments=["--log-level=50"])
            family = Family(manager.provisioner.pid)
            with _client(manager) as client:
                watch = Watch(family, limits, time.monotonic() + limits.notebook_seconds)
                yield Kernel(manager, client, limits, watch)
        finally:
            _end(manager, family, folder)


def surroundings(folder: Path, profile: str) -> dict[str, str]:
    """Return the environment of a process that runs a student's code in a folder.

    A first cell that installs packages, as Colab needs it, installs nothing on the machine that grades.
    """
    path = [str(Path(gancourse.__file__).resolve().parent.parent), os.environ.get("PYTHONPATH", "")]
    own = {
        MARK: runs(folder),
        "GANCOURSE_PROFILE": profile,
        "PYTHONPATH": os.pathsep.join(filter(None, path)),
        "PIP_NO_INDEX": "1",
        "PIP_DRY_RUN": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    if data := os.environ.get("GANCOURSE_DATA"):
        own["GANCOURSE_DATA"] = str(Path(data).resolve())  # the working directory is another one there
    return os.environ | own


@contextmanager
def _client(manager: Any) -> Iterator[Any]:
    client = manager.client()
    client.start_channels()
    try:
        try:
            client.wait_for_ready(timeout=STARTING)
        except RuntimeError as error:
            raise LostError(str(error)) from error
        yield client
    finally:
        client.stop_channels()


def _end(manager: Any, family: Family | None, folder: Path) -> None:
    if family is not None:
        family.look()
    with suppress(Exception):  # of a kernel that is dead already
        manager.shutdown_kernel(now=True)
    with suppress(Exception):
        manager.cleanup_resources()
    if family is not None:
        family.kill()
    sweep(runs(folder))
