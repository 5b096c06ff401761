"""Reservations, on a real Redis-protocol server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from plinth.cache import Cache
from plinth.config import settings
from plinth.errors import RateLimited
from plinth.limits import Bucket, Limiter, Reservation
from plinth.testing.databases import TestServices
from tests.support.limit_clock import pass_time

PREFIX = f"test-{uuid4().hex[:8]}"


@pytest.fixture
async def redis(services: TestServices) -> AsyncIterator[Redis]:
    async with Redis.from_url(services.redis_url) as redis:
        yield redis


@pytest.fixture
async def cache(services: TestServices) -> AsyncIterator[Cache]:
    cache = Cache()
    await cache.open(services.redis_url, prefix=PREFIX, timeout_ms=5000)
    yield cache
    await cache.close()


@pytest.fixture
def limiter(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> Limiter:
    monkeypatch.setattr(settings, "CACHE_PREFIX", PREFIX)
    return Limiter(cache)


def some_bucket(rate: str = "3/1m", name: str = "some") -> Bucket:
    return Bucket.of(name, rate, uuid4().hex)


def with_rate(bucket: Bucket, rate: str) -> Bucket:
    """Return the same bucket with another limit."""
    return Bucket(bucket.name, Bucket.of("any", rate).rate, bucket.key)


async def reserve(limiter: Limiter, *buckets: Bucket, times: int = 1) -> list[Reservation]:
    return [await limiter.reserve(*buckets) for _ in range(times)]


async def count(limiter: Limiter, bucket: Bucket) -> int:
    """Reserve until refused, and return the number of reservations."""
    taken = 0
    with suppress(RateLimited):
        while taken < 100:
            await limiter.reserve(bucket)
            taken += 1
    return taken


async def test_concurrent_reservations_never_exceed_the_limit(limiter: Limiter) -> None:
    async def attempt(*buckets: Bucket) -> bool:
        try:
            await limiter.reserve(*buckets)
        except RateLimited:
            return False
        return True

    for _ in range(100):
        one, other = some_bucket("5/1m"), some_bucket("7/1m")
        passed = await asyncio.gather(*(attempt(one, other) for _ in range(20)))
        assert sum(passed) == 5
        assert await count(limiter, other) == 2  # a refused attempt does not count


async def test_attempt_counts_in_all_buckets_or_none(limiter: Limiter) -> None:
    narrow, wide = some_bucket("1/1m"), some_bucket("5/1m")
    await limiter.reserve(narrow, wide)
    for order in ((narrow, wide), (wide, narrow)):
        with pytest.raises(RateLimited) as refused:
            await limiter.reserve(*order)
        assert [limit.name for limit in refused.value.exceeded] == [narrow.name]
    assert await count(limiter, wide) == 4


async def test_refund_removes_only_the_refunded_attempt(limiter: Limiter) -> None:
    one, other = some_bucket(), some_bucket("9/1m")
    _, mine, _ = await reserve(limiter, one, other, times=3)
    await mine.refund()
    await mine.refund()  # releasing twice has no further effect
    assert await count(limiter, one) == 1
    assert await count(limiter, other) == 7


async def test_retry_after_is_exact_and_not_extended_by_refusals(
    limiter: Limiter, redis: Redis
) -> None:
    bucket = some_bucket("2/1h")
    await limiter.reserve(bucket)
    await pass_time(redis, PREFIX, 1800)
    await limiter.reserve(bucket)
    for _ in range(5):
        with pytest.raises(RateLimited) as refused:
            await limiter.reserve(bucket)
        assert 1500 < refused.value.retry_after <= 1800
    await pass_time(redis, PREFIX, refused.value.retry_after)
    # The first attempt has left the window, the second has not: the window slides.
    assert await count(limiter, bucket) == 1


async def test_retry_after_is_the_longest_of_the_full_buckets(limiter: Limiter) -> None:
    minute, hour, free = some_bucket("1/1m"), some_bucket("1/1h", "hour"), some_bucket()
    await limiter.reserve(minute, hour, free)
    with pytest.raises(RateLimited) as refused:
        await limiter.reserve(minute, hour, free)
    waits = {limit.name: limit.wait for limit in refused.value.exceeded}
    assert waits.keys() == {"some", "hour"}
    assert 0 < waits["some"] <= 60
    assert 3540 < waits["hour"] <= 3600
    assert refused.value.retry_after == waits["hour"]


async def test_only_the_first_refusal_of_a_window_is_marked_first(
    limiter: Limiter, redis: Redis
) -> None:
    bucket = some_bucket("1/1h")
    told = []
    for _ in range(2):
        await limiter.reserve(bucket)
        for _ in range(3):
            with pytest.raises(RateLimited) as refused:
                await limiter.reserve(bucket)
            told.append(refused.value.is_first)
        await pass_time(redis, PREFIX, 3600)
    assert told == [True, False, False] * 2


async def test_lowered_limit_applies_to_earlier_attempts(limiter: Limiter) -> None:
    bucket = some_bucket("9/1m")
    reservations = await reserve(limiter, bucket, times=6)
    narrower = with_rate(bucket, "3/1m")
    for reservation in reservations[:4]:
        assert await count(limiter, narrower) == 0
        await reservation.refund()
    assert await count(limiter, narrower) == 1


async def test_redis_keys_expire_with_the_window(limiter: Limiter, redis: Redis) -> None:
    bucket = some_bucket("1/1m")
    await limiter.reserve(bucket)
    with pytest.raises(RateLimited):
        await limiter.reserve(bucket)
    keys = [key async for key in redis.scan_iter(f"{PREFIX}-limits:{bucket.key}*")]
    assert len(keys) == 2
    lives = [await redis.pttl(key) for key in keys]
    assert all(0 < life <= 60_000 for life in lives)


async def test_redis_keys_reveal_no_email_or_ip(limiter: Limiter, redis: Redis) -> None:
    await limiter.reserve(Bucket.of("some", "3/1m", "ann@example.com", "203.0.113.7"))
    keys = b"\n".join([key async for key in redis.scan_iter(f"{PREFIX}-limits:*")])
    assert keys
    assert b"ann" not in keys
    assert b"203.0" not in keys


def test_bucket_keys_are_unambiguous() -> None:
    assert Bucket.of("some", "1/1m", "ab", "c").key != Bucket.of("some", "1/1m", "a", "bc").key
    assert Bucket.of("some", "1/1m", "a").key != Bucket.of("other", "1/1m", "a").key


async def test_limit_survives_script_flush_and_cache_clear(
    limiter: Limiter, cache: Cache, redis: Redis
) -> None:
    bucket = some_bucket("3/1m")
    taken = 0
    with suppress(RateLimited):
        while taken < 10:
            await redis.script_flush()
            await cache.clear_pattern("*")
            await limiter.reserve(bucket)
            taken += 1
    assert taken == 3


async def test_emptied_redis_resets_the_count(limiter: Limiter, redis: Redis) -> None:
    bucket = some_bucket("2/1m")
    (mine, _) = await reserve(limiter, bucket, times=2)
    await redis.delete(f"{PREFIX}-limits:{bucket.key}")
    await mine.refund()
    assert await count(limiter, bucket) == 2


async def test_no_buckets_means_no_limit(limiter: Limiter) -> None:
    for reservation in await reserve(limiter, times=50):
        await reservation.refund()
