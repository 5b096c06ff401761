"""While Redis is frozen, a few calls take their timeout; later calls are skipped."""

import time
from pathlib import Path
from uuid import uuid4

from plinth.cache import Cache
from plinth.limits import Bucket, Limiter
from tests.faults.bounds import CACHE_CALL, within
from tests.faults.conftest import Measured
from tests.support.valkey import OwnValkey

CALLS_BEFORE_THE_BREAKER = 3


async def test_frozen_redis_delays_only_the_first_calls(
    folder: Path, valkey: OwnValkey, measured: Measured
) -> None:
    cache = Cache()
    await cache.open(valkey.url, prefix=uuid4().hex, timeout_ms=int(CACHE_CALL * 1000))
    limiter, bucket = Limiter(cache), Bucket.of("some", "100/1m", uuid4().hex)
    try:
        await limiter.reserve(bucket)
        valkey.freeze()
        times = []
        for _ in range(10):
            began = time.monotonic()
            await limiter.reserve(bucket)
            times.append(time.monotonic() - began)
    finally:
        valkey.thaw()
        await cache.close()
    measured("ten calls to a frozen Redis", f"{sum(times) * 1000:.0f} ms")
    assert max(times) < within(CACHE_CALL)
    assert sum(times) < within((CALLS_BEFORE_THE_BREAKER + 1) * CACHE_CALL)
