"""`@cached` in requests of organizations."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from plinth.cache import Cache, cached
from plinth.db.tenancy import current_tenant, tenant
from plinth.testing.databases import TestServices

ACME, OTHER = 1, 2


@pytest.fixture
async def store(services: TestServices) -> AsyncIterator[Cache]:
    cache = Cache()
    await cache.open(services.redis_url, prefix=uuid4().hex, timeout_ms=10_000)
    yield cache
    await cache.clear_pattern("*")
    await cache.close()


async def test_cached_value_is_of_one_organization(store: Cache) -> None:
    @cached(expire=60, key_prefix="figures", store=store)
    async def find_figures() -> int | None:
        return current_tenant()

    async def call(organization_id: int | None) -> int | None:
        with tenant(organization_id):
            return await find_figures()

    tenants = [None, ACME, OTHER]
    for _ in ("computed", "from the cache"):
        assert await asyncio.gather(*map(call, tenants)) == tenants
        assert [await call(it) for it in tenants] == tenants


async def test_forget_applies_to_the_current_organization(store: Cache) -> None:
    calls: list[int | None] = []

    @cached(expire=60, key_prefix="figures", store=store)
    async def find_figures(year: int) -> int:
        calls.append(current_tenant())
        return year

    for _ in range(2):
        for organization_id in (ACME, OTHER):
            with tenant(organization_id):
                assert await find_figures(2026) == 2026
        with tenant(ACME):
            await find_figures.forget(2026)
    assert calls == [ACME, OTHER, ACME]


async def test_value_for_all_organizations_is_computed_without_tenant(store: Cache) -> None:
    @cached(expire=60, key_prefix="figures", per_organization=False, store=store)
    async def find_figures() -> list[int | None]:
        calls.append(current_tenant())
        return calls

    calls: list[int | None] = []
    for organization_id in (ACME, OTHER):
        with tenant(organization_id):
            assert await find_figures() == [None]
            assert current_tenant() == organization_id
    assert calls == [None]
