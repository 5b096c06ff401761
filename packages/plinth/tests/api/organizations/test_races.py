"""Races between changes of the members of one organization. The database decides."""

from asyncio import gather
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace

import asyncpg
import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient

from plinth.accounts.deps import Resources
from plinth.config import settings
from plinth.db.database import Database
from plinth.db.models import Base
from plinth.testing.people import People, Person
from tests.support.mail_server import Inbox, token_of
from tests.support.organizations import Company

pytestmark = pytest.mark.no_cover  # a thousand repetitions; other tests cover this faster

AT_ONCE, TIMES = 20, 100


@pytest.fixture(autouse=True)
async def connections(
    app: FastAPI, resources: Resources, database_url: str, client: AsyncClient
) -> AsyncIterator[None]:
    """Keep one connection per racer open; opening new ones takes most of the time of a race."""
    kept_open = settings.model_copy(update={"DB_POOL_SIZE": AT_ONCE})
    database = Database(database_url, kept_open, Base.metadata)
    app.state.resources = replace(resources, database=database)
    yield
    app.state.resources = resources
    await database.close()


async def set_owners(company: Company, owners: list[Person]) -> None:
    """Make exactly these people the members, each as an owner."""
    await company.second.execute(
        "WITH owners AS (SELECT unnest($2::bigint[]) AS id)"
        " INSERT INTO memberships (organization_id, user_id, role)"
        " SELECT $1, id, 'owner' FROM owners"
        " ON CONFLICT (organization_id, user_id) DO UPDATE SET role = 'owner'",
        company.id,
        [it.id for it in owners],
    )
    await company.second.execute(
        "DELETE FROM memberships WHERE organization_id = $1 AND user_id <> ALL ($2)",
        company.id,
        [it.id for it in owners],
    )


async def leave(company: Company, owner: Person, _: Person) -> int:
    return (await company.call("POST", "/leave", owner)).status_code


async def demote_self(company: Company, owner: Person, _: Person) -> int:
    path = f"/members/{owner.id}"
    return (await company.call("PATCH", path, owner, {"role": "member"})).status_code


async def demote_other(company: Company, owner: Person, other: Person) -> int:
    path = f"/members/{other.id}"
    return (await company.call("PATCH", path, owner, {"role": "member"})).status_code


async def remove_other(company: Company, owner: Person, other: Person) -> int:
    return (await company.call("DELETE", f"/members/{other.id}", owner)).status_code


@pytest.mark.parametrize("act", [leave, demote_self, demote_other, remove_other])
async def test_two_owners_at_once_leave_one(company: Company, act: object) -> None:
    assert callable(act)
    first, other = company.owner, await company.enter("owner")
    for _ in range(TIMES):
        statuses = await gather(act(company, first, other), act(company, other, first))
        roles = list((await company.roles()).values())
        assert roles.count("owner") >= 1, statuses
        # The second one is the last owner, or no longer an owner or a member.
        assert min(statuses) in (200, 204)
        assert max(statuses) in (403, 404, 409)
        await set_owners(company, [first, other])


