"""Invitations: the token, the verified address, the inviter, one use."""

import hashlib
from datetime import timedelta

import asyncpg
import pytest
from httpx2 import AsyncClient, Response

from plinth.config import settings
from plinth.testing.people import People, Person
from tests.support.mail_server import Inbox, text_of, token_of
from tests.support.organizations import Company, code_of, found, make_stale

INVITED = "Guest@example.com"


async def invite(
    company: Company, inbox: Inbox, person: Person, role: str = "member", email: str = INVITED
) -> str:
    """Invite an address and return the token of the mail."""
    body = {"email": email, "role": role}
    invited = await company.call("POST", "/invitations", person, body)
    assert invited.status_code == 201, invited.text
    return token_of(await inbox.next(email))


async def accept(client: AsyncClient, person: Person, token: str) -> Response:
    return await client.post("/invitations/accept", json={"token": token}, headers=person.headers)


@pytest.fixture
async def guest(people: People) -> Person:
    """The person who is invited, with the address in another spelling."""
    return await people.enter(email="guest@example.com", is_verified=True)


@pytest.fixture
async def token(company: Company, inbox: Inbox) -> str:
    return await invite(company, inbox, company.owner)


async def test_invited_user_joins(
    company: Company, client: AsyncClient, guest: Person, token: str, second: asyncpg.Connection
) -> None:
    assert (await company.call("GET", "", guest)).status_code == 404
    joined = await accept(client, guest, token)
    assert (joined.json()["slug"], joined.json()["role"]) == ("acme", "member")
    assert (await company.call("GET", "", guest)).json() == joined.json()
    assert await second.fetchval("SELECT count(*) FROM invitations") == 0
    assert code_of(await accept(client, guest, token)) == (400, "invalid_invitation")


async def test_mail_names_the_organization_and_the_inviter(
    company: Company, inbox: Inbox, second: asyncpg.Connection
) -> None:
    await company.call("PATCH", "", company.owner, {"name": "Acme <b>Inc</b>"})
    body = {"email": INVITED, "role": "admin"}
    invited = await company.call("POST", "/invitations", company.owner, body)
    mail = await inbox.next(INVITED)
    assert mail["Subject"] == f"An invitation to an organization on {settings.PROJECT_NAME}"
    assert "Acme <b>Inc</b>" in text_of(mail)
    assert "Acme &lt;b&gt;Inc&lt;/b&gt;" in text_of(mail, "html")
    assert company.owner.username in text_of(mail)
    assert f"{settings.FRONTEND_URL}/accept-invitation#token=" in text_of(mail)
    token = token_of(mail)
    assert token not in invited.text
    stored = await second.fetchval("SELECT token_hash FROM invitations")
    assert stored == hashlib.sha256(token.encode()).digest()


async def test_stranger_with_the_token_does_not_join(
    company: Company, client: AsyncClient, people: People, guest: Person, token: str
) -> None:
    """A mail can be forwarded: only the invited address may use the token."""
    stranger = await people.enter(is_verified=True)
    assert code_of(await accept(client, stranger, token)) == (403, "invited_other_address")
    assert (await accept(client, guest, token)).status_code == 200


async def test_unverified_address_does_not_join(
    company: Company, client: AsyncClient, people: People, token: str, second: asyncpg.Connection
) -> None:
    """Anyone can register the invited address."""
    thief = await people.enter(email="guest@example.com")
    assert code_of(await accept(client, thief, token)) == (403, "unverified")
    await second.execute("UPDATE users SET is_verified = true WHERE id = $1", thief.id)
    assert (await accept(client, thief, token)).status_code == 200


async def test_invited_user_without_the_token_does_not_join(
    company: Company, client: AsyncClient, guest: Person, token: str
) -> None:
    for wrong in ("A" * 43, token[:-1], token + "A", token.swapcase()):
        assert code_of(await accept(client, guest, wrong)) == (400, "invalid_invitation")


async def test_token_of_another_invitation_is_of_its_address(
    company: Company, client: AsyncClient, guest: Person, token: str, inbox: Inbox
) -> None:
    """Two people have invitations; neither token opens the other one."""
    other = await invite(company, inbox, company.owner, "admin", email="other@example.com")
    assert code_of(await accept(client, guest, other)) == (403, "invited_other_address")
    assert (await accept(client, guest, token)).json()["role"] == "member"


