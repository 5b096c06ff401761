"""Sessions in cookies (`AUTH_COOKIES`), which keep the tokens away from the scripts of a page.

The cookies contain the same access token and refresh token that other clients get in the body
(docs/explanation/decisions/cookie-sessions.md).
"""

import hmac
from base64 import urlsafe_b64encode
from typing import Annotated
from uuid import UUID

from fastapi import Header
from starlette.responses import Response
from starlette.types import Scope

from plinth.accounts.services.sessions import Tokens
from plinth.config import settings
from plinth.errors import PermissionDenied, Rejected, Unauthenticated
from plinth.request.cookies import (
    ACCESS_COOKIE,
    CSRF_HEADER,
    TRANSPORT_HEADER,
    find_only_cookie,
    name_cookie,
    set_cookie,
)
from plinth.request.headers import find_header, is_cross_site
from plinth.security.signing import Signer
from plinth.security.tokens import read_access_token

REFRESH_COOKIE = "plinth_refresh"
COOKIE = "cookie"  # the value of TRANSPORT_HEADER
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")  # RFC 9110, section 9.2.1
DAY_SECONDS = 86_400

_signer = Signer("plinth csrf token")
_csrf_header = CSRF_HEADER.lower().encode()


TRANSPORT_REQUIRED = f"Send the header {TRANSPORT_HEADER} with the value `{COOKIE}`"


class UnknownTransport(Rejected):
    code = "unknown_transport"
    detail = f"{TRANSPORT_HEADER} must be `{COOKIE}`, with AUTH_COOKIES=true, or be left out"


class CrossSiteRequest(PermissionDenied):
    code = "cross_site"
    detail = "Cookies are accepted only from this origin and from BACKEND_CORS_ORIGINS"


class InvalidCsrfToken(PermissionDenied):
    code = "invalid_csrf_token"
    detail = f"Send the token of GET /auth/cookies/csrf in the header {CSRF_HEADER}"


Transport = Annotated[
    str | None,
    Header(
        alias=TRANSPORT_HEADER,
        description=f"`{COOKIE}`: answer 204 with the session in cookies, and no token in a body.",
    ),
]


def requests_cookies(scope: Scope, transport: str | None) -> bool:
    """Return whether the client requests its session in cookies.

    A form cannot send the header, and a script of another origin only if CORS allows the origin.

    Raises:
        CrossSiteRequest: a page of another site must not replace the session of this browser.
        UnknownTransport
    """
    if transport is None:
        return False
    if transport != COOKIE or not settings.AUTH_COOKIES:
        raise UnknownTransport
    if is_cross_site(scope):
        raise CrossSiteRequest
    return True


def find_access_token(scope: Scope) -> str | None:
    """Return the access token in the cookie of a request that may use it.

    Raises:
        CrossSiteRequest, InvalidCsrfToken: see `check_origin` and `check_csrf_token`.
    """
    text = find_only_cookie(scope, name_cookie(ACCESS_COOKIE))
    if text is None:
        return None
    if scope["type"] == "websocket":
        check_origin(scope)
    elif scope["method"] not in SAFE_METHODS:
        try:
            session_id = read_access_token(text).session_id
        except Unauthenticated:
            return text  # which authenticates no one; a route may accept guests
        check_origin(scope)
        check_csrf_token(scope, session_id)
    return text


def find_refresh_token(scope: Scope) -> str | None:
    return find_only_cookie(scope, name_cookie(REFRESH_COOKIE))


def check_origin(scope: Scope) -> None:
    """
    Raises:
        CrossSiteRequest: a page of another origin sent the request, or a handshake of a WebSocket
            has no `Origin`. CORS does not apply to WebSockets, and they have no CSRF token.
    """
    is_unnamed = scope["type"] == "websocket" and find_header(scope, b"origin") is None
    if is_unnamed or is_cross_site(scope):
        raise CrossSiteRequest


def check_csrf_token(scope: Scope, session_id: UUID) -> None:
    """
    Raises:
        InvalidCsrfToken: the request has none, or that of another session.
    """
    token = find_header(scope, _csrf_header) or ""
    if not hmac.compare_digest(token.encode(), make_csrf_token(session_id).encode()):
        raise InvalidCsrfToken


def make_csrf_token(session_id: UUID) -> str:
    """Return the CSRF token of a session: a signature of its id."""
    return urlsafe_b64encode(_signer.sign(session_id.bytes)).rstrip(b"=").decode()


def set_session(response: Response, tokens: Tokens) -> None:
    days = min(settings.REFRESH_TOKEN_EXPIRE_DAYS, settings.SESSION_IDLE_DAYS)
    _set(response, tokens.access_token, tokens.expires_in, tokens.refresh_token, days * DAY_SECONDS)


def clear_session(scope: Scope, response: Response, session_id: UUID) -> None:
    """Delete the cookies of an ended session. Those of another session stay."""
    text = find_only_cookie(scope, name_cookie(ACCESS_COOKIE)) if settings.AUTH_COOKIES else None
    try:
        is_current = text is not None and read_access_token(text).session_id == session_id
    except Unauthenticated:
        return
    if is_current:
        _set(response, "", 0, "", 0)


def _set(response: Response, access: str, access_age: int, refresh: str, refresh_age: int) -> None:
    set_cookie(response, ACCESS_COOKIE, access, max_age=access_age, samesite="lax")
    set_cookie(response, REFRESH_COOKIE, refresh, max_age=refresh_age, samesite="strict")
