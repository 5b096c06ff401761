"""The single statements by which a sign-in reads and writes."""

from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from plinth.accounts import queries
from plinth.accounts.queries.sign_in import Candidate
from plinth.accounts.services import audit
from plinth.config import settings
from plinth.db.database import Database
from plinth.db.models import Base
from plinth.request.client import Client
from plinth.testing.people import CHEAP_HASH, People

CLIENT = Client("192.0.2.7", "Firefox/1")
LIFETIME = timedelta(hours=3)


async def begin(
    database: Database, user: Candidate, *, session_id: UUID, lifetime: timedelta | None = None
) -> bool:
    epoch = await queries.sign_in.start_session(
        database,
        user,
        session_id=session_id,
        token_hash=bytes(32),
        aal=1,
        amr="pwd",
        client=CLIENT,
        lifetime=lifetime,
        event=audit.build_event("session.started", subject_id=user.id),
    )
    return epoch is not None


async def test_find_candidate_ignores_case(database: Database, people: People) -> None:
    person = await people.add(email="Ada.Lovelace@Example.com", is_superuser=True)
    found = await queries.sign_in.find_candidate(database.reader, "ada.lovelace@example.COM")
    assert found == Candidate(
        person.id, CHEAP_HASH, is_active=True, is_superuser=True, credential_epoch=0
    )
    assert await queries.sign_in.find_candidate(database.reader, "ada_lovelace@example.com") is None


@pytest.mark.parametrize("pgbouncer", [False, True])
@pytest.mark.parametrize("lifetime", [None, LIFETIME])
async def test_start_session_inserts_a_session_and_an_event(
    database: Database,
    database_url: str,
    people: People,
    second: asyncpg.Connection,
    pgbouncer: bool,
    lifetime: timedelta | None,
) -> None:
    person, session_id = await people.add(), uuid4()
    user = Candidate(person.id, CHEAP_HASH, is_active=True, is_superuser=False, credential_epoch=0)
    changed = settings.model_copy(update={"DB_PGBOUNCER": pgbouncer})
    other = Database(database_url, changed, Base.metadata)
    try:
        assert await begin(other, user, session_id=session_id, lifetime=lifetime)
    finally:
        await other.close()

    row = await second.fetchrow("SELECT *, host(ip) AS host FROM sessions")
    assert (row["id"], row["user_id"], row["token_hash"]) == (session_id, person.id, bytes(32))
    assert (row["host"], row["user_agent"]) == (CLIENT.ip, CLIENT.user_agent)
    longest = timedelta(days=settings.SESSION_ABSOLUTE_DAYS)
    idle = timedelta(days=min(settings.REFRESH_TOKEN_EXPIRE_DAYS, settings.SESSION_IDLE_DAYS))
    assert row["ends_at"] - row["created_at"] == (lifetime or longest)
    assert row["expires_at"] - row["created_at"] == min(lifetime or longest, idle)

    event = await second.fetchrow("SELECT * FROM events")
    assert (event["event"], event["outcome"]) == ("session.started", "success")
    assert event["actor_id"] == event["subject_id"] == person.id
    assert event["session_id"] == session_id
    async with database.transaction() as db:
        assert await audit.verify(db) == audit.VerificationResult(1, event["hash"].hex(), None)


@pytest.mark.parametrize("other", [{"credential_epoch": 1}, {"is_active": False}])
async def test_start_session_of_a_changed_user_writes_nothing(
    database: Database, people: People, second: asyncpg.Connection, other: dict[str, object]
) -> None:
    person = await people.add(**other)
    user = Candidate(person.id, CHEAP_HASH, is_active=True, is_superuser=False, credential_epoch=0)
    assert not await begin(database, user, session_id=uuid4())
    for table in ("sessions", "events"):
        assert await second.fetchval(f"SELECT count(*) FROM {table}") == 0