async def test_invitation_of_another_organization_is_not_found(
    company: Company,
    client: AsyncClient,
    people: People,
    second: asyncpg.Connection,
    guest: Person,
    token: str,
) -> None:
    other = await found(client, people, second, "other")
    invitation = await second.fetchval("SELECT id FROM invitations")
    refused = await other.call("DELETE", f"/invitations/{invitation}", other.owner)
    assert code_of(refused) == (404, "invitation_not_found")
    assert (await other.call("GET", "/invitations", other.owner)).json() == []
    assert (await accept(client, guest, token)).status_code == 200


async def test_expired_invitation_is_refused(
    company: Company, client: AsyncClient, guest: Person, token: str, second: asyncpg.Connection
) -> None:
    lifetime = await second.fetchval("SELECT expires_at - created_at FROM invitations")
    assert lifetime == timedelta(days=settings.INVITATION_DAYS)
    await second.execute("UPDATE invitations SET expires_at = now()")
    assert code_of(await accept(client, guest, token)) == (400, "invitation_expired")
    assert (await company.call("GET", "/invitations", company.owner)).json() == []
    assert guest.id not in await company.roles()


async def test_newer_invitation_replaces_the_earlier_one(
    company: Company, client: AsyncClient, guest: Person, token: str, inbox: Inbox
) -> None:
    newer = await invite(company, inbox, company.owner, "admin", email="GUEST@example.com")
    listed = (await company.call("GET", "/invitations", company.owner)).json()
    assert [(it["email"], it["role"]) for it in listed] == [("GUEST@example.com", "admin")]
    assert code_of(await accept(client, guest, token)) == (400, "invalid_invitation")
    assert (await accept(client, guest, newer)).json()["role"] == "admin"


async def test_revoked_invitation_is_refused(
    company: Company, client: AsyncClient, guest: Person, token: str
) -> None:
    (invitation,) = (await company.call("GET", "/invitations", company.owner)).json()
    path = f"/invitations/{invitation['id']}"
    assert (await company.call("DELETE", path, company.owner)).status_code == 204
    assert code_of(await accept(client, guest, token)) == (400, "invalid_invitation")
    again = await company.call("DELETE", path, company.owner)
    assert code_of(again) == (404, "invitation_not_found")


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM memberships WHERE user_id = $1",
        "UPDATE memberships SET role = 'member' WHERE user_id = $1",
        "UPDATE memberships SET role = 'undeclared' WHERE user_id = $1",
        "UPDATE users SET is_active = false WHERE id = $1",
    ],
)
async def test_inviter_must_still_be_allowed_to_invite(
    company: Company,
    client: AsyncClient,
    guest: Person,
    inbox: Inbox,
    second: asyncpg.Connection,
    change: str,
) -> None:
    admin = await company.enter("admin")
    token = await invite(company, inbox, admin)
    await second.execute(change, admin.id)
    assert code_of(await accept(client, guest, token)) == (400, "inviter_lost_permission")
    assert guest.id not in await company.roles()


async def test_inviter_must_still_have_the_permissions_of_the_role(
    company: Company, client: AsyncClient, guest: Person, inbox: Inbox
) -> None:
    """A former owner, who still may invite, invited another owner."""
    second_owner = await company.enter("owner")
    token = await invite(company, inbox, second_owner, "owner")
    path = f"/members/{second_owner.id}"
    await company.call("PATCH", path, company.owner, {"role": "admin"})
    assert code_of(await accept(client, guest, token)) == (400, "inviter_lost_permission")


async def test_invitation_of_a_deleted_inviter_is_gone(
    company: Company, client: AsyncClient, guest: Person, inbox: Inbox, second: asyncpg.Connection
) -> None:
    admin = await company.enter("admin")
    token = await invite(company, inbox, admin)
    await second.execute("DELETE FROM users WHERE id = $1", admin.id)
    assert code_of(await accept(client, guest, token)) == (400, "invalid_invitation")


