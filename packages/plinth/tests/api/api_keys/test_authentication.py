"""A request with an API key: what it reaches, as whom, and what is refused."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient

from plinth.accounts.deps import Resources
from plinth.accounts.services import audit
from plinth.accounts.services.api_keys import usage
from plinth.config import settings
from plinth.request.client import Client
from plinth.request.context import begin_request
from plinth.testing.people import People, Person
from tests.core.test_api_keys import make_malformed, sign
from tests.support.api_keys import ALL, SCOPE, bearer, create_key, header
from tests.support.logs import logging_to_memory
from tests.support.waiting import PATIENCE, until

SESSION_FIELDS = ("session_id", "session_is_live", "aal", "amr", "authenticated_at")


def is_header(text: str) -> bool:
    """Return whether a client can send the text, and a server does not shorten it."""
    return len(text) < 1000 and text.isascii() and text.isprintable() and text == text.strip()


@pytest.mark.parametrize("form", [bearer, header])
async def test_key_authenticates_its_user(team: AsyncClient, owner: Person, form: Any) -> None:
    key = await create_key(team, owner, ALL)
    response = await team.get("/things/read", headers=form(key))
    expected = {"id": owner.id, "is_superuser": False, "email": owner.email}
    assert (response.status_code, response.json()) == (200, expected)
    assert (await team.post("/things/write", headers=form(key))).json() == owner.id
    assert (await team.get("/users/me", headers=form(key))).json()["id"] == owner.id


async def test_key_is_read_by_one_query(
    team: AsyncClient, owner: Person, statements: list[str]
) -> None:
    key = await create_key(team, owner, ALL)
    await team.get("/things/read", headers=header(key))  # the first use of the day
    statements.clear()
    assert (await team.get("/things/read", headers=header(key))).status_code == 200
    assert len([it for it in statements if not it.startswith(("UPDATE", "BEGIN"))]) == 1


async def test_malformed_key_is_refused_without_a_query(
    team: AsyncClient, statements: list[str]
) -> None:
    texts = [it for it in make_malformed() if is_header(it)]
    statements.clear()
    for text in texts:
        for headers in ({"X-API-Key": text}, {"Authorization": f"Bearer {text}"}):
            response = await team.get("/things/read", headers=headers)
            assert response.status_code == 401, (text, response.text)
    assert statements == []


async def test_other_secret_of_a_known_key_is_refused(team: AsyncClient, owner: Person) -> None:
    first, second = [await create_key(team, owner, ALL) for _ in range(2)]
    number, secret = first["key"].split("_")[2], second["key"].split("_")[3]
    mixed = {"key": sign(f"plk_test_{number}_{secret}")}
    assert (await team.get("/things/read", headers=header(mixed))).status_code == 401


@pytest.mark.parametrize(
    ("path", "method"),
    [("/things/plain", "GET"), ("/things/guest", "GET"), ("/users/me/api-keys", "GET")],
)
async def test_key_does_not_reach_a_route_without_permission(
    team: AsyncClient, owner: Person, path: str, method: str
) -> None:
    key = await create_key(team, owner, ALL)
    response = await team.request(method, path, headers=header(key))
    assert (response.status_code, response.json()["code"]) == (403, "key_not_allowed")


async def test_key_without_the_scope_is_refused(team: AsyncClient, owner: Person) -> None:
    key = await create_key(team, owner, ["things:read"])
    response = await team.post("/things/write", headers=bearer(key))
    assert (response.status_code, response.json()["code"]) == (403, "key_not_allowed")
    assert response.json()["required_scope"] == "things:write"
    assert (await team.get("/things/read", headers=bearer(key))).status_code == 200


async def test_key_of_a_superuser_is_no_superuser(team: AsyncClient, people: People) -> None:
    admin = await people.enter(is_superuser=True)
    key = await create_key(team, admin, ALL)
    shown = await team.get("/things/read", headers=header(key))
    assert shown.json() == {"id": admin.id, "is_superuser": False, "email": admin.email}
    assert (await team.get("/things/superuser", headers=header(key))).status_code == 403
    assert (await team.get("/things/superuser", headers=admin.headers)).status_code == 200


@pytest.mark.parametrize("name", SESSION_FIELDS)
async def test_field_of_a_session_refuses_a_key(
    team: AsyncClient, owner: Person, name: str
) -> None:
    key = await create_key(team, owner, ALL)
    response = await team.get(f"/things/field/{name}", headers=header(key))
    assert (response.status_code, response.json()["code"]) == (403, "session_required")
    assert (await team.get(f"/things/field/{name}", headers=owner.headers)).status_code == 200
    assert (await team.get("/things/field/acting_user_id", headers=header(key))).json() == "None"


@pytest.mark.parametrize("path", ["/things/direct", "/things/fresh"])
async def test_key_is_neither_fresh_nor_direct(team: AsyncClient, owner: Person, path: str) -> None:
    key = await create_key(team, owner, ALL)
    response = await team.get(path, headers=header(key))
    assert (response.status_code, response.json()["code"]) == (403, "session_required")
    assert (await team.get(path, headers=owner.headers)).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/users/me/factors/passkey/options"),
        ("POST", "/users/me/factors/passkey"),
        ("POST", "/users/me/factors/totp"),
        ("POST", "/users/me/recovery-codes"),
        ("PATCH", "/users/me"),
        ("POST", "/auth/step-up"),
        ("GET", "/users/me/sessions"),
        ("POST", "/auth/logout-all"),
        ("DELETE", "/users/1"),
    ],
)
async def test_key_with_every_scope_reaches_no_credentials(
    team: AsyncClient, people: People, method: str, path: str
) -> None:
    """The session that created the key is recent, and its owner a superuser."""
    admin = await people.enter(is_superuser=True, is_verified=True)
    key = await create_key(team, admin, ALL)
    response = await team.request(method, path, json={}, headers=bearer(key))
    assert (response.status_code, response.json()["code"]) == (403, "key_not_allowed"), path


async def test_unverified_owner_is_refused_where_a_verified_one_is_required(
    team: AsyncClient, people: People
) -> None:
    key = await create_key(team, await people.enter(), ALL)
    assert (await team.get("/things/verified", headers=header(key))).status_code == 403


async def test_different_credentials_are_refused(team: AsyncClient, owner: Person) -> None:
    first, second = [await create_key(team, owner, ALL) for _ in range(2)]
    for headers in (bearer(first) | header(second), owner.headers | header(first)):
        assert (await team.get("/things/read", headers=headers)).status_code == 401
        assert (await team.get("/things/guest", headers=headers)).json() is None
    both = [("X-API-Key", first["key"]), ("X-API-Key", second["key"])]
    assert (await team.get("/things/read", headers=both)).status_code == 401
    same = bearer(first) | header(first)
    assert (await team.get("/things/read", headers=same)).status_code == 200


async def test_access_token_in_the_header_of_keys_is_refused(
    team: AsyncClient, owner: Person
) -> None:
    headers = {"X-API-Key": owner.tokens["access_token"]}
    assert (await team.get("/things/read", headers=headers)).status_code == 401


async def test_optional_route_takes_an_invalid_key_for_a_guest(
    team: AsyncClient, owner: Person, second: asyncpg.Connection
) -> None:
    key = await create_key(team, owner, ALL)
    path = "/things/guest-by-key"
    assert (await team.get(path, headers=header(key))).json() == owner.id
    assert (await team.get(path, headers={"X-API-Key": "plk_test_x"})).json() is None
    await second.execute("UPDATE api_keys SET revoked_at = now()")
    assert (await team.get(path, headers=header(key))).json() is None


ENDS = {
    "revoked": ("UPDATE api_keys SET revoked_at = now()", 401),
    "expired": ("UPDATE api_keys SET created_at = '2001-01-01', expires_at = '2001-01-02'", 401),
    "deactivated": ("UPDATE users SET is_active = false", 400),
    "without scopes": ("UPDATE api_keys SET scopes = '{}'", 403),
    "other network": ("UPDATE api_keys SET networks = '{203.0.113.0/24}'", 403),
    "deleted": ("DELETE FROM users", 401),
}


@pytest.mark.parametrize("end", ENDS)
async def test_change_holds_at_the_next_request(
    team: AsyncClient, owner: Person, second: asyncpg.Connection, end: str
) -> None:
    key = await create_key(team, owner, ALL)
    assert (await team.get("/things/read", headers=header(key))).status_code == 200
    statement, status = ENDS[end]
    await second.execute(statement)
    assert (await team.get("/things/read", headers=header(key))).status_code == status


@pytest.mark.parametrize(
    ("client_ip", "networks", "status"),
    [
        ("192.0.2.7", ["192.0.2.0/24"], 200),
        ("192.0.3.7", ["192.0.2.0/24"], 403),
        ("192.0.3.7", ["192.0.2.0/24", "192.0.3.7/32"], 200),
        ("2001:db8::1", ["2001:db8::/32"], 200),
        ("2001:db9::1", ["2001:db8::/32"], 403),
        ("::ffff:192.0.2.7", ["192.0.2.0/24"], 200),
        ("192.0.2.7", ["::/0"], 403),
        ("192.0.2.7", [], 200),
    ],
)
async def test_key_is_bound_to_its_networks(
    team_app: FastAPI,
    team: AsyncClient,
    owner: Person,
    client_ip: str,
    networks: list[str],
    status: int,
) -> None:
    key = await create_key(team, owner, ALL, networks=networks)
    transport = ASGITransport(team_app, client=(client_ip, 1))
    base_url = f"http://test{settings.API_V1_PREFIX}"
    async with AsyncClient(transport=transport, base_url=base_url) as there:
        response = await there.get("/things/read", headers=header(key))
        forged = header(key) | {"X-Forwarded-For": "192.0.2.7"}
        assert (await there.get("/things/read", headers=forged)).status_code == status
    assert response.status_code == status
    if status == 403:
        assert response.json()["code"] == "network_not_allowed"


async def test_events_and_log_lines_name_the_key(
    team: AsyncClient, owner: Person, second: asyncpg.Connection, resources: Resources
) -> None:

    key = await create_key(team, owner, ALL)
    with logging_to_memory() as log:
        await team.get("/things/read", headers=header(key))
    line = log.requests[-1]
    assert (line["user_id"], line["api_key_id"]) == (owner.id, key["id"])
    assert line["session_id"] is None
    assert key["key"] not in log.text

    async def record() -> None:
        begin_request(None, Client(None, None)).api_key_id = UUID(key["id"])
        async with resources.database.transaction() as db:
            audit.record(db, "thing.changed", subject_id=owner.id, reason="7")
            audit.record(db, "thing.read", subject_id=owner.id)

    await asyncio.create_task(record())
    rows = await second.fetch("SELECT event, reason FROM events WHERE event LIKE 'thing%'")
    assert {row["event"]: row["reason"] for row in rows} == {
        "thing.changed": f"by API key {key['id']}: 7",
        "thing.read": f"by API key {key['id']}",
    }
    async with resources.database.transaction() as db:
        assert (await audit.verify(db)).flaw is None


async def test_last_use_is_written_once_a_day_after_the_response(
    team: AsyncClient,
    owner: Person,
    second: asyncpg.Connection,
    statements: list[str],
    resources: Resources,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(usage, "BATCH_SECONDS", 0.05)
    key = await create_key(team, owner, ALL)
    query = "SELECT last_used_on FROM api_keys"
    assert await second.fetchval(query) is None
    for _ in range(5):
        assert (await team.get("/things/read", headers=header(key))).status_code == 200
    today = datetime.now(UTC).date()

    async def wait_until_written() -> None:
        async with asyncio.timeout(PATIENCE):
            while await second.fetchval(query) != today:  # noqa: ASYNC110 - no event is available
                await asyncio.sleep(0.01)

    await wait_until_written()
    await resources.key_usage.close()  # a request during the UPDATE causes another, which is empty
    statements.clear()
    for _ in range(5):
        await team.get("/things/read", headers=header(key))
    await resources.key_usage.close()
    assert [it for it in statements if it.startswith("UPDATE")] == []
    await second.execute("UPDATE api_keys SET last_used_on = last_used_on - 1")
    await team.get("/things/read", headers=header(key))
    await wait_until_written()


async def test_failure_to_write_the_last_use_fails_no_request(
    team: AsyncClient, owner: Person, second: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "BATCH_SECONDS", 0.01)
    key = await create_key(team, owner, ALL)
    await second.execute(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN RAISE EXCEPTION 'no'; END$$;"
        "CREATE TRIGGER fail BEFORE UPDATE ON api_keys FOR EACH ROW EXECUTE FUNCTION fail()"
    )
    try:
        with logging_to_memory() as log:
            for _ in range(3):
                response = await team.get("/things/read", headers=header(key))
                assert response.status_code == 200
            await until(lambda: "API keys was not saved" in log.text)
    finally:
        await second.execute("DROP FUNCTION fail() CASCADE")


async def test_document_lists_the_key_where_a_permission_is_declared(team: AsyncClient) -> None:
    document = (await team.get("/openapi.json")).json()
    paths = {
        path.removeprefix(settings.API_V1_PREFIX): operations
        for path, operations in document["paths"].items()
    }
    assert {"apiKey": []} in paths["/things/read"]["get"]["security"]
    assert {"apiKey": []} in paths["/users/me"]["get"]["security"]
    assert {"apiKey": []} in paths["/things/guest-by-key"]["get"]["security"]
    for path, method in (("/things/plain", "get"), ("/users/me/api-keys", "post")):
        assert {"apiKey": []} not in paths[path][method]["security"]
    scheme = document["components"]["securitySchemes"]["apiKey"]
    assert (scheme["type"], scheme["in"], scheme["name"]) == ("apiKey", "header", "X-API-Key")


async def test_caches_share_no_response_between_keys(client: AsyncClient) -> None:
    for headers in ({}, {"Origin": settings.BACKEND_CORS_ORIGINS[0]}):
        response = await client.get("/health", headers=headers)
        vary = ", ".join(response.headers.get_list("vary"))
        assert "X-API-Key" in vary


async def test_key_for_testing_reaches_the_profile(client: AsyncClient, owner: Person) -> None:
    key = await create_key(client, owner, [SCOPE])
    assert (await client.get("/users/me", headers=header(key))).json()["id"] == owner.id
    changes = {"full_name": "x"}
    assert (await client.patch("/users/me", json=changes, headers=header(key))).status_code == 403
