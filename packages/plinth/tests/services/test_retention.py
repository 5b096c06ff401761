"""Old rows are deleted in small transactions, one rule for each table."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

from plinth.config import SettingsError, load_settings
from plinth.db import retention
from plinth.db.database import Database
from plinth.db.retention import RetentionError, RetentionRule, RetentionWorker, retention_worker
from plinth.observability import metrics
from plinth.organizations.services.retention import RULES
from plinth.testing.people import People
from plinth.testing.rows import Rows
from tests.support.command import PATIENCE, start_plinth
from tests.support.logs import logging_to_memory
from tests.support.metrics import scrape, shown_metrics

# Each adds a row of the user $1 that is $2 days old.
INSERT_MAIL = """
INSERT INTO mails (kind, created_at, sent_at)
SELECT 'x', now() - $2 * interval '1 day', now() WHERE $1 <> 0
"""
INSERT_CHALLENGE = """
INSERT INTO challenges (kind, user_id, secret_hash, expires_at)
VALUES ('x', $1, 'x', now() - $2 * interval '1 day')
"""
INSERT_TOKEN = """
INSERT INTO one_time_tokens (user_id, purpose, token_hash, email, expires_at)
VALUES ($1, left(gen_random_uuid()::text, 20), 'x' || $2::float8::text::bytea, 'x',
    now() - $2 * interval '1 day')
"""
INSERT_EARLIER_TOKEN = """
WITH newest AS (
    INSERT INTO one_time_tokens (user_id, purpose, token_hash, email, expires_at)
    VALUES ($1, left(gen_random_uuid()::text, 20), 'x' || $2::float8::text::bytea, 'x', now())
    RETURNING id
)
INSERT INTO earlier_one_time_tokens (newest_id, token_hash, expires_at)
SELECT id, 'x' || $2::float8::text::bytea, now() - $2 * interval '1 day' FROM newest
"""
INSERT_KEY = """
INSERT INTO idempotency_keys (user_id, key, fingerprint, created_at)
VALUES ($1, gen_random_uuid(), 'x', now() - $2 * interval '1 day')
"""
INSERT_INVITATION = """
WITH company AS (
    INSERT INTO organizations (slug, name) VALUES (left(gen_random_uuid()::text, 20), 'x')
    RETURNING id
)
INSERT INTO invitations
    (organization_id, email, email_canonical, role, token_hash, inviter_id, expires_at)
