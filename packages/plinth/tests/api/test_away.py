"""Responses while the database or Redis is unavailable, without internal details."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient

from plinth.security.cookie_tokens import make_cookie_token
from plinth.testing import outage
from plinth.testing.people import People, Person
from tests.support.superuser import Superuser


@pytest.fixture
async def superuser(people: People) -> Person:
    return await people.enter(is_superuser=True)


@pytest.fixture
async def without_database(app: FastAPI, superuser: Person) -> AsyncIterator[AsyncClient]:
    async with outage.without_database(app) as client:
        yield client


@pytest.fixture
async def without_redis(app: FastAPI, superuser: Person) -> AsyncIterator[AsyncClient]:
    async with outage.without_redis(app) as client:
        yield client


async def test_health_reports_a_database_outage(
    without_database: AsyncClient, superuser: Person
) -> None:
    for headers in ({}, superuser.headers):
        answer = await without_database.get("/health/db", headers=headers)
        assert answer.status_code == 503
        assert answer.json() == {
            "status": "unhealthy",
            "database": "postgresql",
            "connection": "failed",
            "pool": None,
        }
    full = await without_database.get("/health/full")
    assert (full.status_code, full.json()["status"]) == (200, "degraded")
    assert full.json()["services"] == {
        "api": "healthy",
        "database": "unhealthy",
        "cache": "healthy",
    }
    assert (await without_database.get("/health")).status_code == 200
    assert (await without_database.get("/health/redis")).status_code == 200
    assert (await without_database.get("/health/live")).status_code == 200
    ready = await without_database.get("/health/ready")
    expected = {"status": "unavailable", "database": "unhealthy", "cache": "healthy"}
    assert (ready.status_code, ready.json()) == (503, expected)


async def test_health_reports_a_redis_outage(without_redis: AsyncClient, superuser: Person) -> None:
    for headers in ({}, superuser.headers):
        answer = await without_redis.get("/health/redis", headers=headers)
        assert answer.status_code == 503
        assert answer.json() == {
            "status": "unhealthy",
            "cache": "redis",
            "version": None,
            "connected_clients": None,
            "used_memory_human": None,
        }
    full = await without_redis.get("/health/full")
    assert (full.status_code, full.json()["status"]) == (200, "degraded")
    assert full.json()["services"] == {
        "api": "healthy",
        "database": "healthy",
        "cache": "unhealthy",
    }
    assert (await without_redis.get("/health")).status_code == 200
    assert (await without_redis.get("/health/db")).status_code == 200
    ready = await without_redis.get("/health/ready")
    expected = {"status": "degraded", "database": "healthy", "cache": "unhealthy"}
    assert (ready.status_code, ready.json()) == (200, expected)


async def test_routes_work_without_redis(
    without_redis: AsyncClient, people: People, superuser: Person
) -> None:
    account = {"email": "new@example.com", "username": "new", "password": superuser.password}
    made = await without_redis.post("/auth/register", json=account)
    assert made.status_code == 201
    listed = await without_redis.get("/users/", headers=superuser.headers)
    assert listed.json()["total"] == 2
    path = f"/users/{made.json()['id']}"
    assert (await without_redis.delete(path, headers=superuser.headers)).status_code == 204
    listed = await without_redis.get("/users/", headers=superuser.headers)
    assert listed.json()["total"] == 1


async def test_admin_pages_are_503_without_the_database(without_database: AsyncClient) -> None:
    headers = {"Cookie": f"plinth_admin={make_cookie_token(uuid4()).text}"}
    for path in ("/admin/", "/admin/user/list"):
        answer = await without_database.get(f"http://test{path}", headers=headers)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert not outage.INTERNALS.search(answer.text)


async def test_admin_pages_work_without_redis(
    without_redis: AsyncClient, superuser: Person
) -> None:
    browser = Superuser(without_redis)
    browser.client.base_url = "http://test"
    assert (await browser.sign_in(superuser)).status_code == 303
    front = (await browser.get("/")).text
    assert "each process has its own caches and limits" in front
    assert front.count('status-red">bad') == 1
