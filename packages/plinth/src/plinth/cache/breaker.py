import time
from collections.abc import Callable


class Breaker:
    """A circuit breaker: after `failures` in a row it opens for `seconds`, then allows one attempt.

    Args:
        clock: monotonic seconds; tests replace it.
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
        self._closed_from = self._clock() + self._seconds  # only this caller tries
        return True

    def succeed(self) -> bool:
        """Close the breaker. Return whether it was open."""
        was_open = self._failures >= self._limit
        self._failures = 0
        return was_open

    def fail(self) -> bool:
        """Count a failure. Return whether it opens the breaker."""
        self._failures += 1
        self._closed_from = self._clock() + self._seconds
        return self._failures == self._limit
