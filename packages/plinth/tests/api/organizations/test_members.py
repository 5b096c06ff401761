"""Members: their roles, who may change them, and the last owner."""

import asyncio

import asyncpg
import pytest
from httpx2 import AsyncClient

from plinth.config import OrganizationRoles, Settings
from plinth.testing.people import People
from tests.support.organizations import WAITS_FOR_LOCK, Company, code_of, found, make_stale

ROLES = OrganizationRoles(
    admin={*OrganizationRoles.ADMIN, "invoices:read", "invoices:write"},
    member={*OrganizationRoles.MEMBER, "invoices:read"},
    manager={*OrganizationRoles.MEMBER, "members:write", "invoices:read"},
)


@pytest.fixture(autouse=True)
def roles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Settings, "ORGANIZATION_ROLES", ROLES)


async def test_members_are_listed_with_their_roles(company: Company) -> None:
    admin, member = await company.enter("admin"), await company.enter("member")
    listed = (await company.call("GET", "/members", admin)).json()
    assert [(it["user_id"], it["role"], it["email"]) for it in listed] == [
        (company.owner.id, "owner", company.owner.email),
        (admin.id, "admin", admin.email),
        (member.id, "member", member.email),
    ]


async def test_member_does_not_see_the_addresses_of_others(company: Company) -> None:
    member = await company.enter("member")
    listed = (await company.call("GET", "/members", member)).json()
    assert {it["email"] for it in listed} == {None}


async def test_role_applies_to_the_next_request(company: Company) -> None:
    member = await company.enter("member")
    path = f"/members/{member.id}"
    assert (await company.call("GET", "/invitations", member)).status_code == 403
    changed = await company.call("PATCH", path, company.owner, {"role": "admin"})
    assert changed.json()["role"] == "admin"
    assert (await company.call("GET", "/invitations", member)).status_code == 200
    await company.call("PATCH", path, company.owner, {"role": "member"})
    assert (await company.call("GET", "/invitations", member)).status_code == 403


@pytest.mark.parametrize(
    ("caller", "old", "new", "outcome"),
    [
        ("admin", "member", "admin", 200),
        ("admin", "admin", "member", 200),
        ("manager", "manager", "manager", 200),
        ("manager", "undeclared", "manager", 200),
        ("admin", "member", "owner", "role_above_own"),
        ("admin", "owner", "member", "role_above_own"),
        ("manager", "member", "admin", "role_above_own"),
        ("manager", "admin", "manager", "role_above_own"),
        ("member", "member", "member", "permission_denied"),
        ("owner", "member", "owner", 200),
        ("owner", "owner", "member", 200),
    ],
)
async def test_role_above_own_is_neither_granted_nor_removed(
    company: Company, caller: str, old: str, new: str, outcome: int | str
) -> None:
    person, target = await company.enter(caller), await company.enter(old)
    response = await company.call("PATCH", f"/members/{target.id}", person, {"role": new})
    if isinstance(outcome, int):
        assert response.status_code == outcome, response.text
        assert (await company.roles())[target.id] == new
    else:
        assert code_of(response) == (403, outcome)
        assert (await company.roles())[target.id] == old


@pytest.mark.parametrize(
    ("caller", "target", "outcome"),
    [
        ("admin", "admin", 204),
        ("manager", "member", 204),
        ("manager", "admin", 403),
        ("admin", "owner", 403),
        ("member", "member", 403),
    ],
)
async def test_member_with_a_role_above_own_is_not_removed(
    company: Company, caller: str, target: str, outcome: int
) -> None:
    person, other = await company.enter(caller), await company.enter(target)
    response = await company.call("DELETE", f"/members/{other.id}", person)
    assert response.status_code == outcome
    assert (other.id in await company.roles()) == (outcome != 204)


async def test_member_cannot_raise_the_own_role(company: Company) -> None:
    manager = await company.enter("manager")
    refused = await company.call("PATCH", f"/members/{manager.id}", manager, {"role": "admin"})
    assert code_of(refused) == (403, "role_above_own")


@pytest.mark.parametrize(("old", "new"), [("member", "owner"), ("owner", "member")])
async def test_change_of_an_owner_requires_a_recent_authentication(
    company: Company, second: asyncpg.Connection, old: str, new: str
) -> None:
    target = await company.enter(old)
    await make_stale(second, company.owner)
    path = f"/members/{target.id}"
    refused = await company.call("PATCH", path, company.owner, {"role": new})
    assert code_of(refused) == (403, "step_up_required")
    if old == "owner":
        refused = await company.call("DELETE", path, company.owner)
        assert code_of(refused) == (403, "step_up_required")
    assert (await company.roles())[target.id] == old


