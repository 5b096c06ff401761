"""Responses of `plinth serve` to malformed requests over a real socket."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from plinth.config import settings
from plinth.http import protocol
from plinth.http.protocol import FRAMING_LIMIT, HELD_BYTES, BoundedHttp
from plinth.request.headers import MAX_PATH_BYTES
from tests.support.waiting import PATIENCE, until

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

GET = b"GET /%d HTTP/1.1\r\nHost: here\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n"
BOUND = settings.MAX_HEADER_SIZE


class Server:
    """An application that echoes each request once `opened` is set."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.opened.set()
        self.reads = True
        self.streams = False
        self.begun: list[str] = []
        self.protocols: list[BoundedHttp] = []
        self.state = ServerState()
        self.config = Config(
            self.app, interface="asgi3", http=BoundedHttp, lifespan="off", log_config=None
        )
        self.config.load()

    def make(self) -> BoundedHttp:
        protocol = BoundedHttp(config=self.config, server_state=self.state, app_state={})
        self.protocols.append(protocol)
        return protocol

    async def app(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        self.begun.append(scope["path"])
        body = b""
        while self.reads:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            if not message["more_body"]:
                break
        if self.streams:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        await self.opened.wait()
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        text = json.dumps([scope["path"], headers, body.decode()]).encode()
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-length", b"%d" % len(text))],
            }
        )
        await send({"type": "http.response.body", "body": text})


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        if not self.writer.is_closing():
            with suppress(ConnectionError):
                self.writer.write(data)
                await self.writer.drain()

    async def answer(self) -> tuple[int, Any]:
        """Return the status, and the path, headers and body that the application received."""
        async with asyncio.timeout(PATIENCE):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            body = await self.reader.readexactly(length)
        return int(head.split()[1]), json.loads(body) if body else None

    async def rest(self) -> bytes:
        """Return the bytes until the server closes the connection or resets it."""
        received = b""
        with suppress(ConnectionError):
            async with asyncio.timeout(PATIENCE):
                while piece := await self.reader.read(65536):
                    received += piece
        return received


@pytest.fixture
async def server() -> Server:
    return Server()


@asynccontextmanager
async def connected(server: Server) -> AsyncIterator[Client]:
    listening = await asyncio.get_running_loop().create_server(server.make, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        listening.close()
        for task in server.state.tasks:
            task.cancel()


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    async with connected(server) as client:
        yield client


@pytest.mark.parametrize(
    "trailer",
    [
        b"Authorization: Bearer x",
        b"X-Forwarded-For: 9.9.9.9",
        b"Cookie: a=b",
        b"Expect: 100-continue",
        b"Host: elsewhere",
    ],
)
@pytest.mark.parametrize("pause", [False, True], ids=["one piece", "two pieces"])
async def test_trailers_are_ignored(client: Client, trailer: bytes, pause: bool) -> None:
    await client.send(CHUNKED + b"2\r\nhi\r\n")
    if pause:
        await asyncio.sleep(0.01)
    await client.send(b"0\r\n" + trailer + b"\r\n\r\n" + GET % 2)
    status, (_, headers, body) = await client.answer()
    assert (status, body) == (200, "hi")
    assert headers == {"host": "here", "transfer-encoding": "chunked"}
    assert (await client.answer())[1] == ["/2", {"host": "here"}, ""]


async def test_refusal_is_delayed(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "REFUSAL_SECONDS", 60)
    async with connected(server) as client:
        await client.send(b"GET / HTTP/9.9\r\n\r\n")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.reader.read(), 0.2)
        await client.send(GET % 1)  # the server reads nothing more
        assert server.begun == []
        server.protocols[0].shutdown()


async def test_content_length_in_a_trailer_is_refused(client: Client) -> None:
    await client.send(CHUNKED + b"2\r\nhi\r\n0\r\nContent-Length: 99\r\n\r\n" + GET % 2)
    answer = await client.rest()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("step", [1000, 10**9], ids=["in pieces", "at once"])
