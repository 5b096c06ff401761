"""Limits while Redis is down or frozen: counted in the process, stricter, at low cost."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest

from plinth.cache import Cache
from plinth.errors import RateLimited
from plinth.limits import Bucket, Limiter
from plinth.limits.limiter import MemoryStore
from tests.support.redis_calls import counting_calls
from tests.support.valkey import OwnValkey, own_valkey

BUDGET = 0.1


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.25

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def alone(clock: Clock) -> Limiter:
    """A limiter whose Redis never existed."""
    return Limiter(Cache(), MemoryStore(clock, room=50))


@pytest.fixture
def valkey() -> Iterator[OwnValkey]:
    with tempfile.TemporaryDirectory() as folder, own_valkey(Path(folder)) as valkey:
        yield valkey


@pytest.fixture
async def patient(valkey: OwnValkey) -> AsyncIterator[Cache]:
    """A limiter with a long timeout, so that a busy machine does not look like an outage."""
    cache = Cache()
    await cache.open(valkey.url, prefix="test", timeout_ms=10_000)
    yield cache
    await cache.close()


@pytest.fixture
async def hasty(valkey: OwnValkey) -> AsyncIterator[Cache]:
    """A limiter with the timeout of a request."""
    cache = Cache()
    await cache.open(valkey.url, prefix="test", timeout_ms=int(BUDGET * 1000))
    yield cache
    valkey.thaw()
    await cache.close()


def some_bucket(rate: str) -> Bucket:
    return Bucket.of("some", rate, uuid4().hex)


async def count(limiter: Limiter, *buckets: Bucket) -> int:
    taken = 0
    with suppress(RateLimited):
        while taken < 100:
            await limiter.reserve(*buckets)
            taken += 1
    return taken


@pytest.mark.parametrize(("rate", "holds"), [("10/1m", 5), ("5/1m", 2), ("1/1m", 1)])
async def test_half_of_the_limit_applies_and_at_least_one(
    alone: Limiter, rate: str, holds: int
) -> None:
    bucket = some_bucket(rate)
    assert await count(alone, bucket) == holds
    with pytest.raises(RateLimited) as refused:
        await alone.reserve(bucket)
    assert refused.value.exceeded[0].rate.limit == holds, "must report the limit that applies"


async def test_window_slides_and_retry_after_is_exact(alone: Limiter, clock: Clock) -> None:
    bucket = some_bucket("4/1m")
    await alone.reserve(bucket)
    clock.now += 20.5
    await alone.reserve(bucket)
    with pytest.raises(RateLimited) as refused:
        await alone.reserve(bucket)
    assert refused.value.retry_after == 40  # 39.5, rounded up
    clock.now += 39.49
    assert await count(alone, bucket) == 0
    clock.now += 0.01
    assert await count(alone, bucket) == 1


async def test_attempt_counts_in_all_buckets_or_none(alone: Limiter) -> None:
    narrow, wide = some_bucket("2/1m"), some_bucket("10/1m")
    assert await count(alone, wide, narrow) == 1
    assert await count(alone, wide) == 4


async def test_refund_removes_only_the_refunded_attempt(alone: Limiter) -> None:
    bucket = some_bucket("6/1m")
    mine = await alone.reserve(bucket)
    await alone.reserve(bucket)
    await mine.refund()
    await mine.refund()
    assert await count(alone, bucket) == 2


async def test_only_the_first_refusal_of_a_window_is_marked_first(
    alone: Limiter, clock: Clock
) -> None:
    bucket, told = some_bucket("2/1m"), []
    for _ in range(2):
        await alone.reserve(bucket)
        for _ in range(3):
            with pytest.raises(RateLimited) as refused:
                await alone.reserve(bucket)
            told.append(refused.value.is_first)
        clock.now += 60
    assert told == [True, False, False] * 2


async def test_memory_store_is_bounded_and_evicts_the_least_recently_used(clock: Clock) -> None:
    memory = MemoryStore(clock, room=50)
    alone = Limiter(Cache(), memory)
    touched, untouched = some_bucket("2/1d"), some_bucket("2/1d")
    assert await count(alone, touched) == await count(alone, untouched) == 1
    for _ in range(200):
        assert await count(alone, touched) == 0
        await alone.reserve(some_bucket("2/1d"))
    assert len(memory) == 50
    assert await count(alone, untouched) == 1


async def test_memory_replaces_a_killed_redis_until_its_restart(
    valkey: OwnValkey, patient: Cache
) -> None:
    limiter, bucket = Limiter(patient), some_bucket("10/1m")
    assert await count(limiter, bucket) == 10
    valkey.kill()
    assert await count(limiter, bucket) == 5
    valkey.restart()
    patient._breaker._closed_from = 0  # noqa: SLF001 - not to wait for five seconds
    assert await count(limiter, bucket) == 10, "the new server has no script yet, and no counts"


async def test_frozen_redis_is_tried_three_times_then_skipped(
    valkey: OwnValkey, hasty: Cache
) -> None:
    """tests/faults measures the time of each call."""
    limiter, bucket = Limiter(hasty), some_bucket("100/1m")
    await limiter.reserve(bucket)
    valkey.freeze()
    with counting_calls() as calls:
        for _ in range(10):
            await limiter.reserve(bucket)
    assert (calls.failed, calls.skipped) == (3, 7)


async def test_failed_refund_raises_nothing(valkey: OwnValkey, patient: Cache) -> None:
    limiter, bucket = Limiter(patient), some_bucket("10/1m")
    in_redis = await limiter.reserve(bucket)
    valkey.kill()
    in_memory = await limiter.reserve(bucket)
    await in_redis.refund()
    await in_memory.refund()
    assert await count(limiter, bucket) == 5


async def test_concurrent_reservations_never_exceed_half_with_a_frozen_redis(
    valkey: OwnValkey, hasty: Cache
) -> None:
    limiter, bucket = Limiter(hasty), some_bucket("10/1m")
    valkey.freeze()
    outcomes = await asyncio.gather(
        *(limiter.reserve(bucket) for _ in range(20)), return_exceptions=True
    )
    assert sum(not isinstance(outcome, RateLimited) for outcome in outcomes) == 5
    assert all(
        isinstance(outcome, RateLimited) or hasattr(outcome, "refund") for outcome in outcomes
    )
