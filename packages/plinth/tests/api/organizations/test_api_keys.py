"""An API key on the routes of an organization: the scopes and the role, both now."""

import asyncpg
import pytest
from httpx2 import AsyncClient

from plinth.testing.people import People
from tests.support.api_keys import create_key, header
from tests.support.organizations import Company, found

SCOPES = ["members:read", "members:write", "organization:write", "organization:delete"]


@pytest.fixture
async def company(client: AsyncClient, people: People, second: asyncpg.Connection) -> Company:
    return await found(client, people, second)


async def get_status(company: Company, key: dict[str, str], path: str = "/members") -> int:
    response = await company.client.get(f"/organizations/{company.slug}{path}", headers=header(key))
    return response.status_code


async def test_key_reads_members_by_one_shared_query(
    company: Company, statements: list[str]
) -> None:
    key = await create_key(company.client, company.owner, SCOPES)
    assert await get_status(company, key) == 200
    statements.clear()
    assert await get_status(company, key) == 200
    reads = [it for it in statements if it.startswith("SELECT") and "api_keys" in it]
    assert len(reads) == 1


async def test_key_needs_the_scope_and_the_role(company: Company) -> None:
    admin = await company.enter("admin")
    narrow = await create_key(company.client, admin, ["profile:read"])
    assert await get_status(company, narrow) == 403
    key = await create_key(company.client, admin, SCOPES)
    assert await get_status(company, key) == 200
    await company.second.execute(
        "UPDATE memberships SET role = 'undeclared' WHERE user_id = $1", admin.id
    )
    assert await get_status(company, key) == 403, "the role was removed"
    await company.second.execute("DELETE FROM memberships WHERE user_id = $1", admin.id)
    assert await get_status(company, key) == 404, "the membership was removed"


async def test_key_without_the_scope_sees_no_addresses(company: Company) -> None:
    await company.enter("member")
    for scopes, count in ((["members:read"], 0), (SCOPES, 2)):
        key = await create_key(company.client, company.owner, scopes)
        url = f"/organizations/{company.slug}/members"
        listed = (await company.client.get(url, headers=header(key))).json()
        assert len([it for it in listed if it["email"]]) == count


async def test_key_of_another_organization_finds_none(
    company: Company, client: AsyncClient, people: People, second: asyncpg.Connection
) -> None:
    other = await found(client, people, second, "other")
    key = await create_key(client, other.owner, SCOPES)
    assert await get_status(other, key) == 200
    assert await get_status(company, key) == 404
    unknown = await client.get("/organizations/nowhere/members", headers=header(key))
    assert unknown.status_code == 404


async def test_revoked_key_is_refused_and_a_route_without_permission_is_closed(
    company: Company,
) -> None:
    key = await create_key(company.client, company.owner, SCOPES)
    assert await get_status(company, key, "") == 403
    await company.second.execute("UPDATE api_keys SET revoked_at = now()")
    assert await get_status(company, key) == 401


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "/members/{id}", {"role": "owner"}),
        ("DELETE", "/members/{id}", None),
        ("PATCH", "", {"name": "Other"}),
        ("DELETE", "", None),
    ],
)
async def test_key_changes_neither_members_nor_the_organization(
    company: Company, method: str, path: str, body: dict[str, str] | None
) -> None:
    member = await company.enter("member")
    key = await create_key(company.client, company.owner, SCOPES)
    before = await company.roles()
    url = f"/organizations/{company.slug}{path.format(id=member.id)}"
    response = await company.client.request(method, url, json=body, headers=header(key))
    assert (response.status_code, response.json()["code"]) == (403, "session_required")
    assert await company.roles() == before
