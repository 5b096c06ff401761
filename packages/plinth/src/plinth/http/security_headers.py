"""The security headers of every response. A page may replace some of them."""

from collections.abc import Iterable, Sequence

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


class SecurityHeadersMiddleware:
    """Return the headers to add to a response, including errors.

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
