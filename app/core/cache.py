"""A Redis cache that the application can do without: no call raises while Redis is away."""

from plinth.cache import cached, clear_cache_pattern, delete_cache, get_cache, set_cache

__all__ = ["cached", "clear_cache_pattern", "delete_cache", "get_cache", "set_cache"]
