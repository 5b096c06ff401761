"""Limits on concurrent work: requests in flight, and parsers that block the event loop."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plinth.http.problems import problem
from plinth.http.routes import route_path

DETAIL = "The server is busy; try again in a moment"
RETRY = {"Retry-After": "1"}
FREE_BYTES = {"json": 2048, "x-www-form-urlencoded": 2048, "multipart/": 2048}
"""By content type: up to this size, parsing costs no more than other requests."""
PAUSE_FACTOR = 3
"""The next costly request waits this many times as long as the last one blocked the event loop."""


@dataclass(slots=True)
class _InFlight:
    limit: int
    in_flight: int = 0


class InFlightLimitMiddleware:
    """Process at most `limit` requests at the same time, and refuse others with 503 immediately.

    A request does not count while its body is arriving: slow clients must not lock out others. If
    the limit is reached once the body has arrived, the request is refused then.

    Args:
        exempt_paths: paths without a limit, such as probes: a busy process is alive.
        prefix_limits: separate limits by path prefix. Sign-ins, which wait for a hash, do not count
            toward the common limit.
    """

    def __init__(
        self,
        app: ASGIApp,
        limit: int,
        exempt_paths: Collection[str] = (),
        prefix_limits: Mapping[str, int] | None = None,
    ) -> None:
        self.app = app
        self.exempt_paths = frozenset(exempt_paths)
        self._by_prefix = {it: _InFlight(own) for it, own in (prefix_limits or {}).items()}
        self._prefixes = tuple(self._by_prefix)
        self._common = _InFlight(limit)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = route_path(scope) if scope["type"] == "http" else None
        if path is None or path in self.exempt_paths:
            await self.app(scope, receive, send)
            return
        group = self._find_group(path)
        if group.in_flight >= group.limit:
            await _refuse(scope, receive, send)
            return
        arriving = True

        async def receive_uncounted() -> Message:
            nonlocal arriving
            if not arriving:
                return await receive()
            group.in_flight -= 1
            try:
                message = await receive()
            finally:
                group.in_flight += 1
            arriving = message.get("more_body", False)
            if not arriving and group.in_flight > group.limit:
                raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, DETAIL, RETRY)
            return message

        group.in_flight += 1
        try:
            await self.app(scope, receive_uncounted, send)
        finally:
            group.in_flight -= 1

    def _find_group(self, path: str) -> _InFlight:
        if not path.startswith(self._prefixes):
            return self._common
        return next(it for prefix, it in self._by_prefix.items() if path.startswith(prefix))


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    response = problem(HTTPStatus.SERVICE_UNAVAILABLE, DETAIL, "overloaded", RETRY)
    await response(scope, receive, send)


def is_costly_body(content_type: str, size: int) -> bool:
    content_type = content_type.lower()
    return any(size > free and part in content_type for part, free in FREE_BYTES.items())


class Pace:
    """Pauses between requests whose parsers block the event loop.

    Parsers of JSON and forms process a whole body in one step: up to 70 ms for 1 MiB of JSON, 12 ms
    for a form of 16 KiB. Parsing JSON of 16 KiB takes as long as the rest of a request. Small
    bodies pass immediately; the others take turns, with pauses in between.
    """

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
