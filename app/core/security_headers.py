"""What every answer tells the browser to refuse. A page that needs more says so itself."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

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
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
)


class SecurityHeaders:
    """Adds them to every answer, as the outermost middleware: to errors and refusals as well.

    Args:
        https_only: tell browsers to come by HTTPS alone, for a year (RFC 6797).
    """

    def __init__(self, app: ASGIApp, *, https_only: bool) -> None:
        self.app = app
        self._always = [*ALWAYS, HSTS] if https_only else [*ALWAYS]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message["headers"]
                said = {name for name, _ in headers}
                more = [header for header in UNLESS_SAID if header[0] not in said]
                message["headers"] = [*headers, *self._always, *more]
            await send(message)

        await self.app(scope, receive, send_with_headers)
