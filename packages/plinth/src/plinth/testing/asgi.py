"""Requests as bytes, straight into the application: what no client's good manners would send."""

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
        target: path and query, percent-encoded, as they stand in a request's first line.
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

    async def keep(message: Message) -> None:
        sent.append(message)

    try:
        await app(scope, receive, keep)
    except Exception:
        if not sent:
            raise  # else it is raised again after the response to it, for the server's log
    start, *rest = sent
    given: dict[str, str] = {
        name.decode("latin-1"): value.decode("latin-1") for name, value in start["headers"]
    }
    content = b"".join(message.get("body", b"") for message in rest)
    if given.get("content-encoding") == "gzip":
        content = gzip.decompress(content)
    return Answer(start["status"], given, content)
