"""An answer as it leaves: its head and its body in one piece, by one call of the system."""

from functools import lru_cache
from typing import Any

from uvicorn.protocols.http.httptools_impl import (
    HEADER_RE,
    HEADER_VALUE_RE,
    STATUS_LINE,
    RequestResponseCycle,
)

REMEMBERED = 1024  # lines of heads; most say the same in every answer
FRAMING = {b"connection", b"transfer-encoding"}


class Answering(RequestResponseCycle):
    """Holds the head until the body begins, as ASGI wants it: "The protocol server should not start
    sending the response until it has received at least one Response Body event".

    A body that comes whole, with its length said before, is written with the head at once. All
    else, such as a stream or an answer to HEAD, goes uvicorn's own way.
    """

    _start: Any = None

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start" and not self.response_started:
            self._start = message  # in the place of one that failed before its body
            return
        start, self._start = self._start, None
        if start and message["type"] == "http.response.body" and not message.get("more_body"):
            body = message.get("body", b"")
            if head := self._make_head(start, len(body)):
                self._send_whole(head, body)
                return
        if start:
            await super().send(start)
        await super().send(message)

    def _make_head(self, start: Any, length: int) -> bytes | None:
        """None where there is more to it than to write it."""
        if not self.keep_alive or self.access_log or self.scope["method"] == "HEAD":
            return None
        if self.flow.write_paused or self.disconnected:
            return None
        headers = [*self.default_headers, *start.get("headers", ())]
        if (b"content-length", b"%d" % length) not in headers:
            return None
        try:
            return b"".join((STATUS_LINE[start["status"]], *map(_write, headers), b"\r\n"))
        except _Unusual:
            return None

    def _send_whole(self, head: bytes, body: bytes) -> None:
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        self.transport.write(head + body)
        self.message_event.set()
        self.on_response()


@lru_cache(maxsize=REMEMBERED)
def _write(header: tuple[bytes, bytes]) -> bytes:
    """
    Raises:
        _Unusual: it says how the answer goes on.
        RuntimeError: it would end its line and begin another.
    """
    name, value = header
    if name in FRAMING or name != name.lower():
        raise _Unusual
    if HEADER_RE.search(name) or HEADER_VALUE_RE.search(value):
        raise RuntimeError("Invalid HTTP header")
    return b"%b: %b\r\n" % header


class _Unusual(Exception):
    pass
