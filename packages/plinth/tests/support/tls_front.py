"""A TLS proxy: the embedded PostgreSQL and Valkey are built without TLS."""

import asyncio
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field

from tests.support.certificates import Authority, Issued

SSL_REQUEST = struct.pack("!ii", 8, 80877103)
CHUNK = 65536


@dataclass(slots=True)
class TlsFront:
    """
    Attributes:
        port: for TLS after PostgreSQL's SSLRequest.
        direct_port: for direct TLS.
        seen: the TLS version and the common name of the client's certificate, by connection.
    """

    port: int = 0
    direct_port: int = 0
    seen: list[tuple[str | None, str | None]] = field(default_factory=list)


@contextmanager
def tls_front(behind: str | int, issued: Issued, authority: Authority) -> Iterator[TlsFront]:
    """
    Args:
        behind: the socket path of the server, or its port on 127.0.0.1.
        authority: verifies client certificates, which are optional.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.certificate, issued.key)
    context.load_verify_locations(authority.file)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(["postgresql"])
    front, loop, ready = TlsFront(), asyncio.new_event_loop(), threading.Event()
    stopped = asyncio.Event()

    async def serve() -> None:
        async with _listening(front, behind, context):
            ready.set()
            await stopped.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert ready.wait(30)
        yield front
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join(30)
        loop.close()


@asynccontextmanager
async def _listening(
    front: TlsFront, behind: str | int, context: ssl.SSLContext
) -> AsyncIterator[None]:
    tasks: set[asyncio.Task[None]] = set()

    async def forward(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, direct: bool
    ) -> None:
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        with suppress(OSError, EOFError):  # includes SSLError
            if not direct:
                if await reader.readexactly(len(SSL_REQUEST)) != SSL_REQUEST:
                    return
                writer.write(b"S")
                await writer.start_tls(context)
            _note(front, writer)
            await _join(reader, writer, behind)
        writer.close()

    starttls = await asyncio.start_server(
        lambda reader, writer: forward(reader, writer, direct=False), "127.0.0.1", 0
    )
    direct = await asyncio.start_server(
        lambda reader, writer: forward(reader, writer, direct=True), "127.0.0.1", 0, ssl=context
    )
    front.port, front.direct_port = (
        server.sockets[0].getsockname()[1] for server in (starttls, direct)
    )
    try:
        yield
    finally:
        for server in (starttls, direct):
            server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _note(front: TlsFront, writer: asyncio.StreamWriter) -> None:
    tls_object: ssl.SSLObject = writer.get_extra_info("ssl_object")
    subject = (tls_object.getpeercert() or {}).get("subject", ())
    names: dict[str, str] = dict(pair for group in subject for pair in group)  # type: ignore[misc]
    front.seen.append((tls_object.version(), names.get("commonName")))


async def _join(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, behind: str | int
) -> None:
    inner_reader, inner_writer = await (
        asyncio.open_unix_connection(behind)
        if isinstance(behind, str)
        else asyncio.open_connection("127.0.0.1", behind)
    )

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(CHUNK):
                sink.write(data)
                await sink.drain()
        sink.close()

    await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))
