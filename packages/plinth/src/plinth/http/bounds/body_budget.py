"""The bytes of request bodies that one process holds at a time."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from plinth.http.bounds import memory

BASE_BYTES = 32 * 1024
"""What a request whose body arrives takes besides: its task, its headers, the server's buffers."""
SETTLED_SECONDS = 1
"""For so long a body keeps its room against others of its size."""
TRIM_BYTES = 1024 * 1024
"""After so many were held at once, what they took is given back to the system."""
TRIM_SECONDS = 2


@dataclass(slots=True, eq=False)
class HeldBody:
    """
    Attributes:
        size: as declared, and otherwise as it arrived so far.
        timeout: of the wait for the next piece, while it waits.
    """

    size: int
    began: float
    timeout: asyncio.Timeout | None = None
    is_refused: bool = False


class BodyBudget:
    """Hold `limit` bytes at most. Beyond it, refuse the largest body that is still arriving.

    So a small request gets in beside those that fill the budget. A body of the same size is refused
    only when it had its time, so that clients that come again and again cannot churn the room.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
        self._arriving: dict[HeldBody, None] = {}
        self._peak = 0
        self._trimming: asyncio.TimerHandle | None = None

    def begin(self, declared: int) -> HeldBody:
        body = HeldBody(0, asyncio.get_running_loop().time())
        self._arriving[body] = None
        self.grow(body, BASE_BYTES + declared)
        return body

    def grow(self, body: HeldBody, size: int) -> None:
        if body.is_refused:
            return
        body.size += size
        self.held += size
        while self.held > self.limit and not body.is_refused:
            self._refuse(max(self._find_refusable(body), key=lambda it: it.size, default=body))
        self._peak = max(self._peak, self.held)

    def complete(self, body: HeldBody) -> None:
        """Note that it has arrived. It is held until it is released."""
        self._arriving.pop(body, None)

    def release(self, body: HeldBody) -> None:
        self._arriving.pop(body, None)
        self.held -= body.size
        body.size = 0
        if self._peak > TRIM_BYTES and self.held < self._peak // 2:
            self._peak = self.held
            self._trim_later()

    def _find_refusable(self, body: HeldBody) -> Iterator[HeldBody]:
        settled = asyncio.get_running_loop().time() - SETTLED_SECONDS
        for other in self._arriving:
            if other.size > body.size or (other.size == body.size and other.began < settled):
                yield other

    def _refuse(self, body: HeldBody) -> None:
        body.is_refused = True
        self.release(body)
        if body.timeout is not None and not body.timeout.expired():
            body.timeout.reschedule(asyncio.get_running_loop().time())

    def _trim_later(self) -> None:
        if self._trimming is not None:
            self._trimming.cancel()
        loop = asyncio.get_running_loop()
        self._trimming = loop.call_later(TRIM_SECONDS, loop.run_in_executor, None, memory.trim)
