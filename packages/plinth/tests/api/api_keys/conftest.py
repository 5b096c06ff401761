"""An application whose routes declare permissions, and a user with keys."""

from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient

from plinth.accounts.deps import Resources
from plinth.config import settings
from plinth.testing.answers import check_documented
from plinth.testing.people import People, Person
from tests.support.api_keys import make_app


@pytest.fixture(scope="session")
def team_app(resources: Resources) -> FastAPI:
    return make_app(resources)


@pytest.fixture
async def team(team_app: FastAPI, client: AsyncClient) -> AsyncIterator[AsyncClient]:
    """A client of an application with routes of a team."""
    async with AsyncClient(
        transport=ASGITransport(team_app, raise_app_exceptions=False),
        base_url=f"http://test{settings.API_V1_PREFIX}",
        event_hooks={"response": [check_documented(team_app)]},
    ) as team:
        yield team


@pytest.fixture
async def owner(people: People) -> Person:
    return await people.enter(is_verified=True)
