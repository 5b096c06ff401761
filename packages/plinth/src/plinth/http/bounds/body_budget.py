"""The memory that one process may use for request bodies at the same time."""

import asyncio
import ctypes
import gc
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from platform import libc_ver
from typing import Any

BASE_BYTES = 32 * 1024
"""Memory of a request besides its body: task, headers, buffers of the server."""
SETTLED_SECONDS = 1
"""During this time, a new body of the same size cannot displace an arriving one."""
TRIM_BYTES = 1024 * 1024
"""After a peak above this, freed memory is returned to the operating system."""
TRIM_SECONDS = 2
TRIM_MAX_GENERATION = 1  # of the garbage collector


@dataclass(slots=True, eq=False)
class HeldBody:
    """
    Attributes:
        size: bytes declared, or received so far if none are declared.
        timeout: of the wait for the next message; None while it does not wait.
    """

    size: int
    began: float
    timeout: asyncio.Timeout | None = None
    is_refused: bool = False


class BodyBudget:
    """Limit the total to `limit` bytes. Beyond it, refuse the largest body that is still arriving.

    So a small request is accepted even if large ones fill the budget. A body of the same size is
    refused only after `SETTLED_SECONDS`, so that repeated requests cannot displace each other.
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
        """Mark the body as received; it counts until it is released."""
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
        self._trimming = loop.call_later(TRIM_SECONDS, loop.run_in_executor, None, trim_memory)


def trim_memory() -> None:
    """Return freed memory to the operating system; glibc keeps it otherwise.

    This takes some milliseconds, and does nothing with another C library.
    """
    gc.collect(TRIM_MAX_GENERATION)  # a refusal and its traceback are a cycle that holds the body
    if (libc := _find_glibc()) is not None:
        libc.malloc_trim(0)


@cache
def _find_glibc() -> Any:
    return ctypes.CDLL(None) if libc_ver()[0] == "glibc" else None
