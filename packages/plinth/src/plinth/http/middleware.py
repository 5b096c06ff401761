"""What stands around every request, as plain ASGI: a `BaseHTTPMiddleware` costs a task each.

Those that have nothing to do when the request is done return what is inside them, and await
nothing: they then are no more than a call.
"""

import inspect
import logging
import re
from collections.abc import Awaitable, Callable, Container, Iterable, Sequence
from http import HTTPStatus
from time import perf_counter

from starlette.concurrency import run_in_threadpool
from starlette.middleware import cors
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plinth.http.problems import problem, refuse_method
from plinth.http.routes import (
    Templates,
    declared_methods,
    is_below_another,
    path_patterns,
    route_path,
)
from plinth.http.startup import start_with_clear_errors
from plinth.observability.logs import mark_logged
from plinth.request.client import Network, find_client
from plinth.request.context import HEADER, begin_request, current_request
from plinth.request.conventions import ByPrefix, find_conventions
from plinth.request.headers import find_header

logger = logging.getLogger(__name__)

RawHeaders = Iterable[tuple[bytes, bytes]]
AddHeaders = Callable[[RawHeaders], RawHeaders]

VARIES = (b"vary", b"Origin")


class RequestContextMiddleware:
    """Notes what is known of each request (`request/context.py`), its answer included, and gives
    every answer what it has to carry. It is the outermost, and the only one that looks at each
    piece that is sent: the others read what it noted.

    Args:
        adding: each is given an answer's headers, and gives more of them.
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

        async def send_and_note(message: Message) -> None:
            if message["type"] == "http.response.start":
                request.status = message["status"]
                said = message.get("headers", ())
                message["headers"] = [*said, (HEADER, request.id.encode())]
                for add in self.adding:
                    message["headers"] += add(said)
            await send(message)
            request.sent_at = perf_counter()

        await self.app(scope, receive, send_and_note)


class ConventionsMiddleware:
    """Note how the request is authenticated and its errors are answered. It stands outside
    everything that refuses a request before its route is known."""

    def __init__(self, app: ASGIApp, conventions: ByPrefix) -> None:
        self.app = app
        self.conventions = conventions

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http" and (request := current_request()):
            request.conventions = find_conventions(self.conventions, route_path(scope))
        return self.app(scope, receive, send)


class ServerErrorMiddleware:
    """Answer an unexpected exception with a 500 that shows the request id and nothing else, then
    raise it again, as Starlette's `ServerErrorMiddleware` does: middleware added by
    `app.add_middleware`, such as an error reporter, sees it.

    It stands inside CORS, so that a browser may read the response too. A handler registered for
    500 or `Exception` makes the response instead.
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
            if request.status is None:  # else the server has to close the connection
                response = await _describe_failure(Request(scope), error)
                await response(scope, receive, send)
            raise


async def _describe_failure(request: Request, error: Exception) -> Response:
    handlers = request.app.exception_handlers
    handler = handlers.get(HTTPStatus.INTERNAL_SERVER_ERROR) or handlers.get(Exception)
    if handler is None:
        return problem(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "Something went wrong here; the request id tells us what",
            "internal_error",
        )
    if inspect.iscoroutinefunction(handler):
        made: Response = await handler(request, error)
    else:
        made = await run_in_threadpool(handler, request, error)
    return made


class CORSMiddleware(cors.CORSMiddleware):
    """CORS for those who ask across origins; the library looks at every piece of the others'
    answers too. What those have to carry, `vary_by_origin` adds."""

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:  # type: ignore[override]
        if scope["type"] == "http" and find_header(scope, b"origin") is None:
            return self.app(scope, receive, send)
        return super().__call__(scope, receive, send)


def vary_by_origin(said: RawHeaders) -> RawHeaders:
    """A cache must not give one origin's answer to another, whoever asked first."""
    for name, value in said:
        if name == b"vary" and b"Origin" in value:
            return ()
    return (VARIES,)


class CompressionMiddleware(GZipMiddleware):
    """GZip for those who take it. The library looks at every piece of the others' answers too."""

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:  # type: ignore[override]
        if scope["type"] == "http" and "gzip" in (find_header(scope, b"accept-encoding") or ""):
            return super().__call__(scope, receive, send)
        return self.app(scope, receive, send)


class HeadMiddleware:
    """Answer HEAD wherever GET answers, without the body (RFC 9110, 9.3.2), unless a route declares
    HEAD itself."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._declared: list[re.Pattern[str]] | None = None

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http" or scope["method"] != "HEAD" or self._is_declared(scope):
            return self.app(scope, receive, send)

        async def send_no_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        return self.app({**scope, "method": "GET"}, receive, send_no_body)

    def _is_declared(self, scope: Scope) -> bool:
        if self._declared is None:
            self._declared = path_patterns(scope["app"], "HEAD")
        path = route_path(scope)
        return any(it.match(path) for it in self._declared)


class TrailingSlashMiddleware:
    """Answers `/users` and `/users/` alike. A redirect from one to the other, which frameworks
    send, makes many clients drop their Authorization header.

    It stands outside a team's middleware, which may guard a path: it has to see the one that is
    routed.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._declared: Container[str] | None = None
        self._patterns: list[re.Pattern[str]] = []

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http":
            if self._declared is None:
                self._declared = declared_methods(scope["app"])
                self._patterns = path_patterns(scope["app"])
            given = route_path(scope)
            path = self._find(given, self._declared)
            if path != given:
                scope = {**scope, "path": scope["path"].removesuffix(given) + path}
        return self.app(scope, receive, send)

    def _find(self, path: str, declared: Container[str]) -> str:
        if path in declared or path == "/":
            return path
        other = path[:-1] if path.endswith("/") else f"{path}/"
        if other not in declared and not path.endswith("/"):
            return path
        # `{name:path}` may be empty: then the slash is the route's own.
        return path if any(it.match(path) for it in self._patterns) else other


class MethodNotAllowedMiddleware:
    """What a path without parameters does not answer to is a 405, also where one with a parameter
    would match: `DELETE /users/me` is not `DELETE /users/{user_id}` with an odd id."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._declared: dict[str, set[str]] | None = None

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http":
            if self._declared is None:
                self._declared = declared_methods(scope["app"])
            path = route_path(scope)
            methods = self._declared.get(path)
            if methods and scope["method"] not in methods and not is_below_another(scope):
                return refuse_method(scope["app"], scope["method"], path)(scope, receive, send)
        return self.app(scope, receive, send)


class RouteTemplateMiddleware:
    """Lets logs, metrics and traces name a request's route. It stands innermost, since those
    before it may hand on a scope of their own, and the router writes into the last one."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._templates: Templates | None = None

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http" and (request := current_request()):
            templates = self._templates = self._templates or Templates(scope["app"])
            request.find_route = lambda: templates.find(scope)
        return self.app(scope, receive, send)
