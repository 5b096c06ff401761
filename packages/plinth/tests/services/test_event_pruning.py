"""Retention deletes a prefix of the audit log, behind a signed checkpoint."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from httpx2 import AsyncClient
from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import queries
from plinth.accounts.models import Event
from plinth.accounts.services import audit
from plinth.accounts.services.audit import checkpoints, pruning
from plinth.accounts.services.audit.pruning import prune_in_batches
from plinth.config import settings
from plinth.db import retention
from plinth.db.database import Database
from plinth.db.retention import RetentionError
from plinth.testing.people import People
from tests.support.old_rows import load_events

OLD_EVENTS = 25
MANY_EVENTS = 20_000
BATCH_SIZE = 10
UNGUARDED = "SET session_replication_role = replica"  # an intruder with all privileges
PRUNE = """
SELECT prune_events(
    coalesce((SELECT max(last_id) FROM event_checkpoints), 0), $1, $2, $3, now(), $4, 'x', 's', 'p'
)
"""


@pytest.fixture(autouse=True)
async def log(
    people: People,
    second: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Begin the log with events of 40 days ago and older, and end it with a new one."""
    monkeypatch.setattr(settings, "EVENT_KEEP_DAYS", 30)
    monkeypatch.setattr(pruning, "BATCH_SIZE", BATCH_SIZE)
    ann = await people.add()
    await load_events(second, ann.id, count=OLD_EVENTS)
    await people.sign_in(ann)


async def prune(database: Database) -> list[int]:
    return [count async for count in prune_in_batches(database)]


async def verify(database: Database, expect: str | None = None) -> audit.VerificationResult:
    async with database.transaction() as db:
        return await audit.verify(db, expect=expect)


async def find_flaw(database: Database) -> str:
    flaw = (await verify(database)).flaw
    assert flaw is not None
    return flaw


async def test_old_events_are_deleted_and_the_rest_is_valid(
    database: Database, second: asyncpg.Connection
) -> None:
    before = await verify(database)
    assert (before.count, before.flaw, before.deleted) == (OLD_EVENTS + 1, None, None)

    assert await prune(database) == [10, 10, 5]

    found = await verify(database, expect=before.head)
    assert (found.count, found.flaw, found.last_id) == (4, None, OLD_EVENTS + 4)
    assert found.deleted is not None
    assert found.deleted.last_id == OLD_EVENTS
    assert datetime.now(UTC) - found.deleted.deleted_at < timedelta(minutes=1)
    rows = await second.fetch("SELECT id, event, reason FROM events ORDER BY id")
    assert [row["id"] for row in rows] == [26, 27, 28, 29]
    assert {row["event"] for row in rows[1:]} == {"events.pruned"}
    assert rows[-1]["reason"].startswith("1 to 25, until ")
    assert await prune(database) == []


async def test_events_are_kept_without_the_setting(
    database: Database, second: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "EVENT_KEEP_DAYS", 0)
    assert await prune(database) == []
    assert await second.fetchval("SELECT count(*) FROM events") == OLD_EVENTS + 1


@pytest.mark.parametrize(("age", "batches"), [("30.9 days", []), ("31.1 days", [1])])
async def test_events_are_deleted_once_a_day(
    people: People,
    database: Database,
    second: asyncpg.Connection,
    age: str,
    batches: list[int],
) -> None:
    """Otherwise, each hour would delete some events and add one."""
    await second.execute(UNGUARDED)
    await second.execute("DELETE FROM events")
    await load_events(second, 1, count=1, age=age)
    await second.execute("RESET session_replication_role")
    await people.enter()
    assert await prune(database) == batches
    assert (await verify(database)).flaw is None


