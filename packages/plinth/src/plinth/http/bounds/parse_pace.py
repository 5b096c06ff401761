"""A pace for requests whose parsers block the event loop.

Parsers of JSON and forms take a whole body in one step: up to 70 ms for 1 MiB of JSON, 12 ms for
16 KiB of a form. Small bodies pass at once; the others take turns, with pauses in between. JSON of
16 KiB costs as much again as the rest of a request.
"""

import asyncio

FREE_BYTES = {"json": 2048, "x-www-form-urlencoded": 2048, "multipart/": 2048}
"""By a part of the content type: up to these a body costs no more than other requests do."""
PAUSE = 3
"""Times as long as a body blocked the loop, the others of its kind wait."""


def is_costly_body(content_type: str, size: int) -> bool:
    kind = content_type.lower()
    return any(size > free and part in kind for part, free in FREE_BYTES.items())


class Pace:
    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def wait_turn(self) -> None:
        """Wait for a turn, in which the caller parses before it waits again."""
        await self._turn.acquire()
        loop = asyncio.get_running_loop()
        loop.call_soon(self._end_turn, loop, loop.time())

    def _end_turn(self, loop: asyncio.AbstractEventLoop, began: float) -> None:
        blocked = loop.time() - began
        loop.call_later(PAUSE * blocked, self._turn.release)
