"""What stands before each of the admin's pages."""

import re
import secrets
from http import HTTPStatus

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.routing import BaseRoute
from starlette.types import Message, Receive, Scope, Send
from starlette_admin.security.csrf import CSRFMiddleware

from plinth.accounts.deps import Resources
from plinth.config import settings
from plinth.http.problems import problem
from plinth.request.headers import is_of_another_page

PLACE = "/admin"
CSRF_COOKIE = f"{CSRFMiddleware.cookie_name}=".encode()
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")

# Scripts are files of ours, or carry the answer's own nonce. Style attributes cannot carry one.
POLICY = (
    "default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src 'self' 'nonce-{nonce}'; "
    "style-src-attr 'unsafe-inline'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

# A browser takes these out of an address, wherever they stand (https://url.spec.whatwg.org): what
# is checked to be a path of ours, "/\t/evil.example", would be another host's when it is used.
LEFT_OUT_BY_BROWSERS = re.compile(rb"%0[9ad]", re.IGNORECASE)

WHOLE_HOST = re.compile(rb"; Path=/(?=;|$)", re.IGNORECASE)

Header = tuple[bytes, bytes]


class AdminMiddleware:
    """Lends each request what it reads with, and gives nothing to other origins.

    CORS lets the listed origins read the API's answers, with cookies. A script on such a page would
    otherwise read these pages too, for a superuser who happens to be signed in.
    """

    def __init__(self, pages: Starlette, app: FastAPI) -> None:
        self._pages = pages
        self._app = app

    @property
    def routes(self) -> list[BaseRoute]:
        """For `url_for`."""
        return self._pages.routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if not settings.is_development:
            scope["scheme"] = "https"  # whatever the proxy before us speaks with us
        if _comes_from_elsewhere(scope):
            refusal = problem(HTTPStatus.FORBIDDEN, "Not from another origin", "other_origin")
            await refusal(scope, receive, send)
            return
        scope["query_string"] = LEFT_OUT_BY_BROWSERS.sub(b"", scope["query_string"])
        answer: list[Message] = []
        nonce = secrets.token_urlsafe(16)

        async def keep(message: Message) -> None:
            answer.append(message)

        resources: Resources = self._app.state.resources
        async with resources.database.read_only_session() as session:
            scope["state"] = {
                **scope.get("state", {}),
                "resources": resources,
                "application": self._app,
                "session": session,
                "nonce": nonce,
            }
            await self._pages(scope, receive, keep)
        # Only now: a slow reader holds no connection to the database.
        answer[0]["headers"] = [_keep_cookie_here(it, scope) for it in answer[0]["headers"]]
        headers = MutableHeaders(scope=answer[0])
        _narrow_csrf_cookie(answer[0], scope)
        headers["Content-Security-Policy"] = POLICY.format(nonce=nonce)
        if "location" in headers:
            headers["Location"] = _without_host(headers["Location"], scope)
        headers["Referrer-Policy"] = "same-origin"  # without it a form's Origin would be "null"
        for message in answer:
            await send(message)


def _narrow_csrf_cookie(start: Message, scope: Scope) -> None:
    """Limit the library's cookie to these pages, as ours are.

    At `/`, two services on one host would overwrite each other's and refuse each other's forms.
    """
    path = f"; Path={scope['root_path']};".encode()
    start["headers"][:] = [
        (name, value.replace(b"; Path=/;", path, 1) if value.startswith(CSRF_COOKIE) else value)
        for name, value in start["headers"]
    ]


def _comes_from_elsewhere(scope: Scope) -> bool:
    if scope["method"] not in SAFE_METHODS and is_of_another_page(scope):
        return True
    origin = Headers(scope=scope).get("origin")
    return origin is not None and origin != _find_origin(scope)


def _keep_cookie_here(header: Header, scope: Scope) -> Header:
    """The library sets its cookies for the whole host. Another service there, or a second one of
    these behind another ROOT_PATH, would get them, and put its own in their place."""
    name, value = header
    if name != b"set-cookie":
        return header
    return name, WHOLE_HOST.sub(b"; Path=%b" % scope["root_path"].encode(), value)


def _without_host(location: str, scope: Scope) -> str:
    """Return a redirect to this host as a path: `Host` is what the client sent.

    A path of two slashes, or of a slash and a backslash, would be another host's.
    """
    path = location.removeprefix(_find_origin(scope))
    return path if path[:1] == "/" and path[1:2] not in ("/", "\\") else location


def _find_origin(scope: Scope) -> str:
    return f"{scope['scheme']}://{Headers(scope=scope).get('host')}"
