"""The owner of tables with policies: start, migrations, backup and restore."""

import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from plinth.config.urls.postgres_url import with_server_setting
from plinth.db.schema.isolation import ENABLE
from plinth.devservices import postgres_bin
from plinth.testing.databases import TestServices
from tests.support.command import plinth
from tests.support.roles import Roles, two_roles
from tests.support.serving import SETTINGS

TABLE = "CREATE TABLE notes (id int, organization_id bigint NOT NULL)"
POLICIES = "SELECT polname, polroles::regrole[]::text[] AS roles FROM pg_policy ORDER BY 1"
TENANT = "SELECT set_config('app.organization_id', '1', false)"


@pytest.fixture
def notes() -> None:
    """Instead of the table of the other modules here."""


@pytest.fixture
def roles(services: TestServices, worker_id: str, environment: dict[str, str]) -> Iterator[Roles]:
    with two_roles(services, worker_id, environment) as found:
        yield found


@pytest.fixture
def settings(environment: dict[str, str], roles: Roles) -> dict[str, str]:
    found = environment | roles.settings
    done = plinth("db", "upgrade", **found)
    assert done.returncode == 0, done.stderr
    return found


@pytest.fixture
async def owner(roles: Roles, settings: dict[str, str]) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the owner, which has created a table with a row of each organization."""
    connection = await asyncpg.connect(roles.owner)
    await connection.execute(TABLE)
    await connection.execute("INSERT INTO notes VALUES (1, 1), (2, 2)")
    for statement in ENABLE:
        await connection.execute(statement.format(table="notes"))
    yield connection
    await connection.close()


async def count(url: str, *settings: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        for setting in settings:
            await connection.execute(setting)
        found: int = await connection.fetchval("SELECT count(*) FROM notes")
        return found
    finally:
        await connection.close()


async def test_later_table_is_usable_and_isolated(roles: Roles, owner: asyncpg.Connection) -> None:
    assert await count(roles.application) == 0
    assert await count(roles.application, TENANT) == 1
    assert await count(roles.application, "SET app.maintenance = 'on'") == 0
    assert await count(roles.owner) == 0
    assert await count(roles.owner, TENANT) == 1
    assert await count(roles.owner, "SET app.maintenance = 'on'") == 2


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("kind", ["admin", "owner", "bypass"])
async def test_start_with_a_role_that_ignores_policies_is_refused(
    settings: dict[str, str], roles: Roles, owner: asyncpg.Connection, kind: str
) -> None:
    if kind == "bypass":
        admin = await asyncpg.connect(roles.admin)
        await admin.execute(f'ALTER ROLE "{roles.names[1]}" BYPASSRLS')
        await admin.close()
    url = {"admin": roles.admin, "owner": roles.owner, "bypass": roles.application}[kind]
    reason = {"admin": "is a superuser", "owner": "owns the tables", "bypass": "has BYPASSRLS"}
    for command in (["serve", "--port=0"], ["worker"]):
        done = plinth(*command, **SETTINGS | settings | {"DATABASE_URL": url})
        shown = done.stdout + done.stderr
        assert done.returncode != 0, shown
        assert reason[kind] in shown
        assert "plinth db roles" in shown
        assert "Traceback" not in shown

    checks = json.loads(plinth("doctor", "--json", **settings | {"DATABASE_URL": url}).stdout)
    (check,) = [it for it in checks["checks"] if it["name"] == "roles"]
    assert check["level"] == "broken"
    assert reason[kind] in check["text"]


async def test_backup_has_the_rows_of_all_organizations(
    settings: dict[str, str], roles: Roles, owner: asyncpg.Connection, tmp_path: Path
) -> None:
    dump = tmp_path / "x.dump"
    policies = await owner.fetch(POLICIES)
    url = with_server_setting(roles.owner, "search_path", "public")
    given = settings | {"MIGRATION_DATABASE_URL": url}
    done = plinth("db", "backup", str(dump), **given)
    assert done.returncode == 0, done.stderr
    await owner.execute("SET app.maintenance = 'on'; DELETE FROM notes; RESET app.maintenance")

    done = plinth("db", "restore", str(dump), "--yes", **settings)

    assert done.returncode == 0, done.stderr
    assert await count(roles.owner, "SET app.maintenance = 'on'") == 2
    assert await count(roles.owner) == 0
    assert await count(roles.application, TENANT) == 1
    assert await owner.fetch(POLICIES) == policies


async def test_backup_of_a_superuser_has_all_rows(
    settings: dict[str, str], roles: Roles, owner: asyncpg.Connection, tmp_path: Path
) -> None:
    dump = tmp_path / "x.dump"
    done = plinth("db", "backup", str(dump), **settings | {"MIGRATION_DATABASE_URL": roles.admin})
    assert done.returncode == 0, done.stderr
    await owner.execute("DROP TABLE notes")
    assert plinth("db", "restore", str(dump), "--yes", **settings).returncode == 0
    assert await count(roles.owner, "SET app.maintenance = 'on'") == 2


async def test_dump_is_never_silently_partial(
    settings: dict[str, str], roles: Roles, owner: asyncpg.Connection, tmp_path: Path
) -> None:
    """Without the policy for maintenance, and by pg_dump alone."""
    folder = postgres_bin()
    assert folder
    done = run([str(folder / "pg_dump"), "-f", str(tmp_path / "plain.sql"), roles.owner])
    assert done.returncode != 0
    assert "row-level security policy" in done.stderr
    await owner.execute("DROP POLICY tenant_maintenance ON notes")
    refused = plinth("db", "backup", str(tmp_path / "x.dump"), **settings)
    assert refused.returncode == 1
    assert "notes" in refused.stderr
    assert not (tmp_path / "x.dump").exists()


async def test_policy_for_maintenance_follows_the_owner(
    settings: dict[str, str], roles: Roles, owner: asyncpg.Connection
) -> None:
    """After `plinth db roles` transferred the tables of a superuser."""
    admin = await asyncpg.connect(roles.admin)
    await admin.execute("DROP TABLE notes")
    await admin.execute(TABLE)
    for statement in ENABLE:
        await admin.execute(statement.format(table="notes"))
    await admin.execute("INSERT INTO notes VALUES (1, 1), (2, 2)")
    await admin.close()
    done = plinth("db", "roles", "--url-env=ADMIN", ADMIN=roles.admin, **settings)
    assert done.returncode == 0, done.stderr
    assert plinth("db", "upgrade", **settings).returncode == 0
    assert await count(roles.owner, "SET app.maintenance = 'on'") == 2
