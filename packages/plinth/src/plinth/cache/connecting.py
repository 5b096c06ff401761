"""A client of Redis: one server, or the one that Sentinel names, found anew for each connection."""

from typing import Any

from redis.asyncio import (
    BlockingConnectionPool,
    Connection,
    Redis,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff

from plinth.config.urls.redis_url import RedisUrl, read_redis_url


def connect(url: str, *, seconds: float, connections: int) -> Redis:
    """
    Args:
        url: as `config/urls/redis_url.py` has it.
        seconds: the most that it may take to connect. A call is bounded as a whole, by who makes
            it (`Cache.call`): the library's bound on each write and each read is a timer each.
    """
    asked = read_redis_url(url)
    usual: dict[str, Any] = {
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": None,
        "max_connections": connections,
    }
    if asked.sentinels:
        return _ask_sentinels(asked, seconds, usual)
    pool = BlockingConnectionPool(
        connection_class=_find_kind(asked),
        timeout=seconds,
        socket_connect_timeout=seconds,
        **usual,
        **asked.options,
    )
    return Redis.from_pool(pool)


async def disconnect(redis: Redis) -> None:
    await redis.aclose()
    if isinstance(redis.connection_pool, SentinelConnectionPool):
        await redis.connection_pool.sentinel_manager.aclose()


def _find_kind(asked: RedisUrl) -> type[Connection | UnixDomainSocketConnection]:
    if "path" in asked.options:
        return UnixDomainSocketConnection
    return SSLConnection if asked.tls else Connection


def _ask_sentinels(asked: RedisUrl, seconds: float, usual: dict[str, Any]) -> Redis:
    # Half of it, so that a Sentinel that is frozen leaves time to ask the next one.
    usual |= {"socket_connect_timeout": seconds / 2, "ssl": asked.tls}
    of_tls = {name: it for name, it in asked.options.items() if name.startswith("ssl_")}
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        asked.sentinels,
        sentinel_kwargs={
            **usual, **of_tls, **asked.sentinel_options, "socket_timeout": seconds / 2
        },
    )  # fmt: skip
    pool = SentinelConnectionPool(  # type: ignore[no-untyped-call]
        asked.service, sentinel, **usual, **asked.options
    )
    return Redis.from_pool(pool)
