"""The audit log: committed with its cause, immutable, and verifiable."""

import asyncio
from contextlib import suppress

import asyncpg
import pytest
from httpx2 import AsyncClient

from plinth.accounts.services import administration, audit
from plinth.db.database import Database
from plinth.testing.people import PASSWORD, People

UNGUARDED = "SET session_replication_role = replica"  # an intruder with all privileges

SWAP_2_AND_3 = """
    UPDATE events SET id = 105 - id WHERE id IN (2, 3);
    UPDATE events SET id = id - 100 WHERE id > 100
"""


async def fill(client: AsyncClient, people: People, *, sign_ins: int = 5) -> None:
    ann = await people.add()
    for _ in range(sign_ins):
        await people.sign_in(ann)


async def verify(database: Database, *, expect: str | None = None) -> audit.VerificationResult:
    async with database.transaction() as db:
        return await audit.verify(db, expect=expect)


async def test_user_sees_only_events_of_their_account(client: AsyncClient, people: People) -> None:
    ann = await people.enter()
    await people.enter()
    await client.post("/auth/login", json={"email": ann.email, "password": "wrong"})
    change = {"password": "Other-Horse-8", "current_password": PASSWORD}
    await client.patch("/users/me", json=change, headers=ann.headers)

    answer = await client.get("/users/me/events", headers=ann.headers)

    told = [(event["event"], event["outcome"]) for event in answer.json()]
    assert told == [
        ("password.changed", "success"),
        ("session.started", "failure"),
        ("session.started", "success"),
    ]
    assert answer.json()[0]["ip"] == "127.0.0.1"


async def test_event_has_its_request_id_and_no_secret(
    client: AsyncClient, people: People, second: asyncpg.Connection
) -> None:
    ann = await people.enter()
    headers = ann.headers | {"X-Request-ID": "my-request", "User-Agent": "test-agent"}
    await client.post("/auth/logout", headers=headers)
    await client.post("/auth/login", json={"email": ann.email, "password": "Wr0ng-secret"})
    row = await second.fetchrow("SELECT * FROM events WHERE event = 'session.ended'")
    assert (row["request_id"], row["user_agent"]) == ("my-request", "test-agent")
    assert row["actor_id"] == row["subject_id"] == ann.id
    everything = str(await second.fetch("SELECT events::text FROM events"))
    for secret in (PASSWORD, "Wr0ng-secret", *ann.tokens.values()):
        if isinstance(secret, str) and secret != "bearer":
            assert secret not in everything


async def test_rolled_back_transaction_leaves_no_event_and_no_gap(
    client: AsyncClient, people: People, database: Database, second: asyncpg.Connection
) -> None:
    await fill(client, people)
    before = await second.fetchval("SELECT count(*) FROM events")
    with suppress(RuntimeError):
        async with database.transaction() as db:
            audit.record(db, "never.happened", subject_id=1)
            raise RuntimeError
    assert await second.fetchval("SELECT count(*) FROM events") == before
    await fill(client, people, sign_ins=1)
    assert (await verify(database)).flaw is None


async def test_chain_is_valid_after_concurrent_events(
    client: AsyncClient, people: People, database: Database
) -> None:
    each = [await people.add() for _ in range(20)]  # sign-ins of one user wait for each other
    await asyncio.gather(*map(people.sign_in, each))
    found = await verify(database)
    assert (found.count, found.flaw) == (20, None)


@pytest.mark.parametrize(
    ("tampering", "flaw"),
    [
        ("UPDATE events SET reason = 'nothing' WHERE id = 3", "event 3 was changed or moved"),
        ("UPDATE events SET actor_id = 1 WHERE id = 3", "event 3 was changed or moved"),
        ("UPDATE events SET at = at + interval '1s' WHERE id = 3", "event 3 was changed or moved"),
        ("UPDATE events SET ip = '10.0.0.1' WHERE id = 3", "the address or user agent of event 3"),
        (
            "UPDATE events SET ip = '10.0.0.1', salt = NULL WHERE id = 3",
            "the address or user agent of event 3",
        ),
        ("UPDATE events SET salt = 'other' WHERE id = 3", "the address or user agent of event 3"),
        ("UPDATE events SET personal = hash WHERE id = 3", "event 3 was changed or moved"),
        ("UPDATE events SET ip = NULL WHERE id = 3", "the address or user agent of event 3"),
        ("DELETE FROM events WHERE id = 3", "event 3 is missing"),
        ("DELETE FROM events WHERE id = 1", "event 1 is missing"),
        (
            SWAP_2_AND_3,
            "event 2 was changed or moved: its hash does not match",
        ),
    ],
)
async def test_tampering_is_detected(
    client: AsyncClient,
    people: People,
    database: Database,
    second: asyncpg.Connection,
    tampering: str,
    flaw: str,
) -> None:
    await fill(client, people)
    assert (await verify(database)).flaw is None
    await second.execute(UNGUARDED)
    await second.execute(tampering)
    found = (await verify(database)).flaw
    assert found is not None
    assert found.startswith(flaw)


async def test_truncation_is_detected_with_a_saved_head(
    client: AsyncClient, people: People, database: Database, second: asyncpg.Connection
) -> None:
    await fill(client, people)
    head = (await verify(database)).head
    await fill(client, people, sign_ins=1)
    assert (await verify(database, expect=head)).flaw is None
    await second.execute(UNGUARDED)
    await second.execute("DELETE FROM events WHERE id >= 5")
    assert (await verify(database)).flaw is None
    assert (await verify(database, expect=head)).flaw == "the expected head is not in the chain"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET reason = 'x'",
        "UPDATE events SET ip = NULL, user_agent = NULL, salt = NULL, reason = 'x'",
        "UPDATE events SET ip = '10.0.0.1'",
        "DELETE FROM events",
        "TRUNCATE events",
    ],
)
async def test_events_cannot_be_updated_or_deleted(
    client: AsyncClient, people: People, second: asyncpg.Connection, statement: str
) -> None:
    await fill(client, people, sign_ins=2)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="only ever added"):
        await second.execute(statement)


