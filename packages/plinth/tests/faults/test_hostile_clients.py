"""Each attack of `attackers.py` against one server on one core, during normal requests.

`LONG=1` runs each attack for a minute (`make check-long`).
"""

import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.faults.attackers import ATTACKS, CHUNKED, HOST, LOGIN, ORDINARY_OF
from tests.faults.beside import ORDINARY, Target, check_beside, target
from tests.faults.conftest import Measured
from tests.support.postgres import OwnPostgres
from tests.support.serving import serving
from tests.support.valkey import OwnValkey


@pytest.fixture(scope="module", name="target")
def make_target(
    tmp_path_factory: pytest.TempPathFactory, postgres_once: OwnPostgres, valkey_once: OwnValkey
) -> Iterator[Target]:
    with target(tmp_path_factory.mktemp("hostile"), postgres_once, valkey_once) as made:
        yield made


@pytest.mark.parametrize("attack", ATTACKS)
def test_normal_client_is_served_during_an_attack(
    target: Target, attack: str, measured: Measured
) -> None:
    check_beside(target, attack, measured, ordinary=ORDINARY_OF.get(attack, ORDINARY))


@pytest.mark.parametrize("plain", [False, True], ids=["plinth serve", "uvicorn"])
@pytest.mark.parametrize("protocol", ["auto", "h11"])
def test_authorization_trailer_does_not_authenticate(
    target: Target, tmp_path: Path, plain: bool, protocol: str, postgres_once: OwnPostgres,
    valkey_once: OwnValkey,
) -> None:  # fmt: skip
    if protocol == "h11" and not plain:
        pytest.skip("plinth serve has one protocol")
    target.renew_token()
    trailer = b"Authorization: Bearer %b\r\n" % target.token.encode()
    head = b"GET /api/v1/users/me HTTP/1.1\r\n" + HOST
    options = [f"--http={protocol}"] if plain else []
    with serving(
        tmp_path,
        plain=plain,
        options=options,
        DATABASE_URL=postgres_once.url,
        REDIS_URL=valkey_once.url,
    ) as api:
        port = int(api.url.split(":")[2].split("/")[0])
        assert _ask(port, head + trailer + b"\r\n").startswith(b"HTTP/1.1 200 ")
        answer = _ask(port, head + CHUNKED + b"0\r\n" + trailer + b"\r\n")
        assert answer.startswith(b"HTTP/1.1 401 ")
        flooded = _ask(port, LOGIN + CHUNKED + b"0\r\nX: " + b"y" * 10_000_000)
        assert not flooded or flooded.startswith((b"HTTP/1.1 431", b"HTTP/1.1 400"))


def _ask(port: int, request: bytes) -> bytes:
    """Return the response, until one second without data."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        with suppress(OSError):
            client.sendall(request)
        client.settimeout(1)
        with suppress(OSError):
            while data := client.recv(65536):
                answer += data
    return answer
