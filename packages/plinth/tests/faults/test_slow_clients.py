"""Clients that send slowly, endlessly, or another length than declared, over a real socket."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.faults.conftest import Measured
from tests.support.postgres import OwnPostgres
from tests.support.serving import Serving, serving, status_of
from tests.support.valkey import OwnValkey

BOUND = 1  # second for the headers, and for the body
PATIENCE = 15
PLACES = 5
POST = b"POST /api/v1/auth/login HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def api(
    tmp_path_factory: pytest.TempPathFactory, postgres_once: OwnPostgres, valkey_once: OwnValkey
) -> Iterator[Serving]:
    with serving(
        tmp_path_factory.mktemp("api"),
        DATABASE_URL=postgres_once.url,
        REDIS_URL=valkey_once.url,
        HEADER_TIMEOUT=str(BOUND),
        BODY_TIMEOUT=str(BOUND),
        MAX_IN_FLIGHT=str(PLACES),
        MAX_BODY_SIZE="100000",
    ) as running:
        yield running


def connect(api: Serving) -> socket.socket:
    port = int(api.url.split(":")[2].split("/")[0])
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def talk(api: Serving, begin: bytes, drip: bytes = b"", every: float = 0.1) -> tuple[bytes, float]:
    """Send `begin`, then `drip` repeatedly until the server responds.

    Returns:
        The response, and the seconds until the connection was closed.
    """
    answer, began = b"", time.monotonic()
    with connect(api) as client:
        try:
            client.sendall(begin)
            client.settimeout(every)
            while time.monotonic() < began + PATIENCE:
                try:
                    read = client.recv(65536)
                except TimeoutError:
                    client.sendall(drip)
                    continue
                if not read:
                    break
                answer += read
        except (BrokenPipeError, ConnectionResetError):
            pass
    return answer, time.monotonic() - began


@pytest.mark.parametrize(
    ("begin", "drip"),
    [
        (b"", b""),
        (b"GET / HT", b""),
        (b"GET / HTTP/1.1\r\nHost: test\r\n", b"X: y\r\n"),
        (b"\r\n", b"\r\n"),
        (b"GET /api/v1/health HTTP/1.1\r\nHost: test\r\n\r\n", b"\r\n"),
    ],
    ids=["nothing", "half a line", "a header at a time", "empty lines", "after a request"],
)
def test_slow_headers_time_out(api: Serving, begin: bytes, drip: bytes, measured: Measured) -> None:
    answer, seconds = talk(api, begin, drip)
    measured("closed after", f"{seconds:.1f} s of a bound of {BOUND} s")
    assert b"HTTP/1.1 408 " in answer or b"HTTP/1.1 200 " in answer
    assert seconds < PATIENCE


def test_endless_headers_are_refused(api: Serving) -> None:
    answer, _ = talk(api, b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000)
    assert not answer or answer.startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    ("begin", "drip", "status"),
    [
        (POST + b"Content-Length: 9000\r\n\r\n", b"x", 408),
        (POST + b"Content-Length: 9000\r\n\r\n{", b"", 408),
        (CHUNKED, b"1\r\nx\r\n", 408),
        (POST + b"Content-Length: 100001\r\n\r\n", b"", 413),
        (POST + b"Content-Length: 99999999999999999999999\r\n\r\n", b"", 400),
        (CHUNKED + b"ffff\r\n" + b"x" * 65535 + b"\r\n", b"ffff\r\n" + b"x" * 65535 + b"\r\n", 413),
        (POST + b"Content-Length: 2\r\n\r\n{}POST / HTTP", b"", 422),
        (POST + b"Content-Length: -1\r\n\r\n", b"", 400),
        (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"", 400),
    ],
    ids=[
        "byte by byte",
        "shorter than declared",
        "chunk by chunk",
        "length over the limit",
        "length out of range",
        "endless chunks",
        "longer than declared",
        "negative length",
        "two lengths",
    ],
)
def test_slow_or_wrong_bodies_are_refused(
    api: Serving, begin: bytes, drip: bytes, status: int
) -> None:
    answer, seconds = talk(api, begin, drip)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:200]
    assert seconds < PATIENCE


def test_slow_clients_do_not_block_others(api: Serving) -> None:
    with ExitStack() as stack:
        for _ in range(10 * PLACES):
            client = stack.enter_context(connect(api))
            client.sendall(POST + b"Content-Length: 9000\r\n\r\n{")
        assert status_of(f"{api.url}/health") == 200
