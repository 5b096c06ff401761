"""The application without its database or Redis, and what it must not show then."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from httpx2 import ASGITransport, AsyncClient

from app.core.cache import cache
from app.core.config import settings
from app.main import create_app, lifespan

INTERNALS = re.compile(
    r"traceback|errno|refused|asyncpg|sqlalchemy|redis\.|127\.0\.0\.1|postgresql://|redis://|\.py",
    re.IGNORECASE,
)


@asynccontextmanager
async def started_without(name: str, url: str) -> AsyncIterator[AsyncClient]:
    """A second application, whose database or Redis is not there. The cache, which is one for the
    process, is given back afterwards."""
    app = create_app()
    assert settings.REDIS_URL
    redis_url = settings.REDIS_URL
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, name, url)
        async with (
            lifespan(app),
            AsyncClient(
                transport=ASGITransport(app, raise_app_exceptions=False),
                base_url="http://test/api/v1",
            ) as client,
        ):
            yield client
    await cache.open(redis_url, prefix=settings.CACHE_PREFIX, timeout_ms=settings.CACHE_TIMEOUT_MS)
