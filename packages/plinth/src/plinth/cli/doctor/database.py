"""The database: asked once, then looked at from all sides."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg

from plinth.cli.doctor.finding import Finding, broken, doubtful, fine
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

ASKED = """
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
    """How many others than superusers may open."""
    extensions: frozenset[str]
    state: State
    ahead: float
    """Seconds by which the server's clock is before ours."""
    wanted: int
    """Connections that all workers may open together."""


async def examine(url: str, settings: Settings, workers: int) -> list[Finding]:
    wanted = workers * (settings.DB_POOL_SIZE + settings.DB_MAX_OVERFLOW)
    where = describe(libpq_url(url))
    try:
        async with asyncio.timeout(SECONDS):
            facts = await _ask(url, wanted)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        text = f"{where} cannot be used: {describe_connection_error(error)}"
        return [broken("database", text, "docs/how-to/deploy.md has the URLs of hosted services.")]
    return [fine("database", where), *(check(facts) for check in CHECKS)]


async def _ask(url: str, wanted: int) -> Facts:
    connection = await Connector(libpq_url(url), seconds=SECONDS).connect()
    try:
        begun = datetime.now(UTC)
        row = await connection.fetchrow(ASKED)
        middle = begun + (datetime.now(UTC) - begun) / 2
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
        ahead=(row["now"] - middle).total_seconds(),
        wanted=wanted,
    )


def check_version(facts: Facts) -> Finding:
    name, text = "version", f"PostgreSQL {facts.version}"
    if facts.major < MIN_VERSION:
        return broken(name, text, f"Take PostgreSQL {MIN_VERSION} or newer.")
    return fine(name, text)


def check_encoding(facts: Facts) -> Finding:
    if facts.encoding != "UTF8":
        return broken(
            "encoding",
            f"{facts.encoding}, which cannot hold every name",
            "Make the database anew: CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0.",
        )
    return fine("encoding", facts.encoding)


def check_extensions(facts: Facts) -> Finding:
    if lacking := sorted(EXTENSIONS - facts.extensions):
        return broken(
            "extensions",
            f"{' and '.join(lacking)} lacking",
            "Run `plinth db upgrade`. If that is refused, the package postgresql-contrib is not "
            "installed on the server, or a superuser has to say CREATE EXTENSION.",
        )
    return fine("extensions", ", ".join(sorted(EXTENSIONS)))


def check_migrations(facts: Facts) -> Finding:
    if difference := facts.state.compare():
        return broken("migrations", *difference)
    text = f"at {facts.state.revision} (head), schema version {facts.state.version}"
    return fine("migrations", text)


def check_clock(facts: Facts) -> Finding:
    text = f"{abs(facts.ahead):.1f} s between here and the database"
    if abs(facts.ahead) > MAX_CLOCK_SKEW_SECONDS:
        return doubtful("clock", text, "Keep the time of both machines by NTP.")
    return fine("clock", text)


def check_pool(facts: Facts) -> Finding:
    text = f"{facts.wanted} at most, of {facts.connections} that the server gives"
    if facts.wanted > facts.connections:
        return doubtful(
            "connections",
            text,
            "Lower DB_POOL_SIZE, DB_MAX_OVERFLOW or the workers, or raise max_connections.",
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
