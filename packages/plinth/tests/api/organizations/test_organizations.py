"""Organizations: who may read, change and delete one."""

import asyncpg
import pytest
from httpx2 import AsyncClient

from plinth.config import OrganizationRoles, Settings, settings
from plinth.organizations.schemas import RESERVED_SLUGS
from plinth.testing.people import People, Person
from tests.support.organizations import Company, code_of, found, make_stale

EVENTS = "SELECT event, actor_id, subject_id, reason FROM events WHERE event LIKE '%organization%'"


async def test_creator_is_the_owner(company: Company, client: AsyncClient) -> None:
    listed = await client.get("/organizations", headers=company.owner.headers)
    assert [(it["slug"], it["role"]) for it in listed.json()] == [("acme", "owner")]
    shown = await company.call("GET", "", company.owner)
    assert shown.json() == listed.json()[0]


async def test_user_sees_only_own_organizations(
    company: Company, client: AsyncClient, people: People, second: asyncpg.Connection
) -> None:
    other = await found(client, people, second, "other")
    listed = await client.get("/organizations", headers=other.owner.headers)
    assert [it["slug"] for it in listed.json()] == ["other"]
    assert code_of(await company.call("GET", "", other.owner)) == (404, "organization_not_found")


async def test_superuser_without_membership_gets_not_found(
    company: Company, people: People
) -> None:
    superuser = await people.enter(is_superuser=True)
    for path in ("", "/members", "/invitations"):
        response = await company.call("GET", path, superuser)
        assert code_of(response) == (404, "organization_not_found")


@pytest.mark.parametrize("slug", ["nothing", "ACME", "acme%00", "a" * 51, "%C3%A4"])
async def test_unknown_slug_is_not_found(company: Company, client: AsyncClient, slug: str) -> None:
    response = await client.get(f"/organizations/{slug}", headers=company.owner.headers)
    assert response.status_code == 404


async def test_unknown_slug_requires_authentication_first(client: AsyncClient) -> None:
    response = await client.get("/organizations/nothing")
    assert code_of(response) == (401, "unauthenticated")


async def test_slug_is_normalized(client: AsyncClient, people: People) -> None:
    person = await people.enter()
    body = {"name": "Acme", "slug": " ACME-1 "}
    created = await client.post("/organizations", json=body, headers=person.headers)
    assert created.json()["slug"] == "acme-1"


@pytest.mark.parametrize(
    "slug", ["a", "a" * 51, "-acme", "acme-", "ac--me", "ac me", "ac_me", "äcme", "admin", "API"]
)
async def test_slug_of_another_form_is_refused(
    client: AsyncClient, people: People, slug: str
) -> None:
    person = await people.enter()
    body = {"name": "Acme", "slug": slug}
    refused = await client.post("/organizations", json=body, headers=person.headers)
    assert code_of(refused) == (422, "validation_error")


def test_reserved_slugs_are_normal() -> None:
    assert {"admin", "api", "me", "new"} <= RESERVED_SLUGS
    assert all(slug == slug.lower() for slug in RESERVED_SLUGS)


async def test_taken_slug_is_refused_in_every_case(
    company: Company, client: AsyncClient, people: People
) -> None:
    person = await people.enter()
    for slug in ("acme", "Acme"):
        body = {"name": "Other", "slug": slug}
        refused = await client.post("/organizations", json=body, headers=person.headers)
        assert code_of(refused) == (409, "slug_taken")


async def test_changed_slug_is_kept_for_the_organization(
    company: Company, client: AsyncClient, people: People
) -> None:
    changed = await company.call("PATCH", "", company.owner, {"slug": "newer", "name": "Newer"})
    assert (changed.json()["slug"], changed.json()["name"]) == ("newer", "Newer")
    person = await people.enter()
    body = {"name": "Thief", "slug": "acme"}
    refused = await client.post("/organizations", json=body, headers=person.headers)
    assert code_of(refused) == (409, "slug_taken")
    back = await client.patch(
        "/organizations/newer", json={"slug": "acme"}, headers=company.owner.headers
    )
    assert back.json()["slug"] == "acme"


