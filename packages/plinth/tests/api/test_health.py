"""The health routes while all services are available."""

from typing import Any

import pytest
from httpx2 import AsyncClient

from plinth.config import settings
from plinth.testing.people import People

HIDDEN: dict[str, dict[str, Any]] = {
    "/health/db": {"pool": None},
    "/health/redis": {"version": None, "connected_clients": None, "used_memory_human": None},
}


async def test_health_reports_status_version_and_environment(client: AsyncClient) -> None:
    answer = await client.get("/health")

    assert answer.status_code == 200
    assert answer.json() == {
        "status": "healthy",
        "version": settings.VERSION,
        "environment": settings.ENVIRONMENT,
    }


async def test_full_health_reports_each_service(client: AsyncClient) -> None:
    answer = await client.get("/health/full")

    assert answer.status_code == 200
    assert answer.json() == {
        "status": "healthy",
        "services": {"api": "healthy", "database": "healthy", "cache": "healthy"},
        "version": settings.VERSION,
        "environment": settings.ENVIRONMENT,
    }


@pytest.mark.parametrize("role", ["anonymous", "with a bad token", "user", "inactive superuser"])
async def test_details_are_hidden_from_all_but_superusers(
    client: AsyncClient, people: People, second: Any, role: str
) -> None:
    headers = {}
    if role == "with a bad token":
        headers = {"Authorization": "Bearer nonsense"}
    elif role != "anonymous":
        headers = (await people.enter(is_superuser=role != "user")).headers
    if role == "inactive superuser":
        await second.execute("UPDATE users SET is_active = false")

    database = await client.get("/health/db", headers=headers)
    cache = await client.get("/health/redis", headers=headers)

    assert (database.status_code, cache.status_code) == (200, 200)
    assert database.json() == {
        "status": "healthy",
        "database": "postgresql",
        "connection": "ok",
        **HIDDEN["/health/db"],
    }
    assert cache.json() == {"status": "healthy", "cache": "redis", **HIDDEN["/health/redis"]}


async def test_superusers_see_the_details(client: AsyncClient, people: People) -> None:
    headers = (await people.enter(is_superuser=True)).headers

    pool = (await client.get("/health/db", headers=headers)).json()["pool"]
    assert set(pool) == {"size", "checked_out", "checked_in", "overflow"}
    assert pool["size"] == settings.DB_POOL_SIZE == 5
    assert 0 <= pool["checked_out"] + pool["checked_in"] <= pool["size"] + settings.DB_MAX_OVERFLOW
    facts = (await client.get("/health/redis", headers=headers)).json()
    assert facts["version"][0].isdecimal()
    assert facts["connected_clients"] >= 1
    assert facts["used_memory_human"][-1] in "KMGB"
