"""A dictionary with a maximum size, for keys that clients choose."""

from collections.abc import Callable
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


def get_or_create(cache: dict[K, V], key: K, create: Callable[[], V], *, size: int) -> V:
    """Return the value of a key. Create it if it is missing, and evict the oldest if full."""
    value = cache.get(key)
    if value is None:
        if len(cache) >= size:
            del cache[next(iter(cache))]
        value = cache[key] = create()
    return value
