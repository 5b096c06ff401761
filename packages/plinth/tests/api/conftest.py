"""Fixtures for sessions in cookies."""

from collections.abc import AsyncIterator

import pytest
from httpx2 import ASGITransport, AsyncClient

from plinth.accounts.deps import Resources
from plinth.config import settings
from plinth.testing.answers import check_documented
from plinth.testing.people import People, Person
from tests.support.cookies import ORIGIN, Page, make_app


@pytest.fixture
async def site(
    resources: Resources, client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[AsyncClient]:
    """A client of an application with `AUTH_COOKIES=true` and routes of a team."""
    monkeypatch.setattr(settings, "AUTH_COOKIES", True)
    app = make_app(resources)
    async with AsyncClient(
        transport=ASGITransport(app, raise_app_exceptions=False),
        base_url=f"{ORIGIN}{settings.API_V1_PREFIX}",
        event_hooks={"response": [check_documented(app)]},
    ) as site:
        yield site


@pytest.fixture
async def person(people: People) -> Person:
    return await people.add(is_verified=True)


@pytest.fixture
async def page(site: AsyncClient, person: Person) -> Page:
    return await Page(site).sign_in(person)
