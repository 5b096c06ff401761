"""More requests than the server accepts, and a database that freezes during them."""

import asyncio
import time
from pathlib import Path

from tests.faults.bounds import LONG_ENOUGH, REFUSAL, within
from tests.faults.conftest import Measured
from tests.faults.load import find_missing, loaded
from tests.support.postgres import OwnPostgres
from tests.support.serving import serving
from tests.support.valkey import OwnValkey

CLIENTS, PLACES = 80, 30


async def test_overload_is_503_after_a_short_queue(
    folder: Path, postgres: OwnPostgres, valkey: OwnValkey, measured: Measured
) -> None:
    with serving(
        folder,
        DATABASE_URL=postgres.url,
        REDIS_URL=valkey.url,
        MAX_IN_FLIGHT=str(PLACES),
    ) as api:
        async with loaded(api.url, writers=CLIENTS // 2, readers=CLIENTS // 2) as book:
            await asyncio.sleep(3)
            postgres.freeze()
            frozen = time.monotonic()
            await asyncio.sleep(LONG_ENOUGH)
            postgres.thaw()
            thawed = time.monotonic()
            await asyncio.sleep(3)
            book.held.clear()
            await asyncio.sleep(0)
        overloaded = [it for it in book.answers() if "overloaded" in it.body]
    slowest = book.slowest()
    measured("refused at once", f"{len(overloaded)} of {len(book.answers())}")
    measured("slowest answer", f"{slowest:.2f} s")
    measured("acknowledged, unknown", f"{len(book.acknowledged)}, {len(book.broken)}")
    book.check()
    assert overloaded
    assert slowest < within(REFUSAL)
    assert book.good_since(thawed), "it recovers by itself"
    assert not [it for it in book.writes if it.at > frozen + 0.5 and it.ended < thawed - 0.5
                and it.status == 201]  # fmt: skip
    assert await find_missing(book, postgres.url) == set()
