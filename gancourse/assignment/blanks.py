"""What lets a notebook with blanks run from top to bottom: each part says that it is not yet done."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NoReturn


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


def built(make: Callable[[], Any]) -> Any:
    """Return `make()`, or a `Blank` while that raises NotImplementedError; checks call it not yet done."""
    try:
        return make()
    except NotImplementedError as error:
        name = getattr(make, "__name__", "this part")
        return Blank(str(error) or f"{name} is still blank; fill it in, run its cell, then this one again")


@contextlib.contextmanager
def unless_blank(part: str) -> Iterator[None]:
    """Run what is inside; where it meets a blank, print that `part` is not yet done, and go on after it.

    A blank is a NotImplementedError. Any other error is raised as it is.
    """
    try:
        yield
    except NotImplementedError as error:
        print(f"{part}: not yet done: {str(error) or 'it needs a part above that is still blank'}")
