"""Only the id of an erased user remains, and the audit chain stays valid."""

import asyncpg
import pytest
from httpx2 import AsyncClient

from plinth.accounts.services import administration, audit, outbox
from plinth.accounts.services.accounts import UserNotFound
from plinth.accounts.services.administration import LastSuperuser
from plinth.db.database import Database
from plinth.testing.people import PASSWORD, People

AGENT = {"User-Agent": "Anns-own-browser"}


async def everything(second: asyncpg.Connection) -> str:
    tables = await second.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    rows = [await second.fetch(f"SELECT t::text FROM {table[0]} t") for table in tables]
    return str(rows)


async def test_erasure_leaves_no_personal_data_and_a_valid_chain(
    client: AsyncClient, people: People, database: Database, second: asyncpg.Connection
) -> None:
    root = await people.enter(is_superuser=True)
    ann = await people.enter(
        email="Ann@Example.com", username="ann", full_name="Ann Lee", is_verified=True
    )
    client.headers["User-Agent"] = AGENT["User-Agent"]
    await people.sign_in(ann)
    await client.post("/auth/login", json={"email": ann.email, "password": "wrong"})
    change = {"email": "ann.new@example.com", "current_password": PASSWORD}
    assert (await client.patch("/users/me", json=change, headers=ann.headers)).status_code == 200
    client.headers["User-Agent"] = "the-superusers"
    renamed = {"username": "annie", "full_name": "Annie Lee", "is_verified": True}
    answer = await client.patch(f"/users/{ann.id}", json=renamed, headers=root.headers)
    assert answer.status_code == 200
    assert "Anns-own-browser" in await everything(second)

    async with database.transaction() as db:
        erased = await administration.erase(db, ann.id)

    assert (erased.account, erased.sessions, erased.mails) == (True, 2, 2)
    left = (await everything(second)).lower()
    for trace in ("ann@example", "ann.new", "annie", "ann lee", "anns-own-browser"):
        assert trace not in left, trace
    assert "the-superusers" in left, "the events of the superuser who changed the account remain"
    assert root.email in left
    assert (await client.get("/users/me", headers=ann.headers)).status_code == 401
    async with database.transaction() as db:
        assert (await audit.verify(db)).flaw is None
    told = "SELECT event, subject_id FROM events ORDER BY id DESC LIMIT 1"
    assert tuple(await second.fetchrow(told)) == ("user.erased", ann.id)


async def test_deleted_account_can_be_erased_by_its_id(
    client: AsyncClient, people: People, database: Database, second: asyncpg.Connection
) -> None:
    root = await people.enter(is_superuser=True)
    client.headers["User-Agent"] = AGENT["User-Agent"]
    ann = await people.enter()
    await client.delete(f"/users/{ann.id}", headers=root.headers | {"User-Agent": "root"})
    async with database.transaction() as db:
        erased = await administration.erase(db, ann.id)
    assert (erased.account, erased.events) == (False, 1)
    assert "Anns-own-browser" not in await everything(second)


async def test_erasure_keeps_mails_of_others(
    people: People, database: Database, second: asyncpg.Connection
) -> None:
    ann = await people.add(email="vict\u0130m@example.com")
    bob = await people.add(email="victim@example.com")  # equal with `lower` of many locales
    async with database.transaction() as db:
        for person in (ann, bob):
            await outbox.enqueue(db, "password_changed", person.email, username="x", page="y")
    async with database.transaction() as db:
        await administration.erase(db, ann.id)
    assert [row[0] for row in await second.fetch("SELECT recipient FROM mails")] == [bob.email]


async def test_last_superuser_and_unknown_user_cannot_be_erased(
    people: People, database: Database, second: asyncpg.Connection
) -> None:
    root = await people.enter(is_superuser=True)
    await people.add()
    for number, refusal in ((root.id, LastSuperuser), (2**62, UserNotFound)):
        with pytest.raises(refusal):
            async with database.transaction() as db:
                await administration.erase(db, number)
    assert await second.fetchval("SELECT count(*) FROM users") == 2
