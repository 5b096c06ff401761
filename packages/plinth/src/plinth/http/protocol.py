"""Uvicorn's HTTP/1.1 protocol with limits on all bytes that are not part of a body.

Data is parsed in pieces that end at the end of a request, so that pipelined requests stay unparsed
while an earlier request is in progress.
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

MAX_HEAD_BYTES = settings.MAX_HEADER_SIZE
HEADERS_TOO_LARGE = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
END_OF_HEAD = b"\r\n\r\n"
FRAMING_LIMIT = 4 * 1024  # bytes of chunk sizes, chunk extensions and trailers of a body
BODY_BYTES_PER_FRAMING_BYTE = 4  # of additional framing
PIECE_BYTES = 2 * 1024  # of a chunked body, parsed between checks of the limits
MAX_PIECES = 256  # per read that are searched for the end of a chunked request
HELD_BYTES = 64 * 1024  # of pipelined requests that wait for an earlier one
UPGRADE_HEADERS = {b"upgrade", b"http2-settings"}


class BoundedHttp(HttpToolsProtocol):
    """Limit headers, chunk framing, trailers and pipelined requests in bytes and in time.

    A request that exceeds a limit closes the connection after `REFUSAL_SECONDS`, with 431, 408 or
    400 unless a response has started. `http/bounds/request_limits.py` limits the body. Between two
    requests, uvicorn's keep-alive timeout applies.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._closing: asyncio.TimerHandle | None = None
        self._in_head = True
        self._framing = 0  # bytes of this request that are not part of the body
        self._body = 0
        self._declared = 0  # remaining bytes of the body, from Content-Length
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
            # Trailers must not become headers of the request (RFC 9110, section 6.5.1).
            self.headers = []
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self._declared:
            self._declared -= len(body)
        if not self.cycle.response_complete:  # after the response, every byte counts as framing
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
            self._start_timer()  # for the rest of an unread body
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
        """Return the end of the next piece: the end of the request if it is known."""
        if self._declared:
            return min(start + self._declared, len(data))
        last = len(data) if self._in_head else min(start + PIECE_BYTES, len(data))
        if not self._in_head and pieces > MAX_PIECES:
            return last
        if data[start] in b"\r\n":  # the end of the headers may be split between two reads
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
        """Parse a piece. Return False if this protocol must not parse more data."""
        self._framing += len(piece)  # `on_body` subtracts
        if self._in_head and self._framing > MAX_HEAD_BYTES:
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
            # The parser cannot stop there; the client retries (RFC 9112, section 9.3.2).
            self.cycle.keep_alive = False
            self._pause_reading()
            return False
        if isinstance(cause, _TooLargeError):
            status: HTTPStatus = cause.args[0]
            return self._end(status)
        return self._end(HTTPStatus.BAD_REQUEST)

    def _exceeds_limit(self) -> bool:
        if self._in_head:
            return self._framing > MAX_HEAD_BYTES
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
        """Return the request line and headers without the upgrade (RFC 9110, section 7.8)."""
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
        """Pause until the response is complete. Each `receive()` would resume `flow`."""
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
        response = b""
        if self._may_respond():
            response = STATUS_LINE[status] + b"connection: close\r\ncontent-length: 0\r\n\r\n"
        elif not self._is_serving:  # the rest of an unread body, after its response
            self.transport.close()
            return False
        if self._is_serving:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._held = b""
        self._pause_reading()
        self._closing = self.loop.call_later(REFUSAL_SECONDS, self._close, response)
        return False

    def _close(self, response: bytes) -> None:
        self.transport.write(response)
        self.transport.close()

    def _may_respond(self) -> bool:
        """Return whether the request has no response yet."""
        if self._is_serving:
            return not self.cycle.response_started
        return self._in_head


class _TooLargeError(Exception):
    pass


class _PipelinedBehindChunksError(Exception):
    pass


def bound_http_of_uvicorn() -> None:
    """Make uvicorn use this protocol if it was started directly (`uvicorn app.main:app`)."""
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    if isinstance(server, Server) and server.config.http_protocol_class is HttpToolsProtocol:
        server.config.http_protocol_class = BoundedHttp
