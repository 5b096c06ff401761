"""Cost of a page by key and by offset, at the start and deep in a million rows.

`python -m bench.keyset [ROWS]` prints the ratios. A page by key costs the same at both places.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter

from rich.console import Console
from rich.table import Table
from sqlalchemy import select

from bench.seed import make_database, seed
from plinth import devservices as embedded
from plinth.accounts import queries
from plinth.accounts.models import User
from plinth.config import settings
from plinth.db.database import Database
from plinth.db.models import Base
from plinth.resources.pages import ListParams

ROWS = 1_000_000
ROUNDS = 40
SORT = "created_at"
ORDER = queries.user.listing.order(SORT)


async def main(rows: int) -> None:
    with embedded.services(Path(settings.DATA_DIR) / "bench", valkey=False) as endpoints:
        assert endpoints.owner_url
        url = await make_database(endpoints.owner_url, "keyset")
        await seed(url, rows)
        database = Database(url, settings, Base.metadata)
        try:
            await measure(database, rows)
        finally:
            await database.close()


async def measure(database: Database, rows: int) -> None:
    deep = rows * 9 // 10
    start, inside = await cursor_at(database, 10), await cursor_at(database, deep)
    pages = {
        "by key, at the start": ListParams(limit=20, cursor=start),
        f"by key, at {deep:,}": ListParams(limit=20, cursor=inside),
        "by offset, at the start": ListParams(limit=20, skip=10, sort=SORT),
        f"by offset, at {deep:,}": ListParams(limit=20, skip=deep, sort=SORT),
    }
    times: dict[str, list[float]] = {name: [] for name in pages}
    for _ in range(ROUNDS):  # alternate, so that other load affects all of them equally
        for name, params in pages.items():
            times[name].append(await timed(partial(fetch, database, params)))
    first = median(times["by key, at the start"])
    table = Table("page of 20", "median ms", "ratio")
    for name, found in times.items():
        table.add_row(name, f"{median(found) * 1000:.2f}", f"{median(found) / first:.2f}")
    Console().print(table)


async def cursor_at(database: Database, place: int) -> str:
    async with database.transaction() as db:
        at = select(User).order_by(User.created_at, User.id).offset(place).limit(1)
        return ORDER.cursor_at((await db.scalars(at)).one(), backwards=False)


async def fetch(database: Database, params: ListParams) -> None:
    rows = await queries.user.listing.fetch(database.reader, params)
    assert len(rows.items) == params.limit


async def timed(act: Callable[[], Awaitable[None]]) -> float:
    began = perf_counter()
    await act()
    return perf_counter() - began


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS))
