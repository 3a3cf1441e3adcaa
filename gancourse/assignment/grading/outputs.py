"""What a kernel's messages leave in a cell: text and pictures within limits, nothing that a browser runs."""

from dataclasses import dataclass, field
from typing import Any

from nbformat import NotebookNode

from gancourse.assignment.grading.limits import Limits
from gancourse.assignment.grading.nodes import output

PICTURES = ("image/png", "image/jpeg", "image/gif")
CUT = "\n[the rest of this cell's output is left out]\n"


@dataclass
class Outputs:
    """The outputs of one cell, filled message by message."""

    limits: Limits
    made: list[NotebookNode] = field(default_factory=list)
    text: int = 0
    pictures: int = 0
    cut: bool = False

    def add(self, kind: str, content: dict[str, Any]) -> None:
        """Add a message of the kernel; kinds that leave nothing in a notebook are dropped."""
        if kind == "clear_output":
            self.made, self.text, self.pictures, self.cut = [], 0, 0, False
        elif kind == "stream":
            name = "stderr" if content.get("name") == "stderr" else "stdout"
            self._stream(name, self._room(str(content.get("text", ""))))
        elif kind in ("display_data", "execute_result"):
            self._display(content)
        elif kind == "error":
            self._error(content)

    def _room(self, text: str) -> str:
        """Return as much of a text as there is room for, and a note where the first is cut."""
        kept = text[: max(self.limits.output_bytes - self.text, 0)]
        self.text += len(kept)
        if len(kept) < len(text) and not self.cut:
            self.cut = True
            kept += CUT
        return kept

    def _stream(self, name: str, text: str) -> None:
        last = self.made[-1] if self.made else None
        if last is not None and last.output_type == "stream" and last.name == name:
            last.text += text
        elif text:
            self.made.append(output("stream", name=name, text=text))

    def _display(self, content: dict[str, Any]) -> None:
        data = content.get("data")
        given = data if isinstance(data, dict) else {}
        kept = {kind: value for kind, value in given.items() if kind in PICTURES and isinstance(value, str)}
        size = sum(map(len, kept.values()))
        if self.pictures + size > self.limits.picture_bytes:
            kept, size = {}, 0
        self.pictures += size
        if words := self._room(str(given.get("text/plain", ""))):
            kept["text/plain"] = words
        if kept:
            self.made.append(output("display_data", data=kept))

    def _error(self, content: dict[str, Any]) -> None:
        name, value = str(content.get("ename", ""))[:200], str(content.get("evalue", ""))[:2000]
        lines = content.get("traceback")
        text = "\n".join(map(str, lines)) if isinstance(lines, list) else ""
        self.made.append(output("error", ename=name, evalue=value, traceback=self._room(text).split("\n")))

    def error(self) -> str:
        """Return what the cell raised, '' for nothing."""
        raised = [made for made in self.made if made.output_type == "error"]
        return f"{raised[-1].ename}: {raised[-1].evalue}".rstrip(": ") if raised else ""
