"""A client of Redis: one server, or the one that Sentinel names, found anew for each connection."""

from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff

from app.core.service_urls import read_sentinel_url


def connect(url: str, *, seconds: float, connections: int) -> Redis:
    """
    Args:
        url: `redis://`, `rediss://`, `unix://`, or `redis+sentinel://` and `rediss+sentinel://`
            with the Sentinels' hosts: `redis+sentinel://:password@one:26379,two/service/0`.
        seconds: the most that it may take to connect. A call is bounded as a whole, by who makes
            it (`Cache.call`): the library's bound on each write and each read is a timer each.
    """
    usual: dict[str, Any] = {"retry": Retry(NoBackoff(), 0), "socket_timeout": None}
    if "+sentinel://" in url:
        return _ask_sentinels(url, seconds, max_connections=connections, **usual)
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=connections,
        timeout=seconds,
        socket_connect_timeout=seconds,
        **usual,
    )
    return Redis.from_pool(pool)


async def disconnect(redis: Redis) -> None:
    await redis.aclose()
    if isinstance(redis.connection_pool, SentinelConnectionPool):
        await redis.connection_pool.sentinel_manager.aclose()


def _ask_sentinels(url: str, seconds: float, **options: Any) -> Redis:
    asked = read_sentinel_url(url)
    # Half of it, so that a Sentinel that is frozen leaves time to ask the next one.
    options["socket_connect_timeout"] = seconds / 2
    asking = {**options, "socket_timeout": seconds / 2, "password": asked.sentinel_password}
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        asked.sentinels, sentinel_kwargs=asking
    )
    pool = SentinelConnectionPool(  # type: ignore[no-untyped-call]
        asked.service,
        sentinel,
        username=asked.username,
        password=asked.password,
        db=asked.db,
        ssl=asked.tls,
        **options,
    )
    return Redis.from_pool(pool)
