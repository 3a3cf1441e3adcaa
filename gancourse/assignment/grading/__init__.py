"""Grading of the assignment: run each notebook of a class, mark its objects in processes of their own.

The instructor's master decides which cells run, what they check and how many points they bring; a submission
gives the solution cells, its own helper cells and nothing else. `merge` makes the notebook that is run,
`mark` runs and marks it, and `python -m gancourse.assignment grade` does so for a folder of submissions.

What that defends against, and what it does not:

- Changes of locked cells, of graded cells, of points and of outputs have no effect: `merge` takes them from
  the master.
- Changes that the notebook makes to the checks, or to names that a graded cell uses, have no effect: graded
  cells run in another process, which imports the checks afresh and only loads the student's objects.
- Objects that change the checks when they are loaded or called bring no points and are flagged.
- Endless loops, memory without end, crashes and floods of output end the cell or the submission, and
  nothing else.
- It is no sandbox: a student's code runs as the user who grades, can read and write that user's files, the
  master among them, and can use the network. Where that matters, grade in a container or as another user.
- An object that searches the marking process for the findings of the check, changes them and hides its
  traces is not stopped. Its source is in the executed notebook, for a look at marks that are too good.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gancourse.assignment.grading.limits import Limits
    from gancourse.assignment.grading.marking import Mark, Marked, mark
    from gancourse.assignment.grading.merging import merge, read

__all__ = ["Limits", "Mark", "Marked", "mark", "merge", "read"]

NEEDED = ("cloudpickle", "ipykernel", "jupyter_client", "nbformat", "psutil")
if missing := [name for name in NEEDED if not find_spec(name)]:
    raise ImportError(f"grading needs {', '.join(missing)}: pip install '.[grading]' in the clone")


def __getattr__(name: str) -> Any:
    """Import on first use: the marking process, too, is of this package, and must start fast."""
    for module in ("limits", "marking", "merging"):
        if name in __all__ and hasattr(found := import_module(f"{__name__}.{module}"), name):
            return getattr(found, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