SELECT id, 'x', 'x', 'x', sha256(id::text::bytea), $1, now() - $2 * interval '1 day' FROM company
"""
INSERT_SLUG = """
INSERT INTO released_slugs (slug, organization_id, released_at)
VALUES (left(gen_random_uuid()::text, 20), $1, now() - $2 * interval '1 day')
"""
# The statement, the column that has the age, and the days after which the row is deleted.
ROWS = {
    "mails": (INSERT_MAIL, "created_at", 30),
    "challenges": (INSERT_CHALLENGE, "expires_at", 0),
    "one_time_tokens": (INSERT_TOKEN, "expires_at", 0),
    "earlier_one_time_tokens": (INSERT_EARLIER_TOKEN, "expires_at", 0),
    "idempotency_keys": (INSERT_KEY, "created_at", 1),
    "invitations": (INSERT_INVITATION, "expires_at", 30),
    "released_slugs": (INSERT_SLUG, "released_at", 90),
}


def find_rule(table: str) -> RetentionRule:
    return next(rule for rule in RULES if rule.table == table)


async def sweep(database: Database, table: str) -> list[int]:
    return [count async for count in find_rule(table).batches(database)]


@pytest.mark.parametrize("table", ROWS)
async def test_rows_are_deleted_at_their_age(
    database: Database, people: People, second: asyncpg.Connection, table: str
) -> None:
    statement, column, days = ROWS[table]
    ann = await people.add()
    for age in (days - 0.1, days + 0.1):
        await second.execute(statement, ann.id, age)
    assert sum(await sweep(database, table)) == 1
    left = await second.fetchval(f"SELECT {column} FROM {table}")
    assert datetime.now(UTC) - left < timedelta(days=days)


async def test_failed_mail_is_deleted_and_waiting_mail_is_not(
    database: Database, rows: Rows
) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=99)
    await rows.add("mails", created_at=long_ago)
    assert await sweep(database, "mails") == [0]
    await rows.add("mails", created_at=long_ago, dead_at=long_ago)
    assert await sweep(database, "mails") == [1]


async def test_no_transaction_deletes_more_than_one_batch(
    database: Database,
    people: People,
    second: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retention, "BATCH_SIZE", 4)
    ann = await people.add()
    await second.execute(
        "INSERT INTO idempotency_keys (user_id, key, fingerprint, created_at)"
        " SELECT $1, n, 'x', now() - make_interval(days => 2, secs => n)"
        " FROM generate_series(1, 10) AS n",
        ann.id,
    )
    assert await sweep(database, "idempotency_keys") == [4, 4, 2]


async def test_locked_rows_are_left_for_the_next_time(
    database: Database, people: People, second: asyncpg.Connection
) -> None:
    """So workers do not wait for each other or for requests."""
    ann = await people.add()
    for _ in range(3):
        await second.execute(INSERT_KEY, ann.id, 2)
    async with second.transaction():
        await second.execute("SELECT FROM idempotency_keys LIMIT 1 FOR UPDATE")
        assert await sweep(database, "idempotency_keys") == [2]
    assert await sweep(database, "idempotency_keys") == [1]


async def test_concurrent_sweeps_delete_each_row_once(
    database: Database,
    people: People,
    second: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retention, "BATCH_SIZE", 20)
    ann = await people.add()
    await second.execute(
        "INSERT INTO idempotency_keys (user_id, key, fingerprint, created_at)"
        " SELECT $1, n, 'x', now() - make_interval(days => 2, secs => n)"
        " FROM generate_series(1, 500) AS n",
        ann.id,
    )
    counts = await asyncio.gather(*(sweep(database, "idempotency_keys") for _ in range(8)))
    assert sum(map(sum, counts)) == 500


async def two_batches(_: Database) -> AsyncIterator[int]:
    yield 3
    yield 2


async def refuse(_: Database) -> AsyncIterator[int]:
    yield 1
    raise RetentionError("not now")


async def fail(_: Database) -> AsyncIterator[int]:
    yield 1
    raise ZeroDivisionError


async def test_worker_runs_each_rule_until_its_end_and_again_after_an_interval(
    database: Database,
) -> None:
    rules = RetentionRule("a", two_batches), RetentionRule("b", two_batches, interval_seconds=0)
    worker = RetentionWorker(database, rules)
    deleted = metrics.retention_deleted.labels("a")
    before = deleted._value.get()  # noqa: SLF001 - the client has no other way to read it
    with logging_to_memory() as log:
        assert [await worker.run_batches() for _ in range(5)] == [True, True, False, True, True]
    assert deleted._value.get() - before == 5  # noqa: SLF001
    assert [line["event"] for line in log.lines] == [
        "retention deleted 5 rows of the table a",
        "retention deleted 5 rows of the table b",
    ]


@pytest.mark.parametrize(("failing", "message"), [(refuse, "not now"), (fail, "unexpected error")])
async def test_failing_rule_does_not_stop_the_others(
    database: Database, failing: retention.Batches, message: str
) -> None:
    worker = RetentionWorker(
        database, [RetentionRule("a", failing), RetentionRule("b", two_batches)]
    )
    with logging_to_memory() as log:
        assert [await worker.run_batches() for _ in range(3)] == [True, True, False]
    assert [line["level"] for line in log.lines] == ["error", "info"]
    assert message in log.lines[0]["event"]


async def test_worker_ends_during_a_long_sweep(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "PAUSE_SECONDS", 3600)
    async with asyncio.timeout(30), retention_worker(database, [RetentionRule("a", two_batches)]):
        await asyncio.sleep(0)


@pytest.mark.parametrize("days", [1, 29, -1])
def test_events_are_kept_for_30_days_at_least(days: int) -> None:
    with pytest.raises(SettingsError, match="EVENT_KEEP_DAYS"):
        load_settings(EVENT_KEEP_DAYS=days)
    assert [load_settings(EVENT_KEEP_DAYS=it).EVENT_KEEP_DAYS for it in (0, 30)] == [0, 30]


async def test_worker_process_deletes_old_rows(
    people: People, second: asyncpg.Connection, environment: dict[str, str], tmp_path: Path
) -> None:
    ann = await people.add()
    await second.execute(INSERT_KEY, ann.id, 2)
    worker = start_plinth("worker", log=tmp_path / "worker.log", **environment)
    try:
        async with asyncio.timeout(PATIENCE):
            while await second.fetchval("SELECT count(*) FROM idempotency_keys"):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    finally:
        worker.terminate()
        code = await asyncio.to_thread(worker.wait, PATIENCE)
    assert code == 0, (tmp_path / "worker.log").read_text()


async def test_sizes_of_tables_are_metrics(database: Database) -> None:
    async with shown_metrics(database) as port:
        found = await scrape(port)
    for rule in RULES:
        assert found.value("plinth_table_bytes", table=rule.table), rule.table
