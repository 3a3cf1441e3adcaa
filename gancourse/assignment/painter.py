"""A generator of the checks' own, which notes how it is called and paints pictures that tell their z."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gancourse.assignment.report import Sheet

LATENT_DIM, SIDE = 100, 28
CONTRAST = 2.0  # a mixture of pictures is then no picture of a mixture of z: tanh bends it by several percent


@dataclass(frozen=True)
class Note:
    """One call: z (N, 100), whether normalization was in training mode."""

    z: Tensor
    training: bool


class Notes(list[Note]):
    """The calls of a painter, also of its copies: one who copies G to evaluate it is noted too."""

    def __deepcopy__(self, memo: object) -> Notes:
        return self


class Painter(nn.Module):
    """Map z (N, 100) to pictures (N, 1, 28, 28) in [-1, 1] that tell z; they do not depend on the mode.

    `notes` holds the calls. Raises ValueError for z of another shape, as the networks of the course do.
    """

    def __init__(self) -> None:
        super().__init__()
        self.latent_dim = LATENT_DIM
        generator = torch.Generator().manual_seed(0)
        basis, _ = torch.linalg.qr(torch.randn(SIDE * SIDE, LATENT_DIM, generator=generator))
        self.weight = nn.Parameter(CONTRAST * basis)
        self.norm = nn.BatchNorm1d(LATENT_DIM)  # its mode is what matters, however it was set
        self.notes = Notes()

    def forward(self, z: Tensor) -> Tensor:
        """Map z (N, 100) to pictures (N, 1, 28, 28) on the device of z."""
        if not isinstance(z, Tensor) or z.ndim != 2 or z.shape[1] != LATENT_DIM or len(z) == 0:
            got = tuple(z.shape) if isinstance(z, Tensor) else type(z).__name__
            raise ValueError(f"G takes z (N, {LATENT_DIM}), and was given {got}")
        self.notes.append(Note(z.detach().to("cpu", torch.float32).clone(), self.norm.training))
        painted = torch.tanh(z.to(self.weight) @ self.weight.T)
        return painted.view(-1, 1, SIDE, SIDE).to(z.device)

    def paint(self, z: Tensor) -> Tensor:
        """Map z (N, 100) to pictures (N, 1, 28, 28) without a note of it."""
        with torch.no_grad():
            return torch.tanh(z @ self.weight.cpu().T).view(-1, 1, SIDE, SIDE)

    def read(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Return the z (N, 100) of pictures (N, 1, 28, 28), and how far (N,) they are from G's own."""
        weight = self.weight.detach().cpu()
        before = pictures.flatten(1).clamp(-1 + 1e-6, 1 - 1e-6).atanh()
        z = before @ weight / CONTRAST**2
        return z, (before - z @ weight.T).norm(dim=1) / before.norm(dim=1).clamp(min=1e-6)

    def keeps(self, training: bool) -> bool:
        """Tell whether all of its parts are in this mode."""
        return all(part.training == training for part in self.modules())


def judge_mode(
    sheet: Sheet, notes: list[Note], *, training_kept: bool, evaluation_kept: bool = True, G: Any = None
) -> None:
    """Judge the rule `mode` by the notes of a painter in training mode, and whether that mode was given back.

    Whether evaluation mode is given back costs no points. A student's G that is no module has no modes.
    """
    drawing = any(note.training for note in notes)
    if G is not None and not isinstance(G, nn.Module):
        sheet.passed("mode", "your G is a function, without modes")
    elif drawing:
        hint = "call G.eval() before: in training mode each image depends on the others of its batch"
        sheet.failed("mode", "G in training mode while it draws", hint)
    else:
        hint = "G.train(was) after drawing, else training goes on with BatchNorm's running averages"
        found = "evaluation mode, given back" if training_kept else "evaluation mode left on"
        sheet.judge("mode", training_kept, found, hint)
        if training_kept and not evaluation_kept:
            sheet.remark("a G in evaluation mode comes back in training mode; G.train(was) gives back either")
