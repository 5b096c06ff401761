"""Timeouts of a session, and errors that count as a lost connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from plinth.config import settings
from plinth.config.urls.postgres_url import read_postgres_url
from plinth.config.urls.service_urls import quote_host, split_url
from plinth.db.database import Database
from plinth.db.models import Base
from plinth.db.reading import Query
from plinth.errors import Contended, Unavailable
from tests.support.waiting import PATIENCE

SHOWN = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "timezone")


@asynccontextmanager
async def opened(url: str, **changed: object) -> AsyncIterator[Database]:
    database = Database(url, settings.model_copy(update=changed), Base.metadata)
    try:
        yield database
    finally:
        await database.close()


@pytest.mark.parametrize("pgbouncer", [False, True])
async def test_each_session_has_timeouts(database_url: str, pgbouncer: bool) -> None:
    bounds = {
        "DB_STATEMENT_TIMEOUT": 2.5,
        "DB_LOCK_TIMEOUT": 1.5,
        "DB_IDLE_IN_TRANSACTION_TIMEOUT": 7,
    }
    async with (
        opened(database_url, **bounds, DB_PGBOUNCER=pgbouncer) as database,
        database.transaction() as db,
    ):
        shown = [await db.scalar(text(f"SHOW {name}")) for name in SHOWN]
    assert shown == ["2500ms", "1500ms", "7s", "UTC"]


async def test_statement_timeout_is_enforced_by_the_server(database_url: str) -> None:
    async with opened(database_url, DB_STATEMENT_TIMEOUT=0.2, DB_POOL_SIZE=1) as database:
        with pytest.raises(Unavailable):
            async with database.transaction() as db:
                await db.execute(text("SELECT pg_sleep(60)"))
        async with database.transaction() as db:
            assert await db.scalar(text("SELECT 1")) == 1
        assert database.pool_status()["checked_in"] == 1


async def test_wait_for_a_free_connection_times_out(database_url: str) -> None:
    few = {"DB_POOL_SIZE": 1, "DB_MAX_OVERFLOW": 0, "DB_WAIT_TIMEOUT": 1.5}
    async with opened(database_url, **few) as database, database.transaction() as db:
        await db.execute(text("SELECT 1"))
        with pytest.raises(Unavailable):
            async with database.read_connection():
                pass


async def test_terminated_connection_is_replaced(
    database_url: str, second: asyncpg.Connection
) -> None:
    async with opened(database_url) as database:
        async with database.transaction() as db:
            pid = await db.scalar(text("SELECT pg_backend_pid()"))
        await second.execute("SELECT pg_terminate_backend($1, 10000)", pid)
        await asyncio.sleep(0.2)  # until the loop has read it
        async with database.transaction() as db:
            assert await db.scalar(text("SELECT pg_backend_pid()")) != pid


async def test_connections_to_a_read_only_server_are_replaced(database_url: str) -> None:
    async def write_as_on_a_standby(db: AsyncSession) -> None:
        pids.append(await db.scalar(text("SELECT pg_backend_pid()")))
        await db.execute(text("SET TRANSACTION READ ONLY"))
        await db.execute(text("UPDATE users SET username = username"))

    pids: list[int | None] = []
    async with opened(database_url) as database:
        with pytest.raises(Unavailable):
            await database.run_with_retries(write_as_on_a_standby)
        async with database.transaction() as db:
            assert await db.scalar(text("SELECT pg_backend_pid()")) not in pids


async def test_reachable_host_of_several_is_used(database_url: str) -> None:
    asked = split_url(database_url)
    ((host, port, _),) = read_postgres_url(database_url).hosts
    user = asked.netloc.rpartition("@")[0]
    hosts = f"127.0.0.1:1,[::1]:1,{quote_host(host)}:{port}"
    async with opened(f"postgresql://{user}@{hosts}{asked.path}") as database:
        assert await database.reader.all(Query(select(func.current_database().label("name"))))


async def test_run_with_retries_retries_after_a_deadlock(database: Database) -> None:
    at_work = asyncio.Barrier(2)
    tries = 0

    async def lock_both(db: AsyncSession, first: int, then: int) -> None:
        nonlocal tries
        tries += 1
        await db.execute(text(f"SELECT pg_advisory_xact_lock(77, {first})"))
        if tries <= 2:
            await at_work.wait()
        await db.execute(text(f"SELECT pg_advisory_xact_lock(77, {then})"))

    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as both:
        both.create_task(database.run_with_retries(lambda db: lock_both(db, 1, 2)))
        both.create_task(database.run_with_retries(lambda db: lock_both(db, 2, 1)))
    assert tries == 3


async def test_run_with_retries_raises_contended_after_the_last_retry(database: Database) -> None:
    tries = 0

    async def lose(db: AsyncSession) -> None:
        nonlocal tries
        tries += 1
        await db.execute(text("DO $$ BEGIN RAISE SQLSTATE '40001'; END $$"))

    with pytest.raises(Contended):
        await database.run_with_retries(lose)
    assert tries == 4
