"""Whatever runs beside it: when the revoke has answered, no token of the session is live."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import pytest
from httpx2 import AsyncClient, Response

from tests.support.people import PASSWORD, People, Person

pytestmark = pytest.mark.no_cover  # a thousand times the same: others cover it, and quicker

# A hundred over the three ways that a session can end; each round has four requests at once.
TIMES = 34
Revoke = Callable[[AsyncClient, Person, Person], Awaitable[Response]]


async def log_out(client: AsyncClient, person: Person, _: Person) -> Response:
    return await client.post("/auth/logout", headers=person.headers)


async def log_out_everywhere(client: AsyncClient, person: Person, _: Person) -> Response:
    return await client.post("/auth/logout-all", headers=person.headers)


async def deactivate(client: AsyncClient, person: Person, admin: Person) -> Response:
    change = {"is_active": False}
    return await client.patch(f"/users/{person.id}", json=change, headers=admin.headers)


async def refresh(client: AsyncClient, refresh_token: str) -> Response:
    return await client.post("/auth/refresh", json={"refresh_token": refresh_token})


async def live_tokens(client: AsyncClient, given: list[Response]) -> list[str]:
    """Of the tokens that these answers gave, those that still open a door."""
    pairs = [answer.json() for answer in given if answer.status_code == 200]
    live = []
    for pair in pairs:
        headers = {"Authorization": f"Bearer {pair['access_token']}"}
        if (await client.get("/users/me", headers=headers)).status_code == 200:
            live.append(pair["access_token"])
        if (await refresh(client, pair["refresh_token"])).status_code == 200:
            live.append(pair["refresh_token"])
    return live


@pytest.mark.parametrize("revoke", [log_out, log_out_everywhere, deactivate])
async def test_a_refresh_beside_the_revoke_leaves_no_live_token(
    client: AsyncClient, people: People, revoke: Revoke
) -> None:
    admin = await people.enter(is_superuser=True)
    for _ in range(TIMES):
        person = await people.enter()
        ended, *given = await asyncio.gather(
            revoke(client, person, admin),
            *(refresh(client, person.tokens["refresh_token"]) for _ in range(3)),
        )
        assert ended.status_code in (200, 204)
        assert all(answer.status_code in (200, 401) for answer in given)
        assert await live_tokens(client, given) == []


async def test_a_password_change_leaves_no_token_of_another_session_live(
    client: AsyncClient, people: People
) -> None:
    for number in range(TIMES):
        here = await people.enter()
        there = await people.sign_in(here)
        change = {"password": f"Other-Horse-{number}", "current_password": PASSWORD}
        credentials = {"email": here.email, "password": PASSWORD}
        changed, *given = await asyncio.gather(
            client.patch("/users/me", json=change, headers=here.headers),
            refresh(client, there.tokens["refresh_token"]),
            client.post("/auth/login", json=credentials),
            client.post("/auth/login", json=credentials),
        )
        assert changed.status_code == 200
        assert all(answer.status_code in (200, 401) for answer in given)
        assert await live_tokens(client, given) == []
        assert (await client.get("/users/me", headers=here.headers)).status_code == 200


async def test_a_sign_in_cannot_slip_in_behind_the_change_of_its_password(
    client: AsyncClient, people: People, second: asyncpg.Connection
) -> None:
    """The change is under way and holds the row when the old password has been found right."""
    ann = await people.add()
    change = second.transaction()
    await change.start()
    await second.execute("UPDATE users SET hashed_password = 'changed' WHERE id = $1", ann.id)
    credentials = {"email": ann.email, "password": PASSWORD}
    signing_in = asyncio.create_task(client.post("/auth/login", json=credentials))
    done, _ = await asyncio.wait([signing_in], timeout=0.3)
    assert not done, "the sign-in has to wait for the change"
    await change.commit()
    assert (await signing_in).status_code == 401
    assert await second.fetchval("SELECT count(*) FROM sessions") == 0
