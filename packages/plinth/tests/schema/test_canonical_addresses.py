"""The migration of existing accounts to canonical addresses."""

import asyncio
import logging
from collections.abc import Iterator
from datetime import UTC, datetime

import asyncpg
import pytest

from plinth.accounts import queries
from plinth.config import settings
from plinth.db import migrations
from plinth.db.database import Database
from plinth.db.models import Base
from plinth.security.addresses import canonical
from plinth.testing.databases import TestServices, empty_database

BEFORE, AT = "b35f9a17e0c4", "4b8e1f60c7d3"
OLD = datetime(2020, 2, 29, tzinfo=UTC)
ADD = "INSERT INTO users (email, username, hashed_password, updated_at) VALUES ($1, $2, 'x', $3)"
KEYS = "SELECT email, email_canonical FROM users ORDER BY id"
# The query of the previous release at sign-in.
PREVIOUS_LOOK_UP = "SELECT id FROM users WHERE lower(email) = lower($1)"

LOCALES = {
    "default": "",
    "C": "TEMPLATE template0 LC_CTYPE 'C' LC_COLLATE 'C' LOCALE_PROVIDER libc",
    "Turkish": "TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'tr'",
}
# Ordered by id; accounts with the same canonical form are listed with its owner first.
STORED = {
    "default": (
        ["Ann@example.com", "änn@example.com", "a\u0308nn@example.com", "bo@xn--bcher-kva.example",
         "Bo@bücher.example", "v\u0130ctim@example.com", "Österreich@example.com"],
        [[2, 3], [5, 4]],
    ),
    "C": (["ÄNN@example.com", "änn@example.com", "JOSÉ@example.com"], [[2, 1]]),
    "Turkish": (["INFO@example.com", "info@example.com", "IRIS@example.com"], [[2, 1]]),
}  # fmt: skip


@pytest.fixture
def empty(request: pytest.FixtureRequest, services: TestServices, worker_id: str) -> Iterator[str]:
    options = LOCALES[getattr(request, "param", "default")]
    try:
        with empty_database(services, f"{worker_id}_addresses", options) as url:
            migrations.upgrade(url, BEFORE)
            yield url
    except asyncpg.FeatureNotSupportedError as error:
        pytest.skip(str(error))  # an ICU locale on a server that was built without ICU


async def fill(url: str, emails: list[str]) -> None:
    connection = await asyncpg.connect(url)
    for number, email in enumerate(emails, 1):
        await connection.execute(ADD, email, f"user-{number}", OLD)
    await connection.close()


