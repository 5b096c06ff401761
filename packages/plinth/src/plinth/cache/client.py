"""A cache in Redis. While Redis is down, a call takes at most its timeout and never raises."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from pydantic_core import from_json, to_json
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from plinth.cache.connecting import connect, disconnect
from plinth.db.connection_errors import FaultLog
from plinth.db.dataloader import DataLoader
from plinth.observability import metrics


class Breaker:
    """A circuit breaker: after `failures` in a row it opens for `seconds`, then allows one attempt.

    Args:
        clock: monotonic seconds; tests replace it.
    """

    def __init__(
        self, failures: int = 3, seconds: float = 5, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = failures
        self._seconds = seconds
        self._clock = clock
        self._failures = 0
        self._closed_from = 0.0

    def allows(self) -> bool:
        if self._failures < self._limit:
            return True
        if self._clock() < self._closed_from:
            return False
        self._closed_from = self._clock() + self._seconds  # only this caller tries
        return True

    def succeed(self) -> bool:
        """Close the breaker. Return whether it was open."""
        was_open = self._failures >= self._limit
        self._failures = 0
        return was_open

    def fail(self) -> bool:
        """Count a failure. Return whether it opens the breaker."""
        self._failures += 1
        self._closed_from = self._clock() + self._seconds
        return self._failures == self._limit


logger = logging.getLogger(__name__)
T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")

CONNECTIONS = 50
SCAN_BATCH = 500
HEALTH_SECONDS = 60
UNAVAILABLE: Any = object()


class ClusterModeError(ResponseError):
    """In cluster mode, keys of one command are on several servers; limits and cache need one."""

    def __init__(self) -> None:
        super().__init__("cluster mode is on (cluster_enabled:1)")


class Cache:
    """JSON values under prefixed keys. Before `open`, and while Redis is down, it is empty."""

    def __init__(self) -> None:
        self._redis: Redis | None = None
        self._prefix = ""
        self._timeout = 0.1
        self._breaker = Breaker()
        self._set_up_logs()

    async def open(self, url: str, *, prefix: str, timeout_ms: int) -> None:
        """
        Args:
            url: one server, or the Sentinels of one (`cache/connecting.py`).
            prefix: precedes each key, so that applications can share one Redis.
            timeout_ms: maximum time of a call, including the connection.
        """
        await self.close()
        self._prefix = prefix
        self._timeout = timeout_ms / 1000
        self._breaker = Breaker()
        self._set_up_logs()
        self._redis = connect(url, seconds=self._timeout, connections=CONNECTIONS)

    async def close(self) -> None:
        if self._redis is not None:
            redis, self._redis = self._redis, None
            await disconnect(redis)

    async def get(self, key: str) -> Any:
        """Return the value; None if it does not exist, or while Redis is down."""
        data = await self.call(lambda redis: redis.get(self.name(key)), UNAVAILABLE)
        if data is UNAVAILABLE:
            return None
        (metrics.cache_misses if data is None else metrics.cache_hits).inc()
        return None if data is None else from_json(data)

    async def set(self, key: str, value: Any, expire: int = 300) -> bool:
        """Store a value that `pydantic_core.to_json` accepts, for `expire` seconds."""
        data = to_json(value)
        return bool(await self.call(lambda redis: redis.set(self.name(key), data, ex=expire), None))

    async def delete(self, *keys: str) -> int:
        """Delete the keys. Return how many existed."""
        if not keys:
            return 0
        names = [self.name(key) for key in keys]
        return await self.call(lambda redis: redis.unlink(*names), 0)

    async def clear_pattern(self, pattern: str) -> int:
        """Delete the keys that match a glob such as `users:*`. Return their number.

        SCAN runs in steps, so that Redis can serve other clients in between. Each step has the
        timeout of a call.
        """
        cursor: int | None = None
        removed = 0
        while cursor != 0:
            clear_some = partial(self._clear_some, name=self.name(pattern), cursor=cursor or 0)
            cursor, count = await self.call(clear_some, (0, 0))
            removed += count
        return removed

    async def call(self, action: Callable[[Redis], Awaitable[T]], default: T) -> T:
        """Run `action` within the timeout. Return `default` if Redis is down."""
        if self._redis is None or not self._breaker.allows():
            metrics.cache_spared.inc()
            return default
        try:
            async with asyncio.timeout(self._timeout):
                result = await action(self._redis)
        except ResponseError as error:  # Redis responded: leave the breaker closed
            metrics.cache_errors.inc()
            self._refusals.note(error)
            return default
        except (RedisError, OSError, TimeoutError) as error:
            metrics.cache_errors.inc()
            if self._breaker.fail():
                self._faults.note(error)
            return default
        if self._breaker.succeed():
            self._faults.clear()
        return result

    async def look(self) -> dict[str, Any] | None:
        """Return the INFO of the server; None if the cache cannot use it.

        The check writes a value: a replica, a server without free memory and one in cluster mode
        still answer INFO.
        """

        async def look_and_write(redis: Redis) -> dict[str, Any]:
            info: dict[str, Any] = await redis.info()
            if info.get("cluster_enabled"):
                raise ClusterModeError
            await redis.set(f"{self._prefix}-health", b"", ex=HEALTH_SECONDS)
            return info

        return await self.call(look_and_write, None)

    def batched(
        self, load: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]]
    ) -> Callable[[K], Awaitable[V | None]]:
        """Return a function whose concurrent calls share one command.

        A command costs more in the client library than in the server. Waiting for the previous
        command counts toward the timeout.

        Args:
            load: loads all keys with `call`. Keys that it omits get None.
        """
        return DataLoader(load, max_concurrent=1, timeout=lambda: self._timeout).get

    def name(self, key: str) -> str:
        return f"{self._prefix}:{key}"

    def _set_up_logs(self) -> None:
        # Two logs: a server that refuses writes still answers reads, which would clear its fault.
        self._faults, self._refusals = (FaultLog(logger, "the cache") for _ in range(2))

    async def _clear_some(self, redis: Redis, name: str, cursor: int) -> tuple[int, int]:
        cursor, names = await redis.scan(cursor, match=name, count=SCAN_BATCH)
        return cursor, await redis.unlink(*names) if names else 0


cache = Cache()
