"""Bounds on a request's body: its size, the time it takes to arrive, and the room it shares."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plinth.http.bounds.body_budget import BodyBudget, HeldBody
from plinth.http.bounds.parse_pace import Pace, is_costly_body
from plinth.http.problems import delayed_problem, http_problem, problem
from plinth.http.routes import route_path
from plinth.request.context import current_request
from plinth.request.headers import REFUSAL_SECONDS, find_header

MAX_NUMBER_DIGITS = 20  # digits; beyond a few thousand int() raises
CLOSE = {"Connection": "close"}
TOO_LARGE = HTTPStatus(413)  # its name differs between versions of Python
MAX_SEPARATORS = {"x-www-form-urlencoded": (b"&", 20), "multipart/": (b"\n", 100)}
"""By a part of the content type: what separates the fields of a form, and how often a form to sign
in may have it. A parser takes a microsecond or two for each."""
NO_ROOM = "Too many request bodies are arriving; try again in a moment"
RETRY = {"Retry-After": "1"}


class BodyLimitMiddleware:
    """Refuse a body of more than `limit` bytes with 413: by its declared length at once, and as it
    arrives where it is sent in chunks or the length lies. One that takes longer to arrive than
    `seconds` gets a 408, one for which `budget` has no room a 503. The last piece of one that is
    costly to parse waits for its turn.

    FastAPI's own `max_body_size` counts as well, but answers in plain text.

    Args:
        limits: the limits of paths that begin so, in place of `limit`. Forms there are to sign in,
            and so have few fields (`MAX_SEPARATORS`).
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        limit: int,
        seconds: float,
        budget: BodyBudget,
        limits: Mapping[str, int] | None = None,
    ) -> None:
        self.app = app
        self.limit = limit
        self.seconds = seconds
        self.budget = budget
        self._pace = Pace()
        self.limits = dict(limits or {})
        self._prefixes = tuple(self.limits)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http" or _has_no_body(scope):
            return self.app(scope, receive, send)
        prefix = self._find_prefix(scope)
        limit = self.limit if prefix is None else self.limits[prefix]
        declared = _find_declared(scope)
        if declared is not None and declared > limit:
            refuse = delayed_problem(TOO_LARGE, _detail(limit), "content_too_large")
            return refuse(scope, receive, send)
        if prefix is not None:
            receive = _bound_fields(scope, receive)
        return self._serve(scope, receive, send, limit, declared)

    def _find_prefix(self, scope: Scope) -> str | None:
        path = route_path(scope)
        if not path.startswith(self._prefixes):
            return None
        return next(prefix for prefix in self._prefixes if path.startswith(prefix))

    async def _serve(
        self, scope: Scope, receive: Receive, send: Send, limit: int, declared: int | None
    ) -> None:
        body = self.budget.begin(declared or 0)
        if body.is_refused:
            status = HTTPStatus.SERVICE_UNAVAILABLE
            await problem(status, NO_ROOM, "overloaded", RETRY)(scope, receive, send)
            return
        refusal: HTTPException | None = None
        receive_next = self._count(scope, receive, body, limit, declared)

        async def receive_or_refuse() -> Message:
            nonlocal refusal
            try:
                return await receive_next()
            except HTTPException as error:
                refusal = error
                raise

        try:
            await self.app(scope, receive_or_refuse, send)
        except Exception:
            # Within a `BaseHTTPMiddleware` the refusal becomes an exception group.
            request = current_request()
            if refusal is None or request is None or request.status is not None:
                raise
            await http_problem(refusal)(scope, receive, send)
        finally:
            self.budget.release(body)

    def _count(
        self, scope: Scope, receive: Receive, body: HeldBody, limit: int, declared: int | None
    ) -> Callable[[], Awaitable[Message]]:
        arrived, is_arriving = 0, True
        deadline = asyncio.get_running_loop().time() + self.seconds

        async def receive_and_count() -> Message:
            nonlocal arrived, is_arriving
            if not is_arriving:
                return await receive()
            message = await _receive_until(deadline, receive, body)
            size = len(message.get("body", b""))
            arrived += size
            if arrived > limit:
                raise HTTPException(TOO_LARGE, _detail(limit))
            if declared is None:
                self.budget.grow(body, size)
            if body.is_refused:
                raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, NO_ROOM, RETRY | CLOSE)
            is_arriving = message.get("more_body", False)
            if not is_arriving:
                self.budget.complete(body)
                if is_costly_body(find_header(scope, b"content-type") or "", arrived):
                    await self._pace.wait_turn()
            return message

        return receive_and_count


def _bound_fields(scope: Scope, receive: Receive) -> Receive:
    """Have `receive` refuse a form of more fields than `MAX_SEPARATORS` allows."""
    kind = (find_header(scope, b"content-type") or "").lower()
    bound = next((it for part, it in MAX_SEPARATORS.items() if part in kind), None)
    if bound is None:
        return receive
    separator, most = bound
    found = 0

    async def receive_and_count() -> Message:
        nonlocal found
        message = await receive()
        found += message.get("body", b"").count(separator)
        if found > most:
            await asyncio.sleep(REFUSAL_SECONDS)
            raise HTTPException(TOO_LARGE, "The form has too many fields")
        return message

    return receive_and_count


async def _receive_until(deadline: float, receive: Receive, body: HeldBody) -> Message:
    """
    Raises:
        HTTPException: the deadline passed, or the budget refused the body.
    """
    try:
        async with asyncio.timeout_at(deadline) as body.timeout:
            return await receive()
    except TimeoutError:
        if body.is_refused:
            raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, NO_ROOM, RETRY | CLOSE) from None
        raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, headers=CLOSE) from None
    finally:
        body.timeout = None


def _find_declared(scope: Scope) -> int | None:
    text = find_header(scope, b"content-length") or ""
    if not text.isdecimal():
        return None
    return sys.maxsize if len(text) > MAX_NUMBER_DIGITS else int(text)


def _detail(limit: int) -> str:
    return f"The body is larger than {limit} bytes"


def _has_no_body(scope: Scope) -> bool:
    """As HTTP/1.1 tells it by its headers (RFC 9112, 6.3); later versions need not."""
    return (
        scope["http_version"] == "1.1"
        and find_header(scope, b"content-length") is None
        and find_header(scope, b"transfer-encoding") is None
    )
