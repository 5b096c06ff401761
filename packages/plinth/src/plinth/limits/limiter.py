from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from random import getrandbits
from typing import Protocol

from plinth.cache import Cache
from plinth.errors import ExceededLimit, RateLimited
from plinth.limits.answer import Answer
from plinth.limits.bucket import Bucket
from plinth.limits.memory import Memory
from plinth.limits.shared import Shared
from plinth.observability import metrics


class Store(Protocol):
    async def give_back(self, attempt: str, buckets: Sequence[Bucket]) -> None: ...


@dataclass(frozen=True, slots=True)
class Reservation:
    """One attempt, counted in each of its buckets."""

    attempt: str
    buckets: Sequence[Bucket]
    store: Store

    async def refund(self) -> None:
        """It was no attack: take this attempt out of the counts. Never raises."""
        if self.buckets:
            await self.store.give_back(self.attempt, self.buckets)


class Limiter:
    """Counts in Redis; while that is away in this process, and there half of each figure holds."""

    def __init__(self, cache: Cache, memory: Memory | None = None) -> None:
        self._shared = Shared(cache)
        self._memory = Memory() if memory is None else memory

    async def reserve(self, *buckets: Bucket) -> Reservation:
        """Count an attempt in all of these, or in none.

        Raises:
            TooMany: one of them is full.
        """
        attempt = f"{getrandbits(128):032x}"  # it has to differ, and not to be a secret
        if not buckets:
            return Reservation(attempt, (), self._memory)
        if (answer := await self._shared.take(attempt, buckets)) is not None:
            _refuse_if_full(answer, buckets)
            return Reservation(attempt, buckets, self._shared)
        stricter = [bucket.stricter() for bucket in buckets]
        _refuse_if_full(await self._memory.take(attempt, stricter), stricter)
        return Reservation(attempt, stricter, self._memory)


def _refuse_if_full(answer: Answer, buckets: Sequence[Bucket]) -> None:
    used_up = [
        ExceededLimit(bucket.name, bucket.rate, wait=ceil(wait))
        for bucket, wait in zip(buckets, answer.waits, strict=True)
        if wait
    ]
    if used_up:
        for limit in used_up:
            metrics.limits_hit.labels(limit.name).inc()
        raise RateLimited(used_up, is_first=answer.is_first)