@pytest.mark.parametrize(
    ("inviter", "role", "outcome"),
    [
        ("member", "member", "permission_denied"),
        ("admin", "owner", "role_above_own"),
    ],
)
async def test_role_above_own_is_not_invited(
    company: Company, inviter: str, role: str, outcome: str
) -> None:
    person = await company.enter(inviter)
    body = {"email": INVITED, "role": role}
    refused = await company.call("POST", "/invitations", person, body)
    assert code_of(refused) == (403, outcome)


async def test_invitation_of_an_owner_requires_a_recent_authentication(
    company: Company, second: asyncpg.Connection
) -> None:
    await make_stale(second, company.owner)
    body = {"email": INVITED, "role": "owner"}
    refused = await company.call("POST", "/invitations", company.owner, body)
    assert code_of(refused) == (403, "step_up_required")
    body = {"email": INVITED, "role": "admin"}
    assert (await company.call("POST", "/invitations", company.owner, body)).status_code == 201


async def test_inviter_needs_a_verified_address(company: Company, people: People) -> None:
    admin = await company.join(await people.enter(), "admin")
    body = {"email": INVITED, "role": "member"}
    refused = await company.call("POST", "/invitations", admin, body)
    assert code_of(refused) == (403, "unverified")


async def test_member_is_not_invited_again(
    company: Company, client: AsyncClient, guest: Person, token: str
) -> None:
    await company.join(guest, "admin")
    body = {"email": INVITED, "role": "member"}
    refused = await company.call("POST", "/invitations", company.owner, body)
    assert code_of(refused) == (409, "already_member")
    assert code_of(await accept(client, guest, token)) == (409, "already_member")
    assert (await company.roles())[guest.id] == "admin"


async def test_invitation_of_a_deleted_organization_is_gone(
    company: Company, client: AsyncClient, guest: Person, token: str
) -> None:
    await company.call("DELETE", "", company.owner)
    assert code_of(await accept(client, guest, token)) == (400, "invalid_invitation")


async def test_invitations_are_limited(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    admin = await company.enter("admin")
    monkeypatch.setattr(settings, "LIMITS_ENABLED", True)
    monkeypatch.setattr(settings, "LIMIT_INVITE_USER", "1/1h")
    monkeypatch.setattr(settings, "LIMIT_INVITE_ORGANIZATION", "2/1h")
    outcomes = []
    for number, person in enumerate([company.owner, company.owner, admin]):
        body = {"email": f"guest{number}@example.com", "role": "member"}
        response = await company.call("POST", "/invitations", person, body)
        outcomes.append(response.status_code)
    assert outcomes == [201, 429, 201]
    third = await company.enter("admin")
    body = {"email": "guest3@example.com", "role": "member"}
    assert (await company.call("POST", "/invitations", third, body)).status_code == 429


async def test_organizations_are_limited(
    client: AsyncClient, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await people.enter()
    monkeypatch.setattr(settings, "LIMITS_ENABLED", True)
    monkeypatch.setattr(settings, "LIMIT_ORGANIZATION_USER", "1/1h")
    outcomes = []
    for slug in ("first", "second"):
        body = {"name": slug, "slug": slug}
        response = await client.post("/organizations", json=body, headers=person.headers)
        outcomes.append(response.status_code)
    assert outcomes == [201, 429]


async def test_invitations_are_audited_without_the_address(
    company: Company, client: AsyncClient, guest: Person, token: str, second: asyncpg.Connection
) -> None:
    first = await second.fetchval("SELECT id FROM invitations")
    await accept(client, guest, token)
    body = {"email": "other@example.com", "role": "member"}
    other = (await company.call("POST", "/invitations", company.owner, body)).json()["id"]
    await company.call("DELETE", f"/invitations/{other}", company.owner)
    rows = await second.fetch(
        "SELECT event, actor_id, subject_id, reason FROM events WHERE event LIKE 'invitation%'"
        " ORDER BY id"
    )
    acme, owner = f"organization {company.id} (acme): invitation", company.owner.id
    assert [tuple(it) for it in rows] == [
        ("invitation.created", owner, None, f"{acme} {first}, role member"),
        ("invitation.accepted", guest.id, guest.id, f"{acme} {first} of user {owner}, role member"),
        ("invitation.created", owner, None, f"{acme} {other}, role member"),
        ("invitation.revoked", owner, None, f"{acme} {other}"),
    ]
