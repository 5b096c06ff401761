"""Queries about a database on a separate connection, without a statement timeout."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from plinth.config import settings
from plinth.config.urls.postgres_url import libpq_url
from plinth.db.driver import Connector
from plinth.db.grants import MAINTENANCE_POLICY

NEEDS_MAINTENANCE = """
SELECT bool_and(EXISTS (
    SELECT FROM pg_policy
    WHERE polrelid = class.oid AND polname = $1 AND current_user::regrole = ANY (polroles)
))
FROM pg_class AS class WHERE row_security_active(class.oid)
"""


@asynccontextmanager
async def connect_to(url: str) -> AsyncIterator[asyncpg.Connection]:
    connector = Connector(libpq_url(url), seconds=settings.DB_CONNECT_TIMEOUT)
    connection = await connector.connect()
    try:
        yield connection
    finally:
        await connection.close()


async def find_server(url: str) -> tuple[int, str]:
    """Return the server's major version and the name of the database."""
    async with connect_to(url) as connection:
        major, name = await connection.fetchrow(
            "SELECT current_setting('server_version_num')::int / 10000, current_database()"
        )
    return int(major), str(name)


async def needs_maintenance(url: str) -> bool:
    """Return whether policies hide rows from the role unless it declares maintenance.

    False if it sees all rows anyway, or if a table lacks the policy that lets it.
    """
    async with connect_to(url) as connection:
        return bool(await connection.fetchval(NEEDS_MAINTENANCE, MAINTENANCE_POLICY))


async def find_tables(url: str) -> set[str]:
    """Return the tables as `schema.name`, without those of PostgreSQL."""
    async with connect_to(url) as connection:
        tables = await connection.fetch(
            "SELECT schemaname, tablename FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        )
    return {f"{table['schemaname']}.{table['tablename']}" for table in tables}


async def count_rows(url: str) -> dict[str, int]:
    counts = {}
    async with connect_to(url) as connection:
        for table in sorted(await find_tables(url)):
            name = await connection.fetchval(
                "SELECT format('%I.%I', $1::text, $2::text)", *table.split(".", 1)
            )
            counts[table] = await connection.fetchval(f"SELECT count(*) FROM {name}")  # noqa: S608
    return counts
