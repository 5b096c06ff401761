"""The primary fails over to a synchronous standby, under load; two hosts in the URL."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.faults.bounds import FAILOVER, LONG_ENOUGH, REFUSAL, within
from tests.faults.conftest import Measured
from tests.faults.load import find_missing, loaded
from tests.faults.test_postgres import await_recovery, tell
from tests.support.postgres import OwnPostgres, standby_of
from tests.support.serving import Serving, serving
from tests.support.valkey import OwnValkey

STANDBY = "standby"


@pytest.fixture
def standby(postgres: OwnPostgres) -> Iterator[OwnPostgres]:
    with standby_of(postgres, STANDBY) as server:
        postgres.ask(f"ALTER SYSTEM SET synchronous_standby_names = '{STANDBY}'")
        postgres.ask("SELECT pg_reload_conf()")
        yield server


@pytest.fixture
def api(
    folder: Path, postgres: OwnPostgres, standby: OwnPostgres, valkey: OwnValkey
) -> Iterator[Serving]:
    hosts = f"127.0.0.1:{postgres.port},127.0.0.1:{standby.port}"
    url = f"postgresql://postgres@{hosts}/plinth"
    with serving(folder, DATABASE_URL=url, REDIS_URL=valkey.url) as running:
        yield running


@pytest.mark.parametrize("fault", ["killed", "frozen"])
async def test_new_primary_is_found_after_a_failover(
    api: Serving, postgres: OwnPostgres, standby: OwnPostgres, fault: str, measured: Measured
) -> None:
    async with loaded(api.url) as book:
        await asyncio.sleep(2)
        if fault == "killed":
            postgres.kill()
        else:
            postgres.freeze()
        gone = time.monotonic()
        await asyncio.to_thread(standby.promote)
        promoted = time.monotonic()
        recovered = await await_recovery(book, promoted)
        await asyncio.sleep(LONG_ENOUGH - 1)
        if fault == "frozen":  # it comes back and still acts as the primary
            postgres.thaw()
            await asyncio.sleep(2)
    slowest = book.slowest(since=gone)
    tell(measured, book, slowest, recovered)
    book.check()
    assert recovered < within(FAILOVER)
    assert slowest < within(REFUSAL)
    assert book.good_since(promoted + 4)
    assert await find_missing(book, standby.url) == set()


async def test_commit_not_confirmed_by_the_standby_is_not_a_success(
    api: Serving, postgres: OwnPostgres, standby: OwnPostgres, measured: Measured
) -> None:
    """PostgreSQL cancels the wait, and commits with a warning."""
    async with loaded(api.url, writers=3, readers=1) as book:
        await asyncio.sleep(1)
        standby.freeze()
        frozen = time.monotonic()
        cancelled = 0
        connection = await asyncpg.connect(postgres.url)
        while time.monotonic() < frozen + 4:
            cancelled += await connection.fetchval(
                "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity"
                " WHERE wait_event = 'SyncRep' AND state = 'active'"
            )
            await asyncio.sleep(0.1)
        await connection.close()
        book.held.clear()
        await asyncio.sleep(0)
    unsure = [it for it in book.writes if "unresolved" in it.body]
    measured("waits cancelled, answers that say unresolved", f"{cancelled}, {len(unsure)}")
    assert cancelled
    assert unsure
    late = [it for it in book.writes if it.status == 201 and it.ended > frozen + 0.2]
    assert late == [], "a yes, and only one server has it"
    postgres.kill()
    standby.thaw()
    await asyncio.to_thread(standby.promote)
    assert await find_missing(book, standby.url) == set()


async def test_connections_to_a_demoted_primary_are_replaced(
    api: Serving, postgres: OwnPostgres, standby: OwnPostgres, measured: Measured
) -> None:
    """The old primary refuses writes; that counts as a lost connection, not as a client error."""
    async with loaded(api.url) as book:
        await asyncio.sleep(1)
        postgres.ask("ALTER SYSTEM SET default_transaction_read_only = on")
        postgres.ask("SELECT pg_reload_conf()")
        demoted = time.monotonic()
        await asyncio.sleep(1)  # until every writer has received the error
        await asyncio.to_thread(standby.promote)
        recovered = await await_recovery(book, time.monotonic())
        await asyncio.sleep(1)
        steady = time.monotonic()
        await asyncio.sleep(1)
    tell(measured, book, book.slowest(since=demoted), recovered)
    book.check()
    assert {it.status for it in book.answers() if it.at > steady} == {200, 201}
    assert recovered < within(FAILOVER)
    assert await find_missing(book, standby.url) == set()
