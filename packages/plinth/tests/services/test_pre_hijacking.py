"""An account that someone registered with the address of another person."""

import asyncpg
from httpx2 import AsyncClient

from plinth.accounts import queries
from plinth.accounts.services.mailbox import pre_hijacking
from plinth.db.database import Database
from plinth.security.passwords import NO_PASSWORD
from plinth.testing.people import People, Person
from tests.api.test_credentials_reset import reset, token_for
from tests.support.factors import enroll
from tests.support.mail_server import Inbox, text_of


async def claim(database: Database, person: Person) -> None:
    async with database.transaction() as db:
        user = await queries.user.get(db, person.id, lock=True)
        assert user is not None
        await pre_hijacking.claim(db, user)


async def link_identity(second: asyncpg.Connection, person: Person) -> None:
    await second.execute(
        "INSERT INTO identities (user_id, provider, issuer, subject) "
        "VALUES ($1, 'hostile', 'https://idp.example', 'stranger')",
        person.id,
    )


async def test_claim_removes_the_credentials_of_an_unverified_account(
    client: AsyncClient,
    people: People,
    second: asyncpg.Connection,
    database: Database,
    inbox: Inbox,
) -> None:
    stranger = await people.enter()
    await enroll(client, second, stranger)
    await link_identity(second, stranger)
    await client.post("/auth/email/resend", headers=stranger.headers)
    pending = (await people.try_to_sign_in(stranger)).json()["challenge"]
    before = await second.fetchval("SELECT credential_epoch FROM users")

    await claim(database, stranger)

    assert (await client.get("/users/me", headers=stranger.headers)).status_code == 401
    assert (await people.try_to_sign_in(stranger)).status_code == 401
    proof = {"challenge": pending, "method": "totp", "code": "000000"}
    assert (await client.post("/auth/mfa", json=proof)).json()["code"] == "invalid_challenge"
    row = await second.fetchrow("SELECT * FROM users")
    assert (row["hashed_password"], row["is_verified"]) == (NO_PASSWORD, True)
    assert row["credential_epoch"] > before, "device cookies of the stranger are void"
    for table in ("factors", "recovery_codes", "identities", "one_time_tokens"):
        assert await second.fetchval(f"SELECT count(*) FROM {table}") == 0, table
    notice = await inbox.next(stranger.email, "You have confirmed your e-mail")
    assert "http://localhost:3000/forgot-password\n" in text_of(notice)
    events = await second.fetch("SELECT event FROM events ORDER BY id DESC LIMIT 4")
    recorded = {row["event"] for row in events} - {"session.started"}
    assert recorded == {"factor.reset", "account.claimed", "email.verified"}


async def test_claim_changes_no_verified_account(
    people: People, second: asyncpg.Connection, database: Database
) -> None:
    person = await people.enter(is_verified=True)
    await link_identity(second, person)
    before = await second.fetchrow("SELECT * FROM users")
    await claim(database, person)
    assert await second.fetchrow("SELECT * FROM users") == before
    assert await second.fetchval("SELECT count(*) FROM identities") == 1
    assert (await people.try_to_sign_in(person)).status_code == 200


async def test_reset_removes_the_identities_of_an_unverified_account(
    client: AsyncClient, people: People, second: asyncpg.Connection, inbox: Inbox
) -> None:
    stranger = await people.add()
    await link_identity(second, stranger)
    assert (await reset(client, await token_for(client, inbox, stranger))).status_code == 204
    assert await second.fetchval("SELECT count(*) FROM identities") == 0


async def test_reset_keeps_the_identities_of_a_verified_account(
    client: AsyncClient, people: People, second: asyncpg.Connection, inbox: Inbox
) -> None:
    person = await people.add(is_verified=True)
    await link_identity(second, person)
    assert (await reset(client, await token_for(client, inbox, person))).status_code == 204
    assert await second.fetchval("SELECT count(*) FROM identities") == 1
