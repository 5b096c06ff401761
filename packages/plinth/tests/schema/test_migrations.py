"""Timeouts and locking of migrations; the contract suite covers up, down and drift."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import asyncpg
import pytest

from plinth.db import migrations, revisions
from plinth.devservices import postgres_bin
from plinth.testing.databases import TestServices, dump_schema, empty_database
from tests.support.command import plinth
from tests.support.environment import ROOT, bare_environment, run_python

VERSIONS = sorted((ROOT / "alembic" / "versions").glob("*.py"))
AT_ONCE = 20


@pytest.fixture
def empty(services: TestServices, worker_id: str) -> Iterator[str]:
    with empty_database(services, f"{worker_id}_schema") as url:
        yield url


async def test_migrations_create_no_user(empty: str) -> None:
    """A default user would have a publicly known password."""
    await asyncio.to_thread(migrations.upgrade, empty)
    connection = await asyncpg.connect(empty)
    try:
        assert await connection.fetchval("SELECT count(*) FROM users") == 0
    finally:
        await connection.close()


def test_printed_sql_of_the_migrations_runs(empty: str) -> None:
    made = plinth("db", "upgrade", "--sql")
    folder = postgres_bin()
    assert folder
    subprocess.run(
        [folder / "psql", "--quiet", "--set=ON_ERROR_STOP=1", empty],
        input=made.stdout,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "CREATE TABLE public.users" in dump_schema(empty)


def test_alembic_logs_each_revision(empty: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "head"],
        cwd=ROOT,
        env=bare_environment() | {"DATABASE_URL": empty},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.count("Running upgrade") == len(VERSIONS)
    assert done.stdout == ""


# Processes of their own, forked once what they need is loaded: loading it twenty times is what
# would take the time.
MIGRATE_AT_ONCE = f"""
import os, sys, traceback
import alembic.command
import plinth.accounts.models
from plinth.db import migrations, revisions

def migrate():
    try:
        migrations.upgrade(sys.argv[1])
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)

children = [os.fork() or migrate() for _ in range({AT_ONCE})]
sys.exit(sum(os.waitpid(child, 0)[1] != 0 for child in children))
"""


async def test_concurrent_upgrades_run_once(empty: str) -> None:
    done = await asyncio.to_thread(run_python, MIGRATE_AT_ONCE, empty, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    connection = await asyncpg.connect(empty)
    try:
        assert await connection.fetchval("SELECT count(*) FROM alembic_version") == 1
        at = await connection.fetchval("SELECT version_num FROM alembic_version")
    finally:
        await connection.close()
    assert at == revisions.head()


async def test_migration_times_out_on_a_locked_table(empty: str) -> None:
    environment = {"DATABASE_URL": empty, "MIGRATION_LOCK_TIMEOUT": "1"}
    assert plinth("db", "upgrade", **environment).returncode == 0
    holder = await asyncpg.connect(empty)
    try:
        async with holder.transaction():
            await holder.execute("LOCK TABLE users IN ACCESS SHARE MODE")
            refused = await asyncio.to_thread(
                plinth, "db", "downgrade", "base", "--yes", **environment
            )
            assert refused.returncode == 1
            assert "another transaction held a lock for too long" in refused.stderr
            assert "lock timeout" in refused.stderr
        assert await holder.fetchval("SELECT version_num FROM alembic_version") == revisions.head()
    finally:
        await holder.close()


def test_file_names_start_with_the_utc_date() -> None:
    for file in VERSIONS:
        datetime.strptime(file.name[:15], "%Y-%m-%d_%H%M")  # noqa: DTZ007 - only its form


def test_squawk_reports_nothing() -> None:
    sql = plinth("db", "upgrade", "--sql").stdout
    squawk = Path(".venv/bin/squawk")
    found = subprocess.run([squawk], input=sql, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize("table", ["users"])
async def test_updated_at_is_set_for_plain_sql(second: asyncpg.Connection, table: str) -> None:
    await second.execute(
        "INSERT INTO users (email, username, hashed_password) VALUES ('a@b.example', 'ann', 'x')"
    )
    of = f"SELECT updated_at FROM {table}"
    made = await second.fetchval(of)
    await second.execute("UPDATE users SET username = username")
    assert await second.fetchval(of) == made, "nothing changed"
    await second.execute("UPDATE users SET full_name = 'Ann', updated_at = '2000-01-01'")
    assert await second.fetchval(of) > made
