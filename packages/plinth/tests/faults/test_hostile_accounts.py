"""Hostile users during requests of a normal one: with many sessions, and with many hashes.

`LONG=1` runs each for a minute (`make check-long`).
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
import pytest

from plinth.testing.people import CHEAP_HASH
from tests.faults import account_attacks
from tests.faults.beside import check_beside, post, target
from tests.faults.conftest import Measured
from tests.faults.test_many_sessions import LIVE, MANY, SEED
from tests.support.postgres import OwnPostgres
from tests.support.valkey import OwnValkey

SECONDS_BETWEEN = 0.2
REAL_HASHES = {
    "ARGON2_MEMORY_KIB": "19456",
    "ARGON2_TIME_COST": "2",
    "PASSWORD_THREADS": "1",  # the number of cores of the server
}
ADD = """
    INSERT INTO users (email, email_canonical, username, hashed_password)
    VALUES ($1::text, $1::text, split_part($1::text, '@', 1), $2) RETURNING id
"""
CHANGES = """
    SELECT count(*) FROM events JOIN users ON users.id = subject_id
    WHERE event = 'password.changed' AND users.email = $1
"""
CHANGING = {
    "email": account_attacks.CHANGING, "username": "changing", "password": account_attacks.PASSWORD,
}  # fmt: skip


def test_normal_client_beside_a_user_with_many_sessions(
    tmp_path_factory: pytest.TempPathFactory,
    postgres_once: OwnPostgres,
    valkey_once: OwnValkey,
    measured: Measured,
) -> None:
    """The attacker changes the password, lists the sessions and ends them all, repeatedly.

    The equal load is the same attack by a user of few sessions.
    """
    user_id = asyncio.run(_add_users(postgres_once))
    folder = tmp_path_factory.mktemp("sessions")
    with target(folder, postgres_once, valkey_once) as beside, _reviving(postgres_once, user_id):
        check_beside(beside, "ending many sessions", measured, ordinary="ending few sessions")
    live = asyncio.run(_ask(postgres_once, LIVE, user_id))
    assert MANY / 4 < live < MANY, "the attack ran out of sessions, or ended none"
    changes = asyncio.run(_ask(postgres_once, CHANGES, account_attacks.OF_MANY_SESSIONS))
    assert changes > 0, "the attack changed no password"


def test_normal_client_beside_concurrent_password_changes(
    tmp_path_factory: pytest.TempPathFactory,
    postgres_once: OwnPostgres,
    valkey_once: OwnValkey,
    measured: Measured,
) -> None:
    """24 sessions of a user change the password, five requests at a time each, during a sign-in."""
    folder = tmp_path_factory.mktemp("changes")
    with target(folder, postgres_once, valkey_once, **REAL_HASHES) as beside:
        post(beside.port, "/api/v1/auth/register", CHANGING)
        check_beside(beside, "changes of password", measured, ask=beside.sign_in)
        check_beside(beside, "changes of password", measured)
    changes = asyncio.run(_ask(postgres_once, CHANGES, account_attacks.CHANGING))
    assert changes > 0, "the attack changed no password"


async def _add_users(postgres: OwnPostgres) -> int:
    database = await asyncpg.connect(postgres.url)
    await database.fetchval(ADD, account_attacks.OF_FEW_SESSIONS, CHEAP_HASH)
    user_id: int = await database.fetchval(ADD, account_attacks.OF_MANY_SESSIONS, CHEAP_HASH)
    await database.execute(SEED, user_id, MANY, timeout=300)
    await database.execute("VACUUM ANALYZE sessions", timeout=300)
    await database.close()
    return user_id


@contextmanager
def _reviving(postgres: OwnPostgres, user_id: int) -> Iterator[None]:
    """Make the user's sessions live again each time the attack has ended them."""
    ended = threading.Event()

    async def revive() -> None:
        database = await asyncpg.connect(postgres.url)
        while not ended.is_set():
            await _revive(database, user_id)
            await asyncio.sleep(SECONDS_BETWEEN)
        await _revive(database, user_id)
        await database.close()

    thread = threading.Thread(target=lambda: asyncio.run(revive()))
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


async def _revive(database: asyncpg.Connection, user_id: int) -> None:
    await database.execute("UPDATE users SET session_epoch = 0 WHERE id = $1", user_id)


async def _ask(postgres: OwnPostgres, query: str, value: object) -> int:
    database = await asyncpg.connect(postgres.url)
    number: int = await database.fetchval(query, value)
    await database.close()
    return number
