"""Uvicorn's HTTP, with what it leaves to a proxy: headers that come slowly, or without end."""

import asyncio
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.core.config import settings

HEADER_BYTES = 64 * 1024


class BoundedHttp(HttpToolsProtocol):
    """A request's headers arrive whole within a bound of time and size, or the connection ends.

    For the body see `core/middleware.BodyLimit`; between two requests uvicorn's keep-alive counts.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._bound: asyncio.TimerHandle | None = None
        self._arrived = 0
        self._is_whole = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_waiting()

    def data_received(self, data: bytes) -> None:
        if self._is_whole and (self.cycle is None or self.cycle.response_complete):
            self._is_whole = False
            self._arrived = 0
        self._arrived += len(data)
        super().data_received(data)
        if self._is_whole:
            return
        if self._bound is None:  # most come in one piece, and need no clock
            self._start_waiting()
        if self._arrived > HEADER_BYTES:
            self._end(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def on_headers_complete(self) -> None:
        self._is_whole = True
        self._stop_waiting()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _start_waiting(self) -> None:
        self._bound = self.loop.call_later(
            settings.HEADER_TIMEOUT, self._end, HTTPStatus.REQUEST_TIMEOUT
        )

    def _stop_waiting(self) -> None:
        if self._bound:
            self._bound.cancel()
            self._bound = None

    def _end(self, status: HTTPStatus) -> None:
        self._stop_waiting()
        if not self.transport.is_closing():
            self.transport.write(
                STATUS_LINE[status] + b"connection: close\r\ncontent-length: 0\r\n\r\n"
            )
            self.transport.close()
