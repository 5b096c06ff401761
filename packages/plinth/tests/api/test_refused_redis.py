"""A Redis that refuses connections or commands.

All routes work, health reports it, and one log line says what to do. With a Redis in cluster mode,
the application does not start.
"""

import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient
from redis import exceptions
from redis.asyncio import Redis

from plinth.cli.doctor import Level
from plinth.cli.doctor import redis as doctor
from plinth.config import SettingsError
from plinth.db.connection_errors import describe_connection_error
from plinth.testing.asgi import send
from plinth.testing.attacks import AttackGenerator
from plinth.testing.operations import find_operations
from plinth.testing.outage import INTERNALS, started_without
from plinth.testing.people import People, Person
from tests.support.certificates import make_authority
from tests.support.command import find_free_port
from tests.support.environment import ROOT, bare_environment
from tests.support.logs import logging_to_memory
from tests.support.tls_front import tls_front
from tests.support.valkey import own_valkey

ACCOUNTS = (
    ("CONFIG", "SET", "requirepass", "right"),
    ("ACL", "SETUSER", "reader", "on", ">right", "~*", "+info", "+ping", "+get", "+mget"),
)
CASES = {
    "no password": ("redis://127.0.0.1:{p}/0", "the password or the user is wrong"),
    "wrong password": ("redis://:wrong@127.0.0.1:{p}/0", "the password or the user is wrong"),
    "no such user": ("redis://nobody:right@127.0.0.1:{p}/0", "the password or the user is wrong"),
    "no permission": ("redis://reader:right@127.0.0.1:{p}/0", "the user lacks a permission"),
    "no such database": ("redis://:right@127.0.0.1:{p}/99", "no database of that number"),
    "no TLS there": ("rediss://:right@127.0.0.1:{p}/0", "as the URL says"),
    "TLS there": ("redis://:right@127.0.0.1:{tls}/0", "rediss://"),
    "another authority": ("rediss://:right@localhost:{tls}/0", "certificate is not trusted"),
    "not a Redis": ("redis://:right@127.0.0.1:{http}/0", "is not Redis"),
    "no such host": ("redis://:right@cache.invalid:6379/0", "the host name cannot be resolved"),
    "nobody listens": ("redis://:right@127.0.0.1:1/0", "Is the server running?"),
    "replica": ("redis://:right@127.0.0.1:{replica}/0", "is a replica"),
    "memory full": ("redis://:right@127.0.0.1:{full}/0", "memory is full"),
}


class Http(BaseHTTPRequestHandler):
    timeout = 0.1


@dataclass(frozen=True, slots=True)
class Refusing:
    ports: dict[str, int]
    cluster: str

    def url(self, case: str) -> str:
        return CASES[case][0].format(**self.ports)


@pytest.fixture(scope="module")
async def refusing() -> AsyncIterator[Refusing]:
    http = ThreadingHTTPServer(("127.0.0.1", 0), Http)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    with ExitStack() as stack:
        stack.callback(http.server_close)
        stack.callback(http.shutdown)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pr-")))
        ports = {"http": http.server_port}
        options = {
            "p": {},
            "replica": {"replicaof": "127.0.0.1 1"},
            "full": {"maxmemory": "1"},
            "cluster": {"cluster_enabled": "yes", "cluster_port": str(find_free_port())},
        }
        for name, more in options.items():
            ports[name] = find_free_port()
            (folder / name).mkdir()
            server = stack.enter_context(
                own_valkey(folder / name, port=str(ports[name]), bind="127.0.0.1", **more)
            )
            async with Redis(unix_socket_path=str(server.socket)) as admin:
                for command in ACCOUNTS if name == "p" else ACCOUNTS[:1]:
                    await admin.execute_command(*command)  # type: ignore[no-untyped-call]
        authority = make_authority(folder)
        front = stack.enter_context(
            tls_front(ports["p"], authority.issue("server", "localhost"), authority)
        )
        ports["tls"] = front.direct_port
        yield Refusing(ports, f"redis://:right@127.0.0.1:{ports['cluster']}/0")


@pytest.fixture
async def superuser(people: People) -> Person:
    return await people.enter(is_superuser=True)


async def ask_every_route(client: AsyncClient, superuser: Person) -> None:
    transport = client._transport  # noqa: SLF001 - the application behind the client
    assert isinstance(transport, ASGITransport)
    token = (b"authorization", superuser.headers["Authorization"].encode())
    for operation in find_operations():
        attack = AttackGenerator(operation, {"user_id": superuser.id}).valid()
        headers = [token, *attack.headers]
        answer = await send(transport.app, operation.method, attack.target, headers, attack.body)
        assert answer.status < 500 or "health" in operation.path, operation
        assert not INTERNALS.search(answer.body.decode()), operation


@pytest.mark.parametrize("case", CASES)
async def test_routes_work_and_one_log_line_has_the_reason(
    app: FastAPI, case: str, refusing: Refusing, superuser: Person
) -> None:
    _, words = CASES[case]
    with logging_to_memory() as log:
        async with started_without(app, "REDIS_URL", refusing.url(case)) as client:
            for _ in range(3):
                health = await client.get("/health/redis")
            ready = await client.get("/health/ready")
            await ask_every_route(client, superuser)
    assert health.status_code == 503
    assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
    assert "Traceback" not in log.text
    told = [line["event"] for line in log.lines if "cache cannot be used" in line["event"]]
    assert 1 <= len(told) <= 4, log.text
    assert any(words in event for event in told), told
    assert "right" not in log.text


@pytest.mark.parametrize("case", CASES)
async def test_doctor_reports_the_same_reason(case: str, refusing: Refusing) -> None:
    finding = await doctor.check(refusing.url(case))
    assert finding.level is Level.BROKEN
    assert CASES[case][1] in finding.text
    assert "right" not in finding.text


async def test_cluster_mode_prevents_the_start(
    app: FastAPI, refusing: Refusing, superuser: Person
) -> None:
    with pytest.raises(SettingsError, match="cluster mode"):
        async with started_without(app, "REDIS_URL", refusing.cluster):
            pytest.fail("it started")
    finding = await doctor.check(refusing.cluster)
    assert finding.level is Level.BROKEN
    assert "cluster mode" in finding.text
    assert superuser


@pytest.mark.parametrize(
    "program",
    [["plinth.cli", "serve"], ["plinth.cli", "serve", "--workers=2"], ["uvicorn", "app.main:app"]],
)
def test_cluster_mode_exits_without_a_traceback(
    program: list[str], refusing: Refusing, environment: dict[str, str]
) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", *program, "--port=0"],
        cwd=ROOT,
        env=bare_environment() | environment | {"REDIS_URL": refusing.cluster},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode != 0
    assert "cluster mode" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (exceptions.BusyLoadingError("Redis is loading the dataset in memory"), "is loading"),
        (exceptions.ResponseError("MISCONF Errors writing to the RDB file"), "cannot save"),
        (exceptions.MovedError("3999 127.0.0.1:6381"), "cluster mode"),
        (exceptions.ClusterCrossSlotError("Keys don't hash to the same slot"), "cluster mode"),
        (exceptions.ClusterDownError("The cluster is down"), "cluster mode"),
        (exceptions.ResponseError("ERR unknown command"), "reported an error"),
    ],
)
def test_rare_connection_errors_are_described(error: Exception, words: str) -> None:
    assert words in describe_connection_error(error)
