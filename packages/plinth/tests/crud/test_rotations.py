"""Concurrent refreshes share a statement, and each has its own result."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import asyncpg
import pytest
from httpx2 import AsyncClient

from plinth.accounts import queries
from plinth.accounts.queries.rotation import Rotation
from plinth.config import settings
from plinth.db.database import Database
from plinth.db.models import Base
from plinth.security.refresh_tokens import make_refresh_token, parse_refresh_token
from plinth.testing.people import People, Person

NONE = timedelta()
HOLD = "SELECT 1 FROM sessions WHERE id = $1 FOR UPDATE"
STATE = "SELECT token_hash, rotations FROM sessions WHERE id = $1"


@dataclass(frozen=True)
class Asked:
    person: Person
    rotation: Rotation


def ask(person: Person) -> Asked:
    old = parse_refresh_token(person.tokens["refresh_token"])
    assert old
    new = make_refresh_token(old.session_id)
    return Asked(person, Rotation(old.session_id, old.hash, new.hash, b"sealed"))


@pytest.mark.parametrize("pgbouncer", [False, True])
async def test_rotate_many_rotates_only_valid_sessions(
    database_url: str, people: People, second: asyncpg.Connection, pgbouncer: bool
) -> None:
    good = [ask(await people.enter()) for _ in range(5)]
    ended, inactive, used = [ask(await people.enter()) for _ in range(3)]
    await second.execute(
        "UPDATE sessions SET revoked_at = now() WHERE id = $1", ended.rotation.session_id
    )
    await second.execute("UPDATE users SET is_active = false WHERE id = $1", inactive.person.id)
    used = Asked(used.person, used.rotation._replace(old_hash=b"another"))
    asked = [it.rotation for it in (ended, *good, inactive, used)]

    changed = settings.model_copy(update={"DB_PGBOUNCER": pgbouncer})
    database = Database(database_url, changed, Base.metadata)
    done = await queries.rotation.rotate_many(database, asked, min_idle=NONE)
    await database.close()

    assert done == {it.rotation: it.person.id for it in good}
    for it in (ended, *good, inactive, used):
        rotation, fits = it.rotation, it in good
        state = await second.fetchrow(STATE, rotation.session_id)
        assert (state["token_hash"] == rotation.new_hash, state["rotations"]) == (fits, int(fits))


async def test_recently_used_session_is_skipped(
    database: Database, people: People, second: asyncpg.Connection
) -> None:
    lately, rested = ask(await people.enter()), ask(await people.enter())
    await second.execute(
        "UPDATE sessions SET last_used_at = now() - interval '5 minutes' WHERE id = $1",
        rested.rotation.session_id,
    )
    asked = [lately.rotation, rested.rotation]

    done = await queries.rotation.rotate_many(database, asked, min_idle=timedelta(minutes=5))
    again = await queries.rotation.rotate_many(database, asked, min_idle=timedelta(minutes=5))

    assert done == {rested.rotation: rested.person.id}
    assert again == {}
    assert await queries.rotation.rotate(database, lately.rotation) == lately.person.id


async def test_one_of_several_rotations_of_a_session_succeeds(
    database: Database, people: People, second: asyncpg.Connection
) -> None:
    person = await people.enter()
    asked = [ask(person).rotation for _ in range(5)]

    done = await queries.rotation.rotate_many(database, asked, min_idle=NONE)

    ((winner, user_id),) = done.items()
    assert user_id == person.id
    assert tuple(await second.fetchrow(STATE, winner.session_id)) == (winner.new_hash, 1)


async def test_locked_session_does_not_block_other_rotations(
    database: Database, people: People, second: asyncpg.Connection
) -> None:
    held, free = ask(await people.enter()), ask(await people.enter())
    both = [held.rotation, free.rotation]
    async with second.transaction():
        await second.fetch(HOLD, held.rotation.session_id)
        done = await asyncio.wait_for(
            queries.rotation.rotate_many(database, both, min_idle=NONE), 5
        )
        assert done == {free.rotation: free.person.id}
        waiting = asyncio.create_task(queries.rotation.rotate(database, held.rotation))
        await asyncio.sleep(0.1)
        assert not waiting.done()
    assert await waiting == held.person.id


async def test_refresh_of_a_locked_session_waits_and_succeeds(
    client: AsyncClient, people: People, second: asyncpg.Connection
) -> None:
    held, free = await people.enter(), await people.enter()

    async def refresh(person: Person) -> int:
        token = {"refresh_token": person.tokens["refresh_token"]}
        return (await client.post("/auth/refresh", json=token)).status_code

    async with second.transaction():
        await second.fetch(HOLD, ask(held).rotation.session_id)
        waiting = asyncio.create_task(refresh(held))
        await asyncio.sleep(0.05)
        assert await asyncio.wait_for(refresh(free), 5) == 200
        assert not waiting.done()
    assert await waiting == 200
