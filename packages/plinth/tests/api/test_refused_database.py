"""A database that refuses connections, at start and later.

Routes respond with 503, readiness fails, and one log line says what to do, without a traceback.
"""

import asyncio
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import gaierror
from typing import Any

import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient

from plinth.cli.doctor import Level
from plinth.cli.doctor import database as doctor
from plinth.config import settings
from plinth.db import migrations
from plinth.testing.asgi import send
from plinth.testing.attacks import Attack, AttackGenerator
from plinth.testing.operations import Operation, find_operations
from plinth.testing.outage import INTERNALS, started_without
from plinth.testing.people import People, Person
from tests.support.certificates import make_authority
from tests.support.command import plinth
from tests.support.logs import Log, logging_to_memory
from tests.support.postgres import OwnPostgres, make_run_folder, own_postgres, remove
from tests.support.tls_front import tls_front

HBA = """
local all all trust
host all blocked 127.0.0.1/32 reject
host all postgres 127.0.0.1/32 trust
host all all 127.0.0.1/32 scram-sha-256
"""
PREPARED = (
    "CREATE ROLE app LOGIN PASSWORD 'right'",
    "CREATE ROLE blocked LOGIN",
    "CREATE ROLE crowded LOGIN PASSWORD 'right' CONNECTION LIMIT 0",
    "CREATE ROLE bare LOGIN PASSWORD 'right'",
    "GRANT pg_read_all_data, pg_write_all_data TO app",
    "CREATE DATABASE blank",
    "CREATE DATABASE closed ALLOW_CONNECTIONS false",
    "CREATE DATABASE locked",
    "REVOKE CONNECT ON DATABASE locked FROM PUBLIC",
)


class Http(BaseHTTPRequestHandler):
    timeout = 0.1  # for what is no request


@dataclass(frozen=True, slots=True)
class Refusing:
    server: OwnPostgres
    front: int
    ca: Path
    http: int

    def url(self, rest: str) -> str:
        places = {"p": self.server.port, "tls": self.front, "ca": self.ca, "http": self.http}
        return f"postgresql://{rest.format(**places)}"


@pytest.fixture(scope="module")
def refusing() -> Iterator[Refusing]:
    above = Path(tempfile.mkdtemp(prefix="pr-"))
    above.chmod(0o755)
    http = ThreadingHTTPServer(("127.0.0.1", 0), Http)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    try:
        authority = make_authority(above)
        with (
            own_postgres(make_run_folder(above / "run")) as server,
            tls_front(server.port, authority.issue("server", "db"), authority) as front,
        ):
            migrations.upgrade(server.url)
            for statement in PREPARED:
                server.ask(statement)
            (server.folder / "pg_hba.conf").write_text(HBA)
            server.ask("SELECT pg_reload_conf()")
            yield Refusing(server, front.port, authority.file, http.server_port)
    finally:
        http.shutdown()
        http.server_close()
        remove(above)


CASES = {
    "rotated password": ("app:wrong@127.0.0.1:{p}/plinth", "the password is wrong"),
    "no such role": ("nobody:right@127.0.0.1:{p}/plinth", "the password is wrong"),
    "pg_hba": ("blocked@127.0.0.1:{p}/plinth", "the role does not exist, or may not connect"),
    "no such database": ("app:right@127.0.0.1:{p}/renamed", "the database does not exist"),
    "no connection left": ("crowded:right@127.0.0.1:{p}/plinth", "no connection left."),
    "database closed": ("app:right@127.0.0.1:{p}/closed", "accepts no connections"),
    "no right to connect": ("app:right@127.0.0.1:{p}/locked", "lacks a privilege"),
    "no tables": ("app:right@127.0.0.1:{p}/blank", "un `plinth db upgrade`"),
    "no right to the tables": ("bare:right@127.0.0.1:{p}/plinth", "lacks a privilege"),
    "no TLS there": ("app:right@127.0.0.1:{p}/plinth?sslmode=require", "the server has no TLS"),
    "another authority": (
        "app:right@db:{tls}/plinth?sslmode=verify-full&sslrootcert=system&hostaddr=127.0.0.1",
        "certificate is not trusted",
    ),
    "another name": (
        "app:right@elsewhere:{tls}/plinth?sslmode=verify-full&sslrootcert={ca}&hostaddr=127.0.0.1",
        "certificate is not trusted",
    ),
    "no such host": ("app:right@db.invalid:{p}/plinth", "the host name cannot be resolved"),
    "nobody listens": ("app:right@127.0.0.1:1/plinth", "Is the server running?"),
    "no socket": ("app@/plinth?host=/nonexistent", "no socket in that folder"),
    "not a PostgreSQL": ("app:right@127.0.0.1:{http}/plinth", "cannot be used"),
}


@pytest.fixture
async def _ignore_lookups() -> AsyncIterator[None]:
    """Ignore name lookups that fail after their connection attempt ended.

    uvloop leaves a future for each, and the garbage collector reports it in a later test.
    """
    loop = asyncio.get_running_loop()
    original = loop.get_exception_handler()

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if isinstance(context.get("exception"), gaierror):
            return
        if original:
            original(loop, context)
        else:
            loop.default_exception_handler(context)

    loop.set_exception_handler(handle)
    yield
    loop.set_exception_handler(original)


@pytest.fixture
async def superuser(
    people: People, monkeypatch: pytest.MonkeyPatch, _ignore_lookups: None
) -> Person:
    monkeypatch.setattr(settings, "DB_WAIT_TIMEOUT", 2)
    monkeypatch.setattr(settings, "DB_CONNECT_TIMEOUT", 2)
    return await people.enter(is_superuser=True)


