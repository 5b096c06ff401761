"""The total of a list is cached, and correct immediately after each change."""

from asyncio import gather

import asyncpg
import pytest
from httpx2 import AsyncClient

from plinth.testing.people import PASSWORD, People, Person


@pytest.fixture
async def superuser(people: People) -> Person:
    return await people.enter(is_superuser=True)


async def total(client: AsyncClient, superuser: Person) -> int:
    answer = await client.get("/users/", headers=superuser.headers, params={"limit": 1})
    found = answer.json()["total"]
    assert isinstance(found, int)
    return found


async def register(client: AsyncClient, name: str) -> int:
    account = {"email": f"{name}@example.com", "username": name, "password": PASSWORD}
    answer = await client.post("/auth/register", json=account)
    assert answer.status_code == 201, answer.text
    user_id = answer.json()["id"]
    assert isinstance(user_id, int)
    return user_id


async def test_total_is_cached(client: AsyncClient, people: People, superuser: Person) -> None:
    assert await total(client, superuser) == 1
    await people.add()  # plain SQL, which does not invalidate the cache
    assert await total(client, superuser) == 1


async def test_total_is_correct_after_each_change(client: AsyncClient, superuser: Person) -> None:
    assert await total(client, superuser) == 1
    ada = await register(client, "ada")
    assert await total(client, superuser) == 2
    await register(client, "grace")
    assert await total(client, superuser) == 3
    await client.delete(f"/users/{ada}", headers=superuser.headers)
    assert await total(client, superuser) == 2


async def test_total_is_correct_after_concurrent_changes_and_reads(
    client: AsyncClient, superuser: Person, second: asyncpg.Connection
) -> None:
    async def ask() -> None:
        for _ in range(20):
            assert 1 <= await total(client, superuser) <= 21

    assert await total(client, superuser) == 1
    await gather(ask(), ask(), *(register(client, f"ada{number}") for number in range(20)))

    assert await second.fetchval("SELECT count(*) FROM users") == 21
    assert await total(client, superuser) == 21


async def test_refused_change_keeps_the_cached_total(
    client: AsyncClient, people: People, superuser: Person
) -> None:
    await register(client, "ada")
    assert await total(client, superuser) == 2
    await people.add()

    account = {"email": "ada@example.com", "username": "other", "password": PASSWORD}
    assert (await client.post("/auth/register", json=account)).status_code == 400

    assert await total(client, superuser) == 2, "still the remembered one"
