"""A superuser acts as a user: who may, for how long, what is refused, and what is recorded."""

import asyncio
from typing import Any

import asyncpg
import pytest
from httpx2 import AsyncClient, Response

from plinth.config import settings
from plinth.testing.people import PASSWORD, People, Person
from tests.support.factors import App, enroll

REASON = "Ticket 4711"


async def impersonate(
    client: AsyncClient, admin: Person, user: Person, reason: str = REASON
) -> Response:
    path = f"/users/{user.id}/impersonation"
    return await client.post(path, json={"reason": reason}, headers=admin.headers)


def acting_as(user: Person, response: Response) -> Person:
    assert response.status_code == 201, response.text
    return Person(user.id, user.email, user.username, user.password, response.json())


async def find_status(client: AsyncClient, person: Person) -> int:
    return (await client.get("/users/me", headers=person.headers)).status_code


async def change(client: AsyncClient, admin: Person, user: Person, **values: Any) -> None:
    response = await client.patch(f"/users/{user.id}", json=values, headers=admin.headers)
    assert response.status_code == 200, response.text


@pytest.fixture(autouse=True)
def enabled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "IMPERSONATION_MINUTES", 30)


@pytest.fixture
async def admin(people: People) -> Person:
    return await people.enter(is_superuser=True, is_verified=True)


@pytest.fixture
async def user(people: People) -> Person:
    return await people.enter(is_verified=True)


@pytest.fixture
async def acting(client: AsyncClient, admin: Person, user: Person) -> Person:
    return acting_as(user, await impersonate(client, admin, user))


async def test_session_of_an_impersonation_is_the_users(
    client: AsyncClient, user: Person, acting: Person
) -> None:
    response = await client.get("/users/me", headers=acting.headers)
    assert (response.status_code, response.json()["id"]) == (200, user.id)
    assert await find_status(client, user) == 200, "the sessions of the user stay"


async def test_events_have_the_superuser_as_actor_and_the_user_as_subject(
    client: AsyncClient, second: asyncpg.Connection, admin: Person, user: Person, acting: Person
) -> None:
    headers = acting.headers
    await client.patch("/users/me", json={"full_name": "New"}, headers=headers)
    assert (await client.post("/auth/logout", headers=headers)).status_code == 204
    rows = await second.fetch(
        "SELECT event, actor_id, reason, session_id FROM events WHERE subject_id = $1"
        " AND actor_id = $2 ORDER BY id",
        user.id,
        admin.id,
    )
    assert [row["event"] for row in rows] == [
        "session.started",
        "impersonation.started",
        "session.ended",
    ]
    assert rows[1]["reason"] == REASON
    assert len({row["session_id"] for row in rows}) == 1
    assert rows[0]["session_id"] is not None


async def test_user_is_notified_with_the_reason(
    second: asyncpg.Connection, user: Person, acting: Person
) -> None:
    del acting
    kinds = await second.fetch("SELECT kind FROM mails WHERE recipient = $1", user.email)
    assert "impersonated" in [row["kind"] for row in kinds]


async def test_session_list_marks_an_impersonation(
    client: AsyncClient, user: Person, acting: Person
) -> None:
    del acting
    listed = (await client.get("/users/me/sessions", headers=user.headers)).json()
    assert sorted(it["is_impersonation"] for it in listed) == [False, True]


async def test_user_can_end_an_impersonation(
    client: AsyncClient, user: Person, acting: Person
) -> None:
    listed = (await client.get("/users/me/sessions", headers=user.headers)).json()
    session_id = next(it["id"] for it in listed if it["is_impersonation"])
    ended = await client.delete(f"/users/me/sessions/{session_id}", headers=user.headers)
    assert ended.status_code == 204
    assert await find_status(client, acting) == 401


