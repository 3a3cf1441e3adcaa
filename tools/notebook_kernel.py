"""Run a notebook's cells in a fresh kernel, with progress in the terminal and an orderly end on Ctrl-C."""

import ast
import asyncio
import json
import signal
import sys
import time
from typing import Any

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbclient.util import ensure_async
from nbformat import NotebookNode
from notebook_clean import CONTROL, shown

OURS = "__import__('gancourse.notebook').notebook"
FACTS = f"__import__('json').dumps({{**{OURS}.environment(), 'peak_mib': {OURS}.peak_memory()}})"
TRACEBACK_LINES = 12


class CellError(Exception):
    """A cell raised, ran out of time, or took its kernel down."""


class InterruptedRunError(Exception):
    """The user asked to stop."""


class Terminal:
    """Progress: a line a cell; a cell's own progress bar is passed through."""

    def __init__(self, every: float = 60.0) -> None:
        self.live, self.every, self.last, self.started = sys.stdout.isatty(), every, 0.0, 0.0

    def start(self, position: str, cell_id: str) -> None:
        """Announce a cell."""
        self.started = self.last = time.monotonic()
        print(f"  {position}  {cell_id:<36}", end="" if self.live else "\n", flush=True)

    def stderr(self, text: str) -> None:
        """Show what a cell writes to stderr: live on a terminal, now and then in a log."""
        line = shown(text).strip()
        if self.live:
            print(text, end="", flush=True)
        elif line and time.monotonic() - self.last > self.every:
            self.last = time.monotonic()
            print(f"         {line.splitlines()[-1]}", flush=True)

    def done(self, position: str, cell_id: str) -> None:
        """Close a cell's line with its time."""
        seconds = time.monotonic() - self.started
        if self.live:
            print(f"\r\x1b[2K  {position}  {cell_id:<36} {seconds:7.1f} s", flush=True)
        elif seconds >= 1:
            print(f"         {seconds:.1f} s", flush=True)


class NotebookRunner(NotebookClient):
    """nbclient's client with progress, the kernel's own facts, and Ctrl-C handed to the cell."""

    def __init__(self, notebook: NotebookNode, terminal: Terminal, timeout: float | None = None) -> None:
        super().__init__(notebook, timeout=timeout, kernel_name="python3", record_timing=False)
        self.terminal, self.interrupted = terminal, False
        self.extra_arguments = ["--log-level=40"]  # a kernel's warnings about itself tell the reader nothing

    async def run(self, cwd: str, env: dict[str, str]) -> dict[str, Any]:
        """Execute every cell; return the device and the versions that the kernel itself tells."""
        self.reset_execution_trackers()
        self.resources = {"metadata": {"path": cwd}}
        try:
            async with self.async_setup_kernel(env=env):
                self._take_signals()
                await self._run_cells()
                return await self._facts()
        except DeadKernelError as error:
            self._stop_if_interrupted()
            raise CellError("the kernel died; the usual reason is memory") from error

    async def _run_cells(self) -> None:
        code = [index for index, cell in enumerate(self.nb.cells) if cell.cell_type == "code"]
        for cell in (self.nb.cells[index] for index in code):
            cell.outputs, cell.execution_count = [], None
        for number, index in enumerate(code, start=1):
            cell, position = self.nb.cells[index], f"{number:2d}/{len(code)}"
            self.terminal.start(position, cell.id)
            await self._run_cell(cell, index)
            self.terminal.done(position, cell.id)

    async def _run_cell(self, cell: NotebookNode, index: int) -> None:
        try:
            await self.async_execute_cell(cell, index)
        except (CellExecutionError, CellTimeoutError) as error:
            self._stop_if_interrupted()
            lines = CONTROL.sub("", str(error)).rstrip().splitlines()[-TRACEBACK_LINES:]
            raise CellError("\n".join([f"cell {cell.id} failed:", *lines])) from error
        self._stop_if_interrupted()

    def _stop_if_interrupted(self) -> None:
        if self.interrupted:
            raise InterruptedRunError

    async def _facts(self) -> dict[str, Any]:
        # Asked in the kernel, not here: its threads and its device made the outputs.
        assert self.kc is not None
        asked = self.kc.execute("", silent=True, user_expressions={"facts": FACTS})
        reply = await self.async_wait_for_reply(await ensure_async(asked))
        assert reply is not None
        answer = reply["content"]["user_expressions"]["facts"]
        if answer["status"] != "ok":
            raise CellError(f"gancourse.notebook.environment() failed: {answer['evalue']}")
        return dict(json.loads(ast.literal_eval(answer["data"]["text/plain"])))

    def _take_signals(self) -> None:
        # nbclient would kill the kernel at once; a cell that is interrupted can still write its checkpoint.
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_signal)

    def _on_signal(self) -> None:
        assert self.km is not None
        again, self.interrupted = self.interrupted, True
        stop = self.km.shutdown_kernel(now=True) if again else self.km.interrupt_kernel()
        self._stopping = asyncio.ensure_future(ensure_async(stop))

    def output(self, outs: list[NotebookNode], msg: dict[str, Any], *args: Any) -> NotebookNode | None:
        """Store an output as nbclient does; what goes to stderr is shown in the terminal, too."""
        if msg["msg_type"] == "stream" and msg["content"]["name"] == "stderr":
            self.terminal.stderr(msg["content"]["text"])
        return super().output(outs, msg, *args)
