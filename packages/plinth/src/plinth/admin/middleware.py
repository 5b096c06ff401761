"""The middleware of the admin: the read-only session, and protection against other origins."""

import re
import secrets
from http import HTTPStatus

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.routing import BaseRoute
from starlette.types import Message, Receive, Scope, Send

from plinth.accounts.deps import Resources
from plinth.config import settings
from plinth.http.problems import problem
from plinth.request.headers import is_of_another_page

ADMIN_PATH = "/admin"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")

# Scripts are our own files or carry the nonce of the response. Style attributes cannot carry one.
POLICY = (
    "default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src 'self' 'nonce-{nonce}'; "
    "style-src-attr 'unsafe-inline'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

# Browsers remove tabs and line feeds from a URL (https://url.spec.whatwg.org). Without this, the
# path "/\t/evil.example" would pass the check of redirects and lead to another host.
IGNORED_BY_BROWSERS = re.compile(rb"%0[9ad]", re.IGNORECASE)

ROOT_COOKIE_PATH = re.compile(rb"; Path=/(?=;|$)", re.IGNORECASE)

Header = tuple[bytes, bytes]


class AdminMiddleware:
    """Provides the read-only session of a request and rejects requests from other origins.

    CORS allows the listed origins to read responses with the cookies of the user. Without the
    check, a script on such an origin could read the admin of a signed-in superuser.
    """

    def __init__(self, pages: Starlette, app: FastAPI) -> None:
        self._pages = pages
        self._app = app

    @property
    def routes(self) -> list[BaseRoute]:
        """The routes, for `url_for`."""
        return self._pages.routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if not settings.is_development:
            scope["scheme"] = "https"  # the proxy may forward requests over HTTP
        if _is_cross_origin(scope):
            response = problem(
                HTTPStatus.FORBIDDEN,
                "The admin rejects requests from other origins",
                "other_origin",
            )
            await response(scope, receive, send)
            return
        scope["query_string"] = IGNORED_BY_BROWSERS.sub(b"", scope["query_string"])
        messages: list[Message] = []
        nonce = secrets.token_urlsafe(16)

        async def collect(message: Message) -> None:
            messages.append(message)

        resources: Resources = self._app.state.resources
        async with resources.database.read_only_session() as session:
            scope["state"] = {
                **scope.get("state", {}),
                "resources": resources,
                "application": self._app,
                "session": session,
                "nonce": nonce,
            }
            await self._pages(scope, receive, collect)
        # Sent after the session is closed, so that a slow client does not hold a connection.
        start = messages[0]
        start["headers"] = [_limit_cookie_path(it, scope) for it in start["headers"]]
        headers = MutableHeaders(scope=start)
        headers["Content-Security-Policy"] = POLICY.format(nonce=nonce)
        if "location" in headers:
            headers["Location"] = _without_host(headers["Location"], scope)
        headers["Referrer-Policy"] = (
            "same-origin"  # `no-referrer` would make a form's Origin "null"
        )
        for message in messages:
            await send(message)


def _is_cross_origin(scope: Scope) -> bool:
    if scope["method"] not in SAFE_METHODS and is_of_another_page(scope):
        return True
    origin = Headers(scope=scope).get("origin")
    return origin is not None and origin != _get_origin(scope)


def _limit_cookie_path(header: Header, scope: Scope) -> Header:
    """Limit the cookies of starlette-admin, which it sets for `/`, to the path of the admin.

    Otherwise two services on one host would receive and overwrite each other's cookies.
    """
    name, value = header
    if name != b"set-cookie":
        return header
    return name, ROOT_COOKIE_PATH.sub(b"; Path=%b" % scope["root_path"].encode(), value)


def _without_host(location: str, scope: Scope) -> str:
    """Return a redirect to this host as a path, since the client controls the `Host` header.

    A path that starts with two slashes, or a slash and a backslash, leads to another host.
    """
    path = location.removeprefix(_get_origin(scope))
    return path if path[:1] == "/" and path[1:2] not in ("/", "\\") else location


def _get_origin(scope: Scope) -> str:
    return f"{scope['scheme']}://{Headers(scope=scope).get('host')}"
