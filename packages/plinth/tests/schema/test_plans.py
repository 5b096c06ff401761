"""Each index earns its place: on 100,000 users the queries of `plinth/accounts/queries` use it."""

import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from sqlalchemy import Integer, column, event, func, select, table, text
from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import queries
from plinth.accounts.models import User
from plinth.accounts.queries import statistics
from plinth.accounts.queries.api_key.principal import by_key
from plinth.accounts.queries.principal import by_session
from plinth.config import settings
from plinth.db.database import Database
from plinth.db.models import Base
from plinth.db.reading import Query, in_array
from plinth.organizations.queries.member import by_membership
from plinth.organizations.queries.member_key import by_member_key
from plinth.resources.pages import ListParams
from plinth.testing.databases import TestServices, cloned_database

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
ADD_KEYS = """
    INSERT INTO api_keys (id, user_id, name, hash, scopes, networks, expires_at)
    SELECT gen_random_uuid(), user_id, 'CI', token_hash, '{}', '{}', now() + interval '1 day'
    FROM sessions, generate_series(1, 10)
"""
ORGANIZE = """
    INSERT INTO organizations (slug, name)
    SELECT 'company-' || n, n FROM generate_series(1, 1000) n;
    INSERT INTO memberships (organization_id, user_id, role)
    SELECT 1 + users.id % 1000, users.id, 'owner' FROM users
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
    await connection.execute(ADD_KEYS)
    await connection.execute(ORGANIZE)
    tables = "users, sessions, api_keys, organizations, memberships"
    await connection.execute(f"VACUUM ANALYZE {tables}")
    await connection.close()
    database = Database(crowded, settings, Base.metadata)
    yield database
    await database.close()


@pytest.fixture
async def crowd(many: Database) -> AsyncIterator[AsyncSession]:
    async with many.transaction() as db:
        yield db


@pytest.fixture
async def plain(crowded: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(crowded)
    yield connection
    await connection.close()


async def indexes_used(db: AsyncSession, query: Any) -> set[str]:
    return set(find_indexes(await find_plan(db, query)))


async def find_plan(db: AsyncSession, query: Any) -> dict[str, Any]:
    """Return the plan of the single statement that `query` sends."""
    sent: list[tuple[str, Any]] = []
    connection = await db.connection()

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        sent.append((statement, parameters))

    event.listen(connection.sync_connection, "before_cursor_execute", note)
    await query
    event.remove(connection.sync_connection, "before_cursor_execute", note)
    ((statement, parameters),) = sent
    explained = await connection.exec_driver_sql(
        f"EXPLAIN (FORMAT JSON) {statement}", tuple(parameters)
    )
    plan: dict[str, Any] = explained.scalar_one()[0]["Plan"]
    return plan


def find_indexes(plan: dict[str, Any]) -> Iterator[str]:
    return find_values(plan, "Index Name")


def find_values(plan: dict[str, Any], name: str) -> Iterator[str]:
    """Yield the values of all nodes of a plan."""
    if value := plan.get(name):
        yield value
    for part in plan.get("Plans", ()):
        yield from find_values(part, name)


@pytest.mark.parametrize("table", ["users", "sessions"])
async def test_lookups_by_key_use_a_generic_plan(
    many: Database, plain: asyncpg.Connection, table: str
) -> None:
    """Planning takes longer than the look-up, and a custom plan is planned at each execution."""
    keys = [row["id"] for row in await plain.fetch(f"SELECT id FROM {table} LIMIT 64")]
    query = (
        by_session
        if table == "sessions"
        else Query(select(User.id).where(in_array(User.id, "ids")))
    )
    statement = await plain.prepare(query.sql)
    for length in (1, 1, 1, 1, 1, 64, 1, 30, 1):
        await statement.fetch(keys[:length])
    counted = "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE name = $1"
    counts = await plain.fetchrow(counted, statement.get_name())
    assert tuple(counts) == (4, 5), "it looks at the first five, and decides by them"


async def test_principal_lookup_uses_primary_keys_only(
    many: Database, plain: asyncpg.Connection
) -> None:
    """If few users are signed in and their ids are low, a merge of both tables seems cheaper."""
    await plain.execute("SET plan_cache_mode = force_generic_plan")
    await plain.execute(f"PREPARE who AS {by_session.sql}")
    newest = "SELECT id FROM sessions ORDER BY user_id DESC LIMIT 1"
    key = await plain.fetchval(newest)
    run = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE who('{{{key}}}')"
    plan = json.loads(await plain.fetchval(run))[0]["Plan"]
    # The second one is the superuser of an impersonation, which is not looked up for this session.
    assert list(find_rows_read(plan, by="pk_users")) == [1, 0]


@pytest.mark.parametrize(
    ("table", "query"), [("sessions", by_membership), ("api_keys", by_member_key)]
)
async def test_member_lookup_uses_indexes_only(
    many: Database, plain: asyncpg.Connection, table: str, query: Query
) -> None:
    await plain.execute("SET plan_cache_mode = force_generic_plan")
    await plain.execute(f"PREPARE whose AS {query.sql}")
    key, slug = await plain.fetchrow(
        f"SELECT {table}.id, slug FROM {table} JOIN memberships USING (user_id)"
        " JOIN organizations ON organizations.id = organization_id ORDER BY user_id DESC LIMIT 1"
    )
    run = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE whose('{{{key}}}', '{{{slug}}}')"
    plan = json.loads(await plain.fetchval(run))[0]["Plan"]
    assert list(find_rows_read(plan, by=f"pk_{table}")) == [1]
    assert list(find_rows_read(plan, by="uq_organizations_slug")) == [1]
    assert {"pk_memberships", "ix_memberships_user_id"} & set(find_indexes(plan))
    assert "Seq Scan" not in set(find_values(plan, "Node Type"))


async def test_key_lookup_uses_primary_keys_only(many: Database, plain: asyncpg.Connection) -> None:
    await plain.execute("SET plan_cache_mode = force_generic_plan")
    await plain.execute(f"PREPARE whose_key AS {by_key.sql}")
    key = await plain.fetchval("SELECT id FROM api_keys ORDER BY user_id DESC LIMIT 1")
    run = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE whose_key('{{{key}}}')"
    plan = json.loads(await plain.fetchval(run))[0]["Plan"]
    assert list(find_rows_read(plan, by="pk_api_keys")) == [1]
    assert list(find_rows_read(plan, by="pk_users")) == [1]
    assert "Seq Scan" not in set(find_values(plan, "Node Type"))


def find_rows_read(plan: dict[str, Any], *, by: str) -> Iterator[float]:
    if plan.get("Index Name") == by:
        yield plan["Actual Rows"]
    for part in plan.get("Plans", ()):
        yield from find_rows_read(part, by=by)


@pytest.mark.parametrize("emails", [True, False], ids=["superuser", "user"])
async def test_search_by_a_rare_string_uses_the_trigram_index(
    crowd: AsyncSession, emails: bool
) -> None:
    query = queries.user.search_users(crowd, query="user_77777", emails=emails)
    assert await indexes_used(crowd, query) == {"ix_users_search_trgm"}
    found = await queries.user.search_users(crowd, query="USER_77777", emails=emails)
    assert [user.username for user in found] == ["user_77777"]


async def test_search_by_a_rare_sampled_value_uses_the_trigram_index(
    crowd: AsyncSession, plain: asyncpg.Connection
) -> None:
    """The planner assumes that each value in its sample is a hundredth of all rows.

    It would therefore scan all users in order.
    """
    bounds = await plain.fetchval("""
        SELECT histogram_bounds::text::text[] FROM pg_stats
        WHERE tablename = 'ix_users_search_trgm'
    """)
    assert len(bounds) == 101
    for bound in bounds[:20]:
        family = bound.split()[-1]
        for query in (
            queries.user.search_users(crowd, query=family),
            queries.user.listing.fetch(crowd, ListParams(limit=20, query=family)),
        ):
            assert await indexes_used(crowd, query) == {"ix_users_search_trgm"}


async def test_email_search_uses_only_the_local_part_in_the_index(
    crowd: AsyncSession, plain: asyncpg.Connection
) -> None:
    """All have the same domain: its letters are most of what the index holds."""
    email = await plain.fetchval("SELECT email FROM users WHERE id = 77777")
    for query in (
        queries.user.search_users(crowd, query=email),
        queries.user.listing.fetch(crowd, ListParams(limit=20, query=email)),
    ):
        plan = await find_plan(crowd, query)
        (asked,) = find_values(plan, "Index Cond")
        assert email.partition("@")[0] in asked
        assert "example.com" not in asked


@pytest.mark.parametrize("text", ["example.com", "e", "19"])
async def test_search_by_a_common_string_uses_the_sort_order(
    crowd: AsyncSession, text: str
) -> None:
    query = queries.user.search_users(crowd, query=text)
    assert await indexes_used(crowd, query) == {"pk_users"}


def cursor_at(sort: str, *values: object) -> str:
    return queries.user.listing.order(sort).encrypt(values, backwards=False)


DEEP = datetime.now(UTC) - timedelta(minutes=90_000)
PLANNED_ONCE = {
    "first": (ListParams(limit=20), "pk_users"),
    "newest": (ListParams(limit=20, sort="-created_at"), "ix_users_created_at"),
    "deep": (
        ListParams(limit=20, cursor=cursor_at("-created_at", DEEP, 90_000)),
        "ix_users_created_at",
    ),
    "by id": (ListParams(limit=20, cursor=cursor_at("id", 90_000)), "pk_users"),
}
PLANNED_EACH_TIME = {
    "search": ListParams(limit=20, query="user_77777"),
    "filter": ListParams(limit=20, filters={"is_active": [True]}),
    "skip": ListParams(limit=20, skip=20),
    "skip far": ListParams(limit=20, skip=90_000),
    "total": ListParams(limit=20, filters={"is_active": [True]}, total=True),
    "size": ListParams(limit=30),
}


@pytest.mark.parametrize("name", PLANNED_ONCE)
async def test_page_without_filters_uses_a_generic_plan_and_its_index(
    many: Database, plain: asyncpg.Connection, name: str
) -> None:
    """Planning takes PostgreSQL longer than executing the page."""
    wanted, index = PLANNED_ONCE[name]
    sql, values = await send_often(many, wanted)
    generic, custom = await count_plans(many, sql)
    assert generic > custom
    assert custom <= 5, "PostgreSQL tries that many before it compares"

    await plain.execute("SET plan_cache_mode = force_generic_plan")
    await plain.execute(f"PREPARE page AS {sql}")
    given = ", ".join(f"'{value}'" for value in values)
    run = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE page{f'({given})' if given else ''}"
    plan = json.loads(await plain.fetchval(run))[0]["Plan"]
    assert set(find_indexes(plan)) == {index}
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 50


@pytest.mark.parametrize("name", PLANNED_EACH_TIME)
async def test_page_that_depends_on_its_values_uses_custom_plans(many: Database, name: str) -> None:
    sql, _ = await send_often(many, PLANNED_EACH_TIME[name])
    generic, custom = await count_plans(many, sql)
    assert generic == 0
    assert custom > 5


async def send_often(many: Database, wanted: ListParams) -> tuple[str, list[Any]]:
    """Fetch a page repeatedly on one connection, and return what it sent."""
    sent: list[tuple[str, list[Any]]] = []
    lane: Any = many.reader._executor  # noqa: SLF001
    read = lane.read

    async def note(sql: str, values: list[Any], **more: float | None) -> Any:
        sent.append((sql, values))
        return await read(sql, values, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lane, "read", note)
        for _ in range(12):
            page = await queries.user.listing.fetch(many.reader, wanted)
            assert page.items
    return sent[-1]


async def count_plans(many: Database, sql: str) -> tuple[int, int]:
    """Return the number of executions with the generic plan, and with custom plans."""
    names = "generic_plans", "custom_plans"
    sums = (
        func.sum(column(it, Integer)).label(it) for it in names
    )  # over all its prepared statements
    statements = select(*sums).select_from(table("pg_prepared_statements"))
    (counted,) = await many.reader.all(Query(statements.where(column("statement") == sql)))
    return counted.generic_plans, counted.custom_plans


async def test_lookup_by_email_uses_its_index(crowd: AsyncSession) -> None:
    query = queries.user.get_by_email(crowd, email="SOMEBODY@example.com")
    assert await indexes_used(crowd, query) == {"uq_users_email_lower"}


async def test_lookup_by_username_uses_its_index(crowd: AsyncSession) -> None:
    query = queries.user.get_by_username(crowd, username="USER_5")
    assert await indexes_used(crowd, query) == {"uq_users_username_lower"}


async def test_newest_users_use_the_created_at_index(crowd: AsyncSession) -> None:
    connection = await crowd.connection()
    newest = text(
        "EXPLAIN (FORMAT JSON) SELECT * FROM users ORDER BY created_at DESC, id DESC LIMIT 20"
    )
    plan = (await connection.execute(newest)).scalar_one()
    assert set(find_indexes(plan[0]["Plan"])) == {"ix_users_created_at"}


async def test_newest_active_users_use_their_index(crowd: AsyncSession) -> None:
    query = queries.user.get_active_users(crowd, limit=20)
    assert await indexes_used(crowd, query) == {"ix_users_active"}


async def test_sessions_and_events_of_a_user_use_their_indexes(crowd: AsyncSession) -> None:
    await crowd.execute(text("SET LOCAL enable_seqscan = off"))  # the tables are empty here
    sessions = await find_plan(crowd, queries.session.get_live(crowd, 1))
    assert set(find_indexes(sessions)) == {"ix_sessions_live", "pk_users"}
    assert "Sort" not in set(find_values(sessions, "Node Type"))
    events = await indexes_used(crowd, queries.event.get_of(crowd, 1, skip=0, limit=20))
    assert events == {"ix_events_subject_id"}
    assert await indexes_used(crowd, statistics.count_by_day(crowd, days=30)) == {"ix_events_at"}
