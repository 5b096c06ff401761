"""Concurrent requests for pages share a query; each page is the same as without sharing."""

import asyncio
from collections.abc import Sequence

import asyncpg
import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncSession

from plinth.config import settings
from plinth.db.database import Database
from plinth.errors import Unavailable
from plinth.resources.pages import ListParams, Rows
from plinth.testing.databases import recorded_statements
from plinth.testing.people import People
from tests.kit.drafts import Apart, Draft, drafts
from tests.kit.test_pages import fill, numbered
from tests.support.waiting import until

LIMIT = settings.DEFAULT_PAGE_SIZE
ONE_PLAN = ["created_at", "-created_at", "title", "-title", "priority", "-priority,-title"]
PLANNED_EACH = ["due", "-due", "priority,-title"]
MANY = 4 * LIMIT + 3


@pytest.fixture
async def filled(drafts_app: FastAPI, people: People, second: asyncpg.Connection) -> Database:
    """Create rows that each user may list."""
    await fill(second, await people.enter(), numbered(MANY))
    database: Database = drafts_app.state.resources.database
    return database


async def walk(db: AsyncSession, sort: str) -> list[ListParams]:
    """Return the parameters of each page of an order, in both directions.

    A session fetches them one by one, without a shared query.
    """
    wanted = [ListParams(limit=LIMIT, sort=sort)]
    found = await drafts.listing.fetch(db, wanted[0])
    while found.next:
        wanted.append(ListParams(limit=LIMIT, cursor=found.next))
        found = await drafts.listing.fetch(db, wanted[-1])
        assert found.prev
        wanted.append(ListParams(limit=LIMIT, cursor=found.prev))
    return wanted


def ids(pages: Sequence[Rows[Draft]]) -> list[list[int]]:
    return [[row.id for row in page.items] for page in pages]


async def fetch_together(database: Database, wanted: Sequence[ListParams]) -> list[Rows[Draft]]:
    return await asyncio.gather(*(drafts.listing.fetch(database.reader, it) for it in wanted))


@pytest.mark.parametrize("sort", [*ONE_PLAN, *PLANNED_EACH])
@pytest.mark.parametrize("pgbouncer", [False, True])
async def test_shared_pages_equal_separate_pages(
    filled: Database, database_url: str, sort: str, pgbouncer: bool
) -> None:
    async with filled.transaction() as db:
        wanted = await walk(db, sort)
        alone = [await drafts.listing.fetch(db, it) for it in wanted]
    changed = settings.model_copy(update={"DB_PGBOUNCER": pgbouncer})
    database = Database(database_url, changed, Apart.metadata)

    together = await fetch_together(database, [*wanted, *wanted])
    await database.close()

    assert len(wanted) > 5
    assert ids(together) == ids([*alone, *alone])
    assert [(it.next is None, it.prev is None) for it in together[: len(alone)]] == [
        (it.next is None, it.prev is None) for it in alone
    ]


@pytest.mark.parametrize("sort", ONE_PLAN)
async def test_pages_share_a_query_for_each_direction(filled: Database, sort: str) -> None:
    async with filled.transaction() as db:
        wanted = await walk(db, sort)
    with recorded_statements(filled) as sent:
        await fetch_together(filled, [*wanted, *wanted])
    assert len(sent) == 3, "the first page, those after an edge and those before one"


async def test_single_request_uses_the_plain_query(filled: Database) -> None:
    async with filled.transaction() as db:
        *_, after, _ = await walk(db, "title")
    with recorded_statements(filled) as sent:
        (page,) = await fetch_together(filled, [after])
    assert page.items
    assert "LATERAL" not in sent[0]


async def test_requests_beyond_the_batch_size_use_the_next_statement(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with filled.transaction() as db:
        wanted = [it for it in await walk(db, "-title") if it.cursor]
        alone = [await drafts.listing.fetch(db, it) for it in wanted]
    monkeypatch.setattr("plinth.db.reading.reader.MAX_RUNS_PER_STATEMENT", 2)
    monkeypatch.setattr(filled.reader, "_shared", {})
    with recorded_statements(filled) as sent:
        together = await fetch_together(filled, wanted)
    assert ids(together) == ids(alone)
    assert len(sent) == 4, "two of each way, and there are eight"


async def test_total_is_counted_once_for_all_requests(filled: Database) -> None:
    wanted = ListParams(limit=LIMIT, total=True)
    with recorded_statements(filled) as sent:
        pages = await fetch_together(filled, [wanted] * 5)
    assert [it.total for it in pages] == [MANY] * 5
    assert len(sent) == 2


async def test_pages_of_different_owners_are_not_shared(filled: Database) -> None:
    fetch = drafts.listing.fetch
    with recorded_statements(filled) as sent:
        mine, theirs = await asyncio.gather(
            *(
                fetch(filled.reader, ListParams(limit=LIMIT), owner_id=it)
                for it in (10**9, 10**9 + 1)
            )
        )
    assert (mine.items, theirs.items) == ([], [])
    assert len(sent) == 2


async def test_request_neither_joins_nor_waits_for_a_query_already_sent(
    filled: Database, second: asyncpg.Connection
) -> None:
    wanted = ListParams(limit=LIMIT, sort="title")
    await second.execute("BEGIN; LOCK drafts")
    with recorded_statements(filled) as sent:
        first = asyncio.ensure_future(fetch_together(filled, [wanted, wanted]))
        await until(lambda: len(sent) == 1)
        later = asyncio.ensure_future(fetch_together(filled, [wanted]))
        await until(lambda: len(sent) == 2)
    assert not first.done()
    await second.execute("COMMIT")
    assert ids(await first) == ids([*await later] * 2)


async def test_error_is_raised_in_all_sharing_requests(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise ConnectionRefusedError

    with monkeypatch.context() as patch:
        patch.setattr(filled.reader._executor, "read", refuse)  # noqa: SLF001
        asked = [drafts.listing.fetch(filled.reader, ListParams(limit=LIMIT)) for _ in range(3)]
        found = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(it) for it in found] == [Unavailable] * 3
    assert (await fetch_together(filled, [ListParams(limit=LIMIT)]))[0].items