EMPTY = "UPDATE events SET ip = NULL, user_agent = NULL, salt = NULL"


async def test_personal_data_cleared_by_plain_sql_is_detected(
    client: AsyncClient, people: People, database: Database, second: asyncpg.Connection
) -> None:
    await fill(client, people)
    await second.execute(f"{EMPTY} WHERE id = 3")
    found = await verify(database)
    assert found.flaw is not None
    assert found.flaw.startswith("the address and user agent of event 3 were erased")


async def leave(people: People, database: Database) -> None:
    """A user signs in three times and is erased."""
    ann = await people.add()
    for _ in range(3):
        await people.sign_in(ann)
    async with database.transaction() as db:
        await administration.erase(db, ann.id)


@pytest.mark.parametrize(
    "tampering",
    [
        "WHERE id = 2",  # another's
        "WHERE event = 'user.erased'",  # the evidence itself
        "WHERE subject_id IS NULL",  # without a subject
    ],
)
async def test_erasure_covers_only_earlier_events_of_the_erased_user(
    client: AsyncClient,
    people: People,
    database: Database,
    second: asyncpg.Connection,
    tampering: str,
) -> None:
    await fill(client, people)
    await client.post("/auth/login", json={"email": "nobody@example.com", "password": "wrong-1A"})
    await leave(people, database)
    assert (await verify(database)).flaw is None
    assert await second.fetchval("SELECT count(*) FROM events WHERE salt IS NULL") == 3

    await second.execute(UNGUARDED)
    touched = await second.execute(f"{EMPTY} {tampering}")
    assert touched != "UPDATE 0"
    flaw = (await verify(database)).flaw
    assert flaw is not None
    assert "were erased, but no later user.erased event names its user" in flaw


async def test_replaced_personal_data_is_detected(
    people: People, database: Database, second: asyncpg.Connection
) -> None:
    await leave(people, database)
    await second.execute(UNGUARDED)
    await second.execute("UPDATE events SET ip = '10.0.0.1' WHERE id = 2")
    flaw = (await verify(database)).flaw
    assert flaw == "the address or user agent of event 2 was changed"


async def test_an_erasure_under_the_earlier_schema_is_recognized(
    client: AsyncClient, people: People, database: Database, second: asyncpg.Connection
) -> None:
    """Earlier versions cleared the rows with an UPDATE and recorded the event at commit."""
    await fill(client, people)
    ann = await people.add()
    for _ in range(2):
        await people.sign_in(ann)
    async with second.transaction():
        await second.execute("DELETE FROM users WHERE id = $1", ann.id)
        emptied = await second.execute(f"{EMPTY} WHERE actor_id = {ann.id}")
        await second.execute(
            "INSERT INTO events (event, outcome, subject_id, salt, personal)"
            " VALUES ('user.erased', 'success', $1, $2, $3)",
            ann.id,
            b"s",
            audit.digest_personal_data(b"s", None, None),
        )
    assert emptied == "UPDATE 2"
    assert (await verify(database)).flaw is None


async def test_forged_erasure_of_an_existing_account_is_detected(
    client: AsyncClient, people: People, database: Database, second: asyncpg.Connection
) -> None:
    await fill(client, people)
    ann = await second.fetchval("SELECT id FROM users")
    await second.execute(EMPTY)
    await second.execute(
        "INSERT INTO events (event, outcome, subject_id, salt, personal)"
        " VALUES ('user.erased', 'success', $1, $2, $3)",
        ann,
        b"s",
        audit.digest_personal_data(b"s", None, None),
    )
    assert (await verify(database)).flaw == (
        f"a user.erased event names user {ann}, whose account still exists"
    )


async def test_database_refuses_erasure_of_an_existing_account(
    client: AsyncClient, people: People, second: asyncpg.Connection
) -> None:
    await fill(client, people)
    ann = await second.fetchval("SELECT id FROM users")
    for number in (ann, None):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="only after the account"):
            await second.execute(
                "SELECT erase_event_traces($1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'x')",
                number,
            )


@pytest.mark.parametrize("trigger", ["chain_event", "refuse_event_change", "refuse_event_truncate"])
@pytest.mark.parametrize(
    ("disarm", "rearm"),
    [
        ("DISABLE TRIGGER {}", "ENABLE TRIGGER {}"),
        ("ENABLE REPLICA TRIGGER {}", "ENABLE TRIGGER {}"),
    ],
)
async def test_disabled_trigger_is_detected(
    database: Database, second: asyncpg.Connection, trigger: str, disarm: str, rearm: str
) -> None:
    assert (await verify(database)).flaw is None
    await second.execute(f"ALTER TABLE events {disarm.format(trigger)}")
    try:
        flaw = (await verify(database)).flaw
    finally:
        await second.execute(f"ALTER TABLE events {rearm.format(trigger)}")
    assert flaw is not None
    assert trigger in flaw


async def test_temporary_table_of_the_same_name_does_not_affect_the_chain(
    client: AsyncClient, people: People, database: Database, second: asyncpg.Connection
) -> None:
    await fill(client, people)
    await second.execute("CREATE TEMPORARY TABLE events (LIKE public.events)")
    await second.execute(
        "INSERT INTO public.events (event, outcome, salt, personal)"
        " VALUES ('x', 'success', $1, $2)",
        b"s",
        audit.digest_personal_data(b"s", None, None),
    )
    found = await verify(database)
    assert (found.count, found.flaw) == (6, None)
