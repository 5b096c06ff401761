"""Count attempts: in Redis for all processes, or in this process while Redis is down."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from random import getrandbits
from typing import Any, NamedTuple, Protocol, Self

from pydantic_core import to_json
from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from plinth.cache import Cache
from plinth.config import settings
from plinth.errors import ExceededLimit, RateLimited
from plinth.observability import metrics
from plinth.rates import Rate, parse_rate
from plinth.security.signing import Signer

MAX_BUCKETS = 20_000  # about ten megabytes when all are in use

_signer = Signer("plinth limits")


class Bucket(NamedTuple):
    """The attempts that one limit counts together, such as those from one address.

    Attributes:
        name: name of the limit, also in responses.
        key: an HMAC, so that it reveals no e-mail or IP address.
    """

    name: str
    rate: Rate
    key: str

    @classmethod
    def of(cls, name: str, rate: str, *parts: str) -> Self:
        """
        Args:
            rate: as in a setting: `5/5m`.
            parts: values that identify the bucket among those of this name.
        """
        digest = _signer.sign(to_json([name, *parts])).hex()[:32]
        return cls(name, parse_rate(rate), f"{name}:{digest}")

    def stricter(self) -> Self:
        return self._replace(rate=Rate(max(1, self.rate.limit // 2), self.rate.seconds))

    def times(self, factor: int) -> Self:
        return self._replace(rate=Rate(self.rate.limit * factor, self.rate.seconds))


@dataclass(frozen=True, slots=True)
class Decision:
    """
    Attributes:
        waits: for each bucket, seconds until it accepts an attempt. If all are zero, the attempt is
            reserved.
        is_first: this is the first refusal of a full bucket within its window.
    """

    waits: list[float]
    is_first: bool = False


@dataclass(slots=True)
class Log:
    """The attempts of a bucket with their times, oldest first."""

    attempts: dict[str, float] = field(default_factory=dict)
    refused_at: float | None = None

    def wait(self, rate: Rate, now: float) -> float:
        """Drop expired attempts. Return the seconds until the bucket accepts another."""
        for attempt, at in list(self.attempts.items()):
            if _remaining(at, rate, now) > 0:
                break
            del self.attempts[attempt]
        over = len(self.attempts) - rate.limit
        if over < 0:
            return 0
        return _remaining(list(self.attempts.values())[over], rate, now)

    def note_refusal(self, rate: Rate, now: float) -> bool:
        """Return whether this is the first refusal within a window."""
        if self.refused_at is not None and _remaining(self.refused_at, rate, now) > 0:
            return False
        self.refused_at = now
        return True


class MemoryStore:
    """Counts of this process, used while Redis is down.

    Args:
        clock: monotonic seconds; tests replace it.
        room: maximum number of buckets; beyond it, the least recently used one is evicted.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, room: int = MAX_BUCKETS
    ) -> None:
        self._clock = clock
        self._room = room
        self._logs: OrderedDict[str, Log] = OrderedDict()

    async def take(self, attempt: str, buckets: Sequence[Bucket]) -> Decision:
        now = self._clock()
        logs = [self._open(bucket.key) for bucket in buckets]
        waits = [log.wait(bucket.rate, now) for log, bucket in zip(logs, buckets, strict=True)]
        if any(waits):
            full = zip(logs, buckets, waits, strict=True)
            firsts = [log.note_refusal(bucket.rate, now) for log, bucket, wait in full if wait]
            return Decision(waits, is_first=any(firsts))
        for log in logs:
            log.attempts[attempt] = now
        return Decision(waits)

    async def refund(self, attempt: str, buckets: Sequence[Bucket]) -> None:
        for bucket in buckets:
            if log := self._logs.get(bucket.key):
                log.attempts.pop(attempt, None)

    def __len__(self) -> int:
        return len(self._logs)

    def _open(self, key: str) -> Log:
        log = self._logs.setdefault(key, Log())
        self._logs.move_to_end(key)
        if len(self._logs) > self._room:
            self._logs.popitem(last=False)
        return log


def _remaining(at: float, rate: Rate, now: float) -> float:
    return at + rate.seconds - now


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
    """Counts of all processes: for each bucket, a sorted set of attempts by time."""

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
