"""Toys to play with in Jupyter and on the book's pages. Taught in chapters 1 and 3."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gancourse.widgets.films import Film, film
    from gancourse.widgets.playground import LatentPlayground

__all__ = ["Film", "LatentPlayground", "film"]


def __getattr__(name: str) -> object:
    # Late, so that gancourse.widgets.game can be had without anywidget, and without Matplotlib.
    if name == "LatentPlayground":
        from gancourse.widgets.playground import LatentPlayground

        return LatentPlayground
    if name in ("Film", "film"):
        from gancourse.widgets import films

        return getattr(films, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