async def test_session_ends_after_the_set_minutes(
    client: AsyncClient, second: asyncpg.Connection, acting: Person
) -> None:
    ends = "SELECT ends_at - created_at FROM sessions WHERE acting_user_id IS NOT NULL"
    assert (await second.fetchval(ends)).total_seconds() == 30 * 60
    body = {"refresh_token": acting.tokens["refresh_token"]}
    assert (await client.post("/auth/refresh", json=body)).status_code == 200
    await second.execute(
        "UPDATE sessions SET expires_at = now(), ends_at = now() WHERE acting_user_id IS NOT NULL"
    )
    assert await find_status(client, acting) == 401


async def test_no_session_of_the_user_is_ended_for_it(
    client: AsyncClient, monkeypatch: pytest.MonkeyPatch, admin: Person, user: Person
) -> None:
    monkeypatch.setattr(settings, "SESSIONS_PER_USER", 1)
    acting_as(user, await impersonate(client, admin, user))
    assert await find_status(client, user) == 200


async def test_device_is_not_remembered_for_the_account(
    client: AsyncClient, admin: Person, user: Person
) -> None:
    response = await impersonate(client, admin, user)
    assert response.status_code == 201
    assert "set-cookie" not in response.headers


async def test_disabled_by_default(
    client: AsyncClient, monkeypatch: pytest.MonkeyPatch, admin: Person, user: Person
) -> None:
    assert type(settings).model_fields["IMPERSONATION_MINUTES"].default == 0
    monkeypatch.setattr(settings, "IMPERSONATION_MINUTES", 0)
    refused = await impersonate(client, admin, user)
    assert (refused.status_code, refused.json()["code"]) == (403, "impersonation_disabled")


@pytest.mark.parametrize("reason", ["", "  ", "x", "x" * 201, None])
async def test_reason_is_required(
    client: AsyncClient, admin: Person, user: Person, reason: Any
) -> None:
    assert (await impersonate(client, admin, user, reason)).status_code == 422


async def test_only_superusers_may(client: AsyncClient, people: People, user: Person) -> None:
    other = await people.enter(is_verified=True)
    assert (await impersonate(client, other, user)).status_code == 403


async def test_stale_session_must_step_up(
    client: AsyncClient, second: asyncpg.Connection, admin: Person, user: Person
) -> None:
    await second.execute(
        "UPDATE sessions SET authenticated_at = now() - interval '1 hour' WHERE user_id = $1",
        admin.id,
    )
    refused = await impersonate(client, admin, user)
    assert (refused.status_code, refused.json()["code"]) == (403, "step_up_required")


@pytest.mark.parametrize("columns", [{"is_superuser": True}, {"is_active": False}])
async def test_superusers_and_inactive_users_are_refused(
    client: AsyncClient, people: People, admin: Person, columns: dict[str, bool]
) -> None:
    other = await people.add(**columns)
    refused = await impersonate(client, admin, other)
    assert (refused.status_code, refused.json()["code"]) == (403, "cannot_impersonate")
    assert refused.json()["detail"].startswith("Only active users who are no superusers")


async def test_unknown_user_is_not_found(client: AsyncClient, admin: Person) -> None:
    unknown = Person(10**9, "", "")
    assert (await impersonate(client, admin, unknown)).status_code == 404


async def test_superuser_cannot_impersonate_themselves(client: AsyncClient, admin: Person) -> None:
    assert (await impersonate(client, admin, admin)).status_code == 403


async def test_impersonation_cannot_be_chained(
    client: AsyncClient, second: asyncpg.Connection, people: People, user: Person, acting: Person
) -> None:
    other = await people.add()
    assert (await impersonate(client, acting, other)).status_code == 403
    # Even if the user becomes a superuser without an end of the sessions.
    await second.execute("UPDATE users SET is_superuser = true WHERE id = $1", user.id)
    assert (await impersonate(client, acting, other)).status_code == 401


async def test_second_factor_of_the_user_needs_one_of_the_superuser(
    client: AsyncClient, second: asyncpg.Connection, admin: Person, user: Person
) -> None:
    await enroll(client, second, user)
    refused = await impersonate(client, admin, user)
    assert (refused.status_code, refused.json()["code"]) == (403, "cannot_impersonate")
    assert "challenge" not in refused.json()
    assert await second.fetchval("SELECT count(*) FROM challenges") == 0
    await enroll(client, second, admin)
    acting = acting_as(user, await impersonate(client, admin, user))
    assert await find_status(client, acting) == 200


