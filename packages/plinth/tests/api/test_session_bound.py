"""No more than SESSIONS_PER_USER sessions of a user are live: the least recently used one ends."""

import asyncio

import asyncpg
import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient

from plinth.accounts.services import audit
from plinth.config import settings
from plinth.db.database import Database
from plinth.testing.people import People
from tests.support.superuser import Superuser

ROUNDS, AT_ONCE = 20, 20
LIVE = "SELECT count(*) FROM sessions WHERE user_id = $1 AND revoked_at IS NULL"
ENDED = """
    SELECT session_id FROM events
    WHERE event = 'session.ended' AND outcome = 'success' AND actor_id = $1 AND subject_id = $1
        AND reason = 'more than SESSIONS_PER_USER sessions' ORDER BY id
"""


@pytest.fixture(autouse=True)
def three(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "SESSIONS_PER_USER", 3)


async def test_least_recently_used_session_is_revoked_and_audited(
    client: AsyncClient, people: People, second: asyncpg.Connection, database: Database
) -> None:
    ann, ben = await people.add(), await people.enter()
    first, middle, last = [await people.sign_in(ann) for _ in range(3)]
    assert await second.fetch(ENDED, ann.id) == []
    refreshed = await client.post(
        "/auth/refresh", json={"refresh_token": first.tokens["refresh_token"]}
    )
    assert refreshed.status_code == 200

    fourth = await people.sign_in(ann)

    people_and_answers = [(first, 200), (middle, 401), (last, 200), (fourth, 200), (ben, 200)]
    for person, status in people_and_answers:
        assert (await client.get("/users/me", headers=person.headers)).status_code == status
    ended = await second.fetch(
        "SELECT id, revoked_reason FROM sessions WHERE revoked_at IS NOT NULL"
    )
    assert [row["revoked_reason"] for row in ended] == ["more than SESSIONS_PER_USER sessions"]
    assert [row["session_id"] for row in await second.fetch(ENDED, ann.id)] == [ended[0]["id"]]
    async with database.transaction() as db:
        assert (await audit.verify(db)).flaw is None


@pytest.mark.parametrize(
    "ended",
    [
        "UPDATE sessions SET revoked_at = now()",
        "UPDATE sessions SET expires_at = now()",
        "UPDATE users SET session_epoch = session_epoch + 1",
    ],
)
async def test_ended_sessions_do_not_count(
    people: People, second: asyncpg.Connection, ended: str
) -> None:
    ann = await people.add()
    for _ in range(3):
        await people.sign_in(ann)
    await second.execute(ended)
    for _ in range(3):
        await people.sign_in(ann)
    assert await second.fetch(ENDED, ann.id) == []


@pytest.mark.no_cover
async def test_concurrent_sign_ins_keep_the_session_limit(
    people: People, second: asyncpg.Connection
) -> None:
    for before in range(ROUNDS):
        ann = await people.add()
        for _ in range(before % 4):
            await people.sign_in(ann)
        await asyncio.gather(*(people.sign_in(ann) for _ in range(AT_ONCE)))
        assert await second.fetchval(LIVE, ann.id) == 3
        ended = await second.fetch(ENDED, ann.id)
        assert len({row["session_id"] for row in ended}) == before % 4 + AT_ONCE - 3
        assert len(ended) == before % 4 + AT_ONCE - 3


async def test_admin_sessions_count(
    app: FastAPI, client: AsyncClient, people: People, second: asyncpg.Connection
) -> None:
    root = await people.add(is_superuser=True)
    first = await people.sign_in(root)
    async with AsyncClient(transport=ASGITransport(app), base_url="http://test") as browser:
        for _ in range(3):
            browser.cookies.clear()
            assert (await Superuser(browser).sign_in(root)).status_code == 303
    assert await second.fetchval(LIVE, root.id) == 3
    assert (await client.get("/users/me", headers=first.headers)).status_code == 401


async def test_each_sign_in_revokes_some_of_the_excess_of_an_earlier_release(
    people: People, second: asyncpg.Connection
) -> None:
    ann = await people.add()
    await second.execute(
        "INSERT INTO sessions (user_id, token_hash, expires_at, ends_at) SELECT"
        " $1, sha256(n::text::bytea), 'infinity', 'infinity' FROM generate_series(1, 50) AS n",
        ann.id,
    )
    left = []
    for _ in range(4):
        await people.sign_in(ann)
        left.append(await second.fetchval(LIVE, ann.id))
    assert left == [31, 12, 3, 3]
