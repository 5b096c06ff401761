"""Limits on the size of requests, and on the time that a body takes to arrive."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plinth.http.bounds.body_budget import BodyBudget, HeldBody
from plinth.http.bounds.overload import RETRY, Pace, is_costly_body
from plinth.http.problems import delayed_problem, http_problem, problem
from plinth.http.routes import route_path
from plinth.request.context import current_request
from plinth.request.headers import (
    MAX_HEADER_FIELDS,
    MAX_PATH_BYTES,
    REFUSAL_SECONDS,
    TARGET_TOO_LONG,
    find_header,
)

MAX_BYTES_OF = {
    b"cookie": 8192,
    b"content-type": 256,
    b"if-match": 1024,
    b"if-none-match": 1024,
    b"range": 256,
}
"""Limits of headers with costly parsers. Repeated headers count together."""
MAX_COOKIES = 200  # browsers store at most 180 per site
MAX_QUERY_BYTES = 8192  # RFC 9110, section 4.1 recommends at least 8000
MAX_QUERY_PAIRS = 256
CHEAP_PARTS = 100
"""Escapes and pairs of path and query, or pairs and backslashes of cookies. Up to this number,
parsing them costs little compared with the rest of the request."""

MAX_NUMBER_DIGITS = 20  # int() raises beyond a few thousand digits
CLOSE = {"Connection": "close"}
TOO_LARGE = HTTPStatus(413)  # its name depends on the version of Python
MAX_SEPARATORS = {"x-www-form-urlencoded": (b"&", 20), "multipart/": (b"\n", 100)}
"""By content type: the separator of form fields, and its maximum count in a sign-in form. Parsing a
field takes a microsecond or two."""
BUDGET_EXCEEDED = "Too many request bodies are arriving; try again in a moment"


class HeaderLimitsMiddleware:
    """Return 431 for headers of more than `limit` bytes or `MAX_HEADER_FIELDS` fields, and 414 for
    a path or query that exceeds its limit.

    No header is parsed before. `http/protocol.py` applies the same limits in uvicorn; these also
    apply in other servers. A request within the limits whose headers are costly to parse waits for
    its turn.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app = app
        self.limit = limit
        self._pace = Pace()

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http":
            return self.app(scope, receive, send)
        if fault := self._find_fault(scope):
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            return delayed_problem(status, fault, "headers_too_large")(scope, receive, send)
        if fault := _find_target_fault(scope):
            return delayed_problem(TARGET_TOO_LONG, fault, "uri_too_long")(scope, receive, send)
        if _is_costly(scope):
            return self._serve_in_turn(scope, receive, send)
        return self.app(scope, receive, send)

    async def _serve_in_turn(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._pace.wait_turn()
        await self.app(scope, receive, send)

    def _find_fault(self, scope: Scope) -> str | None:
        headers = scope["headers"]
        if len(headers) > MAX_HEADER_FIELDS:
            return f"The request has more than {MAX_HEADER_FIELDS} header fields"
        size = len(scope["query_string"]) + len(scope["path"])
        special: dict[bytes, int] | None = None
        cookies = 0
        for name, value in headers:
            size += len(name) + len(value)
            if name in MAX_BYTES_OF:
                special = special or {}
                special[name] = special.get(name, 0) + len(value)
                if name == b"cookie":
                    cookies += value.count(b";") + 1
        if size > self.limit:
            return f"The request's headers are larger than {self.limit} bytes (MAX_HEADER_SIZE)"
        for name, length in (special or {}).items():
            if length > MAX_BYTES_OF[name]:
                return f"The header {name.decode()} is larger than {MAX_BYTES_OF[name]} bytes"
        if cookies > MAX_COOKIES:
            return f"The request has more than {MAX_COOKIES} cookies"
        return None


def _find_target_fault(scope: Scope) -> str | None:
    if len(scope.get("raw_path") or scope["path"]) > MAX_PATH_BYTES:
        return f"The path is longer than {MAX_PATH_BYTES} bytes"
    query: bytes = scope["query_string"]
    if len(query) > MAX_QUERY_BYTES:
        return f"The query is longer than {MAX_QUERY_BYTES} bytes"
    if query.count(b"&") >= MAX_QUERY_PAIRS:
        return f"The query has more than {MAX_QUERY_PAIRS} pairs"
    return None


def _is_costly(scope: Scope) -> bool:
    path: bytes = scope.get("raw_path") or b""
    query: bytes = scope["query_string"]
    if path.count(b"%") + query.count(b"%") + query.count(b"&") > CHEAP_PARTS:
        return True
    cookies: list[bytes] = [value for name, value in scope["headers"] if name == b"cookie"]
    return sum(value.count(b";") + value.count(b"\\") for value in cookies) > CHEAP_PARTS


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
