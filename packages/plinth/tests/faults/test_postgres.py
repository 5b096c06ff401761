"""PostgreSQL killed and frozen, under load."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.bounds import LONG_ENOUGH, REFUSAL, within
from tests.faults.conftest import Measured
from tests.faults.load import Book, find_missing, loaded
from tests.support.postgres import OwnPostgres
from tests.support.serving import Serving, serving, status_of
from tests.support.valkey import OwnValkey


@pytest.fixture
def api(folder: Path, postgres: OwnPostgres, valkey: OwnValkey) -> Iterator[Serving]:
    with serving(folder, DATABASE_URL=postgres.url, REDIS_URL=valkey.url) as running:
        yield running


async def await_recovery(book: Book, since: float) -> float:
    """Return the seconds until a write that began after `since` was acknowledged."""
    async with asyncio.timeout(30):
        while (found := book.good_since(since)) is None:
            await asyncio.sleep(0.02)
    return found - since


async def check_readiness(api: Serving, status: int) -> None:
    async with asyncio.timeout(15):
        while await asyncio.to_thread(status_of, f"{api.url}/health/ready") != status:
            await asyncio.sleep(0.05)


def tell(measured: Measured, book: Book, slowest: float, recovered: float) -> None:
    measured("slowest answer", f"{slowest:.2f} s")
    measured("writing again after", f"{recovered:.2f} s")
    measured(
        "acknowledged, refused, unknown",
        f"{len(book.acknowledged)}, {len(book.refused)}, {len(book.broken)}",
    )


async def test_killed_postgresql_is_503_until_restarted(
    api: Serving, postgres: OwnPostgres, measured: Measured
) -> None:
    async with loaded(api.url) as book:
        await asyncio.sleep(2)
        postgres.kill()
        gone = time.monotonic()
        await check_readiness(api, 503)
        await asyncio.sleep(3)
        await asyncio.to_thread(postgres.start)
        recovered = await await_recovery(book, time.monotonic())
        await check_readiness(api, 200)
        await asyncio.sleep(1)
    slowest = book.slowest(since=gone)  # including requests that hung until the server was back
    tell(measured, book, slowest, recovered)
    book.check()
    assert book.acknowledged
    assert book.refused
    assert slowest < within(REFUSAL)
    assert recovered < within(REFUSAL)
    assert await find_missing(book, postgres.url) == set()


async def test_frozen_postgresql_is_503_until_resumed(
    api: Serving, postgres: OwnPostgres, measured: Measured
) -> None:
    async with loaded(api.url) as book:
        await asyncio.sleep(2)
        postgres.freeze()
        gone = time.monotonic()
        await check_readiness(api, 503)
        await asyncio.sleep(LONG_ENOUGH)
        postgres.thaw()
        recovered = await await_recovery(book, time.monotonic())
        await check_readiness(api, 200)
        await asyncio.sleep(1)
    slowest = book.slowest(since=gone)  # including requests that hung until the server was back
    tell(measured, book, slowest, recovered)
    book.check()
    assert book.acknowledged
    assert book.refused
    assert slowest < within(REFUSAL)
    assert recovered < within(REFUSAL)
    assert await find_missing(book, postgres.url) == set()
