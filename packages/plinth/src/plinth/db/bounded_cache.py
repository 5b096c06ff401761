"""What is made for what clients choose, and so is kept for the newest of it alone."""

from collections.abc import Callable
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


def get_or_create(kept: dict[K, V], key: K, make: Callable[[], V], *, most: int) -> V:
    """What is kept for a key; made where there is none, and then the oldest goes if need be."""
    found = kept.get(key)
    if found is None:
        if len(kept) >= most:
            del kept[next(iter(kept))]
        found = kept[key] = make()
    return found
