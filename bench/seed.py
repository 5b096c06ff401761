"""Users in a separate database for the benchmark; they are the same in every run."""

import asyncio
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import asyncpg
from argon2 import PasswordHasher

from plinth.config import settings
from plinth.db import migrations
from plinth.security.refresh_tokens import make_refresh_token
from plinth.security.tokens import issue_access_token

PASSWORD = "Correct-Horse-7"
SIGNED_IN = 1000
# More than a run refreshes: each session is refreshed once, after its access token expired.
RESTED = 8000
# All signed-in users may list all users, and consecutive requests use different sessions.
SUPERUSERS = SIGNED_IN
PATIENCE = 600
NEWEST = datetime(2026, 1, 1, tzinfo=UTC)

FAMILY = 13  # users with the same last name, independent of the number of users
# Names of six and eight hexadecimal digits, so that searches match some and use the index.
PEOPLE = """
INSERT INTO users
    (email, username, full_name, hashed_password, is_superuser, is_verified, created_at)
SELECT format('%s.%s%s@example.com', given, family, n), format('%s_%s', given, n),
       initcap(given || ' ' || family), $2, n <= $3, true, $4::timestamptz - n * interval '1 minute'
FROM generate_series(1, $1::int) n,
     LATERAL (SELECT substr(md5('g' || n % 977), 1, 6) AS given,
                     substr(md5('f' || n % $5), 1, 8) AS family) made
"""
SEARCHES = """
SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'users' AND indexdef ~ 'USING gin'
"""
COMMON, SHORT = "example.c", "ab"
# It matches one user, but its only trigram, "777", matches two hundred times as many.
ALIKE = "_77777"


@dataclass(frozen=True, slots=True)
class Person:
    id: int
    session_id: UUID
    access_token: str
    refresh_token: str
    email: str


async def seed(database_url: str, users: int) -> list[Person]:
    """Fill an empty database and return the signed-in users."""
    await asyncio.to_thread(migrations.upgrade, database_url)
    connection = await asyncpg.connect(database_url, command_timeout=PATIENCE)
    try:
        hashed = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1).hash(PASSWORD)
        # Building a search index over all rows at once takes half the time.
        searches = await connection.fetch(SEARCHES)
        for index in searches:
            await connection.execute(f"DROP INDEX {index['indexname']}")
        await connection.execute(PEOPLE, users, hashed, SUPERUSERS, NEWEST, count_families(users))
        for index in searches:
            await connection.execute(index["indexdef"])
        people = await _sign_in(connection, SIGNED_IN)
        # Now, so that it does not happen during a run.
        await connection.execute("VACUUM (ANALYZE) users")
        await connection.execute("VACUUM (ANALYZE) sessions")
        await connection.execute("CHECKPOINT")
        return people
    finally:
        await connection.close()


def find_edge(users: int, part: float) -> tuple[datetime, int]:
    """Return time and id of the user at this part of all, with the oldest first."""
    number = users - int(users * part)
    return NEWEST - timedelta(minutes=number), number


def count_families(users: int) -> int:
    return max(users // FAMILY, 1)


def find_family(number: int, users: int) -> str:
    """Return the last name of the user with this id."""
    return hashlib.md5(f"f{number % count_families(users)}".encode()).hexdigest()[:8]


async def start_sessions(database_url: str) -> list[Person]:
    """Start further sessions with unused refresh tokens."""
    connection = await asyncpg.connect(database_url)
    try:
        return await _sign_in(connection, RESTED)
    finally:
        await connection.close()


async def make_database(server_url: str, name: str) -> str:
    """Create an empty database, replacing an older one, and return its URL."""
    connection = await asyncpg.connect(server_url)
    try:
        await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()
    return urlsplit(server_url)._replace(path=f"/{name}").geturl()


async def _sign_in(connection: asyncpg.Connection, count: int) -> list[Person]:
    """Insert sessions whose access tokens are about to expire."""
    rows = await connection.fetch("SELECT id, email FROM users ORDER BY id LIMIT $1", count)
    tokens = [make_refresh_token(uuid4()) for _ in rows]
    await connection.execute(
        "INSERT INTO sessions (id, user_id, token_hash, last_used_at, expires_at, ends_at)"
        " SELECT *, now() - $4 * interval '1 minute', now() + interval '7 days',"
        " now() + interval '90 days' FROM unnest($1::uuid[], $2::int[], $3::bytea[])",
        [it.session_id for it in tokens],
        [row["id"] for row in rows],
        [it.hash for it in tokens],
        settings.ACCESS_TOKEN_EXPIRE_MINUTES,
    )
    return [
        Person(
            id=row["id"],
            session_id=it.session_id,
            access_token=issue_access_token(row["id"], it.session_id),
            refresh_token=it.text,
            email=row["email"],
        )
        for it, row in zip(tokens, rows, strict=True)
    ]
