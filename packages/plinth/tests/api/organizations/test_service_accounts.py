"""Service accounts: members of an organization that cannot sign in, and their keys."""

import asyncio
from typing import Any

import asyncpg
import pytest
from httpx2 import AsyncClient

from plinth.config import OrganizationRoles, settings
from plinth.organizations.services import service_accounts
from plinth.testing.people import PASSWORD, People, Person
from tests.support.api_keys import create_key, header
from tests.support.mail_server import Inbox
from tests.support.organizations import WAITS_FOR_LOCK, Company, found, make_stale

ACCOUNTS = "/service-accounts"
KEY = {"name": "Sync", "scopes": ["members:read", "profile:read"]}


@pytest.fixture
async def company(client: AsyncClient, people: People, second: asyncpg.Connection) -> Company:
    return await found(client, people, second)


async def add(company: Company, role: str = "member", by: Person | None = None) -> dict[str, Any]:
    body = {"name": "Sync", "role": role}
    response = await company.call("POST", ACCOUNTS, by or company.owner, body)
    assert response.status_code == 201, response.text
    created: dict[str, Any] = response.json()
    return created


async def add_key(company: Company, account: dict[str, Any]) -> dict[str, Any]:
    path = f"{ACCOUNTS}/{account['id']}/api-keys"
    response = await company.call("POST", path, company.owner, KEY)
    assert response.status_code == 201, response.text
    created: dict[str, Any] = response.json()
    return created


async def get_status(company: Company, key: dict[str, Any], path: str = "/members") -> int:
    url = f"/organizations/{company.slug}{path}"
    return (await company.client.get(url, headers=header(key))).status_code


async def test_key_of_a_service_account_has_its_role(company: Company) -> None:
    account = await add(company)
    key = await add_key(company, account)
    assert await get_status(company, key) == 200
    shown = await company.client.get("/users/me", headers=header(key))
    assert (shown.json()["id"], shown.json()["full_name"]) == (account["id"], "Sync")
    listed = (await company.call("GET", ACCOUNTS, company.owner)).json()
    assert listed == [account]
    path = f"{ACCOUNTS}/{account['id']}/api-keys"
    keys = (await company.call("GET", path, company.owner)).json()
    assert [it["id"] for it in keys] == [key["id"]]
    await company.second.execute(
        "UPDATE memberships SET role = 'undeclared' WHERE user_id = $1", account["id"]
    )
    assert await get_status(company, key) == 403


@pytest.mark.parametrize(
    "end",
    [
        "DELETE FROM service_accounts WHERE user_id = $1",
        "DELETE FROM memberships WHERE user_id = $1",
        "DELETE FROM users WHERE id = $1",
        "DELETE FROM organizations USING service_accounts it WHERE $1 = it.user_id",
    ],
)
async def test_end_of_an_account_ends_its_keys(company: Company, end: str) -> None:
    account = await add(company)
    key = await add_key(company, account)
    await company.second.execute(end, account["id"])
    assert (await company.client.get("/users/me", headers=header(key))).status_code == 401
    for table, column in (("users", "id"), ("api_keys", "user_id"), ("memberships", "user_id")):
        count = f"SELECT count(*) FROM {table} WHERE {column} = $1"
        assert await company.second.fetchval(count, account["id"]) == 0


async def test_account_and_key_are_deleted_by_their_routes(company: Company) -> None:
    account = await add(company)
    key, other = [await add_key(company, account) for _ in range(2)]
    path = f"{ACCOUNTS}/{account['id']}"
    revoked = await company.call("DELETE", f"{path}/api-keys/{key['id']}", company.owner)
    assert revoked.status_code == 204
    assert (await get_status(company, key), await get_status(company, other)) == (401, 200)
    assert (await company.call("DELETE", path, company.owner)).status_code == 204
    assert await get_status(company, other) == 401
    assert (await company.call("DELETE", path, company.owner)).status_code == 404


async def test_service_account_cannot_sign_in(company: Company, second: asyncpg.Connection) -> None:
    account = await add(company)
    email = await second.fetchval("SELECT email FROM users WHERE id = $1", account["id"])
    credentials = {"email": email, "password": PASSWORD}
    assert (await company.client.post("/auth/login", json=credentials)).status_code == 401
    insert = (
        "INSERT INTO sessions (user_id, session_epoch, token_hash, expires_at, ends_at)"
        " VALUES ($1, 0, '', now() + interval '1 day', now() + interval '1 day')"
    )
    with pytest.raises(asyncpg.CheckViolationError, match="which cannot sign in"):
        await second.execute(insert, account["id"])


async def test_service_account_is_never_an_owner(company: Company) -> None:
    body = {"name": "Sync", "role": "owner"}
    assert (await company.call("POST", ACCOUNTS, company.owner, body)).status_code == 422
    account = await add(company)
    path = f"/members/{account['id']}"
    changed = await company.call("PATCH", path, company.owner, {"role": "owner"})
    assert (changed.status_code, changed.json()["code"]) == (409, "service_account_owner")
    transfer = {"user_id": account["id"]}
    response = await company.call("POST", "/transfer", company.owner, transfer)
    assert response.json()["code"] == "service_account_owner"
    changed = await company.call("PATCH", path, company.owner, {"role": "admin"})
    assert changed.json()["role"] == "admin"


