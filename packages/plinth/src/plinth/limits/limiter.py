from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from random import getrandbits
from typing import Protocol

from plinth.cache import Cache
from plinth.errors import ExceededLimit, RateLimited
from plinth.limits.bucket import Bucket, Decision
from plinth.limits.memory import MemoryStore
from plinth.limits.shared import RedisStore
from plinth.observability import metrics


class Store(Protocol):
    async def refund(self, attempt: str, buckets: Sequence[Bucket]) -> None: ...


@dataclass(frozen=True, slots=True)
class Reservation:
    """One attempt, counted in each bucket."""

    attempt: str
    buckets: Sequence[Bucket]
    store: Store

    async def refund(self) -> None:
        """Remove this attempt from the counts, since it was legitimate. Never raises."""
        if self.buckets:
            await self.store.refund(self.attempt, self.buckets)


class Limiter:
    """Counts in Redis; while Redis is down, in this process with half of each limit."""

    def __init__(self, cache: Cache, memory: MemoryStore | None = None) -> None:
        self._redis = RedisStore(cache)
        self._memory = MemoryStore() if memory is None else memory

    async def reserve(self, *buckets: Bucket) -> Reservation:
        """Count an attempt in all buckets, or in none.

        Raises:
            RateLimited: a bucket is full.
        """
        attempt = f"{getrandbits(128):032x}"  # unique, not secret
        if not buckets:
            return Reservation(attempt, (), self._memory)
        if (decision := await self._redis.take(attempt, buckets)) is not None:
            _refuse_if_full(decision, buckets)
            return Reservation(attempt, buckets, self._redis)
        stricter = [bucket.stricter() for bucket in buckets]
        _refuse_if_full(await self._memory.take(attempt, stricter), stricter)
        return Reservation(attempt, stricter, self._memory)


def _refuse_if_full(decision: Decision, buckets: Sequence[Bucket]) -> None:
    exceeded = [
        ExceededLimit(bucket.name, bucket.rate, wait=ceil(wait))
        for bucket, wait in zip(buckets, decision.waits, strict=True)
        if wait
    ]
    if exceeded:
        for limit in exceeded:
            metrics.limits_hit.labels(limit.name).inc()
        raise RateLimited(exceeded, is_first=decision.is_first)