async def test_twenty_owners_at_once_leave_one(company: Company) -> None:
    owners = [company.owner, *[await company.enter("owner") for _ in range(AT_ONCE - 1)]]
    for _ in range(TIMES // 4):
        statuses = await gather(*(leave(company, owner, owner) for owner in owners))
        assert Counter(statuses) == {204: AT_ONCE - 1, 409: 1}
        assert list((await company.roles()).values()) == ["owner"]
        await set_owners(company, owners)


async def test_deleted_user_and_leaving_owner_leave_one(
    company: Company, client: AsyncClient, people: People
) -> None:
    """The user is deleted by a superuser, who does not know the organization."""
    superuser = await people.enter(is_superuser=True)
    for _ in range(TIMES):
        other = await company.enter("owner")
        deleted, left = await gather(
            client.delete(f"/users/{other.id}", headers=superuser.headers),
            company.call("POST", "/leave", company.owner),
        )
        assert sorted([deleted.status_code, left.status_code]) == [204, 409]
        assert list((await company.roles()).values()) == ["owner"]
        await set_owners(company, [company.owner])


async def test_invitation_is_accepted_once(
    company: Company, client: AsyncClient, people: People, inbox: Inbox
) -> None:
    """Twenty sessions of the invited user send the token at once."""
    guest = await people.enter(email="guest@example.com", is_verified=True)
    body = {"email": guest.email, "role": "member"}
    for _ in range(TIMES // 4):
        await company.call("POST", "/invitations", company.owner, body)
        token = token_of(await inbox.next(guest.email))
        answers = await gather(
            *(
                client.post("/invitations/accept", json={"token": token}, headers=guest.headers)
                for _ in range(AT_ONCE)
            )
        )
        codes = Counter(it.json().get("code") for it in answers)
        assert codes == {None: 1, "invalid_invitation": AT_ONCE - 1}
        assert (await company.roles())[guest.id] == "member"
        await company.second.execute("DELETE FROM memberships WHERE user_id = $1", guest.id)


async def test_invitation_accepted_and_replaced_at_once_is_used_once(
    company: Company, client: AsyncClient, people: People, inbox: Inbox
) -> None:
    guest = await people.enter(email="guest@example.com", is_verified=True)
    body = {"email": guest.email, "role": "member"}
    for _ in range(TIMES // 4):
        await company.call("POST", "/invitations", company.owner, body)
        token = token_of(await inbox.next(guest.email))
        accepted, replaced = await gather(
            client.post("/invitations/accept", json={"token": token}, headers=guest.headers),
            company.call("POST", "/invitations", company.owner, body),
        )
        outcome = accepted.status_code, replaced.status_code
        assert outcome in {(200, 409), (400, 201)}, (accepted.text, replaced.text)
        if outcome == (400, 201):
            await inbox.next(guest.email)
        await company.second.execute("DELETE FROM memberships WHERE user_id = $1", guest.id)
        await company.second.execute("DELETE FROM invitations")


async def test_demoted_admin_does_nothing_at_the_next_request(company: Company) -> None:
    """Requests of the admin run at the same time as the change, and one after it."""
    admin, member = await company.enter("admin"), await company.enter("member")
    path, target = f"/members/{admin.id}", f"/members/{member.id}"
    for _ in range(TIMES):
        changed, *_ = await gather(
            company.call("PATCH", path, company.owner, {"role": "member"}),
            *(company.call("PATCH", target, admin, {"role": "member"}) for _ in range(3)),
        )
        assert changed.status_code == 200
        late = await company.call("PATCH", target, admin, {"role": "member"})
        assert (late.status_code, late.json()["code"]) == (403, "permission_denied")
        await company.call("PATCH", path, company.owner, {"role": "admin"})


async def test_removed_member_is_refused_at_the_next_request(company: Company) -> None:
    member = await company.enter("member")
    for _ in range(TIMES):
        removed, *_ = await gather(
            company.call("DELETE", f"/members/{member.id}", company.owner),
            *(company.call("GET", "", member) for _ in range(3)),
        )
        assert removed.status_code == 204
        late = await gather(*(company.call("GET", "", member) for _ in range(3)))
        assert {it.status_code for it in late} == {404}
        await company.join(member, "member")


async def test_removed_inviter_and_acceptance_agree(
    company: Company,
    client: AsyncClient,
    people: People,
    second: asyncpg.Connection,
    inbox: Inbox,
) -> None:
    """Either the guest joined before the inviter was removed, or not at all."""
    guest = await people.enter(email="guest@example.com", is_verified=True)
    body = {"email": guest.email, "role": "member"}
    for _ in range(TIMES // 4):
        admin = await company.enter("admin")
        await company.call("POST", "/invitations", admin, body)
        token = token_of(await inbox.next(guest.email))
        accepted, removed = await gather(
            client.post("/invitations/accept", json={"token": token}, headers=guest.headers),
            company.call("DELETE", f"/members/{admin.id}", company.owner),
        )
        assert removed.status_code == 204
        assert (guest.id in await company.roles()) == (accepted.status_code == 200)
        if accepted.status_code != 200:
            assert accepted.json()["code"] == "inviter_lost_permission"
        await second.execute("DELETE FROM memberships WHERE user_id = $1", guest.id)
        await second.execute("DELETE FROM invitations")
