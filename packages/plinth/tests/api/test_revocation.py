"""A revoked session ends at the next request, and the revocation is committed."""

from base64 import urlsafe_b64decode, urlsafe_b64encode

import asyncpg
import pytest
from httpx2 import AsyncClient

from plinth.testing.answers import check_refusal
from plinth.testing.people import PASSWORD, People, Person

INVALID = "Invalid refresh token"
UNAUTHENTICATED = "Could not validate credentials"
OUT_OF_GRACE = "UPDATE sessions SET last_used_at = now() - interval '11 seconds'"


async def refresh(client: AsyncClient, token: str) -> str:
    answer = await client.post("/auth/refresh", json={"refresh_token": token})
    assert answer.status_code == 200, answer.text
    new = answer.json()["refresh_token"]
    assert isinstance(new, str)
    return new


async def refuse(client: AsyncClient, token: str) -> None:
    answer = await client.post("/auth/refresh", json={"refresh_token": token})
    check_refusal(answer, 401, INVALID)


async def test_replayed_refresh_token_revokes_the_session(
    client: AsyncClient, people: People, second: asyncpg.Connection
) -> None:
    person = await people.enter()
    first = person.tokens["refresh_token"]
    current = await refresh(client, first)
    await second.execute(OUT_OF_GRACE)

    await refuse(client, first)

    ended = await second.fetchrow("SELECT revoked_at, revoked_reason FROM sessions")
    assert ended["revoked_at"] is not None
    assert ended["revoked_reason"] == "refresh token replayed"
    check_refusal(await client.get("/users/me", headers=person.headers), 401, UNAUTHENTICATED)
    await refuse(client, current)


async def test_token_older_than_the_previous_one_is_a_replay_at_once(
    client: AsyncClient, people: People, second: asyncpg.Connection
) -> None:
    person = await people.enter()
    first = person.tokens["refresh_token"]
    await refresh(client, await refresh(client, first))

    await refuse(client, first)

    assert await second.fetchval("SELECT revoked_at IS NOT NULL FROM sessions")


async def test_replay_keeps_other_sessions(client: AsyncClient, people: People) -> None:
    person = await people.enter()
    elsewhere = await people.sign_in(person)
    first = person.tokens["refresh_token"]
    await refresh(client, await refresh(client, first))

    await refuse(client, first)

    assert (await client.get("/users/me", headers=elsewhere.headers)).status_code == 200
    await refresh(client, elsewhere.tokens["refresh_token"])


async def test_grace_period_returns_the_current_token_three_times(
    client: AsyncClient, people: People, second: asyncpg.Connection
) -> None:
    person = await people.enter()
    first = person.tokens["refresh_token"]
    current = await refresh(client, first)

    for _ in range(3):
        assert await refresh(client, first) == current
    await refuse(client, first)

    assert await second.fetchval("SELECT revoked_at IS NULL AND rotations = 1 FROM sessions")
    await refresh(client, current)


@pytest.mark.parametrize("changed", ["secret", "mark", "both"])
async def test_forged_token_revokes_nothing(
    client: AsyncClient, people: People, second: asyncpg.Connection, changed: str
) -> None:
    person = await people.enter()
    token = person.tokens["refresh_token"]
    data = bytearray(urlsafe_b64decode(token))
    if changed in {"secret", "both"}:
        data[20] ^= 1
    if changed in {"mark", "both"}:
        data[-1] ^= 1
    assert bytes(data[:16]) == urlsafe_b64decode(token)[:16], "the session's id is the right one"

    await refuse(client, urlsafe_b64encode(bytes(data)).decode())

    assert await second.fetchval("SELECT revoked_at IS NULL FROM sessions")
    assert (await client.get("/users/me", headers=person.headers)).status_code == 200
    await refresh(client, token)


@pytest.mark.parametrize(
    "end",
    [
        "UPDATE users SET is_active = false",
        "UPDATE sessions SET expires_at = now() - interval '1 day'",
    ],
)
async def test_expired_current_token_is_not_a_replay(
    client: AsyncClient, people: People, second: asyncpg.Connection, end: str
) -> None:
    person = await people.enter()
    current = await refresh(client, person.tokens["refresh_token"])
    await second.execute(OUT_OF_GRACE)
    await second.execute(end)

    await refuse(client, current)

    assert await second.fetchval("SELECT revoked_reason FROM sessions") is None


async def test_password_change_revokes_other_sessions_and_keeps_the_current_one(
    client: AsyncClient, people: People, second: asyncpg.Connection
) -> None:
    changes = {"password": "Other-Horse-8", "current_password": PASSWORD}
    mine = await people.enter()
    thief = await people.sign_in(mine)
    stranger = await people.enter()

    answer = await client.patch("/users/me", headers=mine.headers, json=changes)

    assert answer.status_code == 200
    check_refusal(await client.get("/users/me", headers=thief.headers), 401, UNAUTHENTICATED)
    await refuse(client, thief.tokens["refresh_token"])
    for person in (mine, stranger):
        assert (await client.get("/users/me", headers=person.headers)).status_code == 200
        await refresh(client, person.tokens["refresh_token"])
    ended = await second.fetch("SELECT user_id FROM sessions WHERE revoked_at IS NOT NULL")
    assert [row["user_id"] for row in ended] == [mine.id]


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ("UPDATE users SET is_active = false", (400, "Inactive user")),
        ("UPDATE users SET is_superuser = false", (403, "The user doesn't have enough privileges")),
        ("DELETE FROM users", (401, UNAUTHENTICATED)),
        ("DELETE FROM sessions", (401, UNAUTHENTICATED)),
        ("UPDATE sessions SET revoked_at = now()", (401, UNAUTHENTICATED)),
        ("UPDATE sessions SET expires_at = now()", (401, UNAUTHENTICATED)),
    ],
)
async def test_removed_right_is_gone_at_the_next_request(
    client: AsyncClient,
    people: People,
    second: asyncpg.Connection,
    change: str,
    refusal: tuple[int, str],
) -> None:
    person = await people.enter(is_superuser=True)
    assert (await client.get("/users/", headers=person.headers)).status_code == 200

    await second.execute(change)

    check_refusal(await client.get("/users/", headers=person.headers), *refusal)
    answer = await client.delete(f"/users/{person.id + 1}", headers=person.headers)
    check_refusal(answer, *refusal)


async def test_granted_right_applies_at_the_next_request(
    client: AsyncClient, people: People, second: asyncpg.Connection
) -> None:
    person = await people.enter()
    assert (await client.get("/users/", headers=person.headers)).status_code == 403

    await second.execute("UPDATE users SET is_superuser = true")

    assert (await client.get("/users/", headers=person.headers)).status_code == 200


async def test_token_of_a_session_moved_to_another_user_is_refused(
    client: AsyncClient, people: People, second: asyncpg.Connection
) -> None:
    one: Person = await people.enter()
    other = await people.enter()

    await second.execute("UPDATE sessions SET user_id = $1 WHERE user_id = $2", other.id, one.id)

    check_refusal(await client.get("/users/me", headers=one.headers), 401, UNAUTHENTICATED)
