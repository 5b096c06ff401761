"""All routes work while Valkey is frozen, killed, or failed over by Sentinel, under load."""

import asyncio
import json
import time
from pathlib import Path
from statistics import median
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from tests.faults.bounds import within
from tests.faults.conftest import Measured
from tests.faults.load import Book, find_missing, loaded
from tests.support.postgres import OwnPostgres
from tests.support.sentinel import watched_valkey
from tests.support.serving import Serving, serving, status_of
from tests.support.valkey import OwnValkey

SLOW = 3  # seconds: more than the 0.1 of one call, less than waiting for Redis would take


def readiness(api: Serving) -> tuple[int, str]:
    try:
        with urlopen(f"{api.url}/health/ready", timeout=5) as answer:
            return answer.status, json.load(answer)["status"]
    except HTTPError as error:
        return error.code, json.load(error)["status"]


async def await_cache(api: Serving, status: int, seconds: float = 30) -> float:
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        while await asyncio.to_thread(status_of, f"{api.url}/health/redis") != status:
            await asyncio.sleep(0.05)
    return time.monotonic() - began


def tell(measured: Measured, book: Book, gone: float) -> None:
    times: dict[str, list[float]] = {"before": [], "while away": []}
    for it in book.answers():
        times["before" if it.ended < gone else "while away"].append(it.seconds)
    figures = (f"{median(them) * 1000:.0f} ms {when}" for when, them in times.items())
    measured("median answer", ", ".join(figures))
    measured("slowest answer", f"{book.slowest(since=gone):.2f} s")


def check(book: Book) -> None:
    book.check()
    assert book.acknowledged
    assert book.refused == set()
    assert set(book.statuses()) == {200, 201}


@pytest.mark.parametrize("fault", ["frozen", "killed"])
async def test_routes_work_while_redis_is_down_and_after(
    folder: Path, postgres: OwnPostgres, valkey: OwnValkey, fault: str, measured: Measured
) -> None:
    with serving(folder, DATABASE_URL=postgres.url, REDIS_URL=valkey.url) as api:
        async with loaded(api.url) as book:
            await asyncio.sleep(2)
            valkey.freeze() if fault == "frozen" else valkey.kill()
            gone = time.monotonic()
            await await_cache(api, 503)
            await asyncio.sleep(3)
            tell(measured, book, gone)
            ready = await asyncio.to_thread(readiness, api)
            valkey.thaw() if fault == "frozen" else valkey.restart()
            back = await await_cache(api, 200)
    measured("cache in use again after", f"{back:.1f} s")
    measured("acknowledged, refused, unknown", f"{len(book.acknowledged)}, 0, 0")
    check(book)
    assert ready == (200, "degraded")
    assert book.slowest(since=gone) < within(SLOW)
    assert await find_missing(book, postgres.url) == set()


async def test_sentinel_failover_keeps_routes_working(
    folder: Path, postgres: OwnPostgres, measured: Measured
) -> None:
    """The master freezes, together with the first Sentinel in the URL."""
    with (
        watched_valkey(folder) as watched,
        serving(folder, DATABASE_URL=postgres.url, REDIS_URL=watched.url) as api,
    ):
        assert await await_cache(api, 200) < 5
        async with loaded(api.url) as book:
            await asyncio.sleep(1)
            watched.master.freeze()
            watched.sentinels[0].freeze()
            gone = time.monotonic()
            await await_cache(api, 503)
            await await_cache(api, 200)
            back = time.monotonic() - gone
            await asyncio.sleep(1)
        used = watched.replica.info("commandstats")
        watched.master.thaw()
        watched.sentinels[0].thaw()
    tell(measured, book, gone)
    measured("the new master in use after", f"{back:.1f} s")
    check(book)
    assert "cmdstat_evalsha" in used, "the limits are counted there"
    assert book.slowest(since=gone) < within(SLOW)
    assert await find_missing(book, postgres.url) == set()
