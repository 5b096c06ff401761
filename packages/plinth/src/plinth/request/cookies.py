"""Cookies of a request, parsed in linear time."""

import http.cookies
import re

from starlette.types import Scope

from plinth.config import settings

HAS_QUADRATIC_PARSER = hasattr(http.cookies, "_QuotePatt")
"""CVE-2024-7592: fixed in Python 3.11.10, 3.12.6 and 3.13, and in patched distributions."""

_ESCAPE = re.compile(r"\\([0-3][0-7]{2}|.)")
_OCTAL_DIGITS = 3


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


def find_cookie(scope: Scope, name: str) -> str | None:
    """Return the last value of this name, with its quotes and escapes."""
    last = None
    for header, value in scope["headers"]:
        if header == b"cookie" and name.encode() in value:
            for pair in value.decode("latin-1").split(";"):
                key, separator, text = pair.partition("=")
                if separator and key.strip() == name:
                    last = text.strip()
    return last


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