async def test_path_length_is_limited_before_decoding(
    server: Server, client: Client, step: int
) -> None:
    begin = b"GET /" + b"%41" * (MAX_PATH_BYTES // 3)
    await client.send(begin + b"?a HTTP/1.1\r\nHost: here\r\n\r\n")
    assert (await client.answer())[0] == 200
    over = begin + b"%41?a HTTP/1.1\r\nHost: here\r\n\r\n"
    for start in range(0, len(over), step):
        await client.send(over[start : start + step])
        await asyncio.sleep(0)
    assert (await client.rest()).startswith(b"HTTP/1.1 414 ")
    assert len(server.begun) == 1


@pytest.mark.parametrize(
    "flood",
    [
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * BOUND,
        b"GET / HTTP/1.1\r\nX: " + b"y" * 2 * BOUND,
        b"GET /" + b"y" * 2 * BOUND,
        b"GET / HTTP/1.1\r\nX: " + b"y" * 2 * BOUND + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 101 + b"\r\n",
        b"\r\n" * BOUND,
        CHUNKED + b"1\r\nx\r\n" * BOUND,
        CHUNKED + b"1;" + b"x" * 2 * BOUND,
        CHUNKED + b"1;a=" + b"x" * 2 * BOUND + b"\r\nx\r\n",
        CHUNKED + b"0" * 2 * BOUND,
        CHUNKED + b"0\r\n" + b"X: y\r\n" * BOUND,
        CHUNKED + b"0\r\nX: " + b"y" * 2 * BOUND,
        CHUNKED + b"0\r\nX: " + b"y" * 2 * BOUND + b"\r\n\r\n",
    ],
    ids=[
        "headers",
        "a value",
        "a target",
        "a whole head",
        "fields",
        "empty lines",
        "chunks of one byte",
        "an extension",
        "a whole extension",
        "a size",
        "trailers",
        "a trailer",
        "a whole trailer",
    ],
)
@pytest.mark.parametrize("step", [1000, 10**9], ids=["in pieces", "at once"])
async def test_request_framing_is_limited(client: Client, flood: bytes, step: int) -> None:
    for start in range(0, len(flood), step):
        await client.send(flood[start : start + step])
        await asyncio.sleep(0)
    answer = await client.rest()
    assert not answer or answer.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 ")), answer[:99]


async def test_refusal_is_not_written_into_a_started_response(
    client: Client, server: Server
) -> None:
    server.reads, server.streams = False, True
    server.opened.clear()
    await client.send(CHUNKED)
    async with asyncio.timeout(PATIENCE):
        await client.reader.readuntil(b"begun")
    await client.send(
        b"1;" + b"x" * 2 * FRAMING_LIMIT
    )  # read at once, so that the connection is not reset
    assert b"HTTP/1.1 " not in await client.rest()


async def test_large_body_in_small_chunks_is_accepted(client: Client) -> None:
    await client.send(CHUNKED + (b"40\r\n" + b"x" * 64 + b"\r\n") * 16384 + b"0\r\n\r\n")
    status, (_, _, body) = await client.answer()
    assert (status, len(body)) == (200, 64 * 16384)


async def test_pipelined_requests_are_answered_in_their_order(client: Client) -> None:
    requests = [GET % number for number in range(100)]
    requests[40:40] = [CHUNKED + b"4\r\n\r\n\r\n\r\n0\r\nA: b\r\n\r\n"]
    requests[50:50] = [b"POST /p HTTP/1.1\r\nContent-Length: 8\r\n\r\n\r\n\r\nGET "]
    await client.send(b"".join(requests))
    paths = [(await client.answer())[1][0] for _ in requests]
    assert paths == [*(f"/{i}" for i in range(40)), "/", *(f"/{i}" for i in range(40, 49)), "/p",
                     *(f"/{i}" for i in range(49, 100))]  # fmt: skip


@pytest.mark.parametrize("step", [1, 2, 3, 7, 31])
async def test_pipelined_requests_are_parsed_in_pieces(client: Client, step: int) -> None:
    data = GET % 1 + CHUNKED + b"2\r\nhi\r\n0\r\n\r\n" + GET % 3
    for start in range(0, len(data), step):
        await client.send(data[start : start + step])
        await asyncio.sleep(0.001)
    assert [(await client.answer())[1][0] for _ in range(3)] == ["/1", "/", "/3"]


async def test_pipelined_requests_are_not_parsed_during_a_slow_one(
    client: Client, server: Server
) -> None:
    server.opened.clear()
    await client.send(b"".join(GET % number for number in range(1000)))
    await until(lambda: bool(server.begun))
    await asyncio.sleep(0.05)
    assert server.begun == ["/0"]
    assert not server.protocols[0].pipeline
    server.opened.set()
    for number in range(1000):
        assert (await client.answer())[1][0] == f"/{number}"


async def test_buffer_behind_a_slow_request_is_bounded(client: Client, server: Server) -> None:
    server.opened.clear()
    sending = asyncio.create_task(client.send(GET % 0 + b"GET / " + b"x" * 50_000_000))
    await until(lambda: bool(server.begun))
    await asyncio.sleep(0.2)
    held = len(server.protocols[0]._held)  # noqa: SLF001
    server.opened.set()
    answer = await client.rest()
    sending.cancel()
    assert held <= HELD_BYTES
    assert answer.count(b"HTTP/1.1 ") <= 2
    assert b"HTTP/1.1 200" in answer or not answer


async def test_requests_pipelined_after_many_chunks_are_dropped(
    client: Client, server: Server
) -> None:
    blank = b"\r\n\r\n" * 100
    await client.send(CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(blank), blank) + (GET % 2) * 100)
    answer = await client.rest()
    assert answer.count(b"HTTP/1.1 200 ") == 1
    assert server.begun == ["/"]


