"""Errors of a real PostgreSQL, and the problem that the client receives for each."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from plinth.config import settings
from plinth.db.database import Database
from plinth.db.models import Base
from plinth.errors import (
    Conflict,
    Contended,
    Invalid,
    NotFound,
    PlinthError,
    Rejected,
    TimedOut,
    Unavailable,
)
from tests.support.logs import logging_to_memory

USER = "INSERT INTO users (email, username, hashed_password) VALUES ('{}', '{}', 'x')"
ANN = USER.format("ann@example.com", "ann")
ORPHAN = """
    INSERT INTO one_time_tokens (user_id, purpose, token_hash, email, expires_at)
    VALUES (999999, 'email_verify', 'x', 'ann@example.com', now())
"""
PLAYGROUND = """
    CREATE TABLE playground (
        id int PRIMARY KEY, name varchar(3), size int CHECK (size > 0), span int4range,
        EXCLUDE USING gist (span WITH &&)
    );
    INSERT INTO playground VALUES (1, 'one', 1, '[1,9]'), (2, 'two', 2, NULL)
"""


@pytest.fixture
async def playground(database: Database, second: asyncpg.Connection) -> AsyncIterator[None]:
    await second.execute(PLAYGROUND)
    yield
    await second.execute("DROP TABLE playground")


async def run(database: Database, *statements: str, **values: Any) -> None:
    async with database.transaction() as db:
        for statement in statements:
            await db.execute(text(statement), values)


async def refuse(database: Database, *statements: str, **values: Any) -> PlinthError:
    with pytest.raises(PlinthError) as refused:
        await run(database, *statements, **values)
    return refused.value


@pytest.mark.parametrize(
    ("again", "code", "detail"),
    [
        (USER.format("ANN@example.com", "other"), "email_taken", "Email already registered"),
        (USER.format("b@example.com", "Ann"), "username_taken", "Username already taken"),
    ],
)
async def test_named_constraint_raises_its_error(
    database: Database, again: str, code: str, detail: str
) -> None:
    await run(database, ANN)
    error = await refuse(database, again)
    assert (type(error), error.code, error.detail) == (Rejected, code, detail)


@pytest.mark.parametrize(
    ("state", "statement", "meaning"),
    [
        ("23505", "INSERT INTO playground VALUES (1, 'two')", Conflict),
        ("23P01", "INSERT INTO playground VALUES (3, 'a', 1, '[9,11]')", Conflict),
        ("23502", "INSERT INTO playground VALUES (NULL, 'a')", Invalid),
        ("23514", "INSERT INTO playground VALUES (4, 'a', 0)", Invalid),
        ("23503", ORPHAN, NotFound),
        ("22001", "INSERT INTO playground VALUES (5, 'too long')", Invalid),
        ("22003", "SELECT 2147483647 + id FROM playground", Invalid),
        ("22012", "SELECT 1 / (id - 1) FROM playground", Invalid),
        ("22P02", "SELECT CAST(name AS int) FROM playground", Invalid),
        ("22021", "SELECT convert_from('\\xff', 'UTF8')", Invalid),
        ("54000", "SELECT chr(id - 1) FROM playground", Invalid),
    ],
)
async def test_sqlstate_maps_to_an_error(
    database: Database, playground: None, state: str, statement: str, meaning: type[PlinthError]
) -> None:
    error = await refuse(database, statement)
    assert type(error) is meaning
    assert isinstance(error.__cause__, DBAPIError)
    assert getattr(error.__cause__.orig, "sqlstate", None) == state


@pytest.mark.parametrize(
    "values", [{"name": "a\0b"}, {"name": "a\ud800"}, {"id": 2**31}, {"id": 2**70}]
)
async def test_value_refused_by_the_driver_is_invalid(
    database: Database, playground: None, values: dict[str, Any]
) -> None:
    given = {"id": 9, "name": "a"} | values
    statement = "INSERT INTO playground (id, name) VALUES (CAST(:id AS int), :name)"
    assert type(await refuse(database, statement, **given)) is Invalid


@pytest.mark.parametrize(
    "statements",
    [
        ("SET TRANSACTION READ ONLY", ANN),  # 25006
        ("SELECT pg_terminate_backend(pg_backend_pid())",),  # 57P01
    ],
)
async def test_transient_error_is_unavailable_and_the_next_succeeds(
    database: Database, statements: tuple[str, ...]
) -> None:
    assert type(await refuse(database, *statements)) is Unavailable
    await run(database, "SELECT 1")


async def test_statement_timeout_is_timed_out(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    error = await refuse(database, "SET LOCAL statement_timeout = '10ms'", "SELECT pg_sleep(9)")
    assert type(error) is TimedOut
    assert "timeout" in error.detail
    assert "DB_STATEMENT_TIMEOUT" in caplog.text
    await run(database, "SELECT 1")


async def test_lock_timeout_is_timed_out(
    database: Database,
    playground: None,
    second: asyncpg.Connection,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with second.transaction():
        await second.execute("LOCK playground")
        short = "SET LOCAL lock_timeout = '10ms'"
        assert type(await refuse(database, short, "SELECT * FROM playground")) is TimedOut
    assert "DB_LOCK_TIMEOUT" in caplog.text


async def test_deadlock_victim_is_contended(database: Database, playground: None) -> None:
    met = asyncio.Barrier(2)

    async def cross(first: int, then: int) -> None:
        async with database.transaction() as db:
            await db.execute(text("SET LOCAL ROLE NONE"))  # only a superuser may set the next one
            await db.execute(text("SET LOCAL deadlock_timeout = '10ms'"))
            await db.execute(text("UPDATE playground SET size = 3 WHERE id = :id"), {"id": first})
            await met.wait()
            await db.execute(text("UPDATE playground SET size = 3 WHERE id = :id"), {"id": then})

    outcomes = await asyncio.gather(cross(1, 2), cross(2, 1), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes if outcome] == [Contended]


async def test_a_serialization_failure_is_contended(
    database: Database, playground: None, second: asyncpg.Connection
) -> None:
    async def change_what_another_changes() -> None:
        async with database.transaction() as db:
            await db.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
            await db.execute(text("SELECT * FROM playground"))
            await second.execute("UPDATE playground SET size = 5 WHERE id = 1")
            await db.execute(text("UPDATE playground SET size = 6 WHERE id = 1"))

    with pytest.raises(Contended):
        await change_what_another_changes()


@pytest.fixture
async def narrow(database_url: str, second: asyncpg.Connection) -> AsyncIterator[Database]:
    """A database for a role with a limit of one connection."""
    role = f"narrow_{await second.fetchval('SELECT current_database()')}"
    await second.execute(f"CREATE ROLE \"{role}\" LOGIN PASSWORD 'pw' CONNECTION LIMIT 1")
    place = urlsplit(database_url)
    address = place.netloc.rpartition("@")[2]
    url = place._replace(netloc=f"{role}:pw@{address}").geturl()
    database = Database(url, settings, Base.metadata)
    try:
        yield database
    finally:
        await database.close()
        await second.execute(f'DROP ROLE "{role}"')


async def test_too_many_connections_are_unavailable(narrow: Database) -> None:
    async with narrow.transaction() as db:
        await db.execute(text("SELECT 1"))
        assert type(await refuse(narrow, "SELECT 1")) is Unavailable  # 53300
    with suppress(PlinthError):
        await run(narrow, "SELECT 1")


async def test_a_full_disk_is_unavailable_and_logged(database: Database) -> None:
    fail = "RAISE EXCEPTION 'No space left on device' USING ERRCODE = 'disk_full';"
    with logging_to_memory() as log:
        refused = await refuse(database, f"DO $$ BEGIN {fail} END $$")
    assert type(refused) is Unavailable
    assert "the database cannot be used: the server's disk is full" in log.text


async def test_programming_error_is_not_translated(database: Database) -> None:
    with pytest.raises(Exception, match="nonsense") as fault:
        await run(database, "SELECT nonsense")
    assert not isinstance(fault.value, PlinthError)
