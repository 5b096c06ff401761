from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient

from plinth.db.database import Database
from plinth.testing.people import People
from tests.support.superuser import Superuser


@pytest.fixture
async def stranger(app: FastAPI, database: Database) -> AsyncIterator[Superuser]:
    """A browser without cookies."""
    async with AsyncClient(
        transport=ASGITransport(app, raise_app_exceptions=False), base_url="http://test"
    ) as client:
        yield Superuser(client)


@pytest.fixture
async def root(stranger: Superuser, people: People) -> Superuser:
    """A signed-in superuser."""
    answer = await stranger.sign_in(await people.add(is_superuser=True, username="root"))
    assert answer.status_code == 303, answer.text
    return stranger