async def test_newest_event_stays(
    database: Database, second: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next event continues its number and hash."""
    monkeypatch.setattr(pruning, "BATCH_SIZE", 100)
    await second.execute(UNGUARDED)
    await second.execute("DELETE FROM events WHERE id > $1", OLD_EVENTS)
    batches = prune_in_batches(database)
    assert await anext(batches) == OLD_EVENTS - 1
    found = await verify(database)
    assert (found.count, found.flaw) == (2, None)
    assert await anext(batches) == 1


async def test_concurrent_workers_delete_each_event_once(
    database: Database, second: asyncpg.Connection
) -> None:
    batches = await asyncio.gather(*(prune(database) for _ in range(8)))
    assert sum(map(sum, batches)) == OLD_EVENTS
    found = await verify(database)
    assert (found.count, found.flaw) == (4, None)


async def test_verification_holds_during_the_deletion(database: Database) -> None:
    pruning_ = asyncio.create_task(prune(database))
    flaws = {(await verify(database)).flaw for _ in range(20)}
    assert flaws == {None}
    assert await pruning_ == [10, 10, 5]


async def test_log_is_valid_before_during_and_after_the_deletion_of_many_events(
    people: People,
    database: Database,
    second: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pruning, "BATCH_SIZE", retention.BATCH_SIZE)
    await second.execute(UNGUARDED)
    await second.execute("DELETE FROM events")
    await load_events(second, 1, count=MANY_EVENTS)
    await second.execute("RESET session_replication_role")
    await people.enter()
    deleting = prune_in_batches(database)
    assert (await verify(database)).count == MANY_EVENTS + 1

    for number in range(1, MANY_EVENTS // retention.BATCH_SIZE + 1):
        assert await anext(deleting) == retention.BATCH_SIZE
        if number % 5 == 0:
            found = await verify(database)
            left = MANY_EVENTS - number * retention.BATCH_SIZE
            assert (found.count, found.flaw) == (left + 1 + number, None)
    assert [count async for count in deleting] == []


async def test_verification_continues_after_a_deletion_in_between(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events 1 to 25 are deleted when it has read 1 to 4."""
    stream = queries.event.stream

    async def stream_and_prune(db: AsyncSession) -> AsyncIterator[Event]:
        monkeypatch.setattr(queries.event, "stream", stream)
        async for event in stream(db, batch=4):
            yield event
            if event.id == 4:
                await prune(database)

    monkeypatch.setattr(queries.event, "stream", stream_and_prune)
    found = await verify(database)
    assert (found.flaw, found.count) == (None, 4)


@pytest.mark.parametrize(
    ("tampering", "flaw"),
    [
        ("UPDATE events SET reason = 'x' WHERE id = 12", "event 12 was changed or moved"),
        ("UPDATE events SET ip = '10.0.0.1' WHERE id = 12", "the address or user agent of event"),
        ("DELETE FROM events WHERE id = 12", "event 12 is missing"),
        (
            "UPDATE events SET ip = NULL, user_agent = NULL, salt = NULL WHERE id = 12",
            "the address and user agent of event 12 were erased",
        ),
        ("UPDATE event_checkpoints SET signature = sha256('x')", "the signature of the checkpoint"),
    ],
)
async def test_altered_events_are_not_deleted(
    database: Database, second: asyncpg.Connection, tampering: str, flaw: str
) -> None:
    """Otherwise, retention would sign what an intruder changed, and delete the evidence."""
    batches = prune_in_batches(database)
    assert await anext(batches) == BATCH_SIZE
    await second.execute(UNGUARDED)
    await second.execute(tampering)
    left = await second.fetchval("SELECT count(*) FROM events")

    with pytest.raises(RetentionError, match=flaw):
        await anext(batches)

    assert await second.fetchval("SELECT count(*) FROM events") == left
    assert flaw in await find_flaw(database)


DELETE_ANOTHER = """
    DELETE FROM events WHERE id = 26;
    UPDATE event_checkpoints SET last_id = 26, hash = (SELECT hash FROM kept_events WHERE id = 26)
"""
ADD_CHECKPOINT = """
    INSERT INTO event_checkpoints
    SELECT 27, hash, now(), now(), signature FROM event_checkpoints
"""
REPLAY = "DELETE FROM event_checkpoints; INSERT INTO event_checkpoints SELECT * FROM kept"


@pytest.mark.parametrize(
    ("tampering", "flaw"),
    [
        ("DELETE FROM event_checkpoints", "event 1 is missing; the next event is 26"),
        (REPLAY, "event 11 is missing; the next event is 26"),
        ("DELETE FROM events WHERE id = 26", "event 26 is missing; the next event is 27"),
        ("DELETE FROM events", "event 26 is missing"),
        ("UPDATE event_checkpoints SET last_id = 26", "the signature of the checkpoint of event"),
        ("UPDATE event_checkpoints SET hash = sha256('x')", "the signature of the checkpoint"),
        ("UPDATE event_checkpoints SET newest_at = now()", "the signature of the checkpoint"),
        ("UPDATE event_checkpoints SET deleted_at = now()", "the signature of the checkpoint"),
        ("UPDATE event_checkpoints SET signature = ''", "the signature of the checkpoint"),
        (
            DELETE_ANOTHER,
            "the signature of the checkpoint of event 26 is wrong",
        ),
        (
            "INSERT INTO events SELECT * FROM kept_events WHERE id = 25",
            "event 25 was deleted by retention and inserted again",
        ),
        (
            "UPDATE events SET hash = sha256('x') WHERE id = 26",
            "event 26 was changed or moved: its hash does not match",
        ),
        (
            ADD_CHECKPOINT,
            "the signature of the checkpoint of event 27 is wrong",
        ),
    ],
)
async def test_tampering_with_the_deleted_part_is_detected(
    database: Database, second: asyncpg.Connection, tampering: str, flaw: str
) -> None:
    await second.execute("CREATE TEMPORARY TABLE kept_events AS SELECT * FROM events")
    batches = prune_in_batches(database)
    await anext(batches)
    await second.execute("CREATE TEMPORARY TABLE kept AS SELECT * FROM event_checkpoints")
    async for _ in batches:
        pass
    assert (await verify(database)).flaw is None

    await second.execute(UNGUARDED)
    await second.execute(tampering)

    assert flaw in await find_flaw(database)


async def test_checkpoint_signed_without_the_key_is_detected(
    database: Database, second: asyncpg.Connection
) -> None:
    """The application's role may call the function, but it cannot sign."""
    row = await second.fetchrow("SELECT * FROM events WHERE id = 20")
    assert await second.fetchval(PRUNE, 20, row["hash"], row["at"], bytes(32)) == 20
    assert "the signature of the checkpoint of event 20 is wrong" in await find_flaw(database)


@pytest.mark.parametrize(
    ("last_id", "statement", "reason"),
    [
        (27, "SELECT 1", "must be the next ones"),  # does not exist
        (26, "SELECT 1", "must be the next ones"),  # the newest event
        (None, "SELECT 1", "must be the next ones"),
        (0, "SELECT 1", "must be the next ones"),
        (10, "UPDATE events SET hash = sha256('x') WHERE id = 10", "must be the next ones"),
        (10, "UPDATE events SET at = now() - interval '29 days' WHERE id = 9", "younger than 30"),
        (10, "DELETE FROM events WHERE id = 5", "is missing"),
        (25, "UPDATE events SET at = now() + interval '1 day' WHERE id = 20", "younger than 30"),
    ],
)
async def test_database_refuses_to_delete_other_events(
    database: Database,
    second: asyncpg.Connection,
    last_id: int | None,
    statement: str,
    reason: str,
) -> None:
    row = await second.fetchrow("SELECT * FROM events WHERE id = $1", last_id)
    hash_, at = (row["hash"], row["at"]) if row else (b"", datetime.now(UTC))
    await second.execute(UNGUARDED)
    await second.execute(statement)
    await second.execute("RESET session_replication_role")
    left = await second.fetchval("SELECT count(*) FROM events")

    with pytest.raises(asyncpg.InsufficientPrivilegeError, match=reason):
        await second.execute(PRUNE, last_id, hash_, at, bytes(32))

    assert await second.fetchval("SELECT count(*) FROM events") == left
    assert await second.fetchval("SELECT count(*) FROM event_checkpoints") == 0


async def test_database_deletes_at_most_10000_events_at_once(second: asyncpg.Connection) -> None:
    await second.execute(UNGUARDED)
    await second.execute("DELETE FROM events")
    await load_events(second, 1, count=10_002)
    await second.execute("RESET session_replication_role")
    for last_id in (10_001, 10_000, 10_000):
        row = await second.fetchrow("SELECT hash, at FROM events WHERE id = $1", last_id)
        given = last_id, *(row or (b"", datetime.now(UTC))), bytes(32)
        if last_id == 10_000 and row:
            assert await second.fetchval(PRUNE, *given) == 10_000
        else:
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="10000 at most"):
                await second.execute(PRUNE, *given)


