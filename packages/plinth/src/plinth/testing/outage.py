"""Run the application without its database or Redis."""

import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient

from plinth.cache import cache
from plinth.config import settings

INTERNALS = re.compile(
    r"traceback|errno|refused|asyncpg|sqlalchemy|redis\.|127\.0\.0\.1|postgresql://|redis://|\.py",
    re.IGNORECASE,
)
"""Internals that no response may contain."""


@asynccontextmanager
async def without_database(app: FastAPI) -> AsyncIterator[AsyncClient]:
    """Restart `app` without its database and return a client."""
    with closed_port() as port:
        url = f"postgresql://someone:hidden@127.0.0.1:{port}/somewhere"
        async with started_without(app, "DATABASE_URL", url) as client:
            yield client


@asynccontextmanager
async def without_redis(app: FastAPI) -> AsyncIterator[AsyncClient]:
    """Restart `app` without its Redis and return a client."""
    with closed_port() as port:
        async with started_without(
            app, "REDIS_URL", f"redis://:hidden@127.0.0.1:{port}/0"
        ) as client:
            yield client


@contextmanager
def closed_port() -> Iterator[int]:
    """Return a port that refuses connections. It stays bound, so that no other process uses it."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@asynccontextmanager
async def started_without(app: FastAPI, name: str, url: str) -> AsyncIterator[AsyncClient]:
    """Restart `app` with another service URL and return a client.

    Until the block ends, all clients of `app` use that service.

    Args:
        name: DATABASE_URL or REDIS_URL.
    """
    async with (
        restarted(app, **{name: url}),
        AsyncClient(
            transport=ASGITransport(app, raise_app_exceptions=False),
            base_url=f"http://test{settings.API_V1_PREFIX}",
        ) as client,
    ):
        yield client


@asynccontextmanager
async def restarted(app: FastAPI, **changed: object) -> AsyncIterator[None]:
    """Run the lifespan of the running `app` with other settings, then restore its state."""
    state = {name: app.state[name] for name in app.state}
    try:
        async with changed_settings(**changed), app.router.lifespan_context(app):
            yield
    finally:
        for name, value in state.items():
            app.state[name] = value


@asynccontextmanager
async def changed_settings(**changed: object) -> AsyncIterator[None]:
    """Change settings within the block, and reopen the cache afterwards.

    A process has one cache, which a restart within the block replaces.
    """
    redis_url = settings.REDIS_URL
    assert redis_url
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in changed.items():
                patch.setattr(settings, name, value)
            yield
    finally:
        await cache.open(
            redis_url, prefix=settings.CACHE_PREFIX, timeout_ms=settings.CACHE_TIMEOUT_MS
        )
