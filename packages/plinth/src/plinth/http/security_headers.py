"""What every answer tells the browser to refuse. A page that needs more says so itself."""

from collections.abc import Iterable, Sequence

HSTS = (b"strict-transport-security", b"max-age=31536000")

# For an API's answers, which no browser should show, run or keep: the OWASP cheat sheet for REST.
# What is read from other origins by CORS is not affected.
ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
UNLESS_SAID = (
    (b"cache-control", b"no-store"),  # RFC 6749, 5.1 asks for it where there is a token
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
)
MAY_BE_SAID = {name for name, _ in UNLESS_SAID}


class SecurityHeadersMiddleware:
    """Those for an answer, whatever it is: an error or a refusal as well.

    Args:
        https_only: tell browsers to come by HTTPS alone, for a year (RFC 6797).
    """

    def __init__(self, *, https_only: bool) -> None:
        self._always = [*ALWAYS, HSTS] if https_only else [*ALWAYS]
        self._usual = [*self._always, *UNLESS_SAID]

    def __call__(self, said: Iterable[tuple[bytes, bytes]]) -> Sequence[tuple[bytes, bytes]]:
        names = {name for name, _ in said}
        if names.isdisjoint(MAY_BE_SAID):
            return self._usual
        return [*self._always, *(more for more in UNLESS_SAID if more[0] not in names)]
