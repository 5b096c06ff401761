"""A refused request is rolled back, except for records that must persist.

The tests read the database from a second connection after the response.
"""

import asyncpg
import pytest
from httpx2 import AsyncClient

from plinth.config import settings
from plinth.testing.answers import check_refusal
from plinth.testing.people import PASSWORD, People

WRONG = "Wrong-Horse-8"


async def newest(second: asyncpg.Connection) -> tuple[object, ...]:
    row = await second.fetchrow(
        "SELECT event, outcome, subject_id, session_id, request_id FROM events ORDER BY id DESC"
    )
    return tuple(row)


async def log_in(client: AsyncClient, email: str, password: str) -> int:
    headers = {"X-Request-ID": "refused"}
    credentials = {"email": email, "password": password}
    return (await client.post("/auth/login", json=credentials, headers=headers)).status_code


@pytest.mark.parametrize(("is_active", "password"), [(True, WRONG), (False, PASSWORD)])
async def test_failed_sign_in_is_audited(
    client: AsyncClient,
    people: People,
    second: asyncpg.Connection,
    is_active: bool,
    password: str,
) -> None:
    ann = await people.add(is_active=is_active)
    assert await log_in(client, ann.email, password) == (401 if is_active else 400)
    assert await newest(second) == ("session.started", "failure", ann.id, None, "refused")
    assert await second.fetchval("SELECT count(*) FROM sessions") == 0


async def test_failed_sign_in_of_an_unknown_user_is_audited(
    client: AsyncClient, second: asyncpg.Connection
) -> None:
    assert await log_in(client, "nobody@example.com", WRONG) == 401
    assert await newest(second) == ("session.started", "failure", None, None, "refused")


async def test_reached_limit_is_audited(
    client: AsyncClient,
    people: People,
    second: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings, "LIMITS_ENABLED", True)
    monkeypatch.setattr(settings, "LIMIT_LOGIN_ACCOUNT_IP", "1/1m")
    monkeypatch.setattr(settings, "LIMIT_LOGIN_IP", "1000/1m")
    ann = await people.add()
    assert [await log_in(client, ann.email, WRONG) for _ in range(2)] == [401, 429]
    assert await newest(second) == ("session.limited", "failure", ann.id, None, "refused")


@pytest.mark.parametrize("beside", [None, "an unreadable second field"])
async def test_replay_revokes_the_session_and_is_audited_despite_the_401(
    client: AsyncClient, people: People, second: asyncpg.Connection, beside: str | None
) -> None:
    ann = await people.enter()
    used = {"refresh_token": ann.tokens["refresh_token"], "other": beside}
    current = (await client.post("/auth/refresh", json=used)).json()
    await second.execute("UPDATE sessions SET last_used_at = now() - interval '11 seconds'")

    headers = {"X-Request-ID": "refused"}
    refused = await client.post("/auth/refresh", json=used, headers=headers)
    check_refusal(refused, 401, "Invalid refresh token")

    session = await second.fetchrow("SELECT id, revoked_at, revoked_reason FROM sessions")
    assert session["revoked_at"] is not None
    assert session["revoked_reason"] == "refresh token replayed"
    written = ("session.replayed", "failure", ann.id, session["id"], "refused")
    assert await newest(second) == written
    dead = {"Authorization": f"Bearer {current['access_token']}"}
    assert (await client.get("/users/me", headers=dead)).status_code == 401
    again = {"refresh_token": current["refresh_token"]}
    assert (await client.post("/auth/refresh", json=again)).status_code == 401


async def test_refused_change_is_rolled_back(
    client: AsyncClient, people: People, second: asyncpg.Connection
) -> None:
    ann, bob = await people.enter(), await people.add()
    everything = "SELECT users::text FROM users ORDER BY id"
    before = await second.fetch(everything)
    changes = {"full_name": "Changed", "username": bob.username}
    answer = await client.patch("/users/me", headers=ann.headers, json=changes)
    check_refusal(answer, 400, "Username already taken")
    assert await second.fetch(everything) == before
