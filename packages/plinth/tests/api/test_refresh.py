"""`POST /auth/refresh`, and the use of each kind of token on other routes."""

import asyncpg
import pytest
from httpx2 import AsyncClient, Response

from plinth.config import settings
from plinth.testing.answers import check_invalid, check_refusal
from plinth.testing.people import People, Person

INVALID = "Invalid refresh token"


async def refresh(client: AsyncClient, token: str) -> Response:
    return await client.post("/auth/refresh", json={"refresh_token": token})


async def test_refresh_returns_a_new_pair(client: AsyncClient, people: People) -> None:
    person = await people.enter()

    answer = await refresh(client, person.tokens["refresh_token"])

    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    tokens = answer.json()
    assert set(tokens) == {"access_token", "refresh_token", "token_type", "expires_in"}
    assert tokens["token_type"] == "bearer"
    assert tokens["expires_in"] == settings.ACCESS_TOKEN_EXPIRE_MINUTES * 60
    for name in ("access_token", "refresh_token"):
        assert tokens[name] != person.tokens[name]
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert (await client.get("/users/me", headers=headers)).json()["id"] == person.id
    assert (await refresh(client, tokens["refresh_token"])).status_code == 200


async def test_only_hashes_of_refresh_tokens_are_stored(
    client: AsyncClient, people: People, second: asyncpg.Connection
) -> None:
    person = await people.enter()
    new = (await refresh(client, person.tokens["refresh_token"])).json()["refresh_token"]

    stored = str(
        await second.fetchrow("SELECT sessions::text, encode(successor, 'escape') FROM sessions")
    )
    for token in (person.tokens["refresh_token"], new):
        assert token not in stored
        assert token[24:] not in stored


@pytest.mark.parametrize("token", ["", "nonsense", "A" * 88, "é" * 10, "a.b.c", "A" * 2048])
async def test_malformed_refresh_token_is_refused(
    client: AsyncClient, people: People, token: str
) -> None:
    await people.enter()

    check_refusal(await refresh(client, token), 401, INVALID)


async def test_refresh_token_is_required(client: AsyncClient) -> None:
    check_invalid(await client.post("/auth/refresh", json={}), "body.refresh_token")
    check_invalid(await refresh(client, "A" * 2049), "body.refresh_token")


async def test_access_and_refresh_tokens_are_not_interchangeable(
    client: AsyncClient, people: People
) -> None:
    person = await people.enter()
    swapped = {"Authorization": f"Bearer {person.tokens['refresh_token']}"}

    check_refusal(await refresh(client, person.tokens["access_token"]), 401, INVALID)
    for path in ("/users/me", "/users/search?q=per", f"/users/{person.id}", "/users/"):
        answer = await client.get(path, headers=swapped)
        check_refusal(answer, 401, "Could not validate credentials")
    assert (await refresh(client, person.tokens["refresh_token"])).status_code == 200


@pytest.mark.parametrize(
    "end",
    [
        "UPDATE users SET is_active = false",
        "DELETE FROM users",
        "DELETE FROM sessions",
        "UPDATE sessions SET expires_at = now()",
        "UPDATE sessions SET revoked_at = now()",
    ],
)
async def test_refresh_is_refused_when_the_session_or_user_ended(
    client: AsyncClient, people: People, second: asyncpg.Connection, end: str
) -> None:
    person = await people.enter()
    await second.execute(end)

    check_refusal(await refresh(client, person.tokens["refresh_token"]), 401, INVALID)


async def test_refresh_extends_the_session_up_to_its_absolute_end(
    client: AsyncClient, people: People, second: asyncpg.Connection
) -> None:
    person = await people.enter()
    await second.execute("UPDATE sessions SET expires_at = now() + interval '1 minute'")

    tokens = (await refresh(client, person.tokens["refresh_token"])).json()
    assert await second.fetchval(
        "SELECT expires_at > now() + interval '6 days' AND expires_at < ends_at FROM sessions"
    )

    await second.execute("UPDATE sessions SET ends_at = now() + interval '1 minute'")
    assert (await refresh(client, tokens["refresh_token"])).status_code == 200
    assert await second.fetchval("SELECT expires_at = ends_at FROM sessions")


async def test_revoked_session_does_not_affect_another_session(
    client: AsyncClient, people: People, second: asyncpg.Connection
) -> None:
    first: Person = await people.enter()
    other = await people.sign_in(first)

    await second.execute(
        "UPDATE sessions SET revoked_at = now()"
        " WHERE created_at = (SELECT min(created_at) FROM sessions)"
    )

    check_refusal(await refresh(client, first.tokens["refresh_token"]), 401, INVALID)
    assert (await client.get("/users/me", headers=first.headers)).status_code == 401
    assert (await client.get("/users/me", headers=other.headers)).status_code == 200
    assert (await refresh(client, other.tokens["refresh_token"])).status_code == 200
