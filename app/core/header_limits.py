"""Bounds on a request's head, asked before any parser of a header, whatever server runs us.

`cli/protocol.py` has the same for what it reads; these also hold behind another server.
"""

from collections.abc import Awaitable
from http import HTTPStatus

from starlette.types import ASGIApp, Receive, Scope, Send

from app.core.headers import MAX_HEADER_FIELDS
from app.core.problems import problem

MAX_BYTES_OF = {b"cookie": 8192, b"content-type": 256}
"""Of headers whose parsers cost more than others'. Cookies count together."""


class HeaderLimits:
    """Refuse a head of more than `limit` bytes or `MAX_HEADER_FIELDS` fields with 431."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app = app
        self.limit = limit

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http" or not (fault := self._find_fault(scope)):
            return self.app(scope, receive, send)
        status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        return problem(status, fault, "headers_too_large")(scope, receive, send)

    def _find_fault(self, scope: Scope) -> str | None:
        headers = scope["headers"]
        if len(headers) > MAX_HEADER_FIELDS:
            return f"The request has more than {MAX_HEADER_FIELDS} header fields"
        size = len(scope["query_string"]) + len(scope["path"])
        special: dict[bytes, int] | None = None
        for name, value in headers:
            size += len(name) + len(value)
            if name in MAX_BYTES_OF:
                special = special or {}
                special[name] = special.get(name, 0) + len(value)
        if size > self.limit:
            return f"The request's headers are larger than {self.limit} bytes (MAX_HEADER_SIZE)"
        for name, length in (special or {}).items():
            if length > MAX_BYTES_OF[name]:
                return f"The header {name.decode()} is larger than {MAX_BYTES_OF[name]} bytes"
        return None