async def test_changes_of_the_slug_are_limited(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "LIMITS_ENABLED", True)
    monkeypatch.setattr(settings, "LIMIT_ORGANIZATION_USER", "1/1h")
    path, headers = "/organizations/acme", company.owner.headers
    outcomes = []
    for body in ({"name": "A"}, {"slug": "acme"}, {"slug": "acme-2"}):
        response = await company.client.patch(path, json=body, headers=headers)
        outcomes.append(response.status_code)
    again = await company.client.patch(f"{path}-2", json={"slug": "acme-3"}, headers=headers)
    created = await company.client.post(
        "/organizations", json={"name": "B", "slug": "acme-4"}, headers=headers
    )
    assert outcomes == [200, 200, 200]
    assert (again.status_code, created.status_code) == (429, 429)


async def test_slug_of_a_deleted_organization_is_kept(
    company: Company, client: AsyncClient, second: asyncpg.Connection
) -> None:
    deleted = await company.call("DELETE", "", company.owner)
    assert deleted.status_code == 204
    assert await second.fetchval("SELECT count(*) FROM memberships") == 0
    body = {"name": "Again", "slug": "acme"}
    refused = await client.post("/organizations", json=body, headers=company.owner.headers)
    assert code_of(refused) == (409, "slug_taken")


@pytest.mark.parametrize(
    ("method", "path"),
    [("PATCH", ""), ("DELETE", ""), ("POST", "/transfer"), ("GET", "/invitations")],
)
async def test_role_without_the_permission_is_refused(
    company: Company, method: str, path: str
) -> None:
    member = await company.enter("member")
    body = {"user_id": member.id, "name": "Other"} if method != "GET" else None
    refused = await company.call(method, path, member, body)
    assert code_of(refused) == (403, "permission_denied")


@pytest.mark.parametrize(("method", "path"), [("DELETE", ""), ("POST", "/transfer")])
async def test_admin_can_neither_delete_nor_transfer(
    company: Company, method: str, path: str
) -> None:
    admin = await company.enter("admin")
    refused = await company.call(method, path, admin, {"user_id": company.owner.id})
    assert code_of(refused) == (403, "permission_denied")


@pytest.mark.parametrize(("method", "path"), [("DELETE", ""), ("POST", "/transfer")])
async def test_deletion_and_transfer_require_a_recent_authentication(
    company: Company, second: asyncpg.Connection, method: str, path: str
) -> None:
    member = await company.enter("member")
    await make_stale(second, company.owner)
    refused = await company.call(method, path, company.owner, {"user_id": member.id})
    assert code_of(refused) == (403, "step_up_required")
    assert refused.json()["methods"] == ["password"]
    assert (await company.roles())[company.owner.id] == "owner"


async def test_transfer_replaces_the_owner(company: Company) -> None:
    member = await company.enter("member")
    done = await company.call("POST", "/transfer", company.owner, {"user_id": member.id})
    assert done.json()["role"] == "admin"
    assert await company.roles() == {company.owner.id: "admin", member.id: "owner"}


async def test_transfer_to_a_stranger_or_an_inactive_member_is_refused(
    company: Company, people: People, second: asyncpg.Connection
) -> None:
    stranger, inactive = await people.add(), await company.enter("admin")
    await second.execute("UPDATE users SET is_active = false WHERE id = $1", inactive.id)
    expected = {
        stranger.id: (404, "member_not_found"),
        inactive.id: (409, "inactive_member"),
        company.owner.id: (422, "validation_error"),
    }
    for user_id, outcome in expected.items():
        refused = await company.call("POST", "/transfer", company.owner, {"user_id": user_id})
        assert code_of(refused) == outcome


