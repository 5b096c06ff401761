"""Graceful stop and kill of the server under load."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.faults.conftest import Measured
from tests.faults.load import Book, find_missing, loaded
from tests.support.postgres import OwnPostgres
from tests.support.serving import Serving, serving, status_of
from tests.support.valkey import OwnValkey

DRAIN = 2
WAYS: dict[str, dict[str, Any]] = {
    "plinth serve": {"workers": 1},
    "plinth serve --workers 2": {"workers": 2},
    "uvicorn": {"plain": True},
}
Start = Callable[..., AbstractContextManager[Serving]]


@pytest.fixture
def start(folder: Path, postgres: OwnPostgres, valkey: OwnValkey) -> Start:
    return partial(
        serving,
        folder,
        DATABASE_URL=postgres.url,
        REDIS_URL=valkey.url,
        DRAIN_SECONDS=str(DRAIN),
    )


async def send_until_not_ready(api: Serving, book: Book) -> None:
    """Wait until the server is not ready, as a load balancer does."""
    async with asyncio.timeout(DRAIN):
        while await asyncio.to_thread(status_of, f"{api.url}/health/ready") == 200:
            await asyncio.sleep(0.05)
    book.held.clear()


@pytest.mark.parametrize("way", WAYS)
async def test_graceful_stop_breaks_no_response(
    start: Start, postgres: OwnPostgres, way: str, measured: Measured
) -> None:
    with start(**WAYS[way]) as api:
        async with loaded(api.url, probed=False) as book:
            await asyncio.sleep(2)
            api.process.send_signal(signal.SIGTERM)
            asked = time.monotonic()
            await send_until_not_ready(api, book)
            unready = time.monotonic() - asked
            code = await asyncio.to_thread(api.process.wait, 30)
            ended = time.monotonic() - asked
        log = api.log.read_text()
    measured("not ready after", f"{unready:.2f} s, ended after {ended:.2f} s")
    measured("answered, broken", f"{len(book.answers())}, {len(book.broken)}")
    book.check()
    assert book.refused == set()
    assert code == 0
    assert "Traceback" not in log
    assert await find_missing(book, postgres.url) == set()


async def test_a_request_in_flight_is_finished(start: Start, postgres: OwnPostgres) -> None:
    """A request that waits for a lock while the server drains succeeds."""
    with start(DB_LOCK_TIMEOUT="20", DB_STATEMENT_TIMEOUT="20") as api:
        async with loaded(api.url, writers=1, readers=0, probed=False) as book:
            await asyncio.sleep(0.5)
            holder = await asyncpg.connect(postgres.url)
            await holder.execute("BEGIN; LOCK TABLE users IN EXCLUSIVE MODE")
            await asyncio.sleep(0.5)
            book.held.clear()
            before = len(book.writes)
            api.process.send_signal(signal.SIGTERM)
            await asyncio.sleep(DRAIN + 1)
            assert api.process.poll() is None
            await holder.execute("COMMIT")
            await holder.close()
            assert await asyncio.to_thread(api.process.wait, 30) == 0
    assert [it.status for it in book.writes[before:]] == [201]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_killed_or_frozen_worker_is_replaced(
    start: Start, postgres: OwnPostgres, number: signal.Signals, measured: Measured
) -> None:
    with start(workers=2) as api:
        async with loaded(api.url, probed=False) as book:
            await asyncio.sleep(2)
            before = api.workers
            os.kill(before[0], number)
            struck = time.monotonic()
            async with asyncio.timeout(45):
                while before[0] in api.workers or len(api.workers) < 2:
                    await asyncio.sleep(0.1)
            replaced = time.monotonic() - struck
            await asyncio.sleep(2)
    measured("replaced after", f"{replaced:.1f} s")
    measured(
        "acknowledged, refused, unknown",
        f"{len(book.acknowledged)}, {len(book.refused)}, {len(book.broken)}",
    )
    assert len(before) == 2
    # 503: a hanging transaction may hold a lock until PostgreSQL ends it.
    assert {it.status for it in book.answers()} <= {0, 200, 201, 503}
    assert await find_missing(book, postgres.url) == set()
