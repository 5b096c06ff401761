"""Pauses between requests whose parsers block the event loop.

Parsers of JSON and forms process a whole body in one step: up to 70 ms for 1 MiB of JSON, 12 ms for
a form of 16 KiB. Parsing JSON of 16 KiB takes as long as the rest of a request. Small bodies pass
immediately; the others take turns, with pauses in between.
"""

import asyncio

FREE_BYTES = {"json": 2048, "x-www-form-urlencoded": 2048, "multipart/": 2048}
"""By content type: up to this size, parsing costs no more than other requests."""
PAUSE_FACTOR = 3
"""The next costly request waits this many times as long as the last one blocked the event loop."""


def is_costly_body(content_type: str, size: int) -> bool:
    content_type = content_type.lower()
    return any(size > free and part in content_type for part, free in FREE_BYTES.items())


class Pace:
    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def wait_turn(self) -> None:
        """Wait for a turn. The caller must parse before it awaits again."""
        await self._turn.acquire()
        loop = asyncio.get_running_loop()
        loop.call_soon(self._end_turn, loop, loop.time())

    def _end_turn(self, loop: asyncio.AbstractEventLoop, began: float) -> None:
        blocked = loop.time() - began
        loop.call_later(PAUSE_FACTOR * blocked, self._turn.release)
