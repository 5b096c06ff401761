"""Uvicorn's HTTP/1.1 protocol with bounds on every byte that is not part of a body.

The parser is fed in pieces that end where a request ends, so that pipelined requests stay unparsed
while the request before them is being served.
"""

import asyncio
import signal
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn import Server
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from plinth.config import settings
from plinth.request.headers import (
    MAX_HEADER_FIELDS,
    MAX_PATH_BYTES,
    REFUSAL_SECONDS,
    TARGET_TOO_LONG,
)

LIMIT = settings.MAX_HEADER_SIZE
HEADERS_TOO_LARGE = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
END_OF_HEAD = b"\r\n\r\n"
FRAMING_LIMIT = 4 * 1024  # of a body's chunk sizes, chunk extensions and trailers together
BODY_BYTES_PER_FRAMING_BYTE = 4  # that may come on top
PIECE_BYTES = 2 * 1024  # of a chunked body, parsed before the bounds are checked
MAX_PIECES = 256  # of one read that are looked through for the end of a chunked request
HELD_BYTES = 64 * 1024  # of requests that wait for the one before them
UPGRADE_HEADERS = {b"upgrade", b"http2-settings"}


class BoundedHttp(HttpToolsProtocol):
    """Limit heads, chunk framing, trailers and pipelined requests in bytes and in time.

    A request over a limit ends its connection, with 431, 408 or 400 unless a response has begun,
    `REFUSAL_SECONDS` later.
    For the body see `http/bounds/body_limit.py`; between two requests uvicorn's keep-alive counts.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._closing: asyncio.TimerHandle | None = None
        self._in_head = True
        self._framing = 0  # bytes of this request that are not body
        self._body = 0
        self._declared = 0  # bytes of the body that are to come, by its Content-Length
        self._ignores_upgrade = False
        self._held = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_timer()

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if self._closing:
            return
        if self._held:
            self._hold(self._held + data)
        else:
            self._parse(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        if self._closing:
            self._closing.cancel()
        self.resume_writing()
        self._held = b""
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_timer = self.loop.call_later(settings.WRITE_TIMEOUT, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_timer:
            self._write_timer.cancel()
            self._write_timer = None

    def on_message_begin(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            raise _PipelinedBehindChunksError
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        if len(self.headers) > MAX_HEADER_FIELDS:
            raise _TooLargeError(HEADERS_TOO_LARGE)
        if len(self.url.partition(b"?")[0]) > MAX_PATH_BYTES:
            raise _TooLargeError(TARGET_TOO_LONG)
        self._in_head = False
        self._framing = 0
        if self._timer:
            self._stop_timer()
        if self.parser.should_upgrade():
            if not self._should_upgrade():
                self._ignores_upgrade = True  # feed_data raises next
                return
        else:
            # Trailers must not become headers of the request (RFC 9110, 6.5.1).
            self.headers = []
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self._declared:
            self._declared -= len(body)
        if not self.cycle.response_complete:  # of what nobody reads any more each byte counts
            self._framing -= len(body)
            self._body += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._ignores_upgrade:
            return
        if self._framing > FRAMING_LIMIT and self._exceeds_limit():
            raise _TooLargeError(HEADERS_TOO_LARGE)
        if self._timer:
            self._stop_timer()
        self._in_head = True
        self._framing = self._body = self._declared = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if (self._in_head and not self._held) or self.transport.is_closing():
            return
        if not self._in_head:
            self._start_timer()  # for the rest of a body that nobody reads
        if self._held:
            self._unset_keepalive_if_required()
            held, self._held = self._held, b""
            self.transport.resume_reading()
            self._parse(held)

    @property
    def _is_serving(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _parse(self, data: bytes) -> None:
        position = pieces = 0
        while position < len(data):
            in_head = self._in_head
            if in_head and self._is_serving:
                self._hold(data[position:])
                return
            pieces += 1
            end = self._find_end(data, position, pieces)
            if not self._feed(data[position:end]):
                return
            if in_head and not self._in_head:
                self._declared = self._find_declared_length()
            position = end
        if self._in_head and self._framing:
            self._wait_for_rest_of_head()

    def _find_end(self, data: bytes, start: int, pieces: int) -> int:
        """Return where the next piece ends: with the request, wherever that can be told."""
        if self._declared:
            return min(start + self._declared, len(data))
        last = len(data) if self._in_head else min(start + PIECE_BYTES, len(data))
        if not self._in_head and pieces > MAX_PIECES:
            return last
        if data[start] in b"\r\n":  # the end of a head may be split between two reads
            return start + 1
        end = data.find(END_OF_HEAD, start, last)
        return last if end < 0 else end + len(END_OF_HEAD)

    def _find_declared_length(self) -> int:
        headers = self.scope["headers"]
        return next((int(value) for name, value in headers if name == b"content-length"), 0)

    def _wait_for_rest_of_head(self) -> None:
        if self.headers and len(self.headers) > MAX_HEADER_FIELDS:
            self._end(HEADERS_TOO_LARGE)
        elif self._timer is None:
            self._start_timer()

    def _feed(self, piece: bytes) -> bool:
        """Parse it; False where that was the last of this protocol."""
        self._framing += len(piece)  # `on_body` subtracts
        if self._in_head and self._framing > LIMIT:
            return self._end(HEADERS_TOO_LARGE)
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            return self._upgrade()
        except httptools.HttpParserError as error:
            return self._refuse(error.__context__)
        if self._framing > FRAMING_LIMIT and self._exceeds_limit():
            return self._end(HEADERS_TOO_LARGE)
        return True

    def _refuse(self, cause: BaseException | None) -> bool:
        if isinstance(cause, _PipelinedBehindChunksError):
            # The parser cannot be stopped there; the client repeats it (RFC 9112, 9.3.2).
            self.cycle.keep_alive = False
            self._pause_reading()
            return False
        if isinstance(cause, _TooLargeError):
            status: HTTPStatus = cause.args[0]
            return self._end(status)
        return self._end(HTTPStatus.BAD_REQUEST)

    def _exceeds_limit(self) -> bool:
        if self._in_head:
            return self._framing > LIMIT
        return self._framing > FRAMING_LIMIT + self._body // BODY_BYTES_PER_FRAMING_BYTE

    def _upgrade(self) -> bool:
        if not self._ignores_upgrade:
            self.handle_websocket_upgrade()
            return False
        if self.parser.get_method() == b"CONNECT":
            return self._end(HTTPStatus.BAD_REQUEST)
        head = self._make_head_without_upgrade()
        self._ignores_upgrade, self._in_head = False, True
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.parser.feed_data(head)
        return True

    def _make_head_without_upgrade(self) -> bytes:
        """The request as if it had not asked for another protocol (RFC 9110, 7.8)."""
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        lines += [b"%b: %b" % it for it in self.headers if it[0] not in UPGRADE_HEADERS]
        return b"\r\n".join(lines) + END_OF_HEAD

    def _hold(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._held = data
        self._pause_reading()
        if len(data) > HELD_BYTES:
            self.cycle.keep_alive = False
            self._held = b""

    def _pause_reading(self) -> None:
        """Until the response is complete: unlike `flow`, which each `receive()` resumes."""
        self.flow.read_paused = False
        self.transport.pause_reading()

    def _start_timer(self) -> None:
        self._timer = self.loop.call_later(
            settings.HEADER_TIMEOUT, self._end, HTTPStatus.REQUEST_TIMEOUT
        )

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _end(self, status: HTTPStatus) -> bool:
        self._stop_timer()
        if self.transport.is_closing() or self._closing:
            return False
        answer = b""
        if self._may_answer():
            answer = STATUS_LINE[status] + b"connection: close\r\ncontent-length: 0\r\n\r\n"
        elif not self._is_serving:  # the rest of a body that no one reads; its answer was late
            self.transport.close()
            return False
        if self._is_serving:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._held = b""
        self._pause_reading()
        self._closing = self.loop.call_later(REFUSAL_SECONDS, self._close, answer)
        return False

    def _close(self, answer: bytes) -> None:
        self.transport.write(answer)
        self.transport.close()

    def _may_answer(self) -> bool:
        """A response that has begun, or that the request already got, must stay the only one."""
        if self._is_serving:
            return not self.cycle.response_started
        return self._in_head


class _TooLargeError(Exception):
    pass


class _PipelinedBehindChunksError(Exception):
    pass


def bound_http_of_uvicorn() -> None:
    """Have uvicorn, where it runs us by itself (`uvicorn app.main:app`), use this protocol too."""
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    if isinstance(server, Server) and server.config.http_protocol_class is HttpToolsProtocol:
        server.config.http_protocol_class = BoundedHttp
