"""Reads outside of transactions, and writes in a single statement."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import (
    JSON,
    Column,
    Float,
    Integer,
    MetaData,
    Numeric,
    Table,
    Uuid,
    bindparam,
    cast,
    func,
    literal,
    select,
    text,
    update,
)
from sqlalchemy import Enum as EnumType
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import queries
from plinth.accounts.models import User
from plinth.accounts.services import accounts
from plinth.config import settings
from plinth.db import engine as engines
from plinth.db.database import Database
from plinth.db.models import Base
from plinth.db.reading import Query, read_all, read_by_id
from plinth.errors import Invalid, OutcomeUnknown, Rejected, Unavailable
from plinth.resources.pages import ListParams
from plinth.testing.databases import recorded_statements
from plinth.testing.people import People
from tests.support.waiting import PATIENCE


class Color(Enum):
    RED = "red"


PID = Query(select(func.pg_backend_pid().label("pid")))
NAP = Query(select(func.pg_sleep(bindparam("seconds", type_=Numeric)).label("nothing")))
RENAME = Query(
    update(User)
    .where(User.id == bindparam("user_id"))
    .values(username=bindparam("new_name"))
    .returning(User.id, User.username)
)


@asynccontextmanager
async def opened(url: str, **changed: object) -> AsyncIterator[Database]:
    database = Database(url, settings.model_copy(update=changed), Base.metadata)
    try:
        yield database
    finally:
        await database.close()


@pytest.mark.parametrize("pgbouncer", [False, True])
async def test_row_has_the_values_of_the_orm_object(
    database_url: str, people: People, db: AsyncSession, pgbouncer: bool
) -> None:
    person = await people.enter()
    async with opened(database_url, DB_PGBOUNCER=pgbouncer) as database:
        row = await read_by_id(database.reader, User, person.id)
        missing = await read_by_id(database.reader, User, 10**9)
    user = await db.get(User, person.id)
    seen = await read_by_id(db, User, person.id)

    assert user
    assert row
    attributes = User.__mapper__.column_attrs
    names = [it.key for it in attributes if not it.columns[0].info.get("secret")]
    assert [getattr(row, name) for name in names] == [getattr(user, name) for name in names]
    assert row == seen
    assert missing is None


async def test_fast_reads_omit_the_password_hash(database: Database, people: People) -> None:
    person = await people.enter()
    reader = database.reader
    with recorded_statements(database) as sent:
        row = await accounts.get_user(reader, person.id)
        listed = await accounts.list_users(reader, ListParams(limit=20))
        (found,) = await queries.user.search_users(reader, query=person.email)
    assert len(sent) == 3
    assert [sql for sql in sent if "password" in sql] == []
    for it in (row, *listed.items, found):
        assert it.email == person.email
        assert not hasattr(it, "hashed_password")


async def test_parameters_and_results_are_converted(database: Database, db: AsyncSession) -> None:
    """SQLAlchemy converts parameters and results of these types."""
    query = Query(
        select(
            cast(bindparam("j", type_=JSONB), JSONB).label("j"),
            cast(literal({"b": [1]}, JSON), JSON).label("k"),
            cast(bindparam("n", type_=Numeric), Numeric(6, 2)).label("n"),
            cast(literal("0.5"), Float).label("f"),
            cast(literal("0.5"), Numeric(asdecimal=False)).label("g"),
            cast(bindparam("u", type_=Uuid), Uuid).label("u"),
            cast(literal("red"), EnumType(Color, values_callable=lambda it: [c.value for c in it],
                                          native_enum=False)).label("e"),
        )
    )  # fmt: skip
    given = {"j": {"a": None}, "n": Decimal("1.50"), "u": UUID(int=7)}
    (row,) = await database.reader.all(query, **given)

    assert tuple(row) == (
        {"a": None},
        {"b": [1]},
        Decimal("1.50"),
        0.5,
        0.5,
        UUID(int=7),
        Color.RED,
    )
    (same,) = await read_all(db, query, **given)
    assert tuple(same) == tuple(row)


async def test_value_out_of_range_is_invalid(database: Database) -> None:
    query = Query(select(cast(bindparam("number", type_=Integer), Integer).label("it")))
    for number in (2**31, "seven"):
        with pytest.raises(Invalid):
            await database.reader.all(query, number=number)
    (row,) = await database.reader.all(query, number=7)
    assert row.it == 7


async def test_concurrent_reads_share_a_query(
    database: Database, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [(await people.enter()).id for _ in range(5)]
    asked: list[object] = []
    lane: Any = database.reader._executor  # noqa: SLF001
    read = lane.read

    async def note(sql: str, values: list[object], **more: float | None) -> object:
        asked.extend(values)
        return await read(sql, values, **more)

    monkeypatch.setattr(lane, "read", note)
    rows = await asyncio.gather(*(read_by_id(database.reader, User, it) for it in [*ids, *ids]))

    assert [row and row.id for row in rows] == [*ids, *ids]
    assert asked == [ids]


async def test_reader_connection_is_reused_and_released_to_transactions(database_url: str) -> None:
    few = {"DB_POOL_SIZE": 1, "DB_MAX_OVERFLOW": 0, "DB_WAIT_TIMEOUT": 5}
    async with opened(database_url, **few) as database:
        pids = {(await database.reader.all(PID))[0].pid for _ in range(5)}
        assert database.pool_status() == {
            "size": 1, "checked_out": 0, "checked_in": 1, "overflow": 0,
        }  # fmt: skip

        async def write() -> None:
            async with database.transaction() as db:
                pids.add((await db.execute(PID.statement)).scalar_one())

        reads = [database.reader.all(NAP, seconds=Decimal("0.01")) for _ in range(20)]
        await asyncio.gather(*reads, *(write() for _ in range(10)))
        assert len(pids) == 1


async def is_under_way(second: asyncpg.Connection, pid: int) -> None:
    """Wait until the server executes the statement of that connection."""
    active = "SELECT state = 'active' FROM pg_stat_activity WHERE pid = $1"
    async with asyncio.timeout(PATIENCE):
        while not await second.fetchval(active, pid):  # noqa: ASYNC110 - the server sends no event
            await asyncio.sleep(0.01)


async def test_terminated_connection_is_not_reused(
    database_url: str, second: asyncpg.Connection
) -> None:
    async with opened(database_url) as database:
        (row,) = await database.reader.all(PID)
        await second.execute("SELECT pg_terminate_backend($1, 10000)", row.pid)
        await asyncio.sleep(0.2)  # until the loop has read it
        assert (await database.reader.all(PID))[0].pid != row.pid


async def test_connection_lost_during_a_read_is_unavailable_and_replaced(
    database_url: str, second: asyncpg.Connection
) -> None:
    async with opened(database_url, DB_POOL_SIZE=1) as database:
        (row,) = await database.reader.all(PID)
        reading = asyncio.ensure_future(database.reader.all(NAP, seconds=Decimal(60)))
        await is_under_way(second, row.pid)
        await second.execute("SELECT pg_terminate_backend($1, 10000)", row.pid)
        with pytest.raises(Unavailable):
            await reading
        assert (await database.reader.all(PID))[0].pid != row.pid


async def test_cancelled_read_discards_its_connection(
    database_url: str, second: asyncpg.Connection
) -> None:
    """The server may still respond to it, and no other caller may receive that response."""
    async with opened(database_url, DB_POOL_SIZE=1, DB_MAX_OVERFLOW=0) as database:
        (row,) = await database.reader.all(PID)
        reading = asyncio.ensure_future(database.reader.all(NAP, seconds=Decimal(60)))
        await is_under_way(second, row.pid)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert (await database.reader.all(PID))[0].pid != row.pid


async def test_overflow_connections_are_kept_for_a_while(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(database_url, DB_POOL_SIZE=1, DB_MAX_OVERFLOW=5) as database:

        async def burst() -> None:
            nap = Decimal("0.1")
            await asyncio.gather(*(database.reader.all(NAP, seconds=nap) for _ in range(4)))

        await burst()
        stayed = {"size": 1, "checked_out": 0, "checked_in": 4, "overflow": 3}
        assert database.pool_status() == stayed
        monkeypatch.setattr(engines, "IDLE_OVERFLOW_SECONDS", -1)
        for _ in range(4):
            async with database.transaction() as db:
                await db.execute(PID.statement)
        await database.engine.dispose()


async def test_prepared_statement_survives_a_migration(
    database: Database, second: asyncpg.Connection
) -> None:
    table = Table("changing", MetaData(), Column("it", Integer))
    query = Query(select(table.c.it))
    await second.execute("CREATE TABLE changing AS SELECT 1 AS it")
    try:
        assert [row.it for row in await database.reader.all(query)] == [1]
        await second.execute("ALTER TABLE changing ALTER it TYPE text USING 'one'")
        assert [row.it for row in await database.reader.all(query)] == ["one"]
    finally:
        await second.execute("DROP TABLE changing")


@pytest.mark.parametrize("pgbouncer", [False, True])
async def test_execute_autocommit_commits_one_statement(
    database_url: str, people: People, second: asyncpg.Connection, pgbouncer: bool
) -> None:
    one, two = await people.enter(), await people.enter()
    async with opened(database_url, DB_PGBOUNCER=pgbouncer) as database:
        (row,) = await database.execute_autocommit(RENAME, user_id=one.id, new_name="renamed")
        assert tuple(row) == (one.id, "renamed")
        name = "SELECT username FROM users WHERE id = $1"
        assert await second.fetchval(name, one.id) == "renamed"

        with pytest.raises(Rejected, match="Username already taken"):
            await database.execute_autocommit(RENAME, user_id=two.id, new_name="RENAMED")
        assert await database.execute_autocommit(RENAME, user_id=0, new_name="nobody") == []


async def test_connection_lost_during_a_write_is_outcome_unknown(
    database_url: str, second: asyncpg.Connection
) -> None:
    async with opened(database_url, DB_POOL_SIZE=1) as database:
        (row,) = await database.reader.all(PID)
        writing = asyncio.ensure_future(database.execute_autocommit(NAP, seconds=Decimal(60)))
        await is_under_way(second, row.pid)
        await second.execute("SELECT pg_terminate_backend($1, 10000)", row.pid)
        with pytest.raises(OutcomeUnknown):
            await writing


async def test_connections_to_a_read_only_server_are_replaced(
    database_url: str, people: People
) -> None:
    """All connections of the pool are replaced, also if only single statements use them."""
    person = await people.enter()
    both = asyncio.Barrier(2)

    async with opened(database_url, DB_POOL_SIZE=2, DB_MAX_OVERFLOW=0) as database:

        async def become_a_standby() -> None:
            async with database.transaction() as db:
                await db.execute(text("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"))
                await both.wait()

        await asyncio.gather(become_a_standby(), become_a_standby())
        with pytest.raises(Unavailable):
            await database.execute_autocommit(RENAME, user_id=person.id, new_name="renamed")
        for _ in range(3):
            assert await database.execute_autocommit(RENAME, user_id=person.id, new_name="renamed")


async def test_reader_refuses_writes(
    database: Database, people: People, second: asyncpg.Connection
) -> None:
    """It would be a separate transaction, and only `plinth/db` may commit."""
    person = await people.enter()
    hidden = RENAME.statement.cte("hidden")
    for query in (RENAME, Query(select(hidden.c.id))):
        with pytest.raises(RuntimeError, match="cannot run a statement that writes"):
            await database.reader.all(query, user_id=person.id, new_name="renamed")
    name = "SELECT username FROM users WHERE id = $1"
    assert await second.fetchval(name, person.id) != "renamed"
