"""Create, list, change, revoke and report API keys."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from httpx2 import AsyncClient

from plinth.accounts.services import accounts
from plinth.accounts.services.api_keys import revocation
from plinth.accounts.services.mailbox import pre_hijacking
from plinth.accounts.services.retention import RULES
from plinth.config import settings
from plinth.db.database import Database
from plinth.resources.access import list_permissions
from plinth.security.api_keys import make_api_key, parse_api_key
from plinth.testing.people import PASSWORD, People, Person
from tests.support.api_keys import ALL, SCOPE, bearer, create_key, header
from tests.support.mail_server import Inbox

KEYS = "/users/me/api-keys"


async def test_key_is_shown_once_and_only_its_hash_is_stored(
    client: AsyncClient, owner: Person, second: asyncpg.Connection
) -> None:
    body = {"name": "CI", "scopes": [SCOPE, SCOPE], "networks": ["192.0.2.0/24"]}
    response = await client.post(KEYS, json=body, headers=owner.headers)
    assert response.headers["cache-control"] == "no-store"
    created = response.json()
    token = parse_api_key(created["key"])
    assert token is not None
    row = dict(await second.fetchrow("SELECT * FROM api_keys"))
    assert (row["id"], row["hash"], row["user_id"]) == (token.id, token.hash, owner.id)
    secret = created["key"].split("_")[3]
    assert all(secret not in str(value) for value in row.values())
    listed = (await client.get(KEYS, headers=owner.headers)).json()
    assert listed == [{name: value for name, value in created.items() if name != "key"}]
    assert created["key"].startswith(created["prefix"])
    assert (listed[0]["scopes"], listed[0]["networks"]) == ([SCOPE], ["192.0.2.0/24"])
    expires = datetime.fromisoformat(created["expires_at"])
    assert timedelta(days=89) < expires - datetime.now(UTC) <= timedelta(days=90)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("expires_in_days", 0),
        ("expires_in_days", settings.API_KEY_MAX_DAYS + 1),
        ("expires_in_days", None),
        ("name", ""),
        ("name", "a\nb"),
        ("scopes", []),
        ("scopes", [SCOPE] * 101),
        ("scopes", ["*"]),
        ("scopes", ["Profile:read"]),
        ("scopes", [f"{SCOPE}\n"]),
        ("networks", ["192.0.2.1/24"]),
        ("networks", ["::ffff:192.0.2.0/120"]),
        ("networks", ["x"]),
        ("networks", [1]),
        ("networks", ["192.0.2.0/24"] * 51),
    ],
)
async def test_invalid_field_is_refused(
    client: AsyncClient, owner: Person, field: str, value: Any
) -> None:
    body = {"name": "CI", "scopes": [SCOPE], field: value}
    response = await client.post(KEYS, json=body, headers=owner.headers)
    assert response.status_code == 422, response.text


async def test_unknown_scope_is_refused_with_the_known_ones(
    team: AsyncClient, owner: Person
) -> None:
    key = await create_key(team, owner)
    for method, path in (("POST", KEYS), ("PATCH", f"{KEYS}/{key['id']}")):
        body = {"name": "CI", "scopes": [SCOPE, "things:delete"]}
        response = await team.request(method, path, json=body, headers=owner.headers)
        assert response.status_code == 422
        (error,) = response.json()["errors"]
        assert error["type"] == "unknown_scope"
        assert "unknown scopes: things:delete; known are: " in error["msg"]
        assert all(scope in error["msg"] for scope in ALL)


def test_scopes_are_those_that_routes_declare(team_app: Any) -> None:
    assert {*ALL} <= list_permissions(team_app)


async def test_number_of_keys_is_limited_under_concurrency(
    client: AsyncClient,
    owner: Person,
    second: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings, "API_KEYS_PER_USER", 3)
    body = {"name": "CI", "scopes": [SCOPE]}
    responses = await asyncio.gather(
        *(client.post(KEYS, json=body, headers=owner.headers) for _ in range(20))
    )
    assert sorted(it.status_code for it in responses) == [201] * 3 + [400] * 17
    assert {it.json()["code"] for it in responses if it.status_code == 400} == {"too_many_api_keys"}
    assert await second.fetchval("SELECT count(*) FROM api_keys") == 3
    first = next(it.json() for it in responses if it.status_code == 201)
    await client.delete(f"{KEYS}/{first['id']}", headers=owner.headers)
    assert (await client.post(KEYS, json=body, headers=owner.headers)).status_code == 201


async def test_creation_is_rate_limited(
    client: AsyncClient, owner: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "LIMITS_ENABLED", True)
    monkeypatch.setattr(settings, "LIMIT_API_KEYS", "2/1d")
    body = {"name": "CI", "scopes": [SCOPE]}
    statuses = [
        (await client.post(KEYS, json=body, headers=owner.headers)).status_code for _ in range(3)
    ]
    assert statuses == [201, 201, 429]


@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_creation_and_change_need_a_recent_authentication(
    client: AsyncClient, owner: Person, second: asyncpg.Connection, method: str
) -> None:
    key = await create_key(client, owner)
    await second.execute("UPDATE sessions SET authenticated_at = now() - interval '1 hour'")
    path = KEYS if method == "POST" else f"{KEYS}/{key['id']}"
    body = {"name": "CI", "scopes": [SCOPE]}
    response = await client.request(method, path, json=body, headers=owner.headers)
    assert (response.status_code, response.json()["code"]) == (403, "step_up_required")
    assert (await client.delete(f"{KEYS}/{key['id']}", headers=owner.headers)).status_code == 204


async def test_impersonation_cannot_change_keys(
    client: AsyncClient, people: People, owner: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "IMPERSONATION_MINUTES", 30)
    admin = await people.enter(is_superuser=True)
    key = await create_key(client, owner)
    path = f"/users/{owner.id}/impersonation"
    started = await client.post(path, json={"reason": "Ticket 4711"}, headers=admin.headers)
    assert started.status_code == 201, started.text
    headers = {"Authorization": f"Bearer {started.json()['access_token']}"}
    body = {"name": "CI", "scopes": [SCOPE]}
    calls = (
        client.post(KEYS, json=body, headers=headers),
        client.patch(f"{KEYS}/{key['id']}", json=body, headers=headers),
        client.delete(f"{KEYS}/{key['id']}", headers=headers),
    )
    for response in [await call for call in calls]:
        assert (response.status_code, response.json()["code"]) == (403, "impersonating")


async def test_key_cannot_create_list_change_or_revoke_keys(
    team: AsyncClient, owner: Person
) -> None:
    key = await create_key(team, owner, ALL)
    body = {"name": "CI", "scopes": [SCOPE]}
    calls = (
        team.get(KEYS, headers=header(key)),
        team.post(KEYS, json=body, headers=header(key)),
        team.patch(f"{KEYS}/{key['id']}", json=body, headers=header(key)),
        team.delete(f"{KEYS}/{key['id']}", headers=header(key)),
    )
    for response in [await call for call in calls]:
        assert (response.status_code, response.json()["code"]) == (403, "key_not_allowed")


async def test_change_holds_at_the_next_request(team: AsyncClient, owner: Person) -> None:
    key = await create_key(team, owner, ["things:read"])
    path, headers = f"{KEYS}/{key['id']}", owner.headers
    assert (await team.get("/things/read", headers=header(key))).status_code == 200
    changed = await team.patch(path, json={"scopes": [SCOPE]}, headers=headers)
    assert (changed.json()["scopes"], changed.json()["name"]) == ([SCOPE], "CI")
    assert changed.json()["expires_at"] == key["expires_at"]
    assert (await team.get("/things/read", headers=header(key))).status_code == 403
    body = {"scopes": ["things:read"], "networks": ["203.0.113.0/24"], "name": "Other"}
    assert (await team.patch(path, json=body, headers=headers)).json()["name"] == "Other"
    assert (await team.get("/things/read", headers=header(key))).status_code == 403


async def test_keys_of_another_user_are_not_found(
    client: AsyncClient, people: People, owner: Person
) -> None:
    key, other = await create_key(client, owner), await people.enter()
    path = f"{KEYS}/{key['id']}"
    changed = await client.patch(path, json={"name": "x"}, headers=other.headers)
    assert (changed.status_code, changed.json()["code"]) == (404, "api_key_not_found")
    assert (await client.delete(path, headers=other.headers)).status_code == 404
    assert (await client.get(KEYS, headers=other.headers)).json() == []
    assert (await client.get("/users/me", headers=header(key))).status_code == 200


async def test_revoked_key_is_gone(client: AsyncClient, owner: Person) -> None:
    key = await create_key(client, owner)
    path = f"{KEYS}/{key['id']}"
    assert (await client.delete(path, headers=owner.headers)).status_code == 204
    assert (await client.get("/users/me", headers=bearer(key))).status_code == 401
    assert (await client.delete(path, headers=owner.headers)).status_code == 404
    changed = await client.patch(path, json={"name": "x"}, headers=owner.headers)
    assert changed.status_code == 404
    assert (await client.get(KEYS, headers=owner.headers)).json() == []


async def test_events_and_mails_report_changes(
    client: AsyncClient, owner: Person, second: asyncpg.Connection
) -> None:
    key = await create_key(client, owner)
    path, headers = f"{KEYS}/{key['id']}", owner.headers
    await client.patch(path, json={"name": "New"}, headers=headers)
    await client.patch(path, json={"networks": ["192.0.2.0/24"]}, headers=headers)
    await client.delete(path, headers=headers)
    rows = await second.fetch(
        "SELECT event, reason, actor_id, subject_id FROM events WHERE event LIKE 'api_key%'"
        " ORDER BY id"
    )
    assert [(row["event"], row["reason"]) for row in rows] == [
        ("api_key.created", f"{key['id']}: {SCOPE}"),
        ("api_key.changed", f"{key['id']}: name; scopes: {SCOPE}"),
        ("api_key.changed", f"{key['id']}: networks; scopes: {SCOPE}"),
        ("api_key.revoked", f"{key['id']}: revoked by its user"),
    ]
    assert {(row["actor_id"], row["subject_id"]) for row in rows} == {(owner.id, owner.id)}
    mails = await second.fetch("SELECT kind FROM mails WHERE kind LIKE 'api_key%' ORDER BY kind")
    assert [row["kind"] for row in mails] == ["api_key_changed", "api_key_created"]


async def test_reported_key_is_revoked_and_its_owner_is_notified(
    client: AsyncClient, owner: Person, inbox: Inbox, second: asyncpg.Connection
) -> None:
    key = await create_key(client, owner, name="Deploy")
    await inbox.next(owner.email, "was created")
    reported = await client.post("/api-keys/revoke", json={"key": key["key"]})
    assert (reported.status_code, reported.content) == (204, b"")
    assert (await client.get("/users/me", headers=header(key))).status_code == 401
    mail = await inbox.next(owner.email, "were revoked")
    assert "were revoked: Deploy." in str(mail)
    event = await second.fetchrow("SELECT * FROM events WHERE event = 'api_key.revoked'")
    assert (event["actor_id"], event["subject_id"]) == (None, owner.id)
    assert event["reason"] == f"{key['id']}: reported by POST /api-keys/revoke"


async def test_report_of_a_key_that_does_not_work_has_the_same_response(
    client: AsyncClient, owner: Person, second: asyncpg.Connection
) -> None:
    key = await create_key(client, owner)
    known_id = make_api_key(UUID(key["id"])).text  # another secret
    for text in ("", "x", "plk_test_", make_api_key(UUID(int=1)).text, known_id, key["key"] + "x"):
        reported = await client.post("/api-keys/revoke", json={"key": text})
        assert (reported.status_code, reported.content) == (204, b"")
    assert (await client.get("/users/me", headers=header(key))).status_code == 200
    for _ in range(2):  # also a second report of a key that works
        reported = await client.post("/api-keys/revoke", json={"key": key["key"]})
        assert (reported.status_code, reported.content) == (204, b"")
    count = "SELECT count(*) FROM events WHERE event = 'api_key.revoked'"
    assert await second.fetchval(count) == 1


async def test_reports_are_rate_limited(
    elsewhere: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "LIMITS_ENABLED", True)
    monkeypatch.setattr(settings, "LIMIT_API_KEY_REPORT_IP", "2/5m")
    calls = [await elsewhere.post("/api-keys/revoke", json={"key": "x"}) for _ in range(3)]
    assert [it.status_code for it in calls] == [204, 204, 429]


async def test_key_survives_a_new_password_and_the_end_of_all_sessions(
    client: AsyncClient, owner: Person
) -> None:
    key = await create_key(client, owner)
    change = {"password": "Other-Horse-8", "current_password": PASSWORD}
    assert (await client.patch("/users/me", json=change, headers=owner.headers)).is_success
    assert (await client.post("/auth/logout-all", headers=owner.headers)).is_success
    assert (await client.get("/users/me", headers=header(key))).status_code == 200


async def test_claim_of_an_unverified_account_revokes_its_keys(
    client: AsyncClient, people: People, database: Database, second: asyncpg.Connection
) -> None:
    """Otherwise, a key would outlive the claim of the account by the owner of the address."""
    stranger = await people.enter(is_verified=False)
    key = await create_key(client, stranger)
    async with database.transaction() as db:
        await pre_hijacking.claim(db, await accounts.get_locked(db, stranger.id))
    assert (await client.get("/users/me", headers=header(key))).status_code == 401
    reason = await second.fetchval("SELECT reason FROM events WHERE event = 'api_key.revoked'")
    assert reason == f"{key['id']}: the address was unverified"


async def test_all_keys_of_a_user_are_revoked(
    client: AsyncClient, people: People, owner: Person, database: Database
) -> None:
    keys = [await create_key(client, owner) for _ in range(3)]
    other = await create_key(client, await people.enter())
    async with database.transaction() as db:
        assert await revocation.revoke_all(db, owner.id, reason="compromised") == ["CI"] * 3
    for key in keys:
        assert (await client.get("/users/me", headers=header(key))).status_code == 401
    assert (await client.get("/users/me", headers=header(other))).status_code == 200


async def test_ended_keys_are_purged_after_a_time(
    client: AsyncClient, owner: Person, database: Database, second: asyncpg.Connection
) -> None:
    keys = [await create_key(client, owner, name=str(number)) for number in range(4)]
    ends = {
        "0": "revoked_at = now() - interval '31 days'",
        "1": "created_at = '2001-01-01', expires_at = now() - interval '31 days'",
        "2": "revoked_at = now() - interval '29 days'",
    }
    for name, end in ends.items():
        await second.execute(f"UPDATE api_keys SET {end} WHERE name = $1", name)
    (rule,) = (rule for rule in RULES if rule.table == "api_keys")
    assert [count async for count in rule.batches(database)] == [2]
    names = [row["name"] for row in await second.fetch("SELECT name FROM api_keys ORDER BY name")]
    assert names == ["2", "3"]
    assert (await client.get("/users/me", headers=header(keys[3]))).status_code == 200


@pytest.mark.no_cover  # a hundred repetitions
async def test_no_request_after_the_response_to_a_revocation_is_accepted(
    client: AsyncClient, owner: Person
) -> None:
    for _ in range(100):
        key = await create_key(client, owner)
        revoked = asyncio.create_task(client.delete(f"{KEYS}/{key['id']}", headers=owner.headers))
        during = [client.get("/users/me", headers=header(key)) for _ in range(3)]
        results = await asyncio.gather(*during)
        assert all(it.status_code in (200, 401) for it in results)
        assert (await revoked).status_code == 204
        after = await asyncio.gather(
            *(client.get("/users/me", headers=header(key)) for _ in range(3))
        )
        assert [it.status_code for it in after] == [401] * 3
