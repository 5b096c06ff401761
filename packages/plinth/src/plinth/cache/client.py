"""A cache in Redis that may be away: a call then costs at most its budget, and never raises."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from pydantic_core import from_json, to_json
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from plinth.cache.breaker import Breaker
from plinth.cache.connecting import connect, disconnect
from plinth.db.connection_errors import FaultLog
from plinth.db.dataloader import DataLoader
from plinth.observability import metrics

logger = logging.getLogger(__name__)
T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")

CONNECTIONS = 50
SCAN_BATCH = 500
HEALTH_SECONDS = 60
UNAVAILABLE: Any = object()


class ClusterModeError(ResponseError):
    """Keys of one command lie on several servers there: limits and the cache would not work."""

    def __init__(self) -> None:
        super().__init__("cluster mode is on (cluster_enabled:1)")


class Cache:
    """JSON values under namespaced keys. Before `open`, and while Redis is away, it is empty."""

    def __init__(self) -> None:
        self._redis: Redis | None = None
        self._prefix = ""
        self._budget = 0.1
        self._breaker = Breaker()
        self._set_up_logs()

    async def open(self, url: str, *, prefix: str, timeout_ms: int) -> None:
        """
        Args:
            url: of one server, or of the Sentinels that know it (`cache/connecting.py`).
            prefix: stands before each key, so that applications can share one Redis.
            timeout_ms: the most that one call may cost, connecting included.
        """
        await self.close()
        self._prefix = prefix
        self._budget = timeout_ms / 1000
        self._breaker = Breaker()
        self._set_up_logs()
        self._redis = connect(url, seconds=self._budget, connections=CONNECTIONS)

    async def close(self) -> None:
        if self._redis is not None:
            redis, self._redis = self._redis, None
            await disconnect(redis)

    async def get(self, key: str) -> Any:
        """The value, or None where there is none (or Redis is away)."""
        found = await self.call(lambda redis: redis.get(self.name(key)), UNAVAILABLE)
        if found is UNAVAILABLE:
            return None
        (metrics.cache_misses if found is None else metrics.cache_hits).inc()
        return None if found is None else from_json(found)

    async def set(self, key: str, value: Any, expire: int = 300) -> bool:
        """Keep what `pydantic_core.to_json` can write, for `expire` seconds."""
        data = to_json(value)
        return bool(await self.call(lambda redis: redis.set(self.name(key), data, ex=expire), None))

    async def delete(self, *keys: str) -> int:
        """How many of them were there."""
        if not keys:
            return 0
        names = [self.name(key) for key in keys]
        return await self.call(lambda redis: redis.unlink(*names), 0)

    async def clear_pattern(self, pattern: str) -> int:
        """Remove the keys that match a glob such as `users:*`, and say how many.

        SCAN goes over the keys in steps, so that Redis serves others in between; each step has the
        budget of a call.
        """
        cursor: int | None = None
        removed = 0
        while cursor != 0:
            clear_some = partial(self._clear_some, name=self.name(pattern), cursor=cursor or 0)
            cursor, count = await self.call(clear_some, (0, 0))
            removed += count
        return removed

    async def call(self, act: Callable[[Redis], Awaitable[T]], otherwise: T) -> T:
        """Do one thing within the budget; give `otherwise` when Redis is away."""
        if self._redis is None or not self._breaker.allows():
            metrics.cache_spared.inc()
            return otherwise
        try:
            async with asyncio.timeout(self._budget):
                answer = await act(self._redis)
        except ResponseError as error:  # it answers, so sparing it gains nothing
            metrics.cache_errors.inc()
            self._refusals.note(error)
            return otherwise
        except (RedisError, OSError, TimeoutError) as error:
            metrics.cache_errors.inc()
            if self._breaker.fail():
                self._faults.note(error)
            return otherwise
        if self._breaker.succeed():
            self._faults.clear()
        return answer

    async def look(self) -> dict[str, Any] | None:
        """Return the server's figures, or None where it cannot be used.

        It can be when it takes a value: a replica, one whose memory is full and one in cluster mode
        answer to the rest.
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
        """Have calls that are made at the same time share a command: the library's part of one
        costs more than the server's. Waiting for the one before is within a call's budget.

        Args:
            load: answers them all by `call`; those that it leaves out get None.
        """
        return DataLoader(load, max_concurrent=1, timeout=lambda: self._budget).get

    def name(self, key: str) -> str:
        return f"{self._prefix}:{key}"

    def _set_up_logs(self) -> None:
        # Apart: one that refuses to write still reads, and would clear the fault at once.
        self._faults, self._refusals = (FaultLog(logger, "the cache") for _ in range(2))

    async def _clear_some(self, redis: Redis, name: str, cursor: int) -> tuple[int, int]:
        cursor, names = await redis.scan(cursor, match=name, count=SCAN_BATCH)
        return cursor, await redis.unlink(*names) if names else 0


cache = Cache()
