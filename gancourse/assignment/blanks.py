"""What lets a notebook with blanks run from top to bottom: each part says that it is not yet done."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from gancourse.assignment.guard import words


class Blank:
    """Stands for what cannot be made yet; whoever uses it is told what it waits for."""

    def __init__(self, waits_for: str) -> None:
        self.waits_for = waits_for

    def __call__(self, *arguments: Any, **named: Any) -> NoReturn:
        """Raise NotImplementedError, whatever is asked."""
        raise NotImplementedError(self.waits_for)

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):  # copies and pickles ask for what is not there
            raise AttributeError(name)
        raise NotImplementedError(self.waits_for)


class Broken(Blank):
    """Stands for what raised an error when it was made; checks say which, and give no points."""

    def __init__(self, error: str) -> None:
        super().__init__(f"the part above raises {error}")
        self.error = error


def built(make: Callable[[], Any]) -> Any:
    """Return `make()`, or what stands for it while it cannot be made.

    A `Blank` while it raises NotImplementedError, which checks call not yet done; a `Broken` for any other
    error, which they report.
    """
    try:
        return make()
    except NotImplementedError as error:
        name = getattr(make, "__name__", "<lambda>")
        what = "this part" if name == "<lambda>" else name
        return Blank(str(error) or f"{what} is still blank; fill it in, run its cell, then this one again")
    except Exception as error:
        return Broken(words(error))


@contextlib.contextmanager
def unless_blank(part: str) -> Iterator[None]:
    """Run what is inside; where it meets a blank, print that `part` is not yet done, and go on after it.

    A blank is a NotImplementedError. Any other error is raised as it is.
    """
    try:
        yield
    except NotImplementedError as error:
        print(f"{part}: not yet done: {str(error) or 'it needs a part above that is still blank'}")
