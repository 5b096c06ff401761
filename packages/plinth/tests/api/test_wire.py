"""Requests that no HTTP library would send, as bytes to a real uvicorn."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from itertools import repeat

import pytest
from fastapi import FastAPI

from plinth.config import settings
from plinth.testing.people import People
from tests.support.wire import RawAnswer, Wire, connected, serving

LOGIN = "POST /api/v1/auth/login"
JSON = "Content-Type: application/json"
TOKEN_FORM = "POST /api/v1/auth/token"
ADMIN_FORM = "POST /admin/login"
FORM = "Content-Type: application/x-www-form-urlencoded"
MULTIPART = "Content-Type: multipart/form-data; boundary=x"
CREDENTIALS = json.dumps({"email": "nobody@example.com", "password": "Wrong-Horse-8"}).encode()


@pytest.fixture(scope="module")
async def port(app: FastAPI) -> AsyncIterator[int]:
    async with serving(app) as port:
        yield port


@pytest.fixture
async def wire(port: int) -> AsyncIterator[Wire]:
    async with connected(port) as wire:
        yield wire


async def is_alive(port: int) -> bool:
    async with connected(port) as wire:
        await wire.ask("GET /api/v1/health")
        return (await wire.answer()).status == 200


def check_too_large(answer: RawAnswer) -> None:
    assert answer.status == 413
    assert answer.headers["content-type"] == "application/problem+json"
    problem = json.loads(answer.body)
    assert problem["code"] == "content_too_large"
    assert problem["request_id"] == answer.headers["x-request-id"]


async def test_head_has_no_body_on_a_reused_connection(wire: Wire) -> None:
    for _ in range(2):
        await wire.ask("HEAD /api/v1/openapi.json")
        head = await wire.answer(has_body=False)
        await wire.ask("GET /api/v1/openapi.json")
        get = await wire.answer()
        assert (head.status, get.status) == (200, 200)
        assert int(head.headers["content-length"]) == len(get.body)


async def test_trailing_slash_keeps_the_authorization_header(wire: Wire, people: People) -> None:
    person = await people.enter(is_superuser=True)
    for path in ("/users", "/users/", "/users/me", "/users/me/", "/users/search/?q=per"):
        await wire.ask(f"GET /api/v1{path}", f"Authorization: {person.headers['Authorization']}")
        answer = await wire.answer()
        assert (answer.status, "location" in answer.headers) == (200, False), path


@pytest.mark.parametrize(
    "length",
    [str(settings.MAX_AUTH_BODY_SIZE + 1), str(settings.MAX_BODY_SIZE + 1), "9" * 18],
)
async def test_content_length_beyond_the_limit_is_refused_before_the_body(
    wire: Wire, length: str
) -> None:
    await wire.ask(LOGIN, JSON, f"Content-Length: {length}")
    check_too_large(await wire.answer())


@pytest.mark.parametrize("length", ["-1", "+5", "1e3", "5, 5", "0x10", "", "9" * 5000])
async def test_malformed_content_length_is_refused(wire: Wire, port: int, length: str) -> None:
    await wire.ask(LOGIN, JSON, f"Content-Length: {length}", body=CREDENTIALS)
    try:
        status = (await wire.answer()).status
    except asyncio.IncompleteReadError:
        status = 400  # the server has closed the connection, which is equivalent
    assert status in (400, 413, 422)
    assert await is_alive(port)


async def test_bytes_beyond_content_length_are_not_a_second_request(wire: Wire) -> None:
    """The server does not parse it as a further request (request smuggling)."""
    short = f"Content-Length: {len(CREDENTIALS)}"
    await wire.ask(LOGIN, JSON, short, body=CREDENTIALS + b"GARBAGE\r\n\r\n")
    statuses: list[int] = []
    with suppress(asyncio.IncompleteReadError, ConnectionError):  # the server closes the connection
        while len(statuses) < 9:
            statuses.append((await wire.answer()).status)
    assert statuses in ([400], [401, 400], [401])


async def test_content_length_with_chunked_encoding_smuggles_no_request(
    wire: Wire, port: int
) -> None:
    smuggled = b"0\r\n\r\nGET /api/v1/health HTTP/1.1\r\nHost: test\r\n\r\n"
    await wire.ask(
        LOGIN,
        JSON,
        f"Content-Length: {len(smuggled)}",
        "Transfer-Encoding: chunked",
        body=smuggled,
    )
    statuses: list[int] = []
    with suppress(asyncio.IncompleteReadError, TimeoutError, ConnectionError):
        async with asyncio.timeout(0.3):
            while True:
                statuses.append((await wire.answer()).status)
    assert 200 not in statuses, "the second request was in the first one's body"
    assert await is_alive(port)


async def test_incomplete_body_does_not_block_other_clients(port: int) -> None:
    async with connected(port) as wire:
        await wire.ask(LOGIN, JSON, f"Content-Length: {len(CREDENTIALS) + 9}", body=CREDENTIALS)
        assert await is_alive(port)
    assert await is_alive(port)


async def test_chunked_body_is_assembled(wire: Wire) -> None:
    await wire.ask(LOGIN, JSON, "Transfer-Encoding: chunked")
    for number in range(0, len(CREDENTIALS), 7):
        piece = CREDENTIALS[number : number + 7]
        await wire.send(b"%x\r\n%s\r\n" % (len(piece), piece))
    await wire.send(b"0\r\n\r\n")
    assert (await wire.answer()).status == 401


async def test_endless_chunked_body_is_refused_soon_after_the_limit(wire: Wire, port: int) -> None:
    await wire.ask(LOGIN, JSON, "Transfer-Encoding: chunked")
    sent = await wire.stream(repeat(b" " * 65536, 1000))
    check_too_large(await wire.answer())
    assert settings.MAX_AUTH_BODY_SIZE <= sent < 32 * settings.MAX_BODY_SIZE
    assert await is_alive(port)


@pytest.mark.parametrize("line", [TOKEN_FORM, ADMIN_FORM])
@pytest.mark.parametrize(
    ("kind", "piece", "pieces"),
    [
        (FORM, b"a=1&", 21),
        (FORM, b"&", 21),
        (MULTIPART, b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n', 26),
        (FORM, b"a" * 1000, settings.MAX_AUTH_BODY_SIZE // 1000 + 1),
    ],
    ids=["pairs", "empty pairs", "parts", "bytes"],
)
async def test_sign_in_form_with_too_many_fields_is_413(
    wire: Wire, line: str, kind: str, piece: bytes, pieces: int
) -> None:
    """Also in the admin, whose middleware wraps the error in an exception group."""
    await wire.ask(line, kind, "Transfer-Encoding: chunked")
    await wire.stream(repeat(piece, pieces))
    check_too_large(await wire.answer())


async def test_sign_in_form_at_the_field_limit_is_accepted(wire: Wire) -> None:
    body = b"username=a&password=b" + b"&" * 19
    await wire.ask(TOKEN_FORM, FORM, f"Content-Length: {len(body)}", body=body)
    assert (await wire.answer()).status == 401


async def test_unread_body_is_not_buffered(wire: Wire, port: int) -> None:
    await wire.ask("GET /api/v1/health", "Transfer-Encoding: chunked")
    sent = await wire.stream(repeat(b" " * 65536, 1000))
    assert (await wire.answer()).status == 200
    assert sent < 64 * settings.MAX_BODY_SIZE
    assert await is_alive(port)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /api/v1/health HTTP/1.1\r\nHost: a\r\nBad Header: x\r\n\r\n",
        b"GET /api/v1/health HTTP/9.9\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 64,
        b"GET /api/v1/%00%ff%2e%2e/%s HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /api/v1/users/me HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \xff\xfe\r\n\r\n",
        b"G" * 70000 + b" / HTTP/1.1\r\n\r\n",
    ],
)
async def test_malformed_request_is_never_a_500(port: int, request_bytes: bytes) -> None:
    async with connected(port) as wire:
        try:
            await wire.send(request_bytes)
            status = (await wire.answer()).status
        except (asyncio.IncompleteReadError, ConnectionError):
            status = 400
    assert 400 <= status < 500
    assert await is_alive(port)
