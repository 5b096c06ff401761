"""More requests than there is room for."""

from collections.abc import Collection
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.problems import problem


class InFlightLimit:
    """Serves `limit` requests at once and refuses the next with 503, at once: whoever waits is in
    the queues behind it, which are short, and nobody waits for a place in the queue.

    A request whose body is still arriving takes no place: who sends slowly must not lock others
    out.

    Args:
        spared: paths that always get in. A process that is busy is alive.
    """

    def __init__(self, app: ASGIApp, limit: int, spared: Collection[str] = ()) -> None:
        self.app = app
        self.limit = limit
        self.spared = frozenset(spared)
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in self.spared:
            await self.app(scope, receive, send)
            return
        if self._in_flight >= self.limit:
            await _refuse(scope, receive, send)
            return
        arriving = True

        async def receive_outside() -> Message:
            nonlocal arriving
            if not arriving:
                return await receive()
            self._in_flight -= 1
            try:
                message = await receive()
            finally:
                self._in_flight += 1
            arriving = message.get("more_body", False)
            return message

        self._in_flight += 1
        try:
            await self.app(scope, receive_outside, send)
        finally:
            self._in_flight -= 1


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    answer = problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "Too many requests are in work; try again in a moment",
        "overloaded",
        {"Retry-After": "1"},
    )
    await answer(scope, receive, send)