async def test_refused_trailer_gets_no_second_response(client: Client, server: Server) -> None:
    await client.send(CHUNKED + b"0\r\nX: " + b"y" * 2 * BOUND)
    answer = await client.rest()
    assert answer.count(b"HTTP/1.1 ") <= 1
    await until(lambda: not server.state.tasks)


UPGRADES = [
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
    b"Connection: upgrade\r\nUpgrade: TLS/1.0, HTTP/1.1\r\n",
    b"Connection: keep-alive, Upgrade\r\nUpgrade: nonsense\r\n",
    b"Upgrade: h2c\r\nConnection: Upgrade\r\nUpgrade: websocket, h2c\r\n",
]


@pytest.mark.parametrize("upgrade", UPGRADES)
@pytest.mark.parametrize(
    ("framing", "body"),
    [
        (b"", b""),
        (b"Content-Length: 5\r\n", b"hello"),
        (b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n0\r\nAuthorization: x\r\n\r\n"),
    ],
    ids=["no body", "length", "chunked"],
)
@pytest.mark.parametrize("pause", [False, True], ids=["one piece", "two pieces"])
async def test_unknown_upgrade_is_ignored(
    client: Client, upgrade: bytes, framing: bytes, body: bytes, pause: bool
) -> None:
    await client.send(b"POST /a HTTP/1.1\r\nHost: here\r\n" + upgrade + framing + b"\r\n")
    if pause:
        await asyncio.sleep(0.01)
    await client.send(body + GET % 2)
    status, (path, headers, received) = await client.answer()
    assert (status, path, received) == (200, "/a", "hello" if body else "")
    assert not {"upgrade", "http2-settings", "authorization"} & set(headers)
    assert (await client.answer())[1] == ["/2", {"host": "here"}, ""]
    client.writer.write_eof()


@pytest.mark.parametrize(
    "data", [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"]
)
async def test_unsupported_request_gets_one_400(client: Client, data: bytes) -> None:
    await client.send(data + GET % 2)
    answer = await client.rest()
    assert not answer or answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") <= 1


@pytest.mark.parametrize("begin", [b"", b"GET / HT", GET % 1], ids=["nothing", "half", "one"])
async def test_incomplete_request_head_times_out(
    server: Server, monkeypatch: pytest.MonkeyPatch, begin: bytes
) -> None:
    monkeypatch.setattr(settings, "HEADER_TIMEOUT", 0.1)
    server.config.timeout_keep_alive = 1
    async with connected(server) as client:
        await client.send(begin)
        answer = await client.rest()
    assert answer.startswith(b"HTTP/1.1 200 " if begin == GET % 1 else b"HTTP/1.1 408 ")


async def test_unread_body_times_out(
    client: Client, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "HEADER_TIMEOUT", 0.2)

    server.reads = False
    await client.send(CHUNKED)
    reading, chunks = asyncio.create_task(client.rest()), 0
    while not reading.done():
        await client.send(b"5\r\nhello\r\n")
        await asyncio.sleep(0.02)
        chunks += 1
    answer = await reading
    assert chunks * len(b"5\r\nhello\r\n") < FRAMING_LIMIT, "by the time and not by the bytes"
    assert answer.count(b"HTTP/1.1 200 ") == answer.count(b"HTTP/1.1 ") == 1


async def test_websocket_is_passed_to_its_protocol(client: Client, server: Server) -> None:
    received: list[bytes] = []

    class WebSocket(asyncio.Protocol):
        def __init__(self, **_: object) -> None:
            pass

        def data_received(self, data: bytes) -> None:
            received.append(data)

    for config in (server.config, server.protocols[0]):
        config.ws_protocol_class = WebSocket
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n"
    await client.send(b"GET /ws HTTP/1.1\r\nHost: here\r\n" + upgrade)
    await until(lambda: bool(received))
    assert received[0].startswith(b"GET /ws HTTP/1.1\r\n")
    assert b"upgrade: websocket" in received[0]
    await client.send(b"frame")
    await until(lambda: b"frame" in received)
    assert not server.begun


async def test_client_that_does_not_read_times_out(
    client: Client, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "WRITE_TIMEOUT", 0.2)
    size = 30_000_000  # one response, larger than the buffers of the sockets
    request = b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\n\r\n" % size
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    sending = asyncio.create_task(client.send(request + b"x" * size))
    await until(lambda: bool(server.begun))
    await until(lambda: not server.state.connections)
    sending.cancel()
    await until(lambda: not server.state.tasks)