async def test_only_events_before_the_checkpoint_can_be_deleted(
    database: Database, second: asyncpg.Connection
) -> None:
    """Also by the owner of the table, and with a temporary table of the same name."""
    await prune(database)
    await second.execute("CREATE TEMPORARY TABLE event_checkpoints (last_id bigint)")
    await second.execute("INSERT INTO pg_temp.event_checkpoints VALUES (1000)")
    for condition in ("id = 26", "id > 26", "true"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="only ever added"):
            await second.execute(f"DELETE FROM events WHERE {condition}")


async def test_checkpoint_is_valid_after_a_change_of_the_secret_key(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await prune(database)
    earlier = settings.SECRET_KEY
    monkeypatch.setattr(settings, "SECRET_KEY", "x" * 40)
    assert "SECRET_KEY_FALLBACKS lack the key" in await find_flaw(database)
    assert await resign(database) == "unknown key"

    monkeypatch.setattr(settings, "SECRET_KEY_FALLBACKS", [earlier])
    assert (await verify(database)).flaw is None
    assert await resign(database) == "signed"
    assert await resign(database) == "current"

    monkeypatch.setattr(settings, "SECRET_KEY_FALLBACKS", [])
    assert (await verify(database)).flaw is None


async def resign(database: Database) -> str:
    async with database.transaction() as db:
        return await checkpoints.resign(db)


async def test_user_sees_the_events_that_are_left(
    client: AsyncClient, people: People, database: Database
) -> None:
    await prune(database)
    ben = await people.enter()
    answer = await client.get("/users/me/events", headers=ben.headers)
    assert [event["event"] for event in answer.json()] == ["session.started"]
