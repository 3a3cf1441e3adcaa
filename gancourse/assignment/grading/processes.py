"""The processes of a submission: what memory they take, and their end."""

import contextlib
import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

MARK = "GANCOURSE_RUNS"  # the environment variable by which a process that left its family is known
ROUNDS = 20


class StoppedError(Exception):
    """A process was ended from outside; the words say why."""


@dataclass
class Family:
    """A process and all that it started, remembered also when their parent is gone."""

    pid: int
    seen: set[psutil.Process] = field(default_factory=set)

    def look(self) -> list[psutil.Process]:
        """Return the living processes of the family."""
        with contextlib.suppress(psutil.Error):
            root = psutil.Process(self.pid)
            self.seen |= {root, *root.children(recursive=True)}
        self.seen = {process for process in self.seen if process.is_running()}
        return list(self.seen)

    def gigabytes(self) -> float:
        """Return the resident memory of the family."""
        return sum(map(_resident, self.look())) / 2**30

    def kill(self) -> None:
        """End the family; children that it starts meanwhile are ended, too."""
        for _ in range(ROUNDS):
            alive = [process for process in self.look() if not _is_zombie(process)]
            if not alive:
                return
            for process in alive:
                _kill(process)
            time.sleep(0.02)


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def _is_zombie(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return True


def _kill(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.Error, ProcessLookupError, PermissionError):
        process.kill()


def runs(folder: Path) -> str:
    """Return the folder of trainings within a working directory; processes are known by it, too."""
    return str(folder / "runs")


def sweep(folder: str) -> None:
    """End whatever still runs with this folder as its GANCOURSE_RUNS: processes that left their family."""
    for _ in range(ROUNDS):
        left = [p for p in psutil.process_iter() if p.pid != os.getpid() and _belongs(p, folder)]
        if not left:
            return
        for process in left:
            _kill(process)
        time.sleep(0.02)


def _belongs(process: psutil.Process, folder: str) -> bool:
    try:
        return process.environ().get(MARK) == folder and not _is_zombie(process)
    except (psutil.Error, OSError):  # of another user: none of ours
        return False


def ending(status: int) -> str:
    """Say how a process ended by its exit status, negative for a signal."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"signal {signal.Signals(-status).name}"
    except ValueError:
        return f"signal {-status}"
