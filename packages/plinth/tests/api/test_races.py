"""Races: the database decides, one request succeeds, and the others fail as documented."""

from asyncio import create_task, gather, sleep, timeout
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import count, cycle, islice, product
from typing import Any

import asyncpg
import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient

from plinth import accounts
from plinth.accounts.deps import Resources
from plinth.accounts.schemas.user import UserUpdate
from plinth.accounts.services.accounts import WrongPassword
from plinth.config import settings
from plinth.db.database import Database
from plinth.db.models import Base
from plinth.testing.people import PASSWORD, People

pytestmark = pytest.mark.no_cover  # a thousand repetitions; other tests cover this faster

AT_ONCE = 20
WAITS_FOR_LOCK = """SELECT count(*) FROM pg_locks
    WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"""


@pytest.fixture(autouse=True)
async def connections(
    app: FastAPI, resources: Resources, database_url: str, client: AsyncClient
) -> AsyncIterator[None]:
    """Keep one connection per racer open; opening new ones takes most of the time of a race."""
    kept_open = settings.model_copy(update={"DB_POOL_SIZE": AT_ONCE})
    database = Database(database_url, kept_open, Base.metadata)
    app.state.resources = replace(resources, database=database)
    yield
    app.state.resources = resources
    await database.close()


def in_case_variants(text: str) -> list[str]:
    letters = ((letter.lower(), letter.upper()) for letter in text[:5])
    variants = ("".join(start) + text[5:] for start in product(*letters))
    return list(islice(cycle(variants), AT_ONCE))


@pytest.mark.parametrize(
    ("field", "rounds", "detail"),
    [("email", 100, "Email already registered"), ("username", 10, "Username already taken")],
)
async def test_concurrent_registrations_in_case_variants_create_one_user(
    client: AsyncClient, second: asyncpg.Connection, field: str, rounds: int, detail: str
) -> None:
    numbers = count()

    async def register(value: str) -> tuple[int, str | None]:
        name = f"other{next(numbers)}"
        account = {"email": f"{name}@example.com", "username": name, "password": PASSWORD}
        answer = await client.post("/auth/register", json=account | {field: value})
        return answer.status_code, answer.json().get("detail")

    for turn in range(rounds):
        wanted = f"racer{turn}@example.com" if field == "email" else f"racer{turn}"
        answers = await gather(*map(register, in_case_variants(wanted)))

        assert Counter(answers) == {(201, None): 1, (400, detail): AT_ONCE - 1}
        found = f"SELECT count(*) FROM users WHERE lower({field}) = $1"
        assert await second.fetchval(found, wanted) == 1
    assert await second.fetchval("SELECT count(*) FROM users") == rounds


async def test_concurrent_refreshes_rotate_once(
    client: AsyncClient, people: People, second: asyncpg.Connection
) -> None:
    person = await people.enter()
    token = person.tokens["refresh_token"]

    async def refresh(_: int) -> tuple[int, Any]:
        answer = await client.post("/auth/refresh", json={"refresh_token": token})
        return answer.status_code, answer.json().get("refresh_token")

    for turn in range(1, 101):
        answers = await gather(*map(refresh, range(AT_ONCE)))

        given = {new for status, new in answers if status == 200}
        assert len(given) == 1, "all who are given a token are given the same one"
        # One request rotates; three more use the grace period.
        assert Counter(status for status, _ in answers) == {200: 4, 401: AT_ONCE - 4}
        state = await second.fetchrow("SELECT rotations, graces, revoked_at FROM sessions")
        assert tuple(state) == (turn, 3, None)
        (token,) = given
    assert await second.fetchval("SELECT count(*) FROM sessions") == 1


