"""The credential of a request: an access token or an API key."""

from typing import Annotated

from fastapi import Depends
from fastapi.security import OAuth2PasswordBearer
from starlette.requests import HTTPConnection
from starlette.types import Scope

from plinth.accounts import session_cookies
from plinth.config import settings
from plinth.request.context import current_request
from plinth.request.headers import find_header
from plinth.security.api_keys import looks_like_key

API_KEY_HEADER = b"x-api-key"
INVALID = ""
"""A credential that authenticates no one. A route may accept guests."""


class _Bearer(OAuth2PasswordBearer):
    async def __call__(self, request: HTTPConnection) -> str | None:
        """Return the token of the header, or else, with `AUTH_COOKIES`, that of the cookie.

        Unlike the base class, do not build an object of all headers.
        """
        header = find_header(request.scope, b"authorization") or ""
        scheme, _, token = header.partition(" ")
        info = current_request()
        expected = info.conventions.scheme if info else "Bearer"
        sent = token.strip() if scheme.lower() == expected.lower() else None
        if find_header(request.scope, API_KEY_HEADER) is not None:
            return _find_api_key(request.scope, sent)
        if sent is not None:
            return sent
        return session_cookies.find_access_token(request.scope) if settings.AUTH_COOKIES else None


def _find_api_key(scope: Scope, token: str | None) -> str:
    """Return the key in `X-API-Key`. Two different credentials authenticate no one, since parts of
    the application, or a proxy, could each believe another one.

    Args:
        token: that of `Authorization`.
    """
    sent = {value.decode("latin-1") for name, value in scope["headers"] if name == API_KEY_HEADER}
    if token is not None:
        sent.add(token)
    key = sent.pop()
    return INVALID if sent or not looks_like_key(key) else key


oauth2_scheme = _Bearer(
    tokenUrl=f"{settings.ROOT_PATH}{settings.API_V1_PREFIX}/auth/token",
    description="`username` is the e-mail. Leave `client_id` and `client_secret` empty.",
    scheme_name="OAuth2PasswordBearer",
    auto_error=False,
)
BearerToken = Annotated[str | None, Depends(oauth2_scheme)]