@pytest.mark.parametrize(("empty", "name"), [(name, name) for name in STORED], indirect=["empty"])
async def test_colliding_accounts_are_reported_and_can_be_found(
    empty: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    emails, collisions = STORED[name]
    await fill(empty, emails)
    with caplog.at_level(logging.WARNING, "alembic.runtime.migration"):
        await asyncio.to_thread(migrations.upgrade, empty, AT)
    for (holder, other), record in zip(collisions, caplog.records, strict=True):
        assert f"users {other} have the address of user {holder} " in record.getMessage()
        assert "@" not in record.getMessage()

    losers = {emails[other - 1] for _, other in collisions}
    connection = await asyncpg.connect(empty)
    for row in await connection.fetch(KEYS):
        assert (row["email_canonical"] == canonical(row["email"])) is (row["email"] not in losers)
    assert await connection.fetchval("SELECT count(*) FROM users WHERE updated_at <> $1", OLD) == 0
    for number, email in enumerate(emails, 1):
        assert number in {row["id"] for row in await connection.fetch(PREVIOUS_LOOK_UP, email)}
    await connection.close()

    database = Database(empty, settings, Base.metadata)
    for number, email in enumerate(emails, 1):
        found = await queries.sign_in.find_candidate(database.reader, f" {email} ")
        assert found
        assert found.id == number, email
        async with database.transaction() as db:
            user = await queries.user.get_by_email(db, email=email)
            assert user
            assert user.id == number
    await database.close()


async def test_downgrade_and_upgrade_restore_the_rows(empty: str) -> None:
    await fill(empty, STORED["default"][0])
    before = await rows_of(empty)
    await asyncio.to_thread(migrations.upgrade, empty, AT)
    upgraded = await rows_of(empty)
    await asyncio.to_thread(migrations.downgrade, empty)
    assert await rows_of(empty) == before
    await asyncio.to_thread(migrations.upgrade, empty, AT)
    assert await rows_of(empty) == upgraded


async def test_interrupted_migration_can_be_repeated(empty: str) -> None:
    await fill(empty, STORED["default"][0])
    holder = await asyncpg.connect(empty)
    async with holder.transaction():
        await holder.execute("SELECT 1 FROM users WHERE id = 4 FOR UPDATE")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(settings, "MIGRATION_LOCK_TIMEOUT", 1)
            with pytest.raises(Exception, match="lock timeout"):
                await asyncio.to_thread(migrations.upgrade, empty, AT)
        assert await holder.fetchval("SELECT version_num FROM alembic_version") == BEFORE
    await asyncio.to_thread(migrations.upgrade, empty, AT)
    assert all(row["email_canonical"] for row in await holder.fetch(KEYS))
    await holder.close()


async def rows_of(url: str) -> list[tuple[object, ...]]:
    connection = await asyncpg.connect(url)
    found = [tuple(row) for row in await connection.fetch("SELECT * FROM users ORDER BY id")]
    await connection.close()
    return found


ALICE = "INSERT INTO users (email, username, hashed_password) VALUES ($1, $2, 'x') RETURNING id"


@pytest.mark.parametrize(
    ("email", "again"),
    [
        ("Ann@Example.com", "ann@example.COM"),
        ("josé@example.com", "JOSÉ@example.com"),
        ("ann@bücher.example", "Ann@xn--bcher-kva.example"),
    ],
)
async def test_account_of_the_previous_release_is_found_and_its_email_is_taken(
    database: Database, second: asyncpg.Connection, email: str, again: str
) -> None:
    """The previous release does not know the column, and runs during a rolling deployment."""
    made = await second.fetchval(ALICE, email, "ann")
    for typed in (email, again):
        found = await queries.sign_in.find_candidate(database.reader, typed)
        assert found
        assert found.id == made
    with pytest.raises(asyncpg.UniqueViolationError) as refused:
        await second.execute(
            "INSERT INTO users (email, email_canonical, username, hashed_password)"
            " VALUES ($1, $2, 'other', 'x')",
            again,
            canonical(again),
        )
    assert refused.value.constraint_name == "uq_users_email_lower"


async def test_previous_release_cannot_take_an_existing_email(
    second: asyncpg.Connection,
) -> None:
    await second.execute(ALICE, "ann@example.com", "ann")
    for username in ("other", "ANN"):
        with pytest.raises(asyncpg.UniqueViolationError) as refused:
            await second.execute(ALICE, "ANN@example.com", username)
        assert refused.value.constraint_name == "uq_users_email_lower"


async def test_email_changed_by_the_previous_release_is_found(
    database: Database, second: asyncpg.Connection
) -> None:
    made = await second.fetchval(ALICE, "ann@example.com", "ann")
    await second.execute("UPDATE users SET email = 'Bo@example.com' WHERE id = $1", made)
    assert await queries.sign_in.find_candidate(database.reader, "ann@example.com") is None
    found = await queries.sign_in.find_candidate(database.reader, "bo@EXAMPLE.com")
    assert found
    assert found.id == made


async def test_lookalike_email_does_not_take_the_original(second: asyncpg.Connection) -> None:
    await second.execute(ALICE, "v\u0130ctim@example.com", "stranger")
    await second.execute(ALICE, "victim@example.com", "victim")


async def test_names_are_normalized_to_nfc_and_others_unchanged(empty: str) -> None:
    await asyncio.to_thread(migrations.upgrade, empty, "8e41c7a05b92")
    names = ["Zoe\u0308 Ko\u0308nig", "Ann Lee", "Zo\u00eb", None, "\u0958" * 255]
    connection = await asyncpg.connect(empty)
    for number, name in enumerate(names):
        await connection.execute(ADD, f"{number}@example.com", f"user-{number}", OLD)
        await connection.execute(
            "UPDATE users SET full_name = $1 WHERE email LIKE $2", name, f"{number}@%"
        )
    await asyncio.to_thread(migrations.upgrade, empty, "1f6a92d7e0b5")
    found = await connection.fetch("SELECT full_name FROM users ORDER BY id")
    await connection.close()
    composed = ["Zo\u00eb K\u00f6nig", *names[1:]]  # the last one would be longer than the column
    assert [row["full_name"] for row in found] == composed
