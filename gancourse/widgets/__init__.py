"""Toys to play with in Jupyter and on the book's pages. Taught in chapter 1."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gancourse.widgets.playground import LatentPlayground

__all__ = ["LatentPlayground"]


def __getattr__(name: str) -> object:
    # Late, so that gancourse.widgets.game can be had without anywidget.
    if name == "LatentPlayground":
        from gancourse.widgets.playground import LatentPlayground

        return LatentPlayground
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
