"""A cache in Redis, optional for the application.

`get_cache`, `set_cache`, `delete_cache` and `clear_cache_pattern` take at most `CACHE_TIMEOUT_MS`
and never raise. While Redis is down, the cache is empty.
"""

from plinth.cache.client import Cache, cache
from plinth.cache.decorator import cached

get_cache = cache.get
set_cache = cache.set
delete_cache = cache.delete
clear_cache_pattern = cache.clear_pattern

__all__ = [
    "Cache",
    "cache",
    "cached",
    "clear_cache_pattern",
    "delete_cache",
    "get_cache",
    "set_cache",
]
