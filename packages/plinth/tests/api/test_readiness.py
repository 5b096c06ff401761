"""`/health/live` and `/health/ready`, with which an orchestrator restarts and routes."""

import asyncio
import logging
from collections.abc import AsyncIterator

import asyncpg
import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient

from plinth.db import revisions
from plinth.health.readiness import Readiness, Report, draining, readiness_of

RECORD = (
    "CREATE OR REPLACE FUNCTION plinth_schema_version() RETURNS integer LANGUAGE sql STABLE"
    " AS 'SELECT {}'"
)
FINE = Report(database=True, schema=True, cache=True)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def fresh(app: FastAPI) -> AsyncIterator[None]:
    """Clear the cached result before and after the test."""
    readiness = readiness_of(app)
    readiness._expires_at = 0  # noqa: SLF001
    yield
    readiness._expires_at = 0  # noqa: SLF001
    draining.reset()


@pytest.mark.usefixtures("fresh")
async def test_ready_when_all_services_are_healthy(client: AsyncClient) -> None:
    live, ready = await client.get("/health/live"), await client.get("/health/ready")

    assert (live.status_code, live.json()) == (200, {"status": "alive"})
    expected = {"status": "ready", "database": "healthy", "cache": "healthy"}
    assert (ready.status_code, ready.json()) == (200, expected)


@pytest.mark.usefixtures("fresh")
async def test_alive_but_not_ready_while_draining(client: AsyncClient) -> None:
    draining.start()

    live, ready = await client.get("/health/live"), await client.get("/health/ready")
    assert live.status_code == 200
    assert (ready.status_code, ready.json()["status"]) == (503, "draining")


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(
    ("version", "status", "database"),
    [("behind", 503, "behind"), (None, 503, "behind"), ("of_tomorrow", 200, "healthy")],
)
async def test_database_behind_is_not_ready_and_ahead_is_ready(
    client: AsyncClient,
    second: asyncpg.Connection,
    version: str | None,
    status: int,
    database: str,
) -> None:
    at = await second.fetchval("SELECT version_num FROM alembic_version")
    older = next(iter(revisions.ancestors()))
    assert at not in revisions.ancestors()
    await second.execute("DELETE FROM alembic_version")
    if version:
        version = older if version == "behind" else version
        await second.execute("INSERT INTO alembic_version VALUES ($1)", version)
    try:
        answer = await client.get("/health/ready")
    finally:
        await second.execute("DELETE FROM alembic_version")
        await second.execute("INSERT INTO alembic_version VALUES ($1)", at)

    assert answer.status_code == status
    assert answer.json()["database"] == database
    assert older not in answer.text


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(("more", "status", "words"), [(-1, 503, "behind"), (1, 200, "healthy")])
async def test_readiness_compares_the_plinth_schema_version(
    client: AsyncClient,
    second: asyncpg.Connection,
    caplog: pytest.LogCaptureFixture,
    more: int,
    status: int,
    words: str,
) -> None:
    version = await second.fetchval("SELECT plinth_schema_version()")
    await second.execute(RECORD.format(version + more))
    try:
        with caplog.at_level(logging.INFO, "plinth.health.readiness"):
            answer = await client.get("/health/ready")
    finally:
        await second.execute(RECORD.format(version))

    assert (answer.status_code, answer.json()["database"]) == (status, words)
    assert "plinth-backend" not in answer.text
    advice = "Run `alembic revision --autogenerate`" if more < 0 else "Install the release of"
    assert advice in caplog.text, "the reason is in the log alone"


async def test_concurrent_requests_share_one_check_cached_for_a_second() -> None:
    looks, clock, goes_on = 0, Clock(), asyncio.Event()

    async def look() -> Report:
        nonlocal looks
        looks += 1
        await goes_on.wait()
        return FINE

    readiness = Readiness(look, clock)
    asking = [asyncio.create_task(readiness.get()) for _ in range(20)]
    await asyncio.sleep(0)
    asking[0].cancel()  # the first caller disconnects; the others still get their response
    await asyncio.sleep(0)
    goes_on.set()
    assert await asyncio.gather(*asking[1:]) == [FINE] * 19
    clock.now += 0.9
    await readiness.get()
    assert looks == 1
    clock.now += 0.2
    await readiness.get()
    assert looks == 2
