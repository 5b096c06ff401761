"""A second application in this process, such as one without its database or Redis."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient

from plinth.cache import cache
from plinth.config import settings
from tests.support.application import create_app, lifespan

INTERNALS = re.compile(
    r"traceback|errno|refused|asyncpg|sqlalchemy|redis\.|127\.0\.0\.1|postgresql://|redis://|\.py",
    re.IGNORECASE,
)


@asynccontextmanager
async def second_app(**changed: object) -> AsyncIterator[FastAPI]:
    """Start another application, with other settings. Afterwards the cache, which the process has
    once, is reopened for the first one."""
    assert settings.REDIS_URL
    redis_url = settings.REDIS_URL
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in changed.items():
                patch.setattr(settings, name, value)
            app = create_app()
            async with lifespan(app):
                yield app
    finally:  # also of one that refused to start
        await cache.open(
            redis_url, prefix=settings.CACHE_PREFIX, timeout_ms=settings.CACHE_TIMEOUT_MS
        )


@asynccontextmanager
async def started_without(name: str, url: str) -> AsyncIterator[AsyncClient]:
    """A client of an application whose database or Redis is not there."""
    async with (
        second_app(**{name: url}) as app,
        AsyncClient(
            transport=ASGITransport(app, raise_app_exceptions=False),
            base_url="http://test/api/v1",
        ) as client,
    ):
        yield client
