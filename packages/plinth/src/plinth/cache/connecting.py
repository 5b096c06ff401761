"""Redis clients for a single server, or for the primary that Sentinel names."""

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
        url: in the format of `config/urls/redis_url.py`.
        seconds: timeout of the connection. `Cache.call` limits the call as a whole: the timeouts of
            the library would create a timer for each read and write.
    """
    redis_url = read_redis_url(url)
    shared: dict[str, Any] = {
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": None,
        "max_connections": connections,
    }
    if redis_url.sentinels:
        return _connect_by_sentinel(redis_url, seconds, shared)
    pool = BlockingConnectionPool(
        connection_class=_connection_class(redis_url),
        timeout=seconds,
        socket_connect_timeout=seconds,
        **shared,
        **redis_url.options,
    )
    return Redis.from_pool(pool)


async def disconnect(redis: Redis) -> None:
    await redis.aclose()
    if isinstance(redis.connection_pool, SentinelConnectionPool):
        await redis.connection_pool.sentinel_manager.aclose()


def _connection_class(redis_url: RedisUrl) -> type[Connection | UnixDomainSocketConnection]:
    if "path" in redis_url.options:
        return UnixDomainSocketConnection
    return SSLConnection if redis_url.tls else Connection


def _connect_by_sentinel(redis_url: RedisUrl, seconds: float, shared: dict[str, Any]) -> Redis:
    # Half of the timeout, so that time is left for another Sentinel if one hangs.
    shared |= {"socket_connect_timeout": seconds / 2, "ssl": redis_url.tls}
    tls = {name: it for name, it in redis_url.options.items() if name.startswith("ssl_")}
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        redis_url.sentinels,
        sentinel_kwargs={
            **shared, **tls, **redis_url.sentinel_options, "socket_timeout": seconds / 2
        },
    )  # fmt: skip
    pool = SentinelConnectionPool(  # type: ignore[no-untyped-call]
        redis_url.service, sentinel, **shared, **redis_url.options
    )
    return Redis.from_pool(pool)