CREDENTIAL_REQUESTS = [
    ("POST", "/auth/logout-all", None),
    ("POST", "/auth/step-up", {"method": "password", "password": PASSWORD}),
    ("POST", "/auth/email/resend", None),
    ("POST", "/users/me/factors/totp", {}),
    ("POST", "/users/me/recovery-codes", None),
    ("POST", "/users/me/identities/fake/start", {"redirect_to": "x", "code_challenge": "a" * 43}),
    ("POST", "/users/me/identities/link", {"code": "x", "code_verifier": "a" * 43}),
    ("DELETE", "/users/me/identities/00000000-0000-0000-0000-000000000000", None),
    ("DELETE", "/users/me/sessions/00000000-0000-0000-0000-000000000000", None),
    ("PATCH", "/users/me", {"password": "Another-Horse-8", "current_password": PASSWORD}),
    ("PATCH", "/users/me", {"email": "thief@example.com", "current_password": PASSWORD}),
]


@pytest.mark.parametrize(("method", "path", "body"), CREDENTIAL_REQUESTS)
async def test_credentials_are_out_of_reach(
    client: AsyncClient, acting: Person, method: str, path: str, body: Any
) -> None:
    response = await client.request(method, path, json=body, headers=acting.headers)
    assert (response.status_code, response.json()["code"]) == (403, "impersonating")


@pytest.mark.parametrize("loss", ["signed out", "demoted", "deactivated", "deleted", "by SQL"])
async def test_impersonation_ends_with_the_session_and_rights_of_the_superuser(
    client: AsyncClient,
    second: asyncpg.Connection,
    people: People,
    admin: Person,
    acting: Person,
    loss: str,
) -> None:
    boss = await people.enter(is_superuser=True, is_verified=True)
    if loss == "signed out":
        await client.post("/auth/logout", headers=admin.headers)
    elif loss == "demoted":
        await change(client, boss, admin, is_superuser=False)
    elif loss == "deactivated":
        await change(client, boss, admin, is_active=False)
    elif loss == "deleted":
        response = await client.delete(f"/users/{admin.id}", headers=boss.headers)
        assert response.status_code == 204
    else:
        await second.execute("UPDATE users SET is_superuser = false WHERE id = $1", admin.id)
    assert await find_status(client, acting) == 401


async def test_impersonation_ends_when_the_user_is_promoted(
    client: AsyncClient, admin: Person, user: Person, acting: Person
) -> None:
    await change(client, admin, user, is_superuser=True)
    assert await find_status(client, acting) == 401


async def test_no_refresh_after_the_superuser_signed_out(
    client: AsyncClient, admin: Person, acting: Person
) -> None:
    await client.post("/auth/logout", headers=admin.headers)
    body = {"refresh_token": acting.tokens["refresh_token"]}
    assert (await client.post("/auth/refresh", json=body)).status_code == 401


async def test_a_race_with_the_demotion_of_the_superuser_leaves_no_access(
    client: AsyncClient, people: People, admin: Person, user: Person
) -> None:
    boss = await people.enter(is_superuser=True, is_verified=True)
    started, _ = await asyncio.gather(
        impersonate(client, admin, user), change(client, boss, admin, is_superuser=False)
    )
    if started.status_code == 201:
        assert await find_status(client, acting_as(user, started)) == 401


async def test_impersonation_cannot_remove_a_factor(
    client: AsyncClient, second: asyncpg.Connection, admin: Person, user: Person
) -> None:
    app: App = await enroll(client, second, user)
    await enroll(client, second, admin)
    acting = acting_as(user, await impersonate(client, admin, user))
    path = f"/users/me/factors/{app.factor_id}"
    refused = await client.delete(path, headers=acting.headers)
    assert (refused.status_code, refused.json()["code"]) == (403, "impersonating")
