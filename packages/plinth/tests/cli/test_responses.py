"""The bytes of responses that small applications send through `BoundedHttp`."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from plinth.http.protocol import BoundedHttp

Send = Callable[[dict[str, Any]], Awaitable[None]]
Answer = Callable[[Send], Awaitable[None]]

JSON = (b"content-type", b"application/json")
GET, HEAD = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n", b"HEAD / HTTP/1.1\r\nHost: here\r\n\r\n"
CLOSING = b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"
OLD = b"GET / HTTP/1.0\r\n\r\n"


@asynccontextmanager
async def connected(
    answer: Answer,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    async def app(_scope: object, receive: Callable[[], Awaitable[object]], send: Send) -> None:
        await receive()
        await answer(send)

    config = Config(app, http=BoundedHttp, lifespan="off", log_config=None, access_log=False)
    config.load()
    state, loop = ServerState(), asyncio.get_running_loop()
    state.default_headers = [(b"date", b"today")]
    server = await loop.create_server(lambda: BoundedHttp(config, state, {}, loop), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        yield reader, writer
    finally:
        writer.close()
        server.close()
        await asyncio.gather(*state.tasks, return_exceptions=True)


async def ask(answer: Answer, *requests: bytes) -> bytes:
    """Return all bytes until the server closes the connection or stops sending."""
    async with connected(answer) as (reader, writer):
        writer.write(b"".join(requests))
        came = b""
        while True:
            try:
                part = await asyncio.wait_for(reader.read(65536), 1)
            except TimeoutError:
                return came
            if not part:
                return came + b"<end>"
            came += part


def start(*headers: tuple[bytes, bytes], status: int = 200) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": [*headers]}


def body(content: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": content, "more_body": more}


async def whole(send: Send) -> None:
    await send(start(JSON, (b"content-length", b"2")))
    await send(body(b"{}"))


HEADLINES = b"date: today\r\ncontent-type: application/json\r\n"
WHOLE = b"HTTP/1.1 200 OK\r\n" + HEADLINES + b"content-length: 2\r\n\r\n{}"


async def test_connection_is_reused_for_several_requests() -> None:
    assert await ask(whole, GET, GET, GET) == 3 * WHOLE


async def test_connection_close_is_honored() -> None:
    closed = WHOLE.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n") + b"<end>"
    assert await ask(whole, CLOSING) == closed
    assert await ask(whole, OLD) == closed

    async def close(send: Send) -> None:
        await send(start(JSON, (b"content-length", b"2"), (b"connection", b"close")))
        await send(body(b"{}"))

    assert await ask(close, GET, GET) == closed


async def test_head_has_no_body() -> None:
    assert await ask(whole, HEAD) == WHOLE.removesuffix(b"{}")


async def test_headers_of_a_stream_are_sent_with_its_first_chunk() -> None:
    async def stream(send: Send) -> None:
        await send(start(JSON))
        await send(body(b"[1,", more=True))
        await send(body(b"2]"))

    came = await ask(stream, GET)
    assert came.startswith(b"HTTP/1.1 200 OK\r\n" + HEADLINES + b"transfer-encoding: chunked\r\n")
    assert came.endswith(b"\r\n\r\n3\r\n[1,\r\n2\r\n2]\r\n0\r\n\r\n")


async def test_response_without_a_body_has_no_content_length() -> None:
    async def nothing(send: Send) -> None:
        await send(start(status=204))
        await send(body(b""))

    assert await ask(nothing, GET) == b"HTTP/1.1 204 No Content\r\ndate: today\r\n\r\n"


@pytest.mark.parametrize("length", [b"1", b"3"])
async def test_wrong_content_length_closes_the_connection(length: bytes) -> None:
    async def lie(send: Send) -> None:
        await send(start(JSON, (b"content-length", length)))
        await send(body(b"{}"))

    assert not (await ask(lie, GET, GET)).endswith(b"{}" + WHOLE)
    assert b"<end>" in await ask(lie, GET)


@pytest.mark.parametrize(
    "header", [(b"x-name", b"a\r\nset-cookie: b"), (b"x\r\nset-cookie", b"b"), (b"x y", b"b")]
)
async def test_header_injection_is_prevented(header: tuple[bytes, bytes]) -> None:
    async def inject(send: Send) -> None:
        await send(start(JSON, (b"content-length", b"2"), header))
        await send(body(b"{}"))

    assert b"set-cookie" not in await ask(inject, GET)


async def test_slow_reader_receives_the_whole_response() -> None:
    large = b"x" * 2_000_000

    async def much(send: Send) -> None:
        await send(start((b"content-length", b"%d" % len(large))))
        await send(body(large))

    async with connected(much) as (reader, writer):
        writer.write(GET + GET)
        await asyncio.sleep(0.05)
        for _ in range(2):
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(len(large)) == large
