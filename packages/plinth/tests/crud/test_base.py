"""The generic CRUD base, with the table of users."""

from asyncio import gather
from collections import Counter

import asyncpg
import pytest
from sqlalchemy import inspect
from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import queries
from plinth.accounts.models import User
from plinth.accounts.schemas.user import UserCreate, UserUpdate
from plinth.db.database import Database
from plinth.errors import Rejected
from plinth.resources.crud import CRUDBase
from plinth.testing.people import PASSWORD, People

base = CRUDBase[User, UserCreate, UserUpdate](User)


def account(name: str) -> UserCreate:
    return UserCreate(email=f"{name}@example.com", username=name, password=PASSWORD)


async def test_get_returns_the_row_or_none(db: AsyncSession, people: People) -> None:
    person = await people.add()

    found = await base.get(db, person.id)

    assert found is not None
    assert (found.id, found.email) == (person.id, person.email)
    assert await base.get(db, person.id + 1) is None


async def test_get_with_lock_reloads_and_locks_the_row(
    database: Database, people: People, second: asyncpg.Connection
) -> None:
    person = await people.add()
    async with database.transaction() as db:
        assert await base.get(db, person.id)
        await second.execute("UPDATE users SET full_name = 'Meanwhile'")

        row = await base.get(db, person.id, lock=True)

        assert row is not None
        assert row.full_name == "Meanwhile"
        free = "SELECT id FROM users FOR UPDATE SKIP LOCKED"
        assert await second.fetch(free) == []
    assert len(await second.fetch(free)) == 1


async def test_get_multi_returns_pages_by_id(db: AsyncSession, people: People) -> None:
    ids = [(await people.add()).id for _ in range(5)]

    async def page(**bounds: int) -> list[int]:
        return [row.id for row in await base.get_multi(db, **bounds)]

    assert await page() == ids
    assert await page(skip=1, limit=2) == ids[1:3]
    assert await page(skip=4) == ids[4:]
    assert await page(skip=5) == []


async def test_get_count_returns_the_number_of_rows(db: AsyncSession, people: People) -> None:
    assert await base.get_count(db) == 0
    await people.add()
    await people.add()
    assert await base.get_count(db) == 2


async def test_created_row_is_loaded_before_and_visible_after_the_commit(
    database: Database, second: asyncpg.Connection
) -> None:
    async with database.transaction() as db:
        user = await queries.user.create(db, obj_in=account("ada"))

        unloaded = inspect(user).unloaded
        assert unloaded == set(), "a late load would be a hidden query"
        assert (user.is_active, user.is_superuser) == (True, False)
        assert await second.fetchval("SELECT count(*) FROM users") == 0
    row = await second.fetchrow("SELECT id, username, hashed_password FROM users")
    assert (row["id"], row["username"]) == (user.id, "ada")
    assert PASSWORD not in row["hashed_password"]


async def test_taken_email_is_refused_by_its_constraint(
    database: Database, second: asyncpg.Connection
) -> None:
    async with database.transaction() as db:
        await queries.user.create(db, obj_in=account("ada"))
    with pytest.raises(Rejected, match="Email already registered"):
        async with database.transaction() as db:
            await queries.user.create(db, obj_in=account("ADA"))

    assert await second.fetchval("SELECT count(*) FROM users") == 1


async def test_update_changes_only_the_sent_fields(database: Database, people: People) -> None:
    person = await people.add(full_name="Ada")
    async with database.transaction() as db:
        user = await base.get(db, person.id)
        assert user
        before = user.updated_at

        assert (await base.update(db, db_obj=user, obj_in=UserUpdate())).full_name == "Ada"
        changed = await base.update(db, db_obj=user, obj_in=UserUpdate(username="Countess"))

        assert (changed.username, changed.full_name) == ("Countess", "Ada")
        assert changed.updated_at > before, "what a trigger made is read back"
        cleared = await base.update(db, db_obj=user, obj_in=UserUpdate(full_name=None))
        assert (cleared.username, cleared.full_name) == ("Countess", None)


async def test_remove_returns_the_removed_row(
    database: Database, people: People, second: asyncpg.Connection
) -> None:
    person = await people.add()
    async with database.transaction() as db:
        removed = await base.remove(db, id=person.id)
        assert removed is not None
        assert removed.username == person.username
        assert await base.remove(db, id=person.id) is None
    assert await second.fetchval("SELECT count(*) FROM users") == 0


async def test_concurrent_removals_return_the_row_once(database: Database, people: People) -> None:
    async def remove(user_id: int) -> bool:
        async with database.transaction() as db:
            return await base.remove(db, id=user_id) is not None

    for _ in range(5):
        person = await people.add()
        removed = await gather(*(remove(person.id) for _ in range(10)))
        assert Counter(removed) == {True: 1, False: 9}


async def test_failed_transaction_changes_nothing(
    database: Database, people: People, second: asyncpg.Connection
) -> None:
    person = await people.add()
    before = await second.fetch("SELECT * FROM users")

    async def change_all_and_fail() -> None:
        async with database.transaction() as db:
            await queries.user.create(db, obj_in=account("ada"))
            await base.remove(db, id=person.id)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await change_all_and_fail()
    assert await second.fetch("SELECT * FROM users") == before
