"""`plinth db`: migrations and verified backups."""

from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from plinth.testing.databases import TestServices, empty_database
from plinth.testing.people import People
from tests.support.command import plinth


@pytest.fixture
def elsewhere(
    services: TestServices, environment: dict[str, str], worker_id: str
) -> Iterator[dict[str, str]]:
    """The settings of a command with an empty database."""
    with empty_database(services, f"{worker_id}_elsewhere") as url:
        yield environment | {"DATABASE_URL": url}


async def fetch(environment: dict[str, str], query: str) -> object:
    connection = await asyncpg.connect(environment["DATABASE_URL"])
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_upgrade_and_downgrade(elsewhere: dict[str, str]) -> None:
    assert plinth("db", "upgrade", **elsewhere).returncode == 0
    assert await fetch(elsewhere, "SELECT count(*) FROM users") == 0
    assert plinth("db", "downgrade", "base", "--yes", **elsewhere).returncode == 0
    assert await fetch(elsewhere, "SELECT to_regclass('users')") is None


def test_upgrade_sql_needs_no_database(environment: dict[str, str]) -> None:
    nowhere = environment | {"DATABASE_URL": "postgresql://app@127.0.0.1:1/app"}
    answer = plinth("db", "upgrade", "--sql", **nowhere)
    assert answer.returncode == 0, answer.stderr
    assert "CREATE TABLE users" in answer.stdout


async def test_a_backup_restored_elsewhere_holds_every_row(
    people: People, environment: dict[str, str], elsewhere: dict[str, str], tmp_path: Path
) -> None:
    for _ in range(3):
        await people.enter()
    file = tmp_path / "all.dump"
    backup = plinth("db", "backup", str(file), **environment)
    assert backup.returncode == 0, backup.stderr
    assert file.stat().st_mode & 0o777 == 0o600
    again = plinth("db", "backup", str(file), **environment)
    assert again.returncode == 1
    assert "--force" in again.stderr

    restore = plinth("db", "restore", str(file), "--yes", **elsewhere)
    assert restore.returncode == 0, restore.stderr
    for table in ("users", "sessions", "events", "alembic_version"):
        count = f"SELECT count(*) FROM {table}"
        assert await fetch(elsewhere, count) == await fetch(environment, count)
    # also onto a database with data
    assert plinth("db", "restore", str(file), "--yes", **elsewhere).returncode == 0
    assert await fetch(elsewhere, "SELECT count(*) FROM users") == 3


async def test_a_damaged_backup_changes_nothing(
    people: People, environment: dict[str, str], tmp_path: Path, second: asyncpg.Connection
) -> None:
    await people.enter()
    file = tmp_path / "all.dump"
    assert plinth("db", "backup", str(file), **environment).returncode == 0
    whole = file.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:-200], b"no dump at all"):
        file.write_bytes(damaged)
        answer = plinth("db", "restore", str(file), "--yes", **environment)
        assert answer.returncode == 1
        assert "Traceback" not in answer.stderr
        assert await second.fetchval("SELECT count(*) FROM users") == 1


def test_restore_requires_confirmation(environment: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "all.dump"
    assert plinth("db", "backup", str(file), **environment).returncode == 0
    answer = plinth("db", "restore", str(file), **environment)
    assert answer.returncode == 1
    assert "--yes" in answer.stderr
