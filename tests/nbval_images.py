"""A plugin for nbval: compare images, too. matplotlib draws the same bytes from the same numbers."""

from typing import Any

IMAGES = {"image/png", "image/jpeg"}


def pytest_collection_modifyitems(items: list[Any]) -> None:
    """Take images off the list of what nbval leaves uncompared."""
    for item in items:
        item.parent.skip_compare = tuple(key for key in item.parent.skip_compare if key not in IMAGES)
