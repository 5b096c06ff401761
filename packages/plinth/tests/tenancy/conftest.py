"""A table of two organizations with the policies of `op.enable_tenant_isolation`."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from plinth.config import fast_paths, settings
from plinth.db.database import Database
from plinth.db.schema.isolation import ENABLE
from plinth.testing.databases import as_application
from tests.tenancy.notes import OTHER, OURS, Apart

CREATE = """
CREATE TABLE tenant_notes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, organization_id bigint NOT NULL, body text
)
"""
ONE_CONNECTION = {"DB_POOL_SIZE": 1, "DB_MAX_OVERFLOW": 0}


@pytest.fixture(autouse=True)
async def notes(second: asyncpg.Connection) -> AsyncIterator[None]:
    """A table with three rows of one organization and two of another."""
    await second.execute(CREATE)
    for statement in ENABLE:
        await second.execute(statement.format(table="tenant_notes"))
    for organization_id, count in ((OURS, 3), (OTHER, 2)):
        for number in range(count):
            await second.execute(
                "INSERT INTO tenant_notes (organization_id, body) VALUES ($1, $2)",
                organization_id,
                f"{organization_id}-{number}",
            )
    yield
    await second.execute("DROP TABLE tenant_notes")


@pytest.fixture(params=["fast paths", "ordinary paths", "pgbouncer", "pgbouncer, ordinary paths"])
async def pooled(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> AsyncIterator[Database]:
    """A database as the application uses it, with one connection, in each mode."""
    if "ordinary" in request.param:
        monkeypatch.setattr(fast_paths, "are_on", lambda _: False)
    changed = ONE_CONNECTION | {"DB_PGBOUNCER": "pgbouncer" in request.param}
    url = as_application(database_url)
    database = Database(url, settings.model_copy(update=changed), Apart.metadata)
    yield database
    await database.close()
