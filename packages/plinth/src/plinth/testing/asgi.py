"""Send raw requests to an ASGI application, including ones that no HTTP client would send."""

import gzip
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

from starlette.types import ASGIApp, Message

Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


async def send(
    app: ASGIApp, method: str, target: str, headers: Iterable[Header] = (), body: bytes = b""
) -> Answer:
    """
    Args:
        target: the percent-encoded path and query (RFC 9112, section 3.2).
    """
    path, _, query = target.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": list(headers),
        "client": ("127.0.0.1", 50000),
        "server": ("test", 80),
        "state": {},
    }
    incoming: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    sent: list[Message] = []

    async def receive() -> Message:
        return incoming.pop() if incoming else {"type": "http.disconnect"}

    async def collect(message: Message) -> None:
        sent.append(message)

    try:
        await app(scope, receive, collect)
    except Exception:
        if not sent:
            raise  # otherwise the error was raised again after its response, for the server's log
    start, *rest = sent
    response_headers: dict[str, str] = {
        name.decode("latin-1"): value.decode("latin-1") for name, value in start["headers"]
    }
    content = b"".join(message.get("body", b"") for message in rest)
    if response_headers.get("content-encoding") == "gzip":
        content = gzip.decompress(content)
    return Answer(start["status"], response_headers, content)
