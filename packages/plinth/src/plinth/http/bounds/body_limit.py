"""Limits on request bodies: size, time to arrive, and shared memory."""

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

MAX_NUMBER_DIGITS = 20  # int() raises beyond a few thousand digits
CLOSE = {"Connection": "close"}
TOO_LARGE = HTTPStatus(413)  # its name depends on the version of Python
MAX_SEPARATORS = {"x-www-form-urlencoded": (b"&", 20), "multipart/": (b"\n", 100)}
"""By content type: the separator of form fields, and its maximum count in a sign-in form. Parsing a
field takes a microsecond or two."""
BUDGET_EXCEEDED = "Too many request bodies are arriving; try again in a moment"
RETRY = {"Retry-After": "1"}


class BodyLimitMiddleware:
    """Refuse request bodies that are too large, too slow, or exceed the shared budget.

    A body of more than `limit` bytes gets a 413: immediately if the declared length exceeds it,
    otherwise as it arrives. A body that takes longer than `seconds` gets a 408, and one that
    exceeds `budget` a 503. The last message of a body that is costly to parse waits for its turn.

    FastAPI's `max_body_size` applies too, but its response is plain text.

    Args:
        limits: limits by path prefix, instead of `limit`. These paths accept only sign-in forms, so
            the number of form fields is limited too (`MAX_SEPARATORS`).
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
            await problem(status, BUDGET_EXCEEDED, "overloaded", RETRY)(scope, receive, send)
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
            # `BaseHTTPMiddleware` turns the refusal into an exception group.
            request = current_request()
            if refusal is None or request is None or request.status is not None:
                raise
            await http_problem(refusal)(scope, receive, send)
        finally:
            self.budget.release(body)

    def _count(
        self, scope: Scope, receive: Receive, body: HeldBody, limit: int, declared: int | None
    ) -> Callable[[], Awaitable[Message]]:
        received, is_arriving = 0, True
        deadline = asyncio.get_running_loop().time() + self.seconds

        async def receive_and_count() -> Message:
            nonlocal received, is_arriving
            if not is_arriving:
                return await receive()
            message = await _receive_until(deadline, receive, body)
            size = len(message.get("body", b""))
            received += size
            if received > limit:
                raise HTTPException(TOO_LARGE, _detail(limit))
            if declared is None:
                self.budget.grow(body, size)
            if body.is_refused:
                raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, BUDGET_EXCEEDED, RETRY | CLOSE)
            is_arriving = message.get("more_body", False)
            if not is_arriving:
                self.budget.complete(body)
                if is_costly_body(find_header(scope, b"content-type") or "", received):
                    await self._pace.wait_turn()
            return message

        return receive_and_count


def _bound_fields(scope: Scope, receive: Receive) -> Receive:
    """Return a `receive` that refuses a form with more fields than `MAX_SEPARATORS` allows."""
    content_type = (find_header(scope, b"content-type") or "").lower()
    bound = next((it for part, it in MAX_SEPARATORS.items() if part in content_type), None)
    if bound is None:
        return receive
    separator, limit = bound
    count = 0

    async def receive_and_count() -> Message:
        nonlocal count
        message = await receive()
        count += message.get("body", b"").count(separator)
        if count > limit:
            await asyncio.sleep(REFUSAL_SECONDS)
            raise HTTPException(TOO_LARGE, "The form has too many fields")
        return message

    return receive_and_count


async def _receive_until(deadline: float, receive: Receive, body: HeldBody) -> Message:
    """
    Raises:
        HTTPException: the deadline has passed, or the budget refused the body.
    """
    try:
        async with asyncio.timeout_at(deadline) as body.timeout:
            return await receive()
    except TimeoutError:
        if body.is_refused:
            raise HTTPException(
                HTTPStatus.SERVICE_UNAVAILABLE, BUDGET_EXCEEDED, RETRY | CLOSE
            ) from None
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
    """Return whether the headers exclude a body (RFC 9112, section 6.3; only in HTTP/1.1)."""
    return (
        scope["http_version"] == "1.1"
        and find_header(scope, b"content-length") is None
        and find_header(scope, b"transfer-encoding") is None
    )
