"""Each index earns its place: on 100,000 users the queries of `app/crud` use it."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest
from sqlalchemy import event, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from app import crud
from app.core.config import settings
from app.core.database import Database
from app.core.reading import Query, one_of
from app.crud import figures
from app.crud.principal import by_session
from app.models import Base, User
from tests.support.databases import TestServices, cloned_database

SEED = """
    INSERT INTO users (email, username, hashed_password, full_name, is_active, created_at)
    SELECT md5(n::text) || '@example.com', 'user_' || n, 'x',
           initcap(substr(md5('first' || n), 1, 7)) || ' ' || initcap(substr(md5('l' || n), 1, 8)),
           n % 10 = 0, now() - n * interval '1 minute'
    FROM generate_series(1, 100000) AS n
"""
SIGN_IN = """
    INSERT INTO sessions (id, user_id, token_hash, expires_at, ends_at)
    SELECT gen_random_uuid(), id, sha256(username::bytea), 'infinity', 'infinity' FROM users
    ORDER BY id LIMIT 1000
"""


@pytest.fixture(scope="module")
def crowded(services: TestServices, worker_id: str) -> Iterator[str]:
    with cloned_database(services, f"{worker_id}_plans") as url:
        yield url


@pytest.fixture(scope="module")
async def many(crowded: str) -> AsyncIterator[Database]:
    connection = await asyncpg.connect(crowded)
    await connection.execute(SEED)
    await connection.execute(SIGN_IN)
    await connection.execute("VACUUM ANALYZE users, sessions")
    await connection.close()
    database = Database(crowded, settings, Base.metadata)
    yield database
    await database.close()


@pytest.fixture
async def crowd(many: Database) -> AsyncIterator[AsyncSession]:
    async with many.transaction() as db:
        yield db


async def indexes_used(db: AsyncSession, query: Any) -> set[str]:
    """The indexes in the plan of the one statement that `query` sends."""
    sent: list[tuple[str, Any]] = []
    connection = await db.connection()

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        sent.append((statement, parameters))

    event.listen(connection.sync_connection, "before_cursor_execute", note)
    await query
    event.remove(connection.sync_connection, "before_cursor_execute", note)
    ((statement, parameters),) = sent
    plan = (
        await connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", tuple(parameters))
    ).scalar_one()
    return set(find_indexes(plan[0]["Plan"]))


def find_indexes(plan: dict[str, Any]) -> Iterator[str]:
    if name := plan.get("Index Name"):
        yield name
    for part in plan.get("Plans", ()):
        yield from find_indexes(part)


@pytest.mark.parametrize("table", ["users", "sessions"])
async def test_look_ups_by_key_are_planned_once_however_many_ask(
    crowded: str, many: Database, table: str
) -> None:
    """Planning costs more than the look-up; and where the planner sees how many keys there are, it
    does so each time."""
    connection = await asyncpg.connect(crowded)
    keys = [row["id"] for row in await connection.fetch(f"SELECT id FROM {table} LIMIT 64")]
    query = (
        by_session if table == "sessions" else Query(select(User.id).where(one_of(User.id, "ids")))
    )
    statement = await connection.prepare(query.sql)
    for length in (1, 1, 1, 1, 1, 64, 1, 30, 1):
        await statement.fetch(keys[:length])
    counted = "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE name = $1"
    counts = await connection.fetchrow(counted, statement.get_name())
    await connection.close()
    assert tuple(counts) == (4, 5), "it looks at the first five, and decides by them"


@pytest.mark.parametrize("emails", [True, False], ids=["superuser", "user"])
async def test_a_search_by_a_rare_string(crowd: AsyncSession, emails: bool) -> None:
    query = crud.user.search_users(crowd, query="user_77777", emails=emails)
    assert await indexes_used(crowd, query) == {"ix_users_search_trgm"}
    found = await crud.user.search_users(crowd, query="USER_77777", emails=emails)
    assert [user.username for user in found] == ["user_77777"]


async def test_a_look_up_by_email(crowd: AsyncSession) -> None:
    query = crud.user.get_by_email(crowd, email="SOMEBODY@example.com")
    assert await indexes_used(crowd, query) == {"uq_users_email_lower"}


async def test_a_look_up_by_username(crowd: AsyncSession) -> None:
    query = crud.user.get_by_username(crowd, username="USER_5")
    assert await indexes_used(crowd, query) == {"uq_users_username_lower"}


async def test_the_newest_users(crowd: AsyncSession) -> None:
    connection = await crowd.connection()
    newest = text(
        "EXPLAIN (FORMAT JSON) SELECT * FROM users ORDER BY created_at DESC, id DESC LIMIT 20"
    )
    plan = (await connection.execute(newest)).scalar_one()
    assert set(find_indexes(plan[0]["Plan"])) == {"ix_users_created_at"}


async def test_the_newest_active_users(crowd: AsyncSession) -> None:
    query = crud.user.get_active_users(crowd, limit=20)
    assert await indexes_used(crowd, query) == {"ix_users_active"}


async def test_a_users_sessions_and_events(crowd: AsyncSession) -> None:
    await crowd.execute(text("SET LOCAL enable_seqscan = off"))  # they are empty here
    sessions = await indexes_used(crowd, crud.session.get_live(crowd, 1))
    assert "ix_sessions_user_id" in sessions
    events = await indexes_used(crowd, crud.event.get_of(crowd, 1, skip=0, limit=20))
    assert events == {"ix_events_subject_id"}
    assert await indexes_used(crowd, figures.by_day(crowd, days=30)) == {"ix_events_at"}
