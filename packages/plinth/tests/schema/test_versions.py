"""Doctor, start-up and `plinth db upgrade` compare the database with this code, in one sentence."""

import json
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
from tests.support.serving import serving

NEWEST = steps.newest()
RECORD = (
    "CREATE OR REPLACE FUNCTION plinth_schema_version() RETURNS integer LANGUAGE sql STABLE"
    " AS 'SELECT {}'"
)
REVISION = "UPDATE alembic_version SET version_num = '1f6a92d7e0b5'"
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
}


@pytest.fixture
def url(services: TestServices, worker_id: str) -> Iterator[str]:
    with cloned_database(services, f"{worker_id}_versions") as found:
        yield found


@pytest.fixture(params=CASES)
async def different(request: pytest.FixtureRequest, url: str) -> str:
    """Create a database that does not match the code, and return the expected message."""
    change, sentence = CASES[request.param]
    connection = await asyncpg.connect(url)
    await connection.execute(change)
    await connection.close()
    return sentence


async def test_the_doctor_gives_the_way_out(
    url: str, different: str, environment: dict[str, str]
) -> None:
    found = json.loads(plinth("doctor", "--json", **environment | {"DATABASE_URL": url}).stdout)
    (check,) = [it for it in found["checks"] if it["name"] == "migrations"]
    assert (check["level"], check["advice"]) == ("broken", different)


async def test_the_doctor_names_the_version(url: str, environment: dict[str, str]) -> None:
    found = json.loads(plinth("doctor", "--json", **environment | {"DATABASE_URL": url}).stdout)
    (check,) = [it for it in found["checks"] if it["name"] == "migrations"]
    assert check["text"] == f"at {revisions.head()} (head), schema version {NEWEST}"


async def test_the_start_logs_the_way_out(
    url: str, different: str, environment: dict[str, str], tmp_path: Path
) -> None:
    given: dict[str, Any] = environment | {"DATABASE_URL": url}
    with serving(tmp_path, **given) as served:
        log = served.log.read_text()
    (line,) = [it for it in log.splitlines() if "the database is at " in it]
    assert different in line


async def test_an_upgrade_warns_of_a_pending_step(url: str, environment: dict[str, str]) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(RECORD.format(NEWEST - 1))
    await connection.close()
    done = plinth("db", "upgrade", **environment | {"DATABASE_URL": url})
    assert done.returncode == 0
    assert "Run `alembic revision --autogenerate`" in " ".join(done.stderr.split())


async def test_a_connection_sees_the_version_of_a_later_migration(url: str) -> None:
    """Although the statement is prepared and has a cached plan."""
    database = Database(url, settings, Base.metadata)
    connection = await asyncpg.connect(url)
    for version in (NEWEST, NEWEST + 1, NEWEST + 2):
        await connection.execute(RECORD.format(version))
        for _ in range(6):
            assert await read_state(database) == State(revisions.head(), version)
    await connection.close()
    await database.close()