async def test_concurrent_changes_to_one_username_succeed_once(
    client: AsyncClient, people: People, second: asyncpg.Connection
) -> None:
    takers = [await people.enter() for _ in range(AT_ONCE)]

    async def take(headers: dict[str, str], username: str) -> int:
        answer = await client.patch("/users/me", headers=headers, json={"username": username})
        return answer.status_code

    for turn in range(5):
        names = in_case_variants(f"wanted{turn}")
        statuses = await gather(
            *(take(person.headers, name) for person, name in zip(takers, names, strict=True))
        )

        assert Counter(statuses) == {200: 1, 400: AT_ONCE - 1}


@pytest.mark.parametrize(("superusers", "rounds"), [(2, 50), (4, 5)])
async def test_concurrent_mutual_deletions_leave_one_superuser(
    client: AsyncClient,
    people: People,
    second: asyncpg.Connection,
    superusers: int,
    rounds: int,
) -> None:
    for _ in range(rounds):
        ring = [await people.enter(is_superuser=True) for _ in range(superusers)]
        answers = await gather(
            *(
                client.delete(f"/users/{victim.id}", headers=person.headers)
                for person, victim in zip(ring, ring[1:] + ring[:1], strict=True)
            )
        )

        statuses = Counter(answer.status_code for answer in answers)
        remaining = await second.fetchval("SELECT count(*) FROM users WHERE is_superuser")
        assert remaining >= 1
        assert remaining == superusers - statuses[204]
        assert set(statuses) <= {204, 401, 403, 404}
        await second.execute("DELETE FROM users")


async def test_concurrent_deletions_of_one_user_succeed_once(
    client: AsyncClient, people: People
) -> None:
    superuser = await people.enter(is_superuser=True)
    for _ in range(5):
        victim = await people.add()
        answers = await gather(
            *(
                client.delete(f"/users/{victim.id}", headers=superuser.headers)
                for _ in range(AT_ONCE)
            )
        )

        assert Counter(answer.status_code for answer in answers) == {204: 1, 404: AT_ONCE - 1}


async def test_concurrent_password_changes_leave_one_session(
    client: AsyncClient, people: People, second: asyncpg.Connection
) -> None:
    for _ in range(10):
        one = await people.enter()
        other = await people.sign_in(one)

        async def change(headers: dict[str, str], password: str) -> int:
            changes = {"password": password, "current_password": PASSWORD}
            return (await client.patch("/users/me", headers=headers, json=changes)).status_code

        statuses = await gather(
            change(one.headers, "Mine-Horse-1"), change(other.headers, "Thief-Horse-1")
        )

        assert Counter(statuses) in ({200: 1, 400: 1}, {200: 1, 401: 1})
        alive = "SELECT count(*) FROM sessions WHERE user_id = $1 AND revoked_at IS NULL"
        assert await second.fetchval(alive, one.id) == 1


@pytest.mark.parametrize(
    ("changes", "choices"),
    [
        ({"password": "Correct-Horse-8"}, {"password_for_password": False}),
        ({"email": "b@b.example"}, {"password_for_email": False, "email_by_link": False}),
    ],
)
async def test_reset_wins_over_a_concurrent_change_without_the_password(
    people: People,
    database: Database,
    second: asyncpg.Connection,
    changes: dict[str, str],
    choices: dict[str, bool],
) -> None:
    """A thief's request that is being processed must not take over the account after the reset."""
    person = await people.enter()
    session_id = await second.fetchval("SELECT id FROM sessions")

    async def update() -> None:
        async with database.transaction() as db:
            await accounts.update_profile(
                db, person.id, session_id, UserUpdate.model_validate(changes), **choices
            )

    async with second.transaction():
        await second.execute("UPDATE users SET hashed_password = 'reset'")
        updating = create_task(update())
        async with timeout(20):
            while not await second.fetchval(WAITS_FOR_LOCK):  # noqa: ASYNC110 - no event
                await sleep(0.01)
    with pytest.raises(WrongPassword):
        await updating
    found = await second.fetchrow("SELECT hashed_password, email FROM users")
    assert tuple(found) == ("reset", person.email)
