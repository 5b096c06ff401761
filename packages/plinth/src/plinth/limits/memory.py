import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from plinth.limits.bucket import Bucket, Decision
from plinth.rates import Rate

MAX_BUCKETS = 20_000  # about ten megabytes when all are in use


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
