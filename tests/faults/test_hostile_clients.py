"""Hostile clients beside a normal one: each row of `attackers.py`, against one server on one core.

`LONG=1` runs each attack for a minute (`make check-long`).
"""

import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.attackers import ATTACKS, CHUNKED, HOST, LOGIN, SERVER_CORE
from tests.faults.bounds import GRACE
from tests.faults.conftest import Measured
from tests.support.environment import ROOT
from tests.support.postgres import OwnPostgres
from tests.support.serving import Serving, serving
from tests.support.valkey import OwnValkey

LONG = bool(os.environ.get("LONG"))
SECONDS = 60 if LONG else 2
REST = 60  # at most, for the memory to fall
WARM_UP = 0.5
TRIES = 4
SLOWER = 3  # times the median beside an equal load of ordinary requests
MIB_AT_MOST = 200
BACK_WITHIN = 1.2  # of the memory at the start
ACCOUNT = {"email": "normal@example.com", "username": "normal", "password": "Correct-Horse-7"}
ORDINARY = "ordinary"


@dataclass(slots=True)
class Target:
    """
    Attributes:
        start: the memory before the first attack, in MiB.
        ordinary: the normal client's median beside ordinary requests, in seconds.
    """

    serving: Serving
    port: int
    token: str
    start: float = 0
    ordinary: float = 0

    @property
    def bound(self) -> float:
        return SLOWER * GRACE * self.ordinary

    def measure(self, attack: str) -> tuple[float, float]:
        """The normal client's median beside these attackers, and the memory in MiB."""
        with attacking(self.port, self.token, attack):
            median = _measure_median(self.port, self.token, SECONDS)
            return median, _resident(self.serving.process.pid)

    def measure_ordinary(self) -> None:
        self.ordinary, _ = self.measure(ORDINARY)


@pytest.fixture(scope="module")
def target(
    tmp_path_factory: pytest.TempPathFactory, postgres_once: OwnPostgres, valkey_once: OwnValkey
) -> Iterator[Target]:
    with serving(
        tmp_path_factory.mktemp("hostile"),
        DATABASE_URL=postgres_once.url,
        REDIS_URL=valkey_once.url,
        ADMIN_ENABLED="true",
        LIMIT_LOGIN_IP="10000/1s",
        LOG_LEVEL="WARNING",
    ) as api:
        for thread in Path(f"/proc/{api.process.pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {SERVER_CORE})
        port = int(api.url.split(":")[2].split("/")[0])
        _post(port, "/api/v1/auth/register", ACCOUNT)
        token = _post(port, "/api/v1/auth/login", ACCOUNT)["access_token"]
        _measure_median(port, token, WARM_UP)
        target = Target(api, port, token)
        target.measure_ordinary()
        target.start = _resident(api.process.pid)
        yield target


@pytest.mark.parametrize("attack", [name for name in ATTACKS if name != ORDINARY])
def test_a_normal_client_goes_on(target: Target, attack: str, measured: Measured) -> None:
    pid = target.serving.process.pid
    median, peak = target.measure(attack)
    for _ in range(TRIES):
        if median < target.bound:
            break
        target.measure_ordinary()  # the machine may have become busier since
        median, peak = target.measure(attack)
    after = _wait_for_memory(pid, BACK_WITHIN * target.start)
    measured(
        attack,
        f"median {median * 1000:.1f} ms, {target.ordinary * 1000:.1f} beside ordinary requests; "
        f"{target.start:.0f} MiB at the start, {peak:.0f} and {after:.0f} while and after",
    )
    assert median < target.bound
    assert peak < MIB_AT_MOST
    assert after < BACK_WITHIN * target.start


@pytest.mark.parametrize("plain", [False, True], ids=["plinth serve", "uvicorn"])
@pytest.mark.parametrize("protocol", ["auto", "h11"])
def test_a_trailer_signs_nobody_in(
    target: Target, tmp_path: Path, plain: bool, protocol: str, postgres_once: OwnPostgres,
    valkey_once: OwnValkey,
) -> None:  # fmt: skip
    if protocol == "h11" and not plain:
        pytest.skip("plinth serve has one protocol")
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


@contextmanager
def attacking(port: int, token: str, name: str) -> Iterator[None]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.faults.attackers", str(port), name],
        cwd=ROOT,
        env=os.environ | {"TOKEN": token},
        stdin=subprocess.PIPE,
    ) as process:
        try:
            time.sleep(WARM_UP)
            yield
            assert process.poll() is None, "the attackers ended by themselves"
        finally:
            process.kill()


def _measure_median(port: int, token: str, seconds: float) -> float:
    """Ask for the account again and again; every answer has to be a good one."""
    times = []
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.monotonic()
        connection.request("GET", "/api/v1/users/me", headers={"Authorization": f"Bearer {token}"})
        response = connection.getresponse()
        response.read()
        assert response.status == 200
        times.append(time.monotonic() - began)
        time.sleep(0.005)
    connection.close()
    return statistics.median(times)


def _wait_for_memory(pid: int, enough: float) -> float:
    until = time.monotonic() + REST
    while (resident := _resident(pid)) > enough and time.monotonic() < until:
        time.sleep(0.2)
    return resident


def _resident(pid: int) -> float:
    """MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def _post(port: int, path: str, document: dict[str, str]) -> dict[str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", path, json.dumps(document), {"Content-Type": "application/json"})
    answer: dict[str, str] = json.loads(connection.getresponse().read())
    connection.close()
    return answer


def _ask(port: int, request: bytes) -> bytes:
    """What is answered until a second without a byte."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        with suppress(OSError):
            client.sendall(request)
        client.settimeout(1)
        with suppress(OSError):
            while data := client.recv(65536):
                answer += data
    return answer