async def test_account_above_the_own_role_is_refused(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    roles = OrganizationRoles(clerk={"service_accounts:write", "members:read"})
    monkeypatch.setattr(type(settings), "ORGANIZATION_ROLES", roles)
    clerk, account = await company.enter("clerk"), await add(company, "admin")
    body = {"name": "Sync", "role": "admin"}
    path = f"{ACCOUNTS}/{account['id']}"
    for method, target, sent in (
        ("POST", ACCOUNTS, body),
        ("POST", f"{path}/api-keys", KEY),
        ("DELETE", path, None),
    ):
        response = await company.call(method, target, clerk, sent)
        assert (response.status_code, response.json()["code"]) == (403, "role_above_own")
    assert (await add(company, "member", clerk))["role"] == "member"


async def test_account_of_another_organization_is_not_found(
    company: Company, client: AsyncClient, people: People, second: asyncpg.Connection
) -> None:
    other = await found(client, people, second, "other")
    account, person = await add(other), await company.enter("member")
    for user_id in (account["id"], person.id):
        path = f"{ACCOUNTS}/{user_id}"
        for method, target, sent in (
            ("GET", f"{path}/api-keys", None),
            ("POST", f"{path}/api-keys", KEY),
            ("DELETE", path, None),
        ):
            response = await company.call(method, target, company.owner, sent)
            assert (response.status_code, response.json()["code"]) == (
                404,
                "service_account_not_found",
            )
    assert await company.roles() == {company.owner.id: "owner", person.id: "member"}


async def test_creation_needs_a_recent_authentication_and_no_key(company: Company) -> None:
    account = await add(company)
    scopes = ["service_accounts:read", "service_accounts:write"]
    key = await create_key(company.client, company.owner, scopes)
    path = f"/organizations/{company.slug}{ACCOUNTS}"
    body = {"name": "Sync", "role": "member"}
    assert await get_status(company, key, ACCOUNTS) == 200
    for method, target, sent in (
        ("POST", path, body),
        ("POST", f"{path}/{account['id']}/api-keys", KEY),
        ("GET", f"{path}/{account['id']}/api-keys", None),
        ("DELETE", f"{path}/{account['id']}", None),
    ):
        response = await company.client.request(method, target, json=sent, headers=header(key))
        assert (response.status_code, response.json()["code"]) == (403, "session_required")
    await make_stale(company.second, company.owner)
    for target, sent in ((ACCOUNTS, body), (f"{ACCOUNTS}/{account['id']}/api-keys", KEY)):
        response = await company.call("POST", target, company.owner, sent)
        assert (response.status_code, response.json()["code"]) == (403, "step_up_required")


async def test_session_that_ends_meanwhile_creates_no_key(
    company: Company, second: asyncpg.Connection
) -> None:
    """The request was authenticated before the session ended, and waits for a lock."""
    path = f"{ACCOUNTS}/{(await add(company))['id']}/api-keys"
    async with second.transaction():
        await second.execute("SELECT FROM users WHERE id = $1 FOR UPDATE", company.owner.id)
        await second.execute("SELECT FROM organizations FOR NO KEY UPDATE")
        waiting = asyncio.create_task(company.call("POST", path, company.owner, KEY))
        while not await second.fetchval(WAITS_FOR_LOCK):
            await asyncio.sleep(0.01)
            assert not waiting.done(), "it did not wait for the rows"
        await second.execute("DELETE FROM sessions WHERE user_id = $1", company.owner.id)
    assert (await waiting).status_code == 401
    assert await second.fetchval("SELECT count(*) FROM api_keys") == 0


async def test_number_of_accounts_is_limited(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_accounts, "MAX_SERVICE_ACCOUNTS", 1)
    await add(company)
    response = await company.call("POST", ACCOUNTS, company.owner, {"name": "x", "role": "member"})
    assert (response.status_code, response.json()["code"]) == (400, "too_many_service_accounts")


async def test_reported_key_is_revoked_and_its_creator_is_notified(
    company: Company, inbox: Inbox
) -> None:
    key = await add_key(company, await add(company))
    reported = await company.client.post("/api-keys/revoke", json={"key": key["key"]})
    assert reported.status_code == 204
    assert await get_status(company, key) == 401
    mail = await inbox.next(company.owner.email, "were revoked")
    assert f"were revoked: {KEY['name']}." in str(mail)


async def test_required_column_without_a_value_is_named(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_accounts, "REQUIRED", ("country",))
    response = await company.call("POST", ACCOUNTS, company.owner, {"name": "x", "role": "member"})
    assert (response.status_code, response.json()["code"]) == (409, "service_account_column")
    assert "users.country" in response.json()["detail"]


async def test_events_name_the_organization_and_the_account(
    company: Company, second: asyncpg.Connection
) -> None:
    account = await add(company)
    await add_key(company, account)
    await company.call("DELETE", f"{ACCOUNTS}/{account['id']}", company.owner)
    rows = await second.fetch(
        "SELECT event, actor_id, reason FROM events WHERE subject_id = $1 ORDER BY id",
        account["id"],
    )
    events = ["service_account.created", "api_key.created", "service_account.deleted"]
    assert [row["event"] for row in rows] == events
    assert {row["actor_id"] for row in rows} == {company.owner.id}
    assert rows[0]["reason"].endswith(f"({company.slug}): role member")
