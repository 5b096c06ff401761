"""The middleware of every request, as plain ASGI: a `BaseHTTPMiddleware` would cost a task each.

Middleware without work after the response returns the awaitable of the inner application, so it
costs no more than a function call.
"""

import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from http import HTTPStatus
from time import perf_counter

from starlette.concurrency import run_in_threadpool
from starlette.middleware import cors
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plinth.config import settings
from plinth.db.tenancy import tenant
from plinth.http.lifespan import start_with_clear_errors
from plinth.http.problems import problem, refuse_method
from plinth.http.routes import RouteTable, belongs_to_mount, route_path, route_table
from plinth.observability.logs import mark_logged
from plinth.request.client import Network, find_client
from plinth.request.context import HEADER, begin_request, current_request
from plinth.request.conventions import ByPrefix, find_conventions
from plinth.request.headers import find_header

logger = logging.getLogger(__name__)

RawHeaders = Iterable[tuple[bytes, bytes]]
AddHeaders = Callable[[RawHeaders], RawHeaders]

VARY_ORIGIN = (b"vary", b"Origin")
VARY_COOKIE = (b"vary", b"Cookie")
VARY_API_KEY = (b"vary", b"X-API-Key")
HSTS = (b"strict-transport-security", b"max-age=31536000")

# For API responses, which browsers must not render, run or cache (OWASP REST cheat sheet). CORS
# requests are not affected.
FIXED = (
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
DEFAULTS = (
    (b"cache-control", b"no-store"),  # required for tokens (RFC 6749, section 5.1)
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
)
REPLACEABLE = {name for name, _ in DEFAULTS}


class RequestContextMiddleware:
    """Set the context of each request (`request/context.py`) and add headers to each response.

    It is the outermost middleware, and the only one that handles each message of the response. The
    others read the status and the time from the context.

    Args:
        adding: functions that take the headers of a response and return additional ones.
    """

    def __init__(
        self, app: ASGIApp, trusted_proxies: Sequence[Network], adding: Sequence[AddHeaders] = ()
    ) -> None:
        self.app = app
        self.trusted_proxies = trusted_proxies
        self.adding = adding

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await start_with_clear_errors(self.app, scope, receive, send)
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        client = find_client(scope, self.trusted_proxies)
        request = begin_request(find_header(scope, HEADER), client)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                request.status = message["status"]
                headers = message.get("headers", ())
                message["headers"] = [*headers, (HEADER, request.id.encode())]
                for add in self.adding:
                    message["headers"] += add(headers)
            await send(message)
            request.sent_at = perf_counter()

        with tenant(None):
            await self.app(scope, receive, send_with_headers)


class ConventionsMiddleware:
    """Select the authentication scheme and error format of the request by its path.

    It is outside of all middleware that may refuse a request.
    """

    def __init__(self, app: ASGIApp, conventions: ByPrefix) -> None:
        self.app = app
        self.conventions = conventions

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http" and (request := current_request()):
            request.conventions = find_conventions(self.conventions, route_path(scope))
        return self.app(scope, receive, send)


class ServerErrorMiddleware:
    """Return a 500 with only the request id for an unexpected exception, then raise it again.

    It replaces Starlette's middleware of this name. Raising again lets middleware of the team, such
    as an error reporter, see the exception. It is inside of CORS, so that browsers may read the
    response. A handler registered for 500 or `Exception` creates the response instead.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = current_request()
        if scope["type"] != "http" or request is None:
            await self.app(scope, receive, send)
            return
        try:
            await self.app(scope, receive, send)
        except Exception as error:
            logger.exception("unexpected error at %s", request.route)
            mark_logged(error)
            if request.status is None:  # otherwise the server must close the connection
                response = await _describe_failure(Request(scope), error)
                await response(scope, receive, send)
            raise


async def _describe_failure(request: Request, error: Exception) -> Response:
    handlers = request.app.exception_handlers
    handler = handlers.get(HTTPStatus.INTERNAL_SERVER_ERROR) or handlers.get(Exception)
    if handler is None:
        return problem(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "An unexpected error occurred; report the request id to support",
            "internal_error",
        )
    if inspect.iscoroutinefunction(handler):
        response: Response = await handler(request, error)
    else:
        response = await run_in_threadpool(handler, request, error)
    return response


class CORSMiddleware(cors.CORSMiddleware):
    """Apply CORS only to requests with an `Origin`, since Starlette's wraps every response.

    `vary_by_client` adds the `Vary` header to the others.
    """

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:  # type: ignore[override]
        if scope["type"] == "http" and find_header(scope, b"origin") is None:
            return self.app(scope, receive, send)
        return super().__call__(scope, receive, send)


def vary_by_client(headers: RawHeaders) -> RawHeaders:
    """Return `Vary`, so that caches share no response between origins, cookie sessions or API keys.

    A cache shares no response to a request with `Authorization` (RFC 9111, section 3.5). Cookies
    and `X-API-Key` need `Vary` for the same.
    """
    cookie = (VARY_COOKIE,) if settings.AUTH_COOKIES else ()
    credentials = (VARY_API_KEY, *cookie)
    for name, value in headers:
        if name == b"vary" and b"Origin" in value:
            return credentials
    return (VARY_ORIGIN, *credentials)


class CompressionMiddleware(GZipMiddleware):
    """Compress only for clients that accept gzip, since Starlette's wraps every response."""

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:  # type: ignore[override]
        if scope["type"] == "http" and "gzip" in (find_header(scope, b"accept-encoding") or ""):
            return super().__call__(scope, receive, send)
        return self.app(scope, receive, send)


class HeadMiddleware:
    """Handle HEAD as GET without a body (RFC 9110, section 9.3.2), unless a route declares it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http" or scope["method"] != "HEAD" or self._is_declared(scope):
            return self.app(scope, receive, send)

        async def send_no_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        return self.app({**scope, "method": "GET"}, receive, send_no_body)

    def _is_declared(self, scope: Scope) -> bool:
        path = route_path(scope)
        return any(it.match(path) for it in route_table(scope["app"]).head_patterns)


class TrailingSlashMiddleware:
    """Treat `/users` and `/users/` as the same path, without a redirect.

    Many clients drop the `Authorization` header on a redirect. This is outside of the middleware
    that a team adds, which may guard a path and must see the routed one.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._table: RouteTable | None = None

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http":
            table = self._table = self._table or route_table(scope["app"])
            sent = route_path(scope)
            path = _find_declared(sent, table)
            if path != sent:
                scope = {**scope, "path": scope["path"].removesuffix(sent) + path}
        return self.app(scope, receive, send)


def _find_declared(path: str, table: RouteTable) -> str:
    if path in table.methods or path == "/":
        return path
    other = path[:-1] if path.endswith("/") else f"{path}/"
    if other not in table.methods and not path.endswith("/"):
        return path
    # `{name:path}` may be empty: then the slash belongs to the route.
    return path if any(it.match(path) for it in table.patterns) else other


class MethodNotAllowedMiddleware:
    """Return 405 if a literal path does not declare the method, even if a parameter would match.

    `DELETE /users/me` is not `DELETE /users/{user_id}` with an invalid id.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._table: RouteTable | None = None

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http":
            table = self._table = self._table or route_table(scope["app"])
            path = route_path(scope)
            methods = table.methods.get(path)
            if methods and scope["method"] not in methods and not belongs_to_mount(scope):
                return refuse_method(scope["app"], scope["method"], path)(scope, receive, send)
        return self.app(scope, receive, send)


class RouteTemplateMiddleware:
    """Provide the route of a request to logs, metrics and traces.

    It is the innermost middleware, since the router writes into the scope that it receives, and
    others may pass on a copy.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._table: RouteTable | None = None

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http" and (request := current_request()):
            table = self._table = self._table or route_table(scope["app"])
            request.find_route = lambda: table.find_template(scope)
        return self.app(scope, receive, send)


class SecurityHeadersMiddleware:
    """Return the security headers to add to a response, including errors.

    A page may replace some of them.

    Args:
        https_only: make browsers use only HTTPS for a year (RFC 6797).
    """

    def __init__(self, *, https_only: bool) -> None:
        self._fixed = [*FIXED, HSTS] if https_only else [*FIXED]
        self._all = [*self._fixed, *DEFAULTS]

    def __call__(self, headers: Iterable[tuple[bytes, bytes]]) -> Sequence[tuple[bytes, bytes]]:
        names = {name for name, _ in headers}
        if names.isdisjoint(REPLACEABLE):
            return self._all
        return [*self._fixed, *(it for it in DEFAULTS if it[0] not in names)]
