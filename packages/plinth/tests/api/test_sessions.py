"""Listing and revoking the sessions of a user over HTTP."""

from uuid import uuid4

import asyncpg
from httpx2 import AsyncClient

from plinth.testing.people import People, Person

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


async def is_accepted(client: AsyncClient, person: Person) -> bool:
    answer = await client.get("/users/me", headers=person.headers)
    assert answer.status_code in (200, 401), answer.text
    return answer.status_code == 200


async def can_refresh(client: AsyncClient, person: Person) -> bool:
    answer = await client.post(
        "/auth/refresh", json={"refresh_token": person.tokens["refresh_token"]}
    )
    assert answer.status_code in (200, 401), answer.text
    return answer.status_code == 200


async def test_sessions_are_listed_newest_first_with_their_device(
    client: AsyncClient, people: People
) -> None:
    here = await people.enter()
    client.headers["user-agent"] = FIREFOX
    there = await people.sign_in(here)

    listed = (await client.get("/users/me/sessions", headers=here.headers)).json()

    assert [session["is_current"] for session in listed] == [False, True]
    assert listed[0]["device"] == "Firefox on Linux"
    assert listed[0]["ip"] == "127.0.0.1"
    assert not any(there.tokens["refresh_token"] in str(session) for session in listed)


async def test_an_ended_session_is_refused_at_the_next_request(
    client: AsyncClient, people: People
) -> None:
    here = await people.enter()
    there = await people.sign_in(here)
    listed = (await client.get("/users/me/sessions", headers=here.headers)).json()
    other = next(session["id"] for session in listed if not session["is_current"])

    answer = await client.delete(f"/users/me/sessions/{other}", headers=here.headers)

    assert answer.status_code == 204
    assert not await is_accepted(client, there)
    assert not await can_refresh(client, there)
    assert await is_accepted(client, here)
    again = await client.delete(f"/users/me/sessions/{other}", headers=here.headers)
    assert again.status_code == 404
    assert again.json()["detail"] == "Session not found"


async def test_session_of_another_user_is_404(client: AsyncClient, people: People) -> None:
    ann, eve = await people.enter(), await people.enter()
    anns = (await client.get("/users/me/sessions", headers=ann.headers)).json()[0]["id"]
    for session_id in (anns, uuid4()):
        answer = await client.delete(f"/users/me/sessions/{session_id}", headers=eve.headers)
        assert answer.status_code == 404
    assert await is_accepted(client, ann)


async def test_logout_revokes_only_this_session(client: AsyncClient, people: People) -> None:
    here = await people.enter()
    there = await people.sign_in(here)
    assert (await client.post("/auth/logout", headers=here.headers)).status_code == 204
    assert not await is_accepted(client, here)
    assert not await can_refresh(client, here)
    assert await is_accepted(client, there)


async def test_logout_all_revokes_all_sessions(client: AsyncClient, people: People) -> None:
    here = await people.enter()
    there = await people.sign_in(here)
    other = await people.enter()
    assert (await client.post("/auth/logout-all", headers=here.headers)).status_code == 204
    assert not await is_accepted(client, here)
    assert not await is_accepted(client, there)
    assert not await can_refresh(client, there)
    assert await is_accepted(client, other)


async def test_superuser_can_list_and_revoke_sessions_of_any_user(
    client: AsyncClient, people: People
) -> None:
    admin = await people.enter(is_superuser=True)
    ann = await people.enter()
    await people.sign_in(ann)

    listed = (await client.get(f"/users/{ann.id}/sessions", headers=admin.headers)).json()
    assert len(listed) == 2
    one = f"/users/{ann.id}/sessions/{listed[1]['id']}"
    assert (await client.delete(one, headers=admin.headers)).status_code == 204
    assert not await is_accepted(client, ann)
    rest = await client.delete(f"/users/{ann.id}/sessions", headers=admin.headers)
    assert rest.status_code == 204
    assert (await client.get(f"/users/{ann.id}/sessions", headers=admin.headers)).json() == []
    for path in ("/users/999999/sessions", f"/users/{admin.id}/sessions/{listed[0]['id']}"):
        method = client.get if path.endswith("sessions") else client.delete
        assert (await method(path, headers=admin.headers)).status_code == 404


async def test_regular_user_cannot_reach_sessions_of_others(
    client: AsyncClient, people: People
) -> None:
    ann, eve = await people.enter(), await people.enter()
    for method in (client.get, client.delete):
        answer = await method(f"/users/{ann.id}/sessions", headers=eve.headers)
        assert answer.status_code == 403
    assert await is_accepted(client, ann)


async def test_session_expires_by_idle_time_and_by_age(
    client: AsyncClient, people: People, second: asyncpg.Connection
) -> None:
    idle = await people.enter()
    await second.execute("UPDATE sessions SET expires_at = now()")
    assert not await is_accepted(client, idle)
    assert not await can_refresh(client, idle)

    old = await people.enter()
    await second.execute("UPDATE sessions SET ends_at = now() + interval '1 hour'")
    assert await can_refresh(client, old)
    left = await second.fetchval(
        "SELECT expires_at <= ends_at FROM sessions WHERE user_id = $1", old.id
    )
    assert left, "a refresh must not carry a session over its absolute end"


async def test_each_sign_in_starts_a_new_session(client: AsyncClient, people: People) -> None:
    """A sign-in ignores tokens in its request, which may be an attacker's (session fixation)."""
    ann = await people.enter()
    client.headers["Authorization"] = ann.headers["Authorization"]
    again = await people.sign_in(ann)
    del client.headers["Authorization"]
    sessions = (await client.get("/users/me/sessions", headers=again.headers)).json()
    assert len({session["id"] for session in sessions}) == 2
    for name in ("access_token", "refresh_token"):
        assert ann.tokens[name] != again.tokens[name]
