"""The metrics are correct, and no client can increase the number of series without bound."""

import asyncio
import time
from collections.abc import AsyncIterator

import asyncpg
import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient
from sqlalchemy import text

from plinth.accounts.deps import Resources
from plinth.cache import Cache, get_cache, set_cache
from plinth.config import settings
from plinth.db.database import Database
from plinth.db.models import Base
from plinth.health import figures
from plinth.observability import metrics
from plinth.security import passwords
from plinth.testing.asgi import send
from plinth.testing.people import People
from tests.support.metrics import scrape, shown_metrics

REQUESTS = "plinth_http_request_duration_seconds_count"


@pytest.fixture(scope="module")
async def port(resources: Resources) -> AsyncIterator[int]:
    async with shown_metrics(resources.database) as port:
        yield port


async def test_requests_are_counted_by_route_method_and_status(
    client: AsyncClient, people: People, port: int
) -> None:
    person = await people.enter()
    labels = {"method": "GET", "route": "/api/v1/users/{user_id}", "status": "200"}
    before = (await scrape(port)).value(REQUESTS, **labels) or 0
    for _ in range(3):
        await client.get(f"/users/{person.id}", headers=person.headers)

    after = await scrape(port)
    assert after.value(REQUESTS, **labels) == before + 3
    assert after.value("plinth_http_requests_in_progress") == 0


async def test_clients_cannot_add_label_values(app: FastAPI, port: int) -> None:
    for number in range(20):
        await send(app, f"BREW{number}", f"/nowhere/{number}?x={number}")
        await send(app, "GET", f"/api/v1/users/{number}x")

    found = (await scrape(port)).labels[REQUESTS]
    assert found == {"method", "route", "status"}
    series = [line for line in (await scrape(port)).text.splitlines() if line.startswith(REQUESTS)]
    assert [line for line in series if "nowhere" in line or "BREW" in line or "19x" in line] == []
    assert [line for line in series if 'route="unmatched"' in line and 'method="OTHER"' in line]


async def test_queries_are_attributed_to_a_request_or_the_process(
    client: AsyncClient, people: People, port: int
) -> None:
    person = await people.enter()
    queries = "plinth_db_query_duration_seconds_count"
    await scrape(port)  # its own queries; a further scrape within some seconds sends none
    before = await scrape(port)
    await client.get("/users/search?q=abc", headers=person.headers)
    after = await scrape(port)

    def grown(origin: str) -> float:
        was, now = (it.value(queries, origin=origin) for it in (before, after))
        return (now or 0) - (was or 0)

    assert (grown("request"), grown("process")) == (1, 1)


async def test_pool_metrics_count_connections_in_use_and_waiting(database_url: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "DB_POOL_SIZE", 1)
        patch.setattr(settings, "DB_MAX_OVERFLOW", 0)
        database = Database(database_url, settings, Base.metadata)
        async with shown_metrics(database) as port:
            await scrape(port)  # so that the metrics of the database are cached
            async with database.read_connection() as connection:
                await connection.execute(text("SELECT 1"))
                waiting = asyncio.create_task(take_and_leave(database))
                while metrics.pool_waiting._value.get() == 0:  # noqa: ASYNC110, SLF001
                    await asyncio.sleep(0.001)
                held = await scrape(port)
            await waiting
            free = await scrape(port)
    await database.close()
    assert held.value("plinth_db_pool_connections", state="in_use") == 1
    assert held.value("plinth_db_pool_waiting") == 1
    assert held.value("plinth_db_pool_limit") == 1
    assert free.value("plinth_db_pool_connections", state="in_use") == 0
    assert free.value("plinth_db_pool_connections", state="idle") == 1
    assert free.value("plinth_db_pool_waiting") == 0
    assert free.value("plinth_db_pool_wait_seconds_count")


async def take_and_leave(database: Database) -> None:
    async with database.read_connection() as connection:
        await connection.execute(text("SELECT 1"))


