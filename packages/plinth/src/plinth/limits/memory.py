import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from plinth.limits.answer import Answer
from plinth.limits.bucket import Bucket
from plinth.rates import Rate

MAX_BUCKETS = 20_000  # buckets; some ten megabytes when all are in use


@dataclass(slots=True)
class Log:
    """A bucket's attempts by their time, oldest first."""

    attempts: dict[str, float] = field(default_factory=dict)
    refused_at: float | None = None

    def wait(self, rate: Rate, now: float) -> float:
        """Forget what is past, and say how long until there is room."""
        for attempt, at in list(self.attempts.items()):
            if _remaining(at, rate, now) > 0:
                break
            del self.attempts[attempt]
        over = len(self.attempts) - rate.limit
        if over < 0:
            return 0
        return _remaining(list(self.attempts.values())[over], rate, now)

    def note_refusal(self, rate: Rate, now: float) -> bool:
        """True for the first within a window."""
        if self.refused_at is not None and _remaining(self.refused_at, rate, now) > 0:
            return False
        self.refused_at = now
        return True


class Memory:
    """The counts of this process alone, while Redis is away.

    Args:
        clock: seconds, monotonic; tests bring their own.
        room: how many buckets are kept; past it, the one longest without an attempt is forgotten.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, room: int = MAX_BUCKETS
    ) -> None:
        self._clock = clock
        self._room = room
        self._logs: OrderedDict[str, Log] = OrderedDict()

    async def take(self, attempt: str, buckets: Sequence[Bucket]) -> Answer:
        now = self._clock()
        logs = [self._open(bucket.key) for bucket in buckets]
        waits = [log.wait(bucket.rate, now) for log, bucket in zip(logs, buckets, strict=True)]
        if any(waits):
            full = zip(logs, buckets, waits, strict=True)
            firsts = [log.note_refusal(bucket.rate, now) for log, bucket, wait in full if wait]
            return Answer(waits, is_first=any(firsts))
        for log in logs:
            log.attempts[attempt] = now
        return Answer(waits)

    async def give_back(self, attempt: str, buckets: Sequence[Bucket]) -> None:
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
