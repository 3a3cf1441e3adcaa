"""The process that marks: it has imported the checks and run the instructor's definitions.

It forks for each graded cell. The fork runs the student's objects, this process only waits for it. Requests
and answers are lines of JSON.
"""

import contextlib
import json
import os
import secrets
import select
import signal
import time
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TextIO

from gancourse.assignment.grading.examine import Order, Ready, examine, ready
from gancourse.assignment.grading.processes import Family, StoppedError, ending

LONGEST = 4_000_000  # bytes of an answer


def serve(requests: TextIO, answers: TextIO) -> None:
    """Answer each line of requests by a line, until there are no more."""
    given: dict[tuple[str, ...], Ready] = {}
    for line in requests:
        order = Order(**json.loads(line))
        key = tuple(order.statements)
        if key not in given:
            if any("torch" in text or "gancourse" in text for text in key):
                # The first optimizer of a process imports it: once here, in place of each fork.
                import_module("torch._dynamo")
            given[key] = ready(order.statements)
        answers.write(json.dumps(attend(order, given[key])) + "\n")
        answers.flush()


def attend(order: Order, given: Ready) -> dict[str, Any]:
    """Mark one cell in a fork; say what became of it."""
    # The token goes with the result: bytes that a student's code writes into the pipe are none.
    token = secrets.token_bytes(16)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        _forked(order, given, token, writer)
    os.close(writer)
    child = Child(pid, reader, order)
    try:
        data, status = child.result()
    except StoppedError as error:
        return _none(f"{error}")
    finally:
        os.close(reader)
    if status:
        return _none(f"the marking process ended by {ending(status)}")
    if not data.startswith(token):
        flag = "tampered: the result" if data else ""
        return _none("the code that is marked ended the marking process", flag)
    try:
        return dict(json.loads(data[len(token) :]))
    except ValueError:
        return _none("the result of the marking process is garbled", "tampered: the result")


def _none(said: str, flag: str = "") -> dict[str, Any]:
    return {"points": 0.0, "said": said, "flag": flag}


def _forked(order: Order, given: Ready, token: bytes, writer: int) -> None:
    """Be the process that marks: nothing open but the pipe, and an end without any handlers."""
    status = 1
    try:
        os.setsid()
        quiet = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(quiet, descriptor)
        os.closerange(3, writer)
        os.closerange(writer + 1, writer + 1000)
        data = token + json.dumps(examine(order, given)).encode()
        while data:
            data = data[os.write(writer, data) :]
        status = 0
    finally:
        os._exit(status)


@dataclass
class Child:
    """A forked process, what it may use, and the pipe that it writes to."""

    pid: int
    reader: int
    order: Order

    def result(self) -> tuple[bytes, int]:
        """Wait for the process within its limits; return what it wrote and its exit status."""
        family, ends, looked, data = Family(self.pid), time.monotonic() + self.order.seconds, 0.0, b""
        try:
            while not self._has_ended():
                data += self._read(0.05)
                if time.monotonic() > ends:
                    raise StoppedError(f"the check took more than {self.order.seconds:g} seconds")
                if time.monotonic() - looked > 0.2:
                    looked = time.monotonic()
                    if family.gigabytes() > self.order.gigabytes:
                        raise StoppedError(f"the check took more than {self.order.gigabytes:g} GB of memory")
                if len(data) > LONGEST:
                    raise StoppedError("the answer of the marking process is too long")
            data += self._read(0)
        finally:
            family.kill()
            with contextlib.suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)
            status = os.waitpid(self.pid, 0)[1]
        return data, os.waitstatus_to_exitcode(status)

    def _has_ended(self) -> bool:
        # WNOWAIT: its number stays taken until its children are ended, too
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _read(self, seconds: float) -> bytes:
        if not select.select([self.reader], [], [], seconds)[0]:
            return b""
        data = os.read(self.reader, 65536)
        if not data:  # closed, and its process still there
            time.sleep(0.005)
        return data


def main() -> None:
    """Serve on standard input and output, which then belong to nobody else."""
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    quiet = os.open(os.devnull, os.O_RDWR)
    os.dup2(quiet, 0)
    os.dup2(quiet, 1)
    import torch

    torch.set_num_threads(1)
    serve(requests, answers)
