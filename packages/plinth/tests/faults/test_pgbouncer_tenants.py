"""Tenants through PgBouncer in transaction mode: they share the connections to the server."""

import asyncio
from pathlib import Path

import asyncpg
from sqlalchemy import select

from plinth.config import settings
from plinth.db.database import Database
from plinth.db.schema.isolation import ENABLE
from plinth.db.tenancy import tenant
from tests.support.pgbouncer import own_pgbouncer
from tests.support.postgres import OwnPostgres
from tests.tenancy.notes import ALL, Note

ROUNDS = 40
SET_UP = [
    "CREATE ROLE app LOGIN",
    "CREATE TABLE tenant_notes (id int, organization_id bigint, body text)",
    *(it.format(table="tenant_notes") for it in ENABLE),
    "GRANT SELECT ON tenant_notes TO app",
    "INSERT INTO tenant_notes SELECT i, i % 5, 'x' FROM generate_series(1, 50) i",
]


async def test_tenants_that_share_connections_see_only_their_rows(
    folder: Path, postgres: OwnPostgres
) -> None:
    admin = await asyncpg.connect(postgres.url)
    for statement in SET_UP:
        await admin.execute(statement)
    tenants: list[int | None] = [None, 0, 1, 2, 3, 4] * 2
    changed = {"DB_PGBOUNCER": True, "DB_POOL_SIZE": len(tenants)}
    with own_pgbouncer(folder, postgres, role="app") as url:
        database = Database(url, settings.model_copy(update=changed), Note.metadata)
        found = await asyncio.gather(*(read_often(database, it) for it in tenants))
        await database.close()
    await admin.execute("DROP TABLE tenant_notes; DROP ROLE app")
    await admin.close()
    for organization_id, seen in zip(tenants, found, strict=True):
        expected = set() if organization_id is None else {organization_id}
        assert seen == [expected] * ROUNDS * 2, organization_id


async def read_often(database: Database, organization_id: int | None) -> list[set[int]]:
    """Return the organizations of the rows that each read returned."""
    seen = []
    with tenant(organization_id):
        for _ in range(ROUNDS):
            seen.append({row.organization_id for row in await database.reader.all(ALL)})
            async with database.transaction() as db:
                seen.append(set((await db.scalars(select(Note.organization_id))).all()))
    return seen
