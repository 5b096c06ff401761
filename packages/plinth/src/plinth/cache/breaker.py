import time
from collections.abc import Callable


class Breaker:
    """Spares a dead service, and us, the wait: after `failures` in a row it is open for `seconds`,
    then lets one try through.

    Args:
        clock: seconds, monotonic; tests bring their own.
    """

    def __init__(
        self, failures: int = 3, seconds: float = 5, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = failures
        self._seconds = seconds
        self._clock = clock
        self._failures = 0
        self._closed_from = 0.0

    def allows(self) -> bool:
        if self._failures < self._limit:
            return True
        if self._clock() < self._closed_from:
            return False
        self._closed_from = self._clock() + self._seconds  # the one who tries; others still wait
        return True

    def succeed(self) -> bool:
        """True when it was open."""
        was_open = self._failures >= self._limit
        self._failures = 0
        return was_open

    def fail(self) -> bool:
        """True when it is this failure that opens it."""
        self._failures += 1
        self._closed_from = self._clock() + self._seconds
        return self._failures == self._limit
