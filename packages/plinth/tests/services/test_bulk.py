"""Import of many users: invalid lines are refused, and the import is atomic."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from httpx2 import AsyncClient

from plinth.accounts import user_columns
from plinth.accounts.queries import user_import
from plinth.accounts.queries.user_import import UnstorableRow
from plinth.accounts.services import audit, bulk
from plinth.accounts.services.bulk import ImportRefused, ImportResult, Line
from plinth.db.database import Database
from plinth.testing.people import PASSWORD, People, Person
from tests.support.foreign_hashes import ARGON2ID, BCRYPT, FOREIGN, PBKDF2_BEYOND, PREFIXED, UNKNOWN

COUNT = "SELECT count(*) FROM users"


def user(name: str, **columns: Any) -> dict[str, Any]:
    return {"email": f"{name}@example.com", "username": name, "hashed_password": BCRYPT} | columns


def numbered(*rows: dict[str, Any]) -> list[Line]:
    return [Line(number, row) for number, row in enumerate(rows, 2)]


async def import_users(database: Database, *rows: dict[str, Any], **options: bool) -> ImportResult:
    async with database.transaction() as db:
        return await bulk.import_users(db, numbered(*rows), **options)


async def refused(database: Database, *rows: dict[str, Any], **options: bool) -> list[str]:
    with pytest.raises(ImportRefused) as refusal:
        await import_users(database, *rows, **options)
    return [f"{problem.line} {problem.message}" for problem in refusal.value.problems]


async def test_imported_users_have_the_defaults_and_can_sign_in(
    database: Database, people: People, second: asyncpg.Connection
) -> None:
    told = {
        "full_name": "Grace Hopper",
        "is_active": "f",
        "is_verified": "True",
        "created_at": "2024-02-29 12:00:00.5+00",
    }
    done = await import_users(database, user("ada"), user("grace", **told))

    assert done.count == 2
    ada, grace = await second.fetch("SELECT * FROM users ORDER BY id")
    assert (ada["is_active"], ada["is_verified"], ada["is_superuser"]) == (True, False, False)
    assert ada["full_name"] is None
    assert abs((ada["created_at"] - ada["updated_at"]).total_seconds()) < 1
    assert (grace["is_active"], grace["is_verified"]) == (False, True)
    assert grace["full_name"] == "Grace Hopper"
    assert str(grace["created_at"]) == "2024-02-29 12:00:00.500000+00:00"
    await people.sign_in(Person(ada["id"], ada["email"], ada["username"]))
    registered = await people.add()
    assert registered.id > grace["id"]


async def test_hashes_are_stored_in_the_form_of_their_kind(
    database: Database, second: asyncpg.Connection
) -> None:
    given = {**dict.fromkeys(FOREIGN.values()), **PREFIXED, "": "!", "!unusable": "!"}
    rows = [user(f"user{number}", hashed_password=it) for number, it in enumerate(given)]
    done = await import_users(database, *rows)
    stored = await second.fetch("SELECT hashed_password FROM users ORDER BY id")
    assert [row[0] for row in stored] == [expected or it for it, expected in given.items()]
    kinds = {it.split("$")[1] if it[0] == "$" else it.split("$")[0] for it in done.hashes}
    assert kinds == {"2a", "argon2i", "argon2id", "pbkdf2_sha256", "scrypt"}
    assert len(done.hashes) == len(FOREIGN) - 2, "one of each kind and cost"


async def test_all_invalid_lines_are_reported_and_none_is_imported(
    database: Database, second: asyncpg.Connection
) -> None:
    said = await refused(
        database,
        user("fine"),
        user("a"),
        user("bad-mail", email="bad"),
        user("nul", full_name="a\0b"),
        user("flag", is_active="perhaps"),
        user("time", created_at="2024-01-01T00:00:00"),
        user("plain", password=PASSWORD),
        user("costly", hashed_password=PBKDF2_BEYOND),
        user("root", is_superuser="true"),
        {"username": "nobody"},
    )
    assert [line.split(":")[0] for line in said] == [
        "3 username",
        "4 email",
        "5 full_name",
        "6 is_active",
        "7 created_at",
        "8 password",
        "9 hashed_password",
        "10 is_superuser",
        "11 email",
    ]
    assert PASSWORD not in str(said)
    assert PBKDF2_BEYOND not in str(said)
    assert await second.fetchval(COUNT) == 0


@pytest.mark.parametrize(
    "given",
    [
        2024, 0, 1709208000, 1709208000000, 1709208000.5, -1, True, float("nan"), "2024",
        "1709208000", "1709208000.5", "2024-02-29", "2024-02-29T12:00:00", "2024-02", "20240229",
        "20240229T120000Z", "29.02.2024 12:00", "02/29/2024", "now", "infinity", "P1D", "12:00Z",
        "2023-02-29T12:00:00Z", "2024-02-29T25:00:00Z", "0001-01-01T00:00:00+14:00",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59-14:00", "1969-12-31T23:59:59Z", "", [], {},
    ],
)  # fmt: skip
async def test_invalid_timestamp_is_reported_by_line_and_column(
    database: Database, second: asyncpg.Connection, given: Any
) -> None:
    said = await refused(database, user("ada"), user("grace", created_at=given))
    assert [line.split(":")[0] for line in said] == ["3 created_at"]
    assert await second.fetchval(COUNT) == 0


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("2024-02-29T12:00:00Z", "2024-02-29 12:00:00+00:00"),
        ("2024-02-29t12:00:00.123456z", "2024-02-29 12:00:00.123456+00:00"),
        ("2024-02-29 12:00:00+00", "2024-02-29 12:00:00+00:00"),
        ("2024-02-29 12:00:00.5+05:30", "2024-02-29 06:30:00.500000+00:00"),
        ("2024-02-29T12:00Z", "2024-02-29 12:00:00+00:00"),
        ("1970-01-01T00:00:00Z", "1970-01-01 00:00:00+00:00"),
    ],
)
async def test_timestamp_needs_date_time_and_zone(
    database: Database, second: asyncpg.Connection, given: str, stored: str
) -> None:
    await import_users(database, user("ada", created_at=given))
    assert str(await second.fetchval("SELECT created_at FROM users")) == stored


@pytest.mark.parametrize("column", ["is_active", "is_superuser", "is_verified"])
@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (1, True), (0, False), ("1", True), ("0", False), ("t", True), ("FALSE", False),
        ("yes", True), ("n", False), (True, True), (False, False),
        (2, None), ("2", None), (1.0, None), (0.0, None), ("1.0", None), ("", None),
        ("perhaps", None), ([], None), (None, None),
    ],
)  # fmt: skip
async def test_flag_must_be_a_clear_boolean(
    database: Database, second: asyncpg.Connection, column: str, given: Any, stored: bool | None
) -> None:
    row = user("ada", **{column: given})
    if stored is None:
        assert [line.split(":")[0] for line in await refused(database, row)] == [f"2 {column}"]
    else:
        await import_users(database, row, superusers=True)
        assert await second.fetchval(f"SELECT {column} FROM users") is stored


@pytest.mark.parametrize("column", ["email", "username", "full_name", "hashed_password"])
@pytest.mark.parametrize("given", [1, 1.5, True, [], {}])
async def test_number_is_not_accepted_as_text(database: Database, column: str, given: Any) -> None:
    said = await refused(database, user("ada"), user("grace", **{column: given}))
    assert [line.split(":")[0] for line in said] == [f"3 {column}"]


async def test_row_refused_by_the_database_is_reported_by_line(
    database: Database,
) -> None:
    """Validation should find all errors first; if the database finds one, the line is reported."""
    now = datetime.now(UTC)

    def row(line: int, **columns: Any) -> tuple[Any, ...]:
        values = user(f"user{line}") | {"email_canonical": f"user{line}@example.com"}
        values |= {"full_name": None, "created_at": now}
        values |= dict.fromkeys(("is_active", "is_superuser", "is_verified"), False) | columns
        return (line, *(values[name] for name in user_columns.IMPORTED))

    async def try_to_stage(rows: tuple[tuple[Any, ...], ...]) -> None:
        async with database.transaction() as db:
            await user_import.prepare(db)
            await user_import.stage(db, rows)

    async def stage(*rows: tuple[Any, ...]) -> UnstorableRow:
        with pytest.raises(UnstorableRow) as error:
            await try_to_stage(rows)
        return error.value

    fine = [row(line) for line in range(10, 40, 2)]
    told = await stage(*fine, row(41, username="x" * 51), *(row(line) for line in range(50, 60)))
    assert (told.line, told.column) == (41, "username")
    assert "character varying(50)" in told.reason
    assert (await stage(*fine, row(43, hashed_password=None))).line == 43


async def test_a_hash_of_an_unknown_kind_is_refused(database: Database) -> None:
    rows = [user(f"user{number}", hashed_password=it) for number, it in enumerate(UNKNOWN)]
    said = await refused(database, *rows)
    assert len(said) == len(UNKNOWN)
    assert all("hashed_password: is not a hash of bcrypt, argon2" in line for line in said)


async def test_duplicates_are_reported_by_line_ignoring_case(
    database: Database, people: People, second: asyncpg.Connection
) -> None:
    await people.add(email="Old@Example.com", username="Old")
    rows = (
        user("new"),
        user("old"),
        user("other", username="OLD"),
        user("NEW"),
        user("another", username="nEw"),
        user("last"),
    )
    said = await refused(database, *rows)
    assert said == [
        "3 email: Email already registered",
        "4 username: Username already taken",
        "5 email: the same as in line 2",
        "6 username: the same as in line 2",
    ]
    assert await second.fetchval(COUNT) == 1

    done = await import_users(database, *rows, skip_duplicates=True)

    assert (done.count, [problem.line for problem in done.skipped]) == (2, [3, 4, 5, 6])
    names = await second.fetch("SELECT username FROM users ORDER BY id")
    assert [row[0] for row in names] == ["Old", "new", "last"]
    assert (await import_users(database, *rows, skip_duplicates=True)).count == 0


async def test_skip_duplicates_does_not_skip_other_errors(
    database: Database, second: asyncpg.Connection
) -> None:
    rows = (user("ada"), user("ADA"), user("x"))
    said = await refused(database, *rows, skip_duplicates=True)
    assert [line[0] for line in said] == ["3", "4"]
    assert await second.fetchval(COUNT) == 0


async def test_superusers_are_imported_only_if_requested(
    database: Database, second: asyncpg.Connection
) -> None:
    root = user("root", is_superuser=True)
    assert await refused(database, root) == [
        "2 is_superuser: true is not allowed without --superusers"
    ]
    await import_users(database, root, superusers=True)
    assert await second.fetchval("SELECT is_superuser FROM users")


async def test_interrupted_import_changes_nothing_and_can_be_repeated(
    database: Database, second: asyncpg.Connection
) -> None:
    rows = [user(f"user{number}") for number in range(50)]
    with suppress(RuntimeError):
        async with database.transaction() as db:
            await bulk.import_users(db, numbered(*rows))
            raise RuntimeError
    assert await second.fetchval(COUNT) == 0
    assert (await import_users(database, *rows)).count == 50


async def test_concurrent_imports_and_registrations_create_each_user_once(
    database: Database, client: AsyncClient, second: asyncpg.Connection
) -> None:
    rows = [user(f"user{number}") for number in range(100)]

    async def register(name: str) -> int:
        account = {"email": f"{name}@example.com", "username": name, "password": PASSWORD}
        return (await client.post("/auth/register", json=account)).status_code

    (first, other), statuses = await asyncio.gather(
        asyncio.gather(
            import_users(database, *rows, skip_duplicates=True),
            import_users(database, *reversed(rows), skip_duplicates=True),
        ),
        asyncio.gather(*(register(f"user{number}") for number in range(10))),
    )
    registered = statuses.count(201)
    assert set(statuses) <= {201, 400}
    assert first.count + other.count + registered == 100 == await second.fetchval(COUNT)


async def test_import_is_one_event_and_updates_the_total_at_once(
    database: Database, client: AsyncClient, people: People, second: asyncpg.Connection
) -> None:
    root = await people.enter(is_superuser=True)

    async def total() -> Any:
        return (await client.get("/users/", headers=root.headers)).json()["total"]

    assert await total() == 1
    await import_users(database, user("ada"), user("grace"))
    assert await total() == 3
    first, last = await second.fetchrow(
        "SELECT min(id), max(id) FROM users WHERE id <> $1", root.id
    )
    reasons = await second.fetch("SELECT reason FROM events WHERE event = 'users.imported'")
    assert [row[0] for row in reasons] == [f"2 users, with ids from {first} to {last}"]
    async with database.transaction() as db:
        assert (await audit.verify(db)).flaw is None


async def test_export_can_be_imported_again(
    database: Database, people: People, second: asyncpg.Connection
) -> None:
    await people.add(full_name="=1+1", hashed_password=ARGON2ID)
    await people.add(is_active=False)
    before = await second.fetch("SELECT email, hashed_password, created_at FROM users ORDER BY id")
    async with database.transaction() as db:
        rows = [it.model_dump() async for it in bulk.export_users(db, hashes=True)]
    await second.execute("DELETE FROM users")
    await import_users(database, *rows)
    after = await second.fetch("SELECT email, hashed_password, created_at FROM users ORDER BY id")
    assert before == after


async def test_hashes_are_exported_only_if_requested(
    database: Database, people: People, second: asyncpg.Connection
) -> None:
    await people.add()
    async with database.transaction() as db:
        (row,) = [it.model_dump() async for it in bulk.export_users(db)]
    assert "argon2" not in str(row)
    event = "SELECT reason FROM events WHERE event = 'users.exported'"
    assert await second.fetchval(event) == "1 users, without password hashes"
