"""More requests than there is room for."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.problems import problem


@dataclass(slots=True)
class _Lane:
    limit: int
    in_flight: int = 0


class InFlightLimit:
    """Serves `limit` requests at once and refuses the next with 503, at once: whoever waits is in
    the queues behind it, which are short, and nobody waits for a place in the queue.

    A request whose body is still arriving takes no place: who sends slowly must not lock others
    out.

    Args:
        spared: paths that always get in. A process that is busy is alive.
        apart: beginnings of paths with a limit of their own: what waits there, as sign-ins do for
            their hashes, takes no place from the others.
    """

    def __init__(
        self,
        app: ASGIApp,
        limit: int,
        spared: Collection[str] = (),
        apart: Mapping[str, int] | None = None,
    ) -> None:
        self.app = app
        self.spared = frozenset(spared)
        self._apart = {prefix: _Lane(own) for prefix, own in (apart or {}).items()}
        self._common = _Lane(limit)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in self.spared:
            await self.app(scope, receive, send)
            return
        lane = self._find_lane(scope["path"])
        if lane.in_flight >= lane.limit:
            await _refuse(scope, receive, send)
            return
        arriving = True

        async def receive_outside() -> Message:
            nonlocal arriving
            if not arriving:
                return await receive()
            lane.in_flight -= 1
            try:
                message = await receive()
            finally:
                lane.in_flight += 1
            arriving = message.get("more_body", False)
            return message

        lane.in_flight += 1
        try:
            await self.app(scope, receive_outside, send)
        finally:
            lane.in_flight -= 1

    def _find_lane(self, path: str) -> _Lane:
        apart = (lane for prefix, lane in self._apart.items() if path.startswith(prefix))
        return next(apart, self._common)


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    answer = problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "Too many requests are in work; try again in a moment",
        "overloaded",
        {"Retry-After": "1"},
    )
    await answer(scope, receive, send)
