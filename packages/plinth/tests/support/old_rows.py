"""Old sessions and a long audit log, written by SQL in seconds."""

import asyncpg

from plinth.accounts.services.audit import digest_personal_data

SALT = b"0123456789abcdef"

LOAD_SESSIONS = """
INSERT INTO sessions (
    user_id, token_hash, created_at, last_used_at, expires_at, ends_at, session_epoch, user_agent,
    ip
)
SELECT $1, sha256(number::text::bytea), ended - interval '7 days', ended - interval '6 days', ended,
    ended, 0, 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/143.0.0.0', '192.0.2.1'
FROM generate_series(1, $2::bigint) AS number,
    LATERAL (SELECT now() - interval '40 days' - number * interval '1 second' AS ended) AS times
"""

# The hash of each event includes the previous hash. As an aggregate over ordered rows, PostgreSQL
# computes it in one pass.
CREATE_CHAIN = """
CREATE OR REPLACE FUNCTION pg_temp.add_hash(state bytea, content bytea)
RETURNS bytea LANGUAGE plpgsql AS $$
BEGIN
    RETURN sha256(state || content);
END
$$;
CREATE AGGREGATE pg_temp.chain(bytea) (SFUNC = pg_temp.add_hash, STYPE = bytea, INITCOND = '');
"""
# The same JSON as `event_content` for these columns, without its conversions.
LOAD_EVENTS = """
INSERT INTO events (id, at, event, outcome, actor_id, subject_id, ip, salt, personal, hash)
SELECT number, at, 'session.started', 'success', $1, $1, '192.0.2.1', $3, $4,
    pg_temp.chain(convert_to(
        '[' || number || ', "' || to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
        || '", "session.started", "success", ' || $1::bigint || ', ' || $1::bigint
        || ', null, null, null, "' || encode($4, 'hex') || '"]', 'UTF8'
    )) OVER (ORDER BY number)
FROM generate_series(1, $2::bigint) AS number,
    LATERAL (SELECT now() - $5::text::interval - ($2 - number) * interval '1 second' AS at) AS times
"""


async def load_sessions(connection: asyncpg.Connection, user_id: int, *, count: int) -> None:
    """Add sessions that ended more than 40 days ago."""
    await connection.execute(LOAD_SESSIONS, user_id, count, timeout=None)
    await connection.execute("ANALYZE sessions")


async def load_events(
    connection: asyncpg.Connection, user_id: int, *, count: int, age: str = "40 days"
) -> None:
    """Begin the log with valid events.

    Args:
        age: of the last one. The others are older, by one second each.
    """
    personal = digest_personal_data(SALT, "192.0.2.1", None)
    async with connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute(CREATE_CHAIN)
        await connection.execute(LOAD_EVENTS, user_id, count, SALT, personal, age, timeout=None)
        await connection.execute("DROP AGGREGATE pg_temp.chain(bytea)")
    await connection.execute("ANALYZE events")