async def test_role_that_may_transfer_is_no_owner(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A permission alone does not let an admin make someone an owner."""
    roles = OrganizationRoles(admin={*OrganizationRoles.ADMIN, "organization:transfer"})
    monkeypatch.setattr(Settings, "ORGANIZATION_ROLES", roles)
    assert settings.ORGANIZATION_ROLES is roles
    admin, friend = await company.enter("admin"), await company.enter("member")
    refused = await company.call("POST", "/transfer", admin, {"user_id": friend.id})
    assert code_of(refused) == (403, "role_above_own")


async def test_member_is_refused_at_the_request_after_the_removal(company: Company) -> None:
    member = await company.enter("member")
    assert (await company.call("GET", "/members", member)).status_code == 200
    removed = await company.call("DELETE", f"/members/{member.id}", company.owner)
    assert removed.status_code == 204
    assert code_of(await company.call("GET", "/members", member)) == (404, "organization_not_found")


async def test_changes_are_audited(company: Company, second: asyncpg.Connection) -> None:
    member = await company.enter("member")
    await company.call("PATCH", "", company.owner, {"name": "Newer"})
    await company.call("POST", "/transfer", company.owner, {"user_id": member.id})
    await company.call("DELETE", "", member)
    owner, acme = company.owner.id, f"organization {company.id} (acme)"
    assert [tuple(it) for it in await second.fetch(EVENTS)] == [
        ("organization.created", owner, owner, f"{acme}: role owner"),
        ("organization.changed", owner, None, f"{acme}: name"),
        ("organization.transferred", owner, member.id, f"{acme}: from user {owner}"),
        ("organization.deleted", member.id, None, f"{acme}: with its members"),
    ]


async def test_deletion_of_the_last_owner_names_the_organizations(
    company: Company, client: AsyncClient, people: People
) -> None:
    body = {"name": "Beta", "slug": "beta"}
    await client.post("/organizations", json=body, headers=company.owner.headers)
    superuser = await people.enter(is_superuser=True)
    path = f"/users/{company.owner.id}"
    refused = await client.delete(path, headers=superuser.headers)
    assert code_of(refused) == (409, "last_owner")
    assert "acme, beta" in refused.json()["detail"]
    await company.call("DELETE", "", company.owner)
    await client.delete("/organizations/beta", headers=company.owner.headers)
    assert (await client.delete(path, headers=superuser.headers)).status_code == 204


@pytest.fixture
async def acting(
    client: AsyncClient, people: People, company: Company, monkeypatch: pytest.MonkeyPatch
) -> Person:
    """A superuser who impersonates the owner."""
    monkeypatch.setattr(settings, "IMPERSONATION_MINUTES", 30)
    admin = await people.enter(is_superuser=True, is_verified=True)
    response = await client.post(
        f"/users/{company.owner.id}/impersonation",
        json={"reason": "Ticket 4711"},
        headers=admin.headers,
    )
    owner = company.owner
    return Person(owner.id, owner.email, owner.username, tokens=response.json())


async def test_impersonation_changes_nothing_in_an_organization(
    company: Company, client: AsyncClient, acting: Person
) -> None:
    member = await company.enter("member")
    assert (await company.call("GET", "", acting)).status_code == 200
    calls = [
        ("PATCH", "", {"name": "Other"}),
        ("DELETE", "", None),
        ("POST", "/transfer", {"user_id": member.id}),
        ("POST", "/leave", None),
        ("PATCH", f"/members/{member.id}", {"role": "admin"}),
        ("DELETE", f"/members/{member.id}", None),
        ("POST", "/invitations", {"email": "other@example.com", "role": "owner"}),
        ("DELETE", "/invitations/1", None),
    ]
    for method, path, body in calls:
        refused = await company.call(method, path, acting, body)
        assert code_of(refused) == (403, "impersonating"), (method, path)
    body = {"name": "Other", "slug": "other"}
    refused = await client.post("/organizations", json=body, headers=acting.headers)
    assert code_of(refused) == (403, "impersonating")
