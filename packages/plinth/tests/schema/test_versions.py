"""Doctor, start-up and `plinth db upgrade` compare the database with this code, in one sentence."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from plinth.config import settings
from plinth.db import revisions
from plinth.db.database import Database
from plinth.db.models import Base
from plinth.db.schema import steps
from plinth.db.schema.state import State, read_state
from plinth.testing.databases import TestServices, cloned_database
from tests.support.command import plinth
from tests.support.environment import ROOT, bare_environment
from tests.support.serving import serving

NEWEST = steps.newest()
RECORD = (
    "CREATE OR REPLACE FUNCTION plinth_schema_version() RETURNS integer LANGUAGE sql STABLE"
    " AS 'SELECT {}'"
)
REVISION = "UPDATE alembic_version SET version_num = '1f6a92d7e0b5'"
UNKNOWN = "UPDATE alembic_version SET version_num = 'of_tomorrow'"
AHEAD = (
    "This is expected during a rolling deployment and after going back to the previous release. "
    "Otherwise, run the code that contains this migration."
)
# Each mismatch of the database and its message.
CASES = {
    "behind": (REVISION, "Run `plinth db upgrade` or `alembic upgrade head`."),
    "pending step": (
        RECORD.format(NEWEST - 1),
        "Run `alembic revision --autogenerate`, then `alembic upgrade head`.",
    ),
    "no version": (
        "DROP FUNCTION plinth_schema_version()",
        "Run `alembic revision --autogenerate`, then `alembic upgrade head`.",
    ),
    "newer": (
        RECORD.format(NEWEST + 1),
        "Install the release of plinth-backend that changed the database.",
    ),
    "ahead": (UNKNOWN, AHEAD),
    "ahead by a step": (f"{UNKNOWN}; {RECORD.format(NEWEST + 1)}", AHEAD),
    "unknown and older": (
        f"{UNKNOWN}; {RECORD.format(NEWEST - 1)}",
        "Check DATABASE_URL, or run the code that contains this migration.",
    ),
}


@pytest.fixture
def url(services: TestServices, worker_id: str) -> Iterator[str]:
    with cloned_database(services, f"{worker_id}_versions") as found:
        yield found


@pytest.fixture(params=CASES)
async def different(request: pytest.FixtureRequest, url: str) -> str:
    """Create a database that does not match the code, and return the expected message."""
    change, sentence = CASES[request.param]
    await run_sql(url, change)
    return sentence


async def run_sql(url: str, statements: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statements)
    await connection.close()


async def test_doctor_advises_how_to_fix_the_version(
    url: str, different: str, environment: dict[str, str]
) -> None:
    found = json.loads(plinth("doctor", "--json", **environment | {"DATABASE_URL": url}).stdout)
    (check,) = [it for it in found["checks"] if it["name"] == "migrations"]
    level = "doubtful" if different == AHEAD else "broken"
    assert (check["level"], check["advice"]) == (level, different)


async def test_doctor_names_the_version(url: str, environment: dict[str, str]) -> None:
    found = json.loads(plinth("doctor", "--json", **environment | {"DATABASE_URL": url}).stdout)
    (check,) = [it for it in found["checks"] if it["name"] == "migrations"]
    assert check["text"] == f"at {revisions.head()} (head), schema version {NEWEST}"


async def test_start_logs_how_to_fix_the_version(
    url: str, different: str, environment: dict[str, str], tmp_path: Path
) -> None:
    given: dict[str, Any] = environment | {"DATABASE_URL": url}
    with serving(tmp_path, **given) as served:
        log = served.log.read_text()
    (line,) = [it for it in log.splitlines() if "the database is at " in it]
    assert different in line


async def test_an_upgrade_warns_of_a_pending_step(url: str, environment: dict[str, str]) -> None:
    await run_sql(url, RECORD.format(NEWEST - 1))
    done = plinth("db", "upgrade", **environment | {"DATABASE_URL": url})
    assert done.returncode == 0
    assert "Run `alembic revision --autogenerate`" in " ".join(done.stderr.split())


@pytest.mark.parametrize("version", [NEWEST, NEWEST + 1])
async def test_upgrade_by_the_previous_release_succeeds_without_changes(
    url: str, environment: dict[str, str], version: int
) -> None:
    """Otherwise its containers could not restart during a rolling deployment."""
    await run_sql(url, f"{UNKNOWN}; {RECORD.format(version)}")
    done = plinth("db", "upgrade", **environment | {"DATABASE_URL": url})
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == (
        "The database is at revision of_tomorrow, which is unknown to this code. Nothing was "
        f"changed. {AHEAD}\n"
    )


async def test_an_upgrade_of_an_unknown_older_database_fails(
    url: str, environment: dict[str, str]
) -> None:
    await run_sql(url, f"{UNKNOWN}; {RECORD.format(NEWEST - 1)}")
    done = plinth("db", "upgrade", **environment | {"DATABASE_URL": url})
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "alembic: the database is at revision of_tomorrow, which is unknown to this code, and at "
        f"schema version {NEWEST - 1}; this library needs {NEWEST}. Nothing was changed. Run this "
        "command with the code that contains this migration.\n"
    )


async def test_an_upgrade_to_an_unknown_revision_fails(
    url: str, environment: dict[str, str]
) -> None:
    await run_sql(url, UNKNOWN)
    done = plinth("db", "upgrade", "never_was", **environment | {"DATABASE_URL": url})
    assert (done.returncode, done.stdout) == (1, "")
    assert "never_was" in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("plinth.cli", "db", "downgrade", "--yes"),
        ("alembic", "upgrade", "head"),
        ("alembic", "downgrade", "-1"),
    ],
    ids=" ".join,
)
def test_other_migrations_of_a_newer_database_are_refused(
    url: str, environment: dict[str, str], command: tuple[str, ...]
) -> None:
    asyncio.run(run_sql(url, UNKNOWN))
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env=bare_environment() | environment | {"DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    message = " ".join((done.stdout + done.stderr).split())
    assert (
        "the database is at revision of_tomorrow, which is unknown to this code. Nothing was "
        "changed. Run this command with the code that contains this migration."
    ) in message
    assert "Traceback" not in message


async def test_open_connection_sees_a_later_schema_version(url: str) -> None:
    """Although the statement is prepared and has a cached plan."""
    database = Database(url, settings, Base.metadata)
    connection = await asyncpg.connect(url)
    for version in (NEWEST, NEWEST + 1, NEWEST + 2):
        await connection.execute(RECORD.format(version))
        for _ in range(6):
            assert await read_state(database) == State(revisions.head(), version)
    await connection.close()
    await database.close()
