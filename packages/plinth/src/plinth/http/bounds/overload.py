"""More requests than there is room for."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plinth.http.problems import problem
from plinth.http.routes import route_path

DETAIL = "Too many requests are in work; try again in a moment"
RETRY = {"Retry-After": "1"}


@dataclass(slots=True)
class _Slots:
    limit: int
    in_flight: int = 0


class InFlightLimitMiddleware:
    """Serves `limit` requests at once and refuses the next with 503, at once: whoever waits is in
    the queues behind it, which are short, and nobody waits for a place in the queue.

    A request whose body is still arriving takes no place: who sends slowly must not lock others
    out. Once it is there, it is refused like any other that finds no place.

    Args:
        spared: paths that always get in. A process that is busy is alive.
        apart: beginnings of paths with a limit of their own: what waits there, as sign-ins do for
            their hashes, takes no place from the others.
    """

    def __init__(
        self,
        app: ASGIApp,
        limit: int,
        exempt_paths: Collection[str] = (),
        apart: Mapping[str, int] | None = None,
    ) -> None:
        self.app = app
        self.exempt_paths = frozenset(exempt_paths)
        self._apart = {prefix: _Slots(own) for prefix, own in (apart or {}).items()}
        self._prefixes = tuple(self._apart)
        self._common = _Slots(limit)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = route_path(scope) if scope["type"] == "http" else None
        if path is None or path in self.exempt_paths:
            await self.app(scope, receive, send)
            return
        lane = self._find_lane(path)
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
            if not arriving and lane.in_flight > lane.limit:
                raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, DETAIL, RETRY)
            return message

        lane.in_flight += 1
        try:
            await self.app(scope, receive_outside, send)
        finally:
            lane.in_flight -= 1

    def _find_lane(self, path: str) -> _Slots:
        if not path.startswith(self._prefixes):
            return self._common
        return next(lane for prefix, lane in self._apart.items() if path.startswith(prefix))


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    answer = problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        DETAIL,
        "overloaded",
        RETRY,
    )
    await answer(scope, receive, send)
