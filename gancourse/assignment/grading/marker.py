"""The grader's end of the marking process: orders out, points back, never anything but JSON."""

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from gancourse.assignment.grading.examine import Order
from gancourse.assignment.grading.kernel import InterruptedGradingError, stopping, surroundings
from gancourse.assignment.grading.processes import Family, StoppedError, runs, sweep

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
# The path is given: the working directory must not lend modules to the process that marks.
START = "import sys; sys.path[:] = {path!r}; from gancourse.assignment.grading.server import main; main()"
SLOW = 120.0  # seconds for the process to start, besides the limit of the check


class Marker:
    """The process that marks; it starts with the first order, and anew after its death."""

    def __init__(self, profile: str) -> None:
        if not hasattr(os, "fork"):
            raise OSError("grading needs os.fork: run it on Linux or macOS, or in WSL")
        self.profile = profile
        self.process: subprocess.Popen[bytes] | None = None
        self.folder = tempfile.TemporaryDirectory(prefix="marking-", ignore_cleanup_errors=True)

    def __enter__(self) -> "Marker":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        self.folder.cleanup()

    def mark(self, order: Order) -> dict[str, Any]:
        """Return `points`, `said` and `flag` for a graded cell, whatever becomes of the process."""
        try:
            return _checked(json.loads(self._answer(order)), order)
        except (StoppedError, OSError, ValueError, KeyError, TypeError) as error:
            self.end()
            return {"points": 0.0, "said": f"the marking process was lost: {error}", "flag": ""}

    def _answer(self, order: Order) -> bytes:
        process = self.process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(asdict(order)).encode() + b"\n")
        process.stdin.flush()
        ends, data = time.monotonic() + order.seconds + SLOW, b""
        while not data.endswith(b"\n"):
            if stopping.is_set():
                raise InterruptedGradingError
            if time.monotonic() > ends:
                raise StoppedError("it did not answer in time")
            if select.select([process.stdout], [], [], 0.2)[0]:
                chunk = os.read(process.stdout.fileno(), 65536)
                if not chunk:
                    raise StoppedError("it was ended from within")
                data += chunk
        return data

    def _start(self) -> subprocess.Popen[bytes]:
        path = [str(Path(entry or ".").resolve()) for entry in sys.path]
        self.process = subprocess.Popen(
            [sys.executable, "-c", START.format(path=path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self.folder.name,
            env=surroundings(Path(self.folder.name), self.profile) | ONE_THREAD | {"MPLBACKEND": "agg"},
            start_new_session=True,
        )
        return self.process

    def end(self) -> None:
        """End the process and all that it started."""
        process, self.process = self.process, None
        if process is None:
            return
        Family(process.pid).kill()
        for stream in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):  # what was not yet sent
                if stream is not None:
                    stream.close()
        process.wait()
        sweep(runs(Path(self.folder.name)))


def _checked(answer: Any, order: Order) -> dict[str, Any]:
    """Return an answer if it is one: points in range, texts."""
    points = float(answer["points"])
    if not 0 <= points <= order.points:
        raise ValueError(f"{points} points of {order.points}")
    return {"points": points, "said": str(answer["said"]), "flag": str(answer["flag"])}
