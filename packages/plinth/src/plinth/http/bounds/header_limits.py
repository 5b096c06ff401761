"""Limits on the request line and headers, checked before any header is parsed.

`http/protocol.py` applies the same limits in uvicorn; these also apply in other servers. A request
within the limits whose headers are costly to parse waits for its turn.
"""

from collections.abc import Awaitable
from http import HTTPStatus

from starlette.types import ASGIApp, Receive, Scope, Send

from plinth.http.bounds.parse_pace import Pace
from plinth.http.problems import delayed_problem
from plinth.request.headers import MAX_HEADER_FIELDS, MAX_PATH_BYTES, TARGET_TOO_LONG

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


class HeaderLimitsMiddleware:
    """Return 431 for headers of more than `limit` bytes or `MAX_HEADER_FIELDS` fields, and 414 for
    a path or query that exceeds its limit."""

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
