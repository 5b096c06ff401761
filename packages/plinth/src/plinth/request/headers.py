"""Headers of a request, and the limits on them."""

from http import HTTPStatus

from starlette.types import Scope

from plinth.config import settings

MAX_HEADER_FIELDS = 100  # per request
MAX_PATH_BYTES = 2048  # as sent; each escape costs 0.1 us
TARGET_TOO_LONG = HTTPStatus(414)  # its name depends on the version of Python
REFUSAL_SECONDS = 0.02
"""Delay before a request over a limit is refused: at most 50 per second on one connection."""
OWN_SITES = ("same-origin", "none")  # none: typed into the address bar, or a bookmark


def is_cross_site(scope: Scope) -> bool:
    """Return whether a page outside of our origin and `BACKEND_CORS_ORIGINS` sent the request.

    Such a page can submit a form without seeing the response. Clients other than browsers send
    neither header, and no page controls them.
    """
    origin = find_header(scope, b"origin")
    if origin in settings.BACKEND_CORS_ORIGINS:
        return False
    return is_of_another_page(scope)


def is_of_another_page(scope: Scope) -> bool:
    """Return whether a page of another origin sent the request (Fetch Metadata; RFC 6454)."""
    if site := find_header(scope, b"sec-fetch-site"):
        return site not in OWN_SITES
    origin = find_header(scope, b"origin")
    return origin is not None and origin.partition("://")[2] != find_header(scope, b"host")


def find_header(scope: Scope, name: bytes) -> str | None:
    """Return the first value of a header.

    Creating a `Headers` object for a single lookup would cost ten times as much.

    Args:
        name: in lower case, as in ASGI.
    """
    for key, value in scope["headers"]:
        if key == name:
            text: str = value.decode("latin-1")
            return text
    return None
