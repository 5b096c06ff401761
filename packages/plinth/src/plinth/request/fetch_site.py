"""Which site's page sent a request, as its browser reports (Fetch Metadata; RFC 6454)."""

from starlette.types import Scope

from plinth.config import settings
from plinth.request.headers import find_header

OWN = ("same-origin", "none")  # none: typed into the address bar, or a bookmark


def is_cross_site(scope: Scope) -> bool:
    """Return whether a page sent this that is neither ours nor in `BACKEND_CORS_ORIGINS`.

    Such a page can submit a form without seeing the response. A client that is not a browser sends
    neither header, and no page controls it.
    """
    origin = find_header(scope, b"origin")
    if origin in settings.BACKEND_CORS_ORIGINS:
        return False
    return is_of_another_page(scope)


def is_of_another_page(scope: Scope) -> bool:
    """Return whether a page of another origin sent this, whatever origins may use the API."""
    if site := find_header(scope, b"sec-fetch-site"):
        return site not in OWN
    origin = find_header(scope, b"origin")
    return origin is not None and origin.partition("://")[2] != find_header(scope, b"host")
