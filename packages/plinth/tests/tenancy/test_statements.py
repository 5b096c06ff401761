"""Each statement sees the rows of its own organization only, on one connection of the pool."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg
import pytest
from sqlalchemy import func, insert, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from plinth.db.database import Database, release
from plinth.db.reading import Query, Reader, in_array
from plinth.db.tenancy import current_tenant, set_tenant, tenant
from plinth.errors import PlinthError
from tests.tenancy.notes import ADD, ALL, FAILING, OTHER, OURS, SHARED, Note

PID = Query(select(func.pg_backend_pid().label("pid")))
BY_ID = Query(select(Note.id, Note.organization_id).where(in_array(Note.id, "ids")))


async def seen(db: AsyncSession) -> set[int]:
    return set((await db.scalars(select(Note.organization_id))).all())


async def read(reader: Reader) -> list[int]:
    return sorted({row.organization_id for row in await reader.all(ALL)})


async def add(db: AsyncSession, organization_id: int) -> None:
    await db.execute(insert(Note).values(organization_id=organization_id, body="added"))


async def test_statement_sees_only_rows_of_its_tenant(pooled: Database) -> None:
    for organization_id in (OURS, OTHER) * 3:
        with tenant(organization_id):
            async with pooled.transaction() as db:
                assert await seen(db) == {organization_id}
            assert await read(pooled.reader) == [organization_id]


async def test_without_tenant_there_are_no_rows(pooled: Database) -> None:
    for _ in range(2):
        async with pooled.transaction() as db:
            assert await seen(db) == set()
        assert await read(pooled.reader) == []
        assert list(await pooled.reader.shared(SHARED)) == []
        async with pooled.read_connection() as connection:
            assert (await connection.execute(select(Note.id))).all() == []
        with tenant(OURS):  # the session keeps the setting, as an empty text
            assert await read(pooled.reader) == [OURS]


@pytest.mark.parametrize("value", ["1", "1', true); SELECT 1 --", True, 1.0])
async def test_tenant_is_an_integer(value: Any) -> None:
    refused = pytest.raises(TypeError, match="must be the id of an organization")
    with refused:
        set_tenant(value)
    with refused, tenant(value):
        pass


async def test_row_of_another_tenant_is_refused(
    pooled: Database, second: asyncpg.Connection
) -> None:
    for organization_id in (None, OURS):
        with tenant(organization_id), pytest.raises(PlinthError):
            async with pooled.transaction() as db:
                await add(db, OTHER)
        with tenant(organization_id), pytest.raises(PlinthError):
            await pooled.execute_autocommit(ADD, owner=OTHER)
    with tenant(OURS):
        async with pooled.transaction() as db:
            await db.execute(update(Note).values(body="changed"))
        with pytest.raises(PlinthError):
            async with pooled.transaction() as db:
                await db.execute(update(Note).values(organization_id=OTHER))
    changed = await second.fetch(
        "SELECT DISTINCT organization_id FROM tenant_notes WHERE body = 'changed'"
    )
    assert [row[0] for row in changed] == [OURS]
    assert await second.fetchval("SELECT count(*) FROM tenant_notes") == 5


async def test_tenant_holds_after_commit_and_release(pooled: Database) -> None:
    with tenant(OURS):
        async with pooled.transaction() as db:
            assert await seen(db) == {OURS}
            await release(db)
            assert await seen(db) == {OURS}
            await db.commit()
            assert await seen(db) == {OURS}
            await db.rollback()
            assert await seen(db) == {OURS}


async def test_tenant_follows_the_context_inside_a_transaction(pooled: Database) -> None:
    async with pooled.transaction() as db:
        assert await seen(db) == set()
        with tenant(OURS):
            assert await seen(db) == {OURS}
            with tenant(OTHER):
                assert await seen(db) == {OTHER}
            assert await seen(db) == {OURS}
        assert await seen(db) == set()
        set_tenant(OTHER)
        assert await seen(db) == {OTHER}
    set_tenant(None)


async def test_tenant_holds_in_savepoints(pooled: Database) -> None:
    async with pooled.transaction() as db:
        with tenant(OURS):
            async with db.begin_nested():
                assert await seen(db) == {OURS}
                with tenant(OTHER):
                    async with db.begin_nested() as inner:
                        assert await seen(db) == {OTHER}
                        await inner.rollback()
                    assert await seen(db) == {OTHER}
                assert await seen(db) == {OURS}
            assert await seen(db) == {OURS}
        for _ in range(2):
            with pytest.raises(DBAPIError):
                await fail_in_savepoint(db)
            assert await seen(db) == set()
            with tenant(OURS):
                assert await seen(db) == {OURS}


async def fail_in_savepoint(db: AsyncSession) -> None:
    async with db.begin_nested():
        with tenant(OTHER):
            await db.execute(text("SELECT 1 / 0"))


async def test_tenant_does_not_survive_an_error(pooled: Database) -> None:
    for _ in range(3):
        with tenant(OURS):
            (before,) = await pooled.reader.all(PID)
            with pytest.raises(PlinthError):
                await pooled.reader.all(FAILING)
            assert await pooled.reader.all(PID) == [before], "the connection was closed"
            with pytest.raises(PlinthError):
                async with pooled.transaction() as db:
                    await db.execute(text("SELECT 1 / 0"))
        assert await read(pooled.reader) == []
        async with pooled.transaction() as db:
            assert await seen(db) == set()
        with tenant(OTHER):
            assert await read(pooled.reader) == [OTHER]
    assert pooled.pool_status()["checked_out"] == 0


async def test_canceled_read_leaves_no_tenant(pooled: Database) -> None:
    sleep = Query(select(Note.organization_id).where(text("pg_sleep(30) IS NOT NULL")))
    for _ in range(2):
        with tenant(OURS):
            task = asyncio.create_task(pooled.reader.all(sleep))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await read(pooled.reader) == []
        with tenant(OTHER):
            assert await read(pooled.reader) == [OTHER]


async def test_concurrent_reads_of_two_tenants_are_not_shared(pooled: Database) -> None:
    async def load(reader: Reader, ids: Sequence[int]) -> Mapping[int, int]:
        assert current_tenant() == owner_of[ids[0]]
        return {row.id: row.organization_id for row in await reader.all(BY_ID, ids=ids)}

    async def read_as(organization_id: int) -> None:
        with tenant(organization_id):
            shared = await pooled.reader.shared(SHARED)
            assert {row.organization_id for row in shared} == {organization_id}
            for note_id in owner_of:
                mine = owner_of[note_id] == organization_id
                row = await pooled.reader.get(Note, note_id)
                assert (row is not None) == mine
                found = await loader.get(note_id) if mine else organization_id
                assert found == organization_id

    owner_of: dict[int, int] = {}
    for organization_id in (OURS, OTHER):
        with tenant(organization_id):
            async with pooled.transaction() as db:
                notes = (await db.execute(select(Note.id, Note.organization_id))).all()
        owner_of |= {note.id: note.organization_id for note in notes}
    loader = pooled.reader.batched(load)
    await asyncio.gather(*map(read_as, [OURS, OTHER] * 20))
    assert len(await pooled.reader.shared(SHARED)) == 0
    assert await pooled.reader.get(Note, next(iter(owner_of))) is None


async def test_each_way_to_a_connection_has_the_tenant(pooled: Database) -> None:
    for organization_id in (OURS, OTHER, OURS):
        with tenant(organization_id):
            async with pooled.read_connection() as connection:
                found = set((await connection.scalars(select(Note.organization_id))).all())
                assert found == {organization_id}
            async with pooled.read_only_session() as db:
                assert await seen(db) == {organization_id}
            assert await pooled.run_with_retries(seen) == {organization_id}
            rows = await pooled.execute_autocommit(ADD, owner=organization_id)
            assert [row.organization_id for row in rows] == [organization_id]


async def test_connection_without_transaction_refuses_a_tenant(pooled: Database) -> None:
    async with pooled.read_connection() as connection:
        await connection.execute(select(Note.id))
        with tenant(OURS):
            options = connection.sync_connection.get_execution_options()  # type: ignore[union-attr]
            if options.get("isolation_level") == "AUTOCOMMIT":
                with pytest.raises(RuntimeError, match="tenant"):
                    await connection.execute(select(Note.organization_id))
            else:  # through PgBouncer, each read has a transaction
                found = (await connection.scalars(select(Note.organization_id))).all()
                assert {*found} == {OURS}


async def test_hundreds_of_interleaved_statements_never_see_another_tenant(
    pooled: Database,
) -> None:
    async def work(organization_id: int) -> None:
        with tenant(organization_id):
            for _ in range(10):
                assert await read(pooled.reader) == [organization_id]
                async with pooled.transaction() as db:
                    await add(db, organization_id)
                    assert await seen(db) == {organization_id}

    await asyncio.gather(*map(work, [OURS, OTHER] * 5))


async def test_many_tenants_have_a_bounded_number_of_loaders(pooled: Database) -> None:
    for organization_id in range(1, 600):
        with tenant(organization_id):
            await pooled.reader.get(Note, 1)
    (loader,) = pooled.reader._by_id.values()  # noqa: SLF001
    assert len(loader._of_tenants) <= 256  # type: ignore[attr-defined]  # noqa: SLF001
