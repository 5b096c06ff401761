"""A real uvicorn, and requests as bytes on its socket."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from plinth.http.protocol import BoundedHttp
from tests.support.waiting import until

PATIENCE = 20  # seconds


@dataclass(frozen=True, slots=True)
class RawAnswer:
    status: int
    headers: dict[str, str]
    body: bytes


class Wire:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def ask(self, line: str, *headers: str, body: bytes = b"") -> None:
        head = "\r\n".join([f"{line} HTTP/1.1", "Host: test", *headers, "", ""])
        await self.send(head.encode() + body)

    async def stream(self, chunks: Iterable[bytes]) -> int:
        """Send chunks until the server responds or closes; return the number of bytes sent."""
        sent = 0
        with suppress(ConnectionError):
            for chunk in chunks:
                await self.send(b"%x\r\n%s\r\n" % (len(chunk), chunk))
                sent += len(chunk)
                await asyncio.sleep(0)
                if self.reader._buffer:  # type: ignore[attr-defined] # noqa: SLF001 - a peek
                    break
        return sent

    async def answer(self, *, has_body: bool = True) -> RawAnswer:
        async with asyncio.timeout(PATIENCE):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.strip().split("\r\n")
            pairs = (line.split(": ", 1) for line in lines)
            headers = {name.lower(): value for name, value in pairs}
            length = int(headers.get("content-length", 0)) if has_body else 0
            body = await self.reader.readexactly(length)
        return RawAnswer(int(first.split()[1]), headers, body)


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[int]:
    """Serve an application and yield its port. The test sets up its state: no lifespan runs."""
    config = uvicorn.Config(
        app, port=0, http=BoundedHttp, lifespan="off", log_config=None, ws="none"
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    try:
        yield find_port(server)
    finally:
        server.should_exit = True
        await task


def find_port(server: Any) -> int:
    port: int = server.servers[0].sockets[0].getsockname()[1]
    return port


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()
