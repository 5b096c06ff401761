"""A Redis cache that the application can do without.

`get_cache`, `set_cache`, `delete_cache` and `clear_cache_pattern` cost at most
`CACHE_TIMEOUT_MS` and never raise: while Redis is away there is nothing in the cache.
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
