import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import queries
from plinth.accounts.schemas.user import UserUpdate
from plinth.db.database import Database
from plinth.security.addresses import Account
from plinth.security.passwords import Verdict, verify_password
from plinth.testing.people import PASSWORD, People


@pytest.mark.parametrize("text", ["Ada.Lovelace@Example.com", "ada.lovelace@example.com"])
async def test_get_by_email_ignores_case(db: AsyncSession, people: People, text: str) -> None:
    person = await people.add(email="Ada.Lovelace@Example.com")

    found = await queries.user.get_by_email(db, email=text)

    assert found is not None
    assert found.id == person.id
    assert await queries.user.get_by_email(db, email="ada_lovelace@example.com") is None
    assert await queries.user.get_by_email(db, email="%") is None


async def test_canonical_email_is_set_only_for_the_current_email(
    database: Database, people: People, second: asyncpg.Connection
) -> None:
    """The user may have changed before the key is computed."""
    person = await people.add()
    for email, key in (("earlier@example.com", person.email), (person.email, "key")):
        account = Account(person.id, email, is_verified=True, key=person.email)
        async with database.transaction() as db:
            await queries.user.set_canonical_email(db, account, "key")
        assert await second.fetchval("SELECT email_canonical FROM users") == key


@pytest.mark.parametrize("text", ["Ada_L", "ada_l", "ADA_L"])
async def test_get_by_username_ignores_case(db: AsyncSession, people: People, text: str) -> None:
    person = await people.add(username="Ada_L")

    found = await queries.user.get_by_username(db, username=text)

    assert found is not None
    assert found.id == person.id
    assert await queries.user.get_by_username(db, username="AdaxL") is None


async def test_get_active_users_returns_the_newest_first(db: AsyncSession, people: People) -> None:
    people_ids = [(await people.add()).id for _ in range(4)]
    await people.add(is_active=False)

    async def page(**bounds: int) -> list[int]:
        return [user.id for user in await queries.user.get_active_users(db, **bounds)]

    assert await page() == people_ids[::-1]
    assert await page(skip=1, limit=2) == people_ids[::-1][1:3]


async def test_authenticate_returns_the_user_with_the_right_password(
    db: AsyncSession, people: People
) -> None:
    person = await people.add(is_active=False)

    found = await queries.user.authenticate(db, email=person.email.upper(), password=PASSWORD)

    assert found is not None
    assert found.id == person.id, "whether an inactive user may come in is not asked here"
    assert await queries.user.authenticate(db, email=person.email, password="Wrong") is None
    assert await queries.user.authenticate(db, email="nobody", password=PASSWORD) is None


async def test_update_hashes_the_password_and_ignores_current_password(
    db: AsyncSession, people: People
) -> None:
    person = await people.add()
    user = await queries.user.get(db, person.id)
    assert user

    changes = UserUpdate(password="Other-Horse-8", current_password=PASSWORD)
    changed = await queries.user.update(db, db_obj=user, obj_in=changes)

    assert await verify_password("Other-Horse-8", changed.hashed_password) is Verdict.RIGHT
    assert await verify_password(PASSWORD, changed.hashed_password) is Verdict.WRONG


async def test_lock_superusers_returns_the_active_ones(db: AsyncSession, people: People) -> None:
    await people.add()
    await people.add(is_superuser=True, is_active=False)
    acting = [(await people.add(is_superuser=True)).id for _ in range(2)]

    assert list(await queries.user.lock_superusers(db)) == acting
