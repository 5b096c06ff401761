"""The counts in Redis, for all processes: a sorted set of attempts a bucket, by their time."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from plinth.cache import Cache
from plinth.config import settings
from plinth.limits.answer import Answer
from plinth.limits.bucket import Bucket

# KEYS: the buckets, then for each the mark that a refusal leaves behind.
# ARGV: the attempt, then for each bucket how many, and in how many milliseconds.
# The time is Redis's own, so that it does not matter whose clock is wrong.
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


class Shared:
    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._run = cache.batched(self._run_all)

    async def take(self, attempt: str, buckets: Sequence[Bucket]) -> Answer | None:
        """None while Redis is away."""
        names = [_name(bucket) for bucket in buckets]
        keys = [*names, *(f"{name}:refused" for name in names)]
        figures = (figure for bucket in buckets for figure in _figures(bucket))
        reply = await self._run((len(keys), *keys, attempt, *figures))
        if reply is None:
            return None
        return Answer([wait / 1000 for wait in reply[1:]], is_first=reply[0] == 1)

    async def _run_all(self, calls: Sequence[Arguments]) -> Mapping[Arguments, list[int]]:
        """Each by itself, one after another, in one exchange with the server."""
        replies = await self._cache.call(lambda redis: _run(redis, calls), None)
        return {} if replies is None else dict(zip(calls, replies, strict=True))

    async def give_back(self, attempt: str, buckets: Sequence[Bucket]) -> None:
        async def remove(redis: Redis) -> None:
            pipeline = redis.pipeline(transaction=False)
            for bucket in buckets:
                pipeline.zrem(_name(bucket), attempt)
            await pipeline.execute()

        await self._cache.call(remove, None)


def _name(bucket: Bucket) -> str:
    # Not under the cache's own prefix and colon: emptying the cache must not empty the limits.
    return f"{settings.CACHE_PREFIX}-limits:{bucket.key}"


def _figures(bucket: Bucket) -> tuple[int, int]:
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
