"""One increment of `users.session_epoch` ends all sessions of a user."""

import asyncio
from uuid import UUID, uuid4

import asyncpg
import pytest
from httpx2 import AsyncClient

from plinth.accounts import queries
from plinth.accounts.queries import rotation as crud_rotation
from plinth.accounts.queries import session as crud_session
from plinth.accounts.queries import statistics
from plinth.accounts.services.retention import RULES
from plinth.accounts.services.sessions import end_all
from plinth.db.database import Database
from plinth.db.retention import RetentionWorker
from plinth.security.refresh_tokens import parse_refresh_token
from plinth.testing.databases import recorded_statements
from plinth.testing.people import PASSWORD, People, Person

INCREMENT = "UPDATE users SET session_epoch = session_epoch + 1 WHERE id = $1"
ANOTHER = """
    INSERT INTO sessions (user_id, token_hash, expires_at, ends_at, created_at)
    SELECT $1, sha256(n::text::bytea), 'infinity', 'infinity', now() - n * interval '1 minute'
    FROM generate_series(1, $2) AS n
"""
OUT_OF_GRACE = "UPDATE sessions SET last_used_at = now() - interval '11 seconds'"


def session_of(person: Person) -> UUID:
    token = parse_refresh_token(person.tokens["refresh_token"])
    assert token
    return token.session_id


async def status_of(client: AsyncClient, person: Person) -> int:
    return (await client.get("/users/me", headers=person.headers)).status_code


async def refresh(client: AsyncClient, token: str) -> int:
    return (await client.post("/auth/refresh", json={"refresh_token": token})).status_code


async def test_epoch_increment_invalidates_both_tokens(
    client: AsyncClient, people: People, second: asyncpg.Connection
) -> None:
    ann, ben = await people.enter(), await people.enter()
    await second.execute(INCREMENT, ann.id)
    assert await second.fetchval("SELECT bool_and(revoked_at IS NULL) FROM sessions")

    assert await status_of(client, ann) == 401
    assert await refresh(client, ann.tokens["refresh_token"]) == 401
    assert await status_of(client, ben) == 200
    assert await refresh(client, ben.tokens["refresh_token"]) == 200


@pytest.mark.parametrize("path", ["/auth/logout", "/auth/logout-all"])
async def test_ended_session_stays_ended_and_a_new_one_is_live(
    client: AsyncClient, people: People, second: asyncpg.Connection, path: str
) -> None:
    ann = await people.enter()
    other = await people.sign_in(ann)
    await client.post("/auth/logout-all", headers=ann.headers)
    again = await people.sign_in(ann)
    assert await second.fetchval("SELECT session_epoch FROM users") == 1
    assert [await status_of(client, it) for it in (ann, other, again)] == [401, 401, 200]
    assert (await client.post(path, headers=again.headers)).status_code == 204
    assert [await status_of(client, it) for it in (ann, other, again)] == [401, 401, 401]


async def test_session_of_an_older_epoch_is_never_refreshed(
    database: Database, client: AsyncClient, people: People, second: asyncpg.Connection
) -> None:
    ann = await people.enter()
    token = ann.tokens["refresh_token"]
    assert await refresh(client, token) == 200
    await second.execute(INCREMENT, ann.id)
    assert await refresh(client, token) == 401, "within the grace's time"
    hashes = await second.fetchrow("SELECT id, token_hash, previous_hash FROM sessions")
    rotation = crud_rotation.Rotation(hashes["id"], hashes["token_hash"], bytes(32), b"sealed")

    assert await queries.rotation.rotate(database, rotation) is None
    none = await queries.rotation.rotate_many(
        database, [rotation], min_idle=crud_rotation.GRACE_PERIOD - crud_rotation.GRACE_PERIOD
    )
    assert none == {}
    async with database.transaction() as db:
        assert (
            await queries.rotation.use_grace_period(db, hashes["id"], hashes["previous_hash"])
            is None
        )


async def test_session_of_an_older_epoch_is_not_listed_or_counted(
    database: Database, client: AsyncClient, people: People, second: asyncpg.Connection
) -> None:
    ann = await people.enter()
    await second.execute(INCREMENT, ann.id)
    here = await people.sign_in(ann)

    listed = (await client.get("/users/me/sessions", headers=here.headers)).json()
    assert [it["id"] for it in listed] == [str(session_of(here))]
    old = f"/users/me/sessions/{session_of(ann)}"
    assert (await client.delete(old, headers=here.headers)).status_code == 404
    async with database.transaction() as db:
        assert await queries.session.count_live(db) == 1
        totals = await statistics.get_totals(db)
    assert (totals.live_sessions, totals.signed_in) == (1, 1)


