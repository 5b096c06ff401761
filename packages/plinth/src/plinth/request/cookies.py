"""Cookies: their names and attributes, and those of a request, parsed in linear time."""

import http.cookies
import re
from typing import Literal

from starlette.responses import Response
from starlette.types import Scope

from plinth.config import settings

ACCESS_COOKIE = "plinth_access"
TRANSPORT_HEADER = "X-Auth-Transport"
CSRF_HEADER = "X-CSRF-Token"

HAS_QUADRATIC_PARSER = hasattr(http.cookies, "_QuotePatt")
"""CVE-2024-7592: fixed in Python 3.11.10, 3.12.6 and 3.13, and in patched distributions."""

_ESCAPE = re.compile(r"\\([0-3][0-7]{2}|.)")
_OCTAL_DIGITS = 3
_WHITESPACE = " \t"


def name_cookie(name: str) -> str:
    """Return the name of one of our cookies, with the prefix that browsers enforce.

    `__Host-`: no other host can set it, not even a subdomain. It needs the path `/`, so below
    `ROOT_PATH` the prefix is `__Secure-`. In development there is no prefix, since it needs HTTPS.
    """
    if settings.is_development:
        return name
    return f"__Secure-{name}" if settings.ROOT_PATH else f"__Host-{name}"


def cookie_path() -> str:
    """Return the path that `name_cookie` requires."""
    return settings.ROOT_PATH or "/"


def set_cookie(
    response: Response,
    name: str,
    value: str,
    *,
    max_age: int,
    samesite: Literal["lax", "strict"],
) -> None:
    """Set a cookie that scripts cannot read, with the path of `cookie_path`.

    Args:
        name: without its prefix; see `name_cookie`.
        max_age: in seconds; 0 deletes the cookie.
    """
    response.set_cookie(
        name_cookie(name),
        value,
        max_age=max_age,
        path=cookie_path(),
        secure=not settings.is_development,
        httponly=True,
        samesite=samesite,
    )


def find_cookie(scope: Scope, name: str) -> str | None:
    """Return the last value of this name, with its quotes and escapes."""
    values = find_cookies(scope, name)
    return values[-1] if values else None


def find_only_cookie(scope: Scope, name: str) -> str | None:
    """Return the value of this name; None if there are several.

    Another host of the same site can add a cookie, unless its prefix is `__Host-`.
    """
    values = find_cookies(scope, name)
    return values[0] if len(values) == 1 else None


def find_cookies(scope: Scope, name: str) -> list[str]:
    """Return all values of this exact name, with their quotes and escapes.

    Only spaces and tabs around a name are ignored. `str.strip` would also remove NEL and NBSP, with
    which another host of the same site can write a name that has a prefix only without them.
    """
    found = []
    for header, value in scope["headers"]:
        if header == b"cookie" and name.encode() in value:
            for pair in value.decode("latin-1").split(";"):
                key, separator, text = pair.partition("=")
                if separator and key.strip(_WHITESPACE) == name:
                    found.append(text.strip(_WHITESPACE))
    return found


def replace_quadratic_parser() -> None:
    """Replace the unquoting of `request.cookies` in Python versions where it is quadratic."""
    if HAS_QUADRATIC_PARSER:
        http.cookies._unquote = unquote  # type: ignore[assignment] # noqa: SLF001


def unquote(text: str | None) -> str | None:
    """Return the same as `http.cookies` in a fixed Python."""
    if text is None or len(text) < len('""') or not (text[0] == text[-1] == '"'):
        return text
    return _ESCAPE.sub(_replace, text[1:-1])


def _replace(match: re.Match[str]) -> str:
    escaped = match[1]
    return chr(int(escaped, 8)) if len(escaped) == _OCTAL_DIGITS else escaped