async def test_inactive_user_becomes_no_owner(company: Company, second: asyncpg.Connection) -> None:
    member = await company.enter("member")
    await second.execute("UPDATE users SET is_active = false WHERE id = $1", member.id)
    path = f"/members/{member.id}"
    refused = await company.call("PATCH", path, company.owner, {"role": "owner"})
    assert code_of(refused) == (409, "inactive_member")


async def test_undeclared_role_is_not_granted(company: Company) -> None:
    member = await company.enter("member")
    path = f"/members/{member.id}"
    for role in ("undeclared", "Owner", "", None, ["admin"]):
        refused = await company.call("PATCH", path, company.owner, {"role": role})
        assert code_of(refused) == (422, "validation_error")


async def test_last_owner_stays(company: Company) -> None:
    await company.enter("admin")
    path = f"/members/{company.owner.id}"
    calls = [("PATCH", path, {"role": "admin"}), ("DELETE", path, None), ("POST", "/leave", None)]
    for method, url, body in calls:
        refused = await company.call(method, url, company.owner, body)
        assert code_of(refused) == (409, "last_owner")
        assert (await company.roles())[company.owner.id] == "owner"


async def test_member_and_second_owner_leave(company: Company) -> None:
    for role in ("member", "owner"):
        person = await company.enter(role)
        assert (await company.call("POST", "/leave", person)).status_code == 204
        assert person.id not in await company.roles()


async def test_member_of_another_organization_is_not_found(
    company: Company, client: AsyncClient, people: People, second: asyncpg.Connection
) -> None:
    """Neither by the path of the own organization nor by that of the other one."""
    other = await found(client, people, second, "other")
    victim = await other.enter("member")
    for method, body in (("PATCH", {"role": "admin"}), ("DELETE", None)):
        refused = await company.call(method, f"/members/{victim.id}", company.owner, body)
        assert code_of(refused) == (404, "member_not_found")
        refused = await other.call(method, f"/members/{victim.id}", company.owner, body)
        assert code_of(refused) == (404, "organization_not_found")
    assert (await other.roles())[victim.id] == "member"


async def test_request_that_waits_for_a_demotion_is_refused(
    company: Company, second: asyncpg.Connection
) -> None:
    """The request was authenticated before the change, and waits for the organization's row."""
    admin, member = await company.enter("admin"), await company.enter("member")
    async with second.transaction():
        lock = "SELECT FROM organizations WHERE id = $1 FOR NO KEY UPDATE"
        await second.execute(lock, company.id)
        change = "UPDATE memberships SET role = 'member' WHERE user_id = $1"
        await second.execute(change, admin.id)
        path = f"/members/{member.id}"
        waiting = asyncio.create_task(company.call("DELETE", path, admin))
        while not await second.fetchval(WAITS_FOR_LOCK):
            await asyncio.sleep(0.01)
            assert not waiting.done(), "it did not wait for the organization's row"
    assert code_of(await waiting) == (403, "permission_denied")
    assert member.id in await company.roles()


async def test_role_of_another_organization_gives_no_permission(
    company: Company, client: AsyncClient, people: People, second: asyncpg.Connection
) -> None:
    other = await found(client, people, second, "other")
    await company.join(other.owner, "member")
    refused = await company.call("GET", "/invitations", other.owner)
    assert code_of(refused) == (403, "permission_denied")
    assert (await other.call("GET", "/invitations", other.owner)).status_code == 200


async def test_deactivated_and_signed_out_members_are_refused(
    company: Company, client: AsyncClient, second: asyncpg.Connection
) -> None:
    gone, inactive = await company.enter("admin"), await company.enter("admin")
    await client.post("/auth/logout", headers=gone.headers)
    await second.execute("UPDATE users SET is_active = false WHERE id = $1", inactive.id)
    assert code_of(await company.call("GET", "", gone)) == (401, "unauthenticated")
    assert code_of(await company.call("GET", "", inactive)) == (400, "inactive_user")


async def test_changes_are_audited(company: Company, second: asyncpg.Connection) -> None:
    member, other = await company.enter("member"), await company.enter("member")
    await company.call("PATCH", f"/members/{member.id}", company.owner, {"role": "admin"})
    await company.call("DELETE", f"/members/{other.id}", member)
    await company.call("POST", "/leave", member)
    acme = f"organization {company.id} (acme)"
    events = await second.fetch(
        "SELECT event, actor_id, subject_id, reason FROM events WHERE event LIKE 'membership%'"
    )
    assert [tuple(it) for it in events] == [
        ("membership.changed", company.owner.id, member.id, f"{acme}: role member to admin"),
        ("membership.removed", member.id, other.id, f"{acme}: role member"),
        ("membership.left", member.id, member.id, f"{acme}: role admin"),
    ]