async def test_replay_on_a_session_of_an_older_epoch_is_not_audited(
    client: AsyncClient, people: People, second: asyncpg.Connection
) -> None:
    ann = await people.enter()
    assert await refresh(client, ann.tokens["refresh_token"]) == 200
    await second.execute(OUT_OF_GRACE)
    await second.execute(INCREMENT, ann.id)
    assert await refresh(client, ann.tokens["refresh_token"]) == 401
    replays = "SELECT count(*) FROM events WHERE event = 'session.replayed'"
    assert await second.fetchval(replays) == 0


async def test_kept_session_gets_the_new_epoch_unless_it_had_ended(
    database: Database, client: AsyncClient, people: People, second: asyncpg.Connection
) -> None:
    """A session that the owner has just revoked stays revoked.

    The attacker with this session knows the password and changes it at the same time.
    """
    ann = await people.enter()
    thief = await people.sign_in(ann)
    async with database.transaction() as db:
        await end_all(db, ann.id, reason="signed out everywhere")
        await queries.session.revoke_all(db, ann.id, "password changed", keep=session_of(thief))
    assert await status_of(client, thief) == 401
    await second.execute("UPDATE sessions SET revoked_at = NULL")  # also by its epoch alone
    assert await status_of(client, thief) == 401

    here = await people.sign_in(ann)
    change = {"password": "Other-Horse-8", "current_password": PASSWORD}
    assert (await client.patch("/users/me", json=change, headers=here.headers)).status_code == 200
    assert await status_of(client, here) == 200
    assert await second.fetchval("SELECT session_epoch FROM users") == 3


async def test_revoke_all_cannot_keep_a_session_of_another_user(
    database: Database, client: AsyncClient, people: People
) -> None:
    ann, eve = await people.enter(), await people.enter()
    async with database.transaction() as db:
        await queries.session.revoke_all(db, eve.id, "e-mail changed", keep=session_of(ann))
    assert [await status_of(client, it) for it in (ann, eve)] == [200, 401]


async def test_session_inserted_by_older_code_gets_the_current_epoch(
    people: People, second: asyncpg.Connection
) -> None:
    ann = await people.add()
    for _ in range(3):
        await second.execute(INCREMENT, ann.id)
        await second.execute(ANOTHER, ann.id, 1)
    assert await second.fetch("SELECT session_epoch FROM sessions ORDER BY 1") == [(1,), (2,), (3,)]
    with pytest.raises(asyncpg.NotNullViolationError):
        await second.execute(ANOTHER, ann.id + 1, 1)


