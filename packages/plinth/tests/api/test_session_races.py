"""After the response to a revocation, no token of the session is live, also under races."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient, Response

from plinth.security import passwords
from plinth.testing.people import PASSWORD, People, Person
from tests.support.hashing import Held
from tests.support.superuser import Superuser
from tests.support.waiting import until

pytestmark = pytest.mark.no_cover  # a thousand repetitions; other tests cover this faster

# A hundred rounds over the three ways to end a session, with four concurrent requests each.
TIMES = 34
SignIn = Callable[[FastAPI, Person], Awaitable[Response]]
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
    """Return the tokens of these responses that are still valid."""
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
async def test_refresh_during_a_revocation_leaves_no_live_token(
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


CHANGES = {
    "password": "UPDATE users SET hashed_password = 'changed' WHERE id = $1",
    "inactive": "UPDATE users SET is_active = false WHERE id = $1",
    "removed": "DELETE FROM users WHERE id = $1",
}
changes = pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)


async def has_no_session(second: asyncpg.Connection, user_id: int) -> bool:
    event = await second.fetchrow("SELECT event, outcome, subject_id, session_id FROM events")
    assert tuple(event) == ("session.started", "failure", user_id, None)
    counted: int = await second.fetchval("SELECT count(*) FROM sessions")
    return counted == 0


@changes
async def test_sign_in_that_waits_for_a_credential_change_is_refused(
    people: People, second: asyncpg.Connection, change: str
) -> None:
    """The change holds the lock of the row when the old password has been verified."""
    ann = await people.add()
    changing = second.transaction()
    await changing.start()
    await second.execute(change, ann.id)
    signing_in = asyncio.create_task(people.try_to_sign_in(ann))
    done, _ = await asyncio.wait([signing_in], timeout=0.3)
    assert not done, "the sign-in has to wait for the change"
    await changing.commit()
    assert (await signing_in).status_code == 401
    assert await has_no_session(second, ann.id)


async def sign_in_to_the_api(app: FastAPI, person: Person) -> Response:
    async with AsyncClient(
        transport=ASGITransport(app, raise_app_exceptions=False), base_url="http://test/api/v1"
    ) as client:
        credentials = {"email": person.email, "password": PASSWORD}
        return await client.post("/auth/login", json=credentials)


async def sign_in_to_the_admin(app: FastAPI, person: Person) -> Response:
    async with AsyncClient(
        transport=ASGITransport(app, raise_app_exceptions=False), base_url="http://test"
    ) as client:
        return await Superuser(client).sign_in(person)


@pytest.mark.parametrize("sign_in", [sign_in_to_the_api, sign_in_to_the_admin])
@changes
async def test_change_during_password_verification_prevents_the_session(
    app: FastAPI,
    people: People,
    second: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    sign_in: SignIn,
    change: str,
) -> None:
    """The change has ended all sessions before the sign-in with the old password starts one."""
    ann = await people.add(is_superuser=True)
    held, pool = Held(), passwords._Pool(threads=1, queue=5)  # noqa: SLF001
    monkeypatch.setattr(passwords, "_pool", pool)
    holding = asyncio.create_task(pool.run(held.work))
    signing_in = asyncio.ensure_future(sign_in(app, ann))
    await until(lambda: pool.waiting == 2)
    await second.execute(change, ann.id)
    held.release()
    await holding
    answer = await signing_in
    assert answer.status_code == 401
    assert "plinth_device" not in answer.cookies
    assert await has_no_session(second, ann.id)