async def test_session_and_mail_metrics_match_the_database(
    people: People, database: Database, second: asyncpg.Connection
) -> None:
    for _ in range(3):
        await people.enter()
    await second.execute("UPDATE sessions SET revoked_at = now() WHERE user_id % 3 = 0")
    insert = (
        "INSERT INTO mails (kind, created_at, dead_at)"
        " VALUES ('x', now() - $1 * interval '1 s', $2)"
    )
    await second.execute(insert, 100, None)
    await second.execute(insert, 900, await second.fetchval("SELECT now()"))
    async with shown_metrics(database) as port:
        found = await scrape(port)

    assert found.value("plinth_database_up") == 1
    assert found.value("plinth_sessions_active") == 2
    assert found.value("plinth_outbox_waiting") == found.value("plinth_outbox_dead") == 1
    assert 100 <= (found.value("plinth_outbox_oldest_seconds") or 0) < 800


async def test_metrics_without_the_database_omit_only_its_values() -> None:
    database = Database("postgresql://nobody@127.0.0.1:1/none", settings, Base.metadata)
    async with shown_metrics(database) as port:
        found = await scrape(port)
    await database.close()

    assert found.value("plinth_database_up") == 0
    assert set(figures.DATABASE_METRICS) & set(found.labels) == set()
    assert found.value("plinth_db_pool_limit")
    assert found.value("process_resident_memory_bytes")


async def test_event_loop_lag_is_reported_during_a_stall(port: int) -> None:
    asked = asyncio.create_task(scrape(port))
    await asyncio.sleep(0)  # it runs in threads
    time.sleep(0.6)  # noqa: ASYNC251 - that is the fault
    found = await asked

    assert (found.value("plinth_event_loop_lag_seconds") or 0) > 0.05
    assert (await scrape(port)).value("plinth_database_up") == 1


async def test_cache_metrics_count_hits_misses_and_errors(client: AsyncClient) -> None:
    def counted() -> tuple[float, ...]:
        counters = (
            *(metrics.cache_hits, metrics.cache_misses),
            *(metrics.cache_errors, metrics.cache_spared),
        )
        return tuple(counter._value.get() for counter in counters)  # noqa: SLF001

    before = counted()
    await get_cache("nothing")
    await set_cache("something", 1)
    await get_cache("something")
    away = Cache()
    await away.open("redis://127.0.0.1:1/0", prefix="x", timeout_ms=5000)
    for _ in range(4):
        await away.get("something")
    await away.close()

    assert [after - was for was, after in zip(before, counted(), strict=True)] == [1, 1, 3, 1]


async def test_limits_and_full_queues_are_counted(
    client: AsyncClient, people: People, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await people.add()
    before = await scrape(port)
    # A separate prefix: other tests made attempts from this address.
    monkeypatch.setattr(settings, "CACHE_PREFIX", f"{settings.CACHE_PREFIX}-metrics")
    monkeypatch.setattr(settings, "LIMITS_ENABLED", True)
    monkeypatch.setattr(settings, "LIMIT_LOGIN_IP", "1/5m")
    answers = [await people.try_to_sign_in(person) for _ in range(2)]
    wrong = {"email": "nobody@example.com", "password": "Wrong-Horse-9"}
    answers += [await client.post("/auth/login", json=wrong) for _ in range(2)]
    monkeypatch.setattr(settings, "LIMITS_ENABLED", False)
    monkeypatch.setattr(passwords._pool, "_max_waiting", 0)  # noqa: SLF001
    answers.append(await people.try_to_sign_in(person))
    after = await scrape(port)

    assert [answer.status_code for answer in answers] == [200, 200, 401, 429, 503]
    hits = {"limit": "login-ip"}
    was = before.value("plinth_limits_hit_total", **hits) or 0
    assert after.value("plinth_limits_hit_total", **hits) == was + 1
    refused = "plinth_password_refusals_total"
    assert after.value(refused) == (before.value(refused) or 0) + 1
    assert after.value("plinth_password_queue") == 0
    assert (after.value("plinth_password_queue_limit") or 0) >= 1


async def test_each_worker_takes_the_next_free_port(database: Database, port: int) -> None:
    async with figures.shown(database, port) as next_port:
        assert next_port > port
        assert (await scrape(next_port)).value("plinth_build_info", version=settings.VERSION) == 1