async def test_sessions_beyond_max_ended_at_once_end_and_are_cleaned_up(
    database: Database,
    client: AsyncClient,
    people: People,
    second: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(crud_session, "MAX_ENDED_AT_ONCE", 5)
    monkeypatch.setattr(queries.session_cleanup, "BATCH_SIZE", 4)
    ann, ben = await people.enter(), await people.enter()
    await second.execute(ANOTHER, ann.id, 20)
    with recorded_statements(database) as sent:
        answer = await client.post("/auth/logout-all", headers=ann.headers)
    assert answer.status_code == 204
    assert len(sent) == 5, "one more, to note that there is more to do"
    marked = "SELECT count(revoked_at), count(*) FROM sessions WHERE user_id = $1"
    assert await second.fetchrow(marked, ann.id) == (5, 21)
    assert await status_of(client, ann) == 401
    here = await people.sign_in(ann)

    worker = RetentionWorker(database, RULES)
    for _ in range(20):
        await worker.run_batches()
    assert await second.fetchrow(marked, ann.id) == (5, 6), "those that are marked are kept a while"
    assert await second.fetchval("SELECT count(*) FROM session_cleanups") == 0
    assert [await status_of(client, it) for it in (here, ben)] == [200, 200]


async def test_newest_sessions_are_marked_first(
    database: Database, people: People, second: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest sessions are the most likely in use, and the previous release checks the mark."""
    monkeypatch.setattr(crud_session, "MAX_ENDED_AT_ONCE", 5)
    ann = await people.enter()
    await second.execute(ANOTHER, ann.id, 20)
    async with database.transaction() as db:
        await queries.session.revoke_all(db, ann.id, "x")
    are_new = "SELECT bool_and(created_at > now() - interval '4.5 minutes') FROM sessions"
    assert await second.fetchval(f"{are_new} WHERE revoked_at IS NOT NULL")


async def test_session_started_concurrently_is_marked(
    database: Database, people: People, second: asyncpg.Connection
) -> None:
    """The marking statement reads the sessions after it has locked the user's row."""
    ann = await people.add()
    signing_in = second.transaction()
    await signing_in.start()
    await second.execute("SELECT 1 FROM users WHERE id = $1 FOR NO KEY UPDATE", ann.id)
    await second.execute(ANOTHER, ann.id, 1)

    async def end() -> None:
        async with database.transaction() as db:
            await queries.session.revoke_all(db, ann.id, "signed out everywhere")

    ending = asyncio.create_task(end())
    done, _ = await asyncio.wait([ending], timeout=0.3)
    assert not done, "it waits for the sign-in"
    await signing_in.commit()
    await ending
    assert await second.fetchval("SELECT revoked_at IS NOT NULL FROM sessions")


async def test_sessions_of_a_deleted_user_are_dead_and_cleaned_up(
    database: Database,
    client: AsyncClient,
    people: People,
    second: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(crud_session, "MAX_ENDED_AT_ONCE", 5)
    monkeypatch.setattr(queries.session_cleanup, "BATCH_SIZE", 4)
    root, ann = await people.enter(is_superuser=True), await people.enter()
    await second.execute(ANOTHER, ann.id, 20)
    answer = await client.delete(f"/users/{ann.id}", headers=root.headers)
    assert answer.status_code == 204
    left = "SELECT count(*) FROM sessions WHERE user_id = $1"
    assert await second.fetchval(left, ann.id) == 16
    assert await status_of(client, ann) == 401
    assert await refresh(client, ann.tokens["refresh_token"]) == 401
    async with database.transaction() as db:
        assert await queries.session.count_live(db) == 1
        assert (await statistics.get_totals(db)).live_sessions == 1
    worker = RetentionWorker(database, RULES)
    for _ in range(10):
        await worker.run_batches()
    assert await second.fetchval(left, ann.id) == 0
    assert await status_of(client, root) == 200


async def test_cleanup_deletes_only_sessions_ended_before_the_retention_period(
    database: Database,
    client: AsyncClient,
    people: People,
    second: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(queries.session_cleanup, "BATCH_SIZE", 3)
    live = await people.enter()
    lately, long_ago = await people.enter(), await people.enter()
    expired, behind = await people.enter(), await people.enter()
    revoke = "UPDATE sessions SET revoked_at = now() - $2::interval WHERE user_id = $1"
    for person, age in ((lately, "29 days"), (long_ago, "31 days")):
        await second.execute(revoke.replace("$2::interval", f"interval '{age}'"), person.id)
    run_out = "UPDATE sessions SET expires_at = now() - interval '31 days' WHERE user_id = $1"
    await second.execute(run_out, expired.id)
    await second.execute(INCREMENT, behind.id)
    orphan = await people.enter()
    await second.execute("DELETE FROM users WHERE id = $1", orphan.id)

    worker = RetentionWorker(database, RULES)
    while await worker.run_batches():
        pass
    assert not await worker.run_batches(), "not again before an hour is over"
    left = await second.fetch("SELECT user_id FROM sessions ORDER BY 1")
    assert [row["user_id"] for row in left] == [live.id, lately.id]
    assert await status_of(client, live) == 200


async def test_concurrent_workers_share_the_cleanup(
    database: Database, people: People, second: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries.session_cleanup, "BATCH_SIZE", 50)
    ann = await people.add()
    for _ in range(3):
        await second.execute(ANOTHER, ann.id, 500)
        await second.execute(INCREMENT, ann.id)
        await second.execute("INSERT INTO session_cleanups VALUES ($1)", ann.id)
        workers = [RetentionWorker(database, RULES) for _ in range(8)]

        async def clean(worker: RetentionWorker) -> None:
            while await worker.run_batches():
                pass

        await asyncio.gather(*map(clean, workers))
        assert await second.fetchval("SELECT count(*) FROM sessions") == 0
        assert await second.fetchval("SELECT count(*) FROM session_cleanups") == 0


async def test_session_list_is_paginated(
    client: AsyncClient, people: People, second: asyncpg.Connection
) -> None:
    ann, root = await people.enter(), await people.enter(is_superuser=True)
    await second.execute(ANOTHER, ann.id, 150)
    for path, person in (("/users/me/sessions", ann), (f"/users/{ann.id}/sessions", root)):
        whole = (await client.get(path, headers=person.headers)).json()
        assert len(whole) == 100, "as many as one answer holds"
        rest = (await client.get(path, params={"skip": 100}, headers=person.headers)).json()
        assert len({it["id"] for it in (*whole, *rest)}) == 151
        some = (await client.get(path, params={"limit": 3}, headers=person.headers)).json()
        assert some == whole[:3]
        assert (
            await client.get(path, params={"limit": 101}, headers=person.headers)
        ).status_code == 422


async def test_revoking_sessions_of_an_unknown_user_is_not_an_error(database: Database) -> None:
    async with database.transaction() as db:
        await queries.session.revoke_all(db, 2**62, "x")
        assert await queries.session.revoke(db, uuid4(), "x") is None
