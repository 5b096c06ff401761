"""A downgrade below the sign-in methods ends all sessions, and revives none."""

from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from plinth.db.schema import steps
from plinth.testing.databases import TestServices, cloned_database
from tests.support.command import plinth

SCHEMA = {1: "3a9d5c81f04e", 2: "7c1d2f60b9a4"}
# Ann has a passkey, Ben an authenticator app and a passkey, and Cai only an identity. Eve is a
# superuser who acts as Dan. Fay's passkey was never confirmed.
ROWS = """
INSERT INTO users (id, email, username, hashed_password, is_superuser) OVERRIDING SYSTEM VALUE
SELECT number, name || '@example.com', name, CASE name WHEN 'cai' THEN '!' ELSE 'x' END,
    name = 'eve'
FROM unnest(ARRAY['ann', 'ben', 'cai', 'dan', 'eve', 'fay']) WITH ORDINALITY AS it (name, number);
INSERT INTO factors (user_id, kind, name, confirmed_at)
VALUES (1, 'passkey', 'key', now()), (2, 'totp', 'app', now()), (2, 'passkey', 'key', now()),
    (6, 'passkey', 'key', NULL);
INSERT INTO totp_secrets (factor_id, key_id, sealed)
SELECT id, 'key', '' FROM factors WHERE kind = 'totp';
INSERT INTO passkeys (
    factor_id, credential_id, user_handle, public_key, sign_count, aaguid, is_user_verified,
    is_backup_eligible, is_backed_up
)
SELECT id, uuid_send(id), '', '', 0, gen_random_uuid(), true, false, false
FROM factors WHERE kind = 'passkey';
INSERT INTO recovery_codes (user_id, code_hash) VALUES (1, 'one'), (2, 'two');
INSERT INTO identities (user_id, provider, issuer, subject)
VALUES (2, 'google', 'https://google', '2'), (3, 'google', 'https://google', '3');
INSERT INTO challenges (kind, user_id, secret_hash, credential_epoch, expires_at, sealed)
VALUES ('sign_in', 1, 'a', 0, 'infinity', NULL), ('oidc_code', NULL, 'b', NULL, 'infinity', 'c');
INSERT INTO sessions (user_id, token_hash, expires_at, ends_at, session_epoch, aal, amr)
SELECT id, uuid_send(gen_random_uuid()), 'infinity', 'infinity', 0, 2, 'pwd otp' FROM users;
INSERT INTO sessions (
    user_id, token_hash, expires_at, ends_at, session_epoch, aal, amr, acting_user_id,
    acting_session_id
)
SELECT 4, 'acting', 'infinity', 'infinity', 0, 1, 'imp', user_id, id
FROM sessions WHERE user_id = 5;
INSERT INTO sessions (
    user_id, token_hash, expires_at, ends_at, session_epoch, revoked_at, revoked_reason
)
VALUES (4, 'ended', 'infinity', 'infinity', 0, now(), 'signed out');
"""
END_ACTING = "UPDATE sessions SET revoked_at = now(), revoked_reason = 'x' WHERE user_id = 5"
# How version 2.0 recognizes a live session.
LIVE = """
SELECT count(*) FROM sessions JOIN users ON users.id = user_id
WHERE revoked_at IS NULL AND expires_at > now() AND sessions.session_epoch = users.session_epoch
"""


@pytest.fixture
def url(services: TestServices, worker_id: str) -> Iterator[str]:
    with cloned_database(services, f"{worker_id}_downgrade") as found:
        yield found


@pytest.fixture
async def connection(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


def migrate(url: str, environment: dict[str, str], *command: str) -> None:
    done = plinth("db", *command, **environment | {"DATABASE_URL": url})
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("to", SCHEMA)
async def test_a_downgrade_of_sign_in_methods_ends_all_sessions(
    url: str, connection: asyncpg.Connection, environment: dict[str, str], to: int
) -> None:
    await connection.execute(ROWS)
    await connection.execute(END_ACTING)  # the acting session is dead, but its row is not revoked
    assert await connection.fetchval(f"{LIVE} AND acting_user_id IS NOT NULL") == 1
    migrate(url, environment, "downgrade", SCHEMA[to], "--yes")
    assert await connection.fetchval(LIVE) == 0
    reasons = await connection.fetch("SELECT DISTINCT revoked_reason FROM sessions ORDER BY 1")
    assert [it["revoked_reason"] for it in reasons] == ["downgrade", "signed out", "x"]
    assert await connection.fetchval("SELECT count(*) FROM users") == 6
    if to > 1:
        factors = await connection.fetch("SELECT user_id, kind FROM factors")
        assert [tuple(it) for it in factors] == [(2, "totp")]
        codes = await connection.fetch("SELECT user_id FROM recovery_codes")
        assert [it["user_id"] for it in codes] == [2], "codes replace a factor that is left"
        assert await connection.fetchval("SELECT count(*) FROM challenges") == 0


async def test_an_upgrade_after_a_downgrade_revives_nothing(
    url: str, connection: asyncpg.Connection, environment: dict[str, str]
) -> None:
    await connection.execute(ROWS)
    migrate(url, environment, "downgrade", SCHEMA[1], "--yes")
    migrate(url, environment, "upgrade")
    assert await connection.fetchval("SELECT plinth_schema_version()") == steps.newest()
    assert await connection.fetchval(LIVE) == 0
    for table in ("factors", "passkeys", "recovery_codes", "identities", "challenges"):
        assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 0
