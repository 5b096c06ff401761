"""Limits on the requests that are processed at the same time."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plinth.http.problems import problem
from plinth.http.routes import route_path

DETAIL = "The server is busy; try again in a moment"
RETRY = {"Retry-After": "1"}


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
