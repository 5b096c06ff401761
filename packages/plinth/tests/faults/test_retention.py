"""Retention beside requests: no lock is held for long, and the audit log is valid all the time.

`make -C packages/plinth test-retention` deletes a million sessions and a million events, and checks
the times. `ROWS=10000000` sets another number.
"""

import asyncio
import os
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import asyncpg
import pytest

from plinth.accounts.services.audit import digest_personal_data
from plinth.accounts.services.retention import RULES
from plinth.cli.application import load_metadata
from plinth.config import settings
from plinth.db.database import Database
from plinth.db.retention import PAUSE_SECONDS, RetentionWorker
from plinth.testing.people import People
from tests.support.command import COMMAND
from tests.support.environment import ROOT, bare_environment
from tests.support.old_rows import load_events, load_sessions

COUNT = int(os.environ.get("ROWS", "20000"))
MANY = 1_000_000
MAX_SECONDS = 0.1
SAMPLE_SECONDS = 0.005
SALT = b"0123456789abcdef"

# How long another transaction has waited for a lock of the worker.
LOCK_WAIT = """
SELECT max(extract(epoch FROM clock_timestamp() - waitstart)::float8)
FROM pg_locks WHERE NOT granted AND $1 = ANY(pg_blocking_pids(pid))
"""
# A transaction has held no lock for longer than its age. One that has changed a row has the mode
# RowExclusiveLock. The locks of the chain and of the checkpoint are advisory.
LOCK_AGE = """
SELECT extract(epoch FROM clock_timestamp() - xact_start)::float8
FROM pg_stat_activity JOIN pg_locks USING (pid)
WHERE pid = $1 AND granted AND (locktype = 'advisory' OR mode = 'RowExclusiveLock') LIMIT 1
"""
ADD_EVENT = "INSERT INTO events (event, outcome, salt, personal) VALUES ('x', 'success', $1, $2)"
REFRESH = "UPDATE sessions SET rotations = rotations + 1, last_used_at = now() WHERE id = $1"
LOCKS, WAITS = "age of a transaction with locks", "wait for a lock of retention"
Times = dict[str, list[float]]


@pytest.fixture
async def worker_database(database: Database, database_url: str) -> AsyncIterator[Database]:
    """A pool of one connection, whose locks are observed."""
    single = settings.model_copy(update={"DB_POOL_SIZE": 1, "DB_MAX_OVERFLOW": 0})
    database = Database(database_url, single, load_metadata())
    yield database
    await database.close()


async def test_retention_holds_no_lock_for_long(
    worker_database: Database,
    people: People,
    second: asyncpg.Connection,
    database_url: str,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    measured: Callable[[str, str], None],
) -> None:
    monkeypatch.setattr(settings, "EVENT_KEEP_DAYS", 30)
    ann = await people.add()
    await load_sessions(second, ann.id, count=COUNT)
    await load_events(second, ann.id, count=COUNT)
    ben = await people.enter()
    session_id = await second.fetchval("SELECT id FROM sessions WHERE user_id = $1", ben.id)
    environment = environment | {"SECRET_KEY": settings.SECRET_KEY}
    await verify(environment)
    times: Times = {}
    async with worker_database.read_connection() as connection:
        pid = (await connection.exec_driver_sql("SELECT pg_backend_pid()")).scalar_one()
    personal = digest_personal_data(SALT, None, None)

    async with (
        connected(database_url) as observer,
        connected(database_url) as auditor,
        connected(database_url) as refresher,
        repeating(lambda: observe(observer, pid, times)),
        repeating(timed(times, "audit insert", auditor.execute, ADD_EVENT, SALT, personal)),
        repeating(timed(times, "refresh", refresher.execute, REFRESH, session_id)),
        repeating(timed(times, "sign-in", people.sign_in, ben)),
    ):
        began = time.perf_counter()
        worker = RetentionWorker(worker_database, RULES)
        verifying = asyncio.create_task(verify(environment))
        while await worker.run_batches():
            await asyncio.sleep(PAUSE_SECONDS)
        seconds = time.perf_counter() - began
        await verifying

    await verify(environment)
    measured(f"deletion of {COUNT} sessions and {COUNT} events", f"{seconds:.1f} s")
    for name, found in sorted(times.items()):
        measured(name, describe(found))
    assert await second.fetchval("SELECT count(*) FROM sessions WHERE user_id = $1", ann.id) == 0
    assert await second.fetchval("SELECT last_id FROM event_checkpoints") == COUNT
    if COUNT >= MANY:  # other tests run beside a shorter one
        assert max(times[LOCKS]) <= MAX_SECONDS
        assert max(times.get(WAITS, [0])) <= MAX_SECONDS


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


@asynccontextmanager
async def repeating(act: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Repeat an action until the end of the block; an error in it fails the test."""
    ended = asyncio.Event()

    async def repeat() -> None:
        while not ended.is_set():
            await act()
            await asyncio.sleep(SAMPLE_SECONDS)

    task = asyncio.create_task(repeat())
    try:
        yield
    finally:
        ended.set()
        await task


async def observe(observer: asyncpg.Connection, pid: int, times: Times) -> None:
    for name, query in ((LOCKS, LOCK_AGE), (WAITS, LOCK_WAIT)):
        seconds = await observer.fetchval(query, pid)
        if seconds is not None:
            times.setdefault(name, []).append(seconds)


def timed(
    times: Times, name: str, act: Callable[..., Awaitable[object]], *arguments: object
) -> Callable[[], Awaitable[None]]:
    async def measure() -> None:
        began = time.perf_counter()
        await act(*arguments)
        times.setdefault(name, []).append(time.perf_counter() - began)

    return measure


async def verify(environment: dict[str, str]) -> None:
    """Run `plinth audit verify` in a separate process; it must find no flaw."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        "audit",
        "verify",
        cwd=ROOT,
        env=bare_environment() | environment,
        stdout=PIPE,
        stderr=PIPE,
    )
    _, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()


def describe(seconds: list[float]) -> str:
    ordered = sorted(seconds)
    middle, most, longest = (
        f"{ordered[int((len(ordered) - 1) * share)] * 1000:.1f}" for share in (0.5, 0.99, 1)
    )
    return f"median {middle} ms, 99 % within {most} ms, longest {longest} ms, {len(seconds)} times"
