"""Check the database, from the result of one query."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg

from plinth.cli.doctor import Finding, broken, doubtful, fine
from plinth.cli.failure import describe
from plinth.config import Settings
from plinth.config.urls.postgres_url import libpq_url
from plinth.db.connection_errors import describe_connection_error
from plinth.db.driver import Connector
from plinth.db.schema.state import VERSION, State

SECONDS = 3
MIN_VERSION = 15
MAX_CLOCK_SKEW_SECONDS = 2
EXTENSIONS = {"pg_trgm", "btree_gin"}

FACTS_QUERY = """
SELECT current_setting('server_version_num')::int / 10000 AS major,
       current_setting('server_version') AS version,
       current_setting('server_encoding') AS encoding,
       current_setting('max_connections')::int AS max_connections,
       current_setting('superuser_reserved_connections')::int
           + coalesce(current_setting('reserved_connections', true)::int, 0) AS reserved,
       to_regclass('alembic_version') IS NOT NULL AS migrated,
       to_regprocedure('plinth_schema_version()') IS NOT NULL AS versioned,
       array(SELECT extname::text FROM pg_extension) AS extensions,
       clock_timestamp() AS now
"""


@dataclass(frozen=True, slots=True)
class Facts:
    major: int
    version: str
    encoding: str
    connections: int
    """How many connections roles without superuser may open."""
    extensions: frozenset[str]
    state: State
    clock_skew: float
    """Seconds by which the server's clock is ahead of this machine's."""
    needed_connections: int
    """Connections that all workers may open together."""


async def examine(url: str, settings: Settings, workers: int) -> list[Finding]:
    needed = workers * (settings.DB_POOL_SIZE + settings.DB_MAX_OVERFLOW)
    shown = describe(libpq_url(url))
    try:
        async with asyncio.timeout(SECONDS):
            facts = await _fetch_facts(url, needed)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        text = f"{shown} cannot be used: {describe_connection_error(error)}"
        return [broken("database", text, "docs/how-to/deploy.md has the URLs of hosted services.")]
    return [fine("database", shown), *(check(facts) for check in CHECKS)]


async def _fetch_facts(url: str, needed_connections: int) -> Facts:
    connection = await Connector(libpq_url(url), seconds=SECONDS).connect()
    try:
        started = datetime.now(UTC)
        row = await connection.fetchrow(FACTS_QUERY)
        middle = started + (datetime.now(UTC) - started) / 2
        revision, version = None, 0
        if row["migrated"]:
            revision = await connection.fetchval("SELECT version_num FROM alembic_version")
        if row["versioned"]:
            version = await connection.fetchval(VERSION)
    finally:
        await connection.close(timeout=1)
    return Facts(
        major=row["major"],
        version=row["version"],
        encoding=row["encoding"],
        connections=row["max_connections"] - row["reserved"],
        extensions=frozenset(row["extensions"]),
        state=State(revision, version),
        clock_skew=(row["now"] - middle).total_seconds(),
        needed_connections=needed_connections,
    )


def check_version(facts: Facts) -> Finding:
    name, text = "version", f"PostgreSQL {facts.version}"
    if facts.major < MIN_VERSION:
        return broken(name, text, f"Upgrade to PostgreSQL {MIN_VERSION} or newer.")
    return fine(name, text)


def check_encoding(facts: Facts) -> Finding:
    if facts.encoding != "UTF8":
        return broken(
            "encoding",
            f"{facts.encoding}, which cannot store all characters",
            "Create a new database: CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0.",
        )
    return fine("encoding", facts.encoding)


def check_extensions(facts: Facts) -> Finding:
    if missing := sorted(EXTENSIONS - facts.extensions):
        return broken(
            "extensions",
            f"missing: {', '.join(missing)}",
            "Run `plinth db upgrade`. If it fails, install the package postgresql-contrib on the "
            "server, or run CREATE EXTENSION as a superuser.",
        )
    return fine("extensions", ", ".join(sorted(EXTENSIONS)))


def check_migrations(facts: Facts) -> Finding:
    if difference := facts.state.compare():
        level = doubtful if facts.state.is_ahead() else broken
        return level("migrations", *difference)
    text = f"at {facts.state.revision} (head), schema version {facts.state.version}"
    return fine("migrations", text)


def check_clock(facts: Facts) -> Finding:
    text = f"differs by {abs(facts.clock_skew):.1f} s from the database's"
    if abs(facts.clock_skew) > MAX_CLOCK_SKEW_SECONDS:
        return doubtful("clock", text, "Synchronize both machines with NTP.")
    return fine("clock", text)


def check_pool(facts: Facts) -> Finding:
    text = f"{facts.needed_connections} at most, and the server allows {facts.connections}"
    if facts.needed_connections > facts.connections:
        return doubtful(
            "connections",
            text,
            "Lower DB_POOL_SIZE, DB_MAX_OVERFLOW or the number of workers, or raise "
            "max_connections on the server.",
        )
    return fine("connections", text)


CHECKS: list[Callable[[Facts], Finding]] = [
    check_version,
    check_encoding,
    check_extensions,
    check_migrations,
    check_clock,
    check_pool,
]
