"""PgBouncer in transaction mode, with fewer connections to the server than clients."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from httpx2 import AsyncClient

from tests.faults.conftest import Measured
from tests.faults.load import PASSWORD, find_missing, loaded
from tests.support.command import plinth
from tests.support.pgbouncer import own_pgbouncer
from tests.support.postgres import OwnPostgres
from tests.support.serving import SETTINGS, Serving, serving
from tests.support.valkey import OwnValkey


@pytest.fixture
def pooled(folder: Path, postgres: OwnPostgres) -> Iterator[str]:
    with own_pgbouncer(folder, postgres) as url:
        yield url


@pytest.fixture
def api(folder: Path, pooled: str, valkey: OwnValkey) -> Iterator[Serving]:
    with serving(
        folder, workers=2, DATABASE_URL=pooled, REDIS_URL=valkey.url, DB_PGBOUNCER="true"
    ) as running:
        yield running


async def test_many_clients_are_served_through_pgbouncer(
    api: Serving, postgres: OwnPostgres, measured: Measured
) -> None:
    async with loaded(api.url, writers=12, readers=8) as book:
        await asyncio.sleep(6)
    answered = len(book.answers())
    measured("answered, of these not well", f"{answered}, {len(book.refused | set(book.broken))}")
    book.check()
    assert set(book.statuses()) == {200, 201}
    assert await find_missing(book, postgres.url) == set()


async def test_user_scenario_works_through_pgbouncer(api: Serving) -> None:
    who = {"email": "ada@example.com", "password": PASSWORD}
    async with AsyncClient(base_url=api.url, timeout=30) as client:
        made = await client.post("/auth/register", json={**who, "username": "ada"})
        assert made.status_code == 201, made.text
        for _ in range(5):
            tokens = (await client.post("/auth/login", json=who)).json()
            client.headers["Authorization"] = f"Bearer {tokens['access_token']}"
            assert (await client.get("/users/me")).json()["username"] == "ada"
            named = await client.patch("/users/me", json={"full_name": "Ada"})
            assert named.json()["full_name"] == "Ada", named.text
            found = await client.get("/users/search", params={"q": "ada"})
            assert [it["username"] for it in found.json()] == ["ada"]
            events = (await client.get("/users/me/events")).json()
            assert events[0]["event"] == "session.started"
            again = {"refresh_token": tokens["refresh_token"]}
            assert (await client.post("/auth/refresh", json=again)).status_code == 200
            assert (await client.post("/auth/logout")).status_code == 204
            assert (await client.get("/users/me")).status_code == 401
        assert (await client.get("/health/ready")).json()["status"] == "ready"


def test_migrations_require_a_direct_connection(
    pooled: str, postgres: OwnPostgres, valkey: OwnValkey
) -> None:
    settings = SETTINGS | {
        "DATABASE_URL": pooled,
        "REDIS_URL": valkey.url,
        "DB_PGBOUNCER": "true",
    }
    refused = plinth("db", "upgrade", **settings)
    assert refused.returncode == 1
    assert "DIRECT_DATABASE_URL" in refused.stderr
    done = plinth("db", "upgrade", **settings, DIRECT_DATABASE_URL=postgres.url)
    assert done.returncode == 0, done.stderr