Requests = list[tuple[Operation, Attack]]


def make_requests(superuser: Person) -> Requests:
    """Generate a valid request of each route.

    Before the application starts: it takes seconds, in which connection attempts would time out.
    """
    known = {"user_id": superuser.id}
    return [(it, AttackGenerator(it, known).valid()) for it in find_operations()]


async def ask_every_route(
    client: AsyncClient, superuser: Person, requests: Requests
) -> list[tuple[str, int]]:
    """Return the status of each route; private routes need the database, so they fail."""
    transport = client._transport  # noqa: SLF001 - the application behind the client
    assert isinstance(transport, ASGITransport)
    token = (b"authorization", superuser.headers["Authorization"].encode())
    found = []
    for operation, attack in requests:
        headers = [token, *attack.headers]
        answer = await send(transport.app, operation.method, attack.target, headers, attack.body)
        assert answer.status in operation.documented_statuses, operation
        assert not INTERNALS.search(answer.body.decode()), operation
        if operation.is_private and "health" not in operation.path:
            assert answer.status == 503, operation
        found.append((str(operation), answer.status))
    return found


def check_log(log: Log, words: str) -> None:
    assert "Traceback" not in log.text
    assert "right" not in log.text.replace("no right to", "")
    told = [line for line in log.lines if "cannot be used: " in line["event"]]
    assert told, log.text
    assert words in told[0]["event"]
    assert len(told) <= 3, "each request would tell it"


@pytest.mark.parametrize("case", CASES)
async def test_refused_at_start_responds_503_and_logs_the_reason(
    app: FastAPI, case: str, refusing: Refusing, superuser: Person
) -> None:
    rest, words = CASES[case]
    url, requests = refusing.url(rest), make_requests(superuser)
    with logging_to_memory() as log:
        async with started_without(app, "DATABASE_URL", url) as client:
            ready = await client.get("/health/ready")
            statuses = dict(await ask_every_route(client, superuser, requests))
    assert ready.status_code == 503
    assert ready.json()["status"] == "unavailable"
    assert 500 not in statuses.values()
    check_log(log, words)


@pytest.mark.parametrize("case", CASES)
async def test_doctor_reports_the_same_reason(case: str, refusing: Refusing) -> None:
    rest, words = CASES[case]
    findings = await doctor.examine(refusing.url(rest), settings, workers=1)
    text = " ".join(f"{it.text} {it.advice}" for it in findings if it.level is Level.BROKEN)
    assert words in text
    assert "right" not in text


@pytest.mark.parametrize("case", ["rotated password", "no such database", "no such host"])
def test_command_exits_with_the_reason(case: str, refusing: Refusing) -> None:
    rest, words = CASES[case]
    given = {"DATABASE_URL": refusing.url(rest), "REDIS_URL": "redis://127.0.0.1:1"}
    ended = plinth("db", "upgrade", **given)
    assert ended.returncode == 1
    assert words in " ".join(ended.stderr.split())
    assert "Traceback" not in ended.stderr


@pytest.fixture
async def running(
    app: FastAPI, refusing: Refusing, superuser: Person
) -> AsyncIterator[AsyncClient]:
    """An application on that server, with a superuser."""
    refusing.server.ask("ALTER ROLE app PASSWORD 'right'")
    async with started_without(
        app, "DATABASE_URL", refusing.url(CASES["pg_hba"][0].replace("blocked", "app:right"))
    ) as client:
        assert (await client.get("/health/ready")).status_code == 200
        yield client


BREAK = {
    "rotated password": ("ALTER ROLE app PASSWORD 'new'", "ALTER ROLE app PASSWORD 'right'"),
    "role locked": ("ALTER ROLE app NOLOGIN", "ALTER ROLE app LOGIN"),
    "no connection left": (
        "ALTER ROLE app CONNECTION LIMIT 0",
        "ALTER ROLE app CONNECTION LIMIT -1",
    ),
    "database renamed": (
        "ALTER DATABASE plinth RENAME TO other",
        "ALTER DATABASE other RENAME TO plinth",
    ),
    "privileges revoked": (
        "REVOKE pg_read_all_data, pg_write_all_data FROM app",
        "GRANT pg_read_all_data, pg_write_all_data TO app",
    ),
}
CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'"


async def break_and_cut(server: OwnPostgres, statement: str) -> None:
    """Retry: a database cannot be renamed while a client is connected, and ours reconnects."""
    for _ in range(100):
        try:
            server.ask(statement)
            server.ask(CUT)
        except AssertionError:
            server.ask(CUT)
            await asyncio.sleep(0.05)
        else:
            return
    pytest.fail(f"{statement} does not succeed")


@pytest.mark.parametrize("fault", BREAK)
async def test_fault_at_run_time_responds_503_until_fixed(
    fault: str, running: AsyncClient, refusing: Refusing, superuser: Person
) -> None:
    break_it, fix_it = BREAK[fault]
    requests = make_requests(superuser)
    with logging_to_memory() as log:
        try:
            await break_and_cut(refusing.server, break_it)
            statuses = dict(await ask_every_route(running, superuser, requests))
        finally:
            refusing.server.ask(fix_it)
        assert 500 not in statuses.values()
        assert "Traceback" not in log.text
        assert "cannot be used: " in log.text

    async with asyncio.timeout(30):
        while (await running.get("/health/ready")).status_code != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
