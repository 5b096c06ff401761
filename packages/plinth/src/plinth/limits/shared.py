"""Counts in Redis, shared by all processes: a sorted set of attempts by time for each bucket."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from plinth.cache import Cache
from plinth.config import settings
from plinth.limits.bucket import Bucket, Decision

# KEYS: the buckets, then for each the key that records a refusal.
# ARGV: the attempt, then limit and window in milliseconds for each bucket.
# The time is that of Redis, so that the clocks of the processes need not agree.
SCRIPT = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local count = #KEYS / 2
local reply, full = {0}, false
for i = 1, count do
  local most, window = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now - window)
  local over = redis.call('ZCARD', KEYS[i]) - most
  reply[i + 1] = 0
  if over >= 0 then
    full = true
    local frees = redis.call('ZRANGE', KEYS[i], over, over, 'WITHSCORES')[2]
    reply[i + 1] = frees + window - now
    if redis.call('SET', KEYS[count + i], '', 'NX', 'PX', window) then reply[1] = 1 end
  end
end
if not full then
  for i = 1, count do
    redis.call('ZADD', KEYS[i], now, ARGV[1])
    redis.call('PEXPIRE', KEYS[i], ARGV[2 * i + 1])
  end
end
return reply
"""
DIGEST = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()

Arguments = tuple[Any, ...]


class RedisStore:
    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._run = cache.batched(self._run_all)

    async def take(self, attempt: str, buckets: Sequence[Bucket]) -> Decision | None:
        """Count an attempt; return None while Redis is down."""
        names = [_name(bucket) for bucket in buckets]
        keys = [*names, *(f"{name}:refused" for name in names)]
        limits = (it for bucket in buckets for it in _limit_and_window(bucket))
        reply = await self._run((len(keys), *keys, attempt, *limits))
        if reply is None:
            return None
        return Decision([wait / 1000 for wait in reply[1:]], is_first=reply[0] == 1)

    async def _run_all(self, calls: Sequence[Arguments]) -> Mapping[Arguments, list[int]]:
        """Run the script once for each call, in one round trip."""
        replies = await self._cache.call(lambda redis: _run(redis, calls), None)
        return {} if replies is None else dict(zip(calls, replies, strict=True))

    async def refund(self, attempt: str, buckets: Sequence[Bucket]) -> None:
        async def remove(redis: Redis) -> None:
            pipeline = redis.pipeline(transaction=False)
            for bucket in buckets:
                pipeline.zrem(_name(bucket), attempt)
            await pipeline.execute()

        await self._cache.call(remove, None)


def _name(bucket: Bucket) -> str:
    # Outside of the prefix of the cache: clearing the cache must not reset the limits.
    return f"{settings.CACHE_PREFIX}-limits:{bucket.key}"


def _limit_and_window(bucket: Bucket) -> tuple[int, int]:
    return bucket.rate.limit, bucket.rate.seconds * 1000


async def _run(redis: Redis, calls: Sequence[Arguments]) -> list[list[int]]:
    try:
        return await _evaluate(redis, calls)
    except NoScriptError:  # a new or restarted server, or SCRIPT FLUSH
        await redis.script_load(SCRIPT)
        return await _evaluate(redis, calls)


async def _evaluate(redis: Redis, calls: Sequence[Arguments]) -> list[list[int]]:
    pipeline = redis.pipeline(transaction=False)
    for call in calls:
        pipeline.evalsha(DIGEST, *call)
    replies: list[list[int]] = await pipeline.execute()
    return replies
