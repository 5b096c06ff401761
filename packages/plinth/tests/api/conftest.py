"""Fixtures for sessions in cookies, for clients elsewhere, and for an identity provider."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient

from plinth.accounts.deps import Resources
from plinth.accounts.providers import discovery
from plinth.config import settings
from plinth.db.database import Database
from plinth.testing.answers import check_documented
from plinth.testing.people import People, Person
from tests.support.cookies import ORIGIN, Page, make_app
from tests.support.networks import From, some_ip
from tests.support.oidc_browser import TARGET, Browser
from tests.support.oidc_provider import FakeProvider, serving_provider


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


@pytest.fixture(scope="session")
def running_provider() -> Iterator[FakeProvider]:
    with serving_provider() as provider:
        yield provider


@pytest.fixture
def provider(running_provider: FakeProvider, monkeypatch: pytest.MonkeyPatch) -> FakeProvider:
    running_provider.reset()
    monkeypatch.setattr(discovery, "_documents", {})  # the cache of other tests
    providers = {
        "fake": running_provider.configure(link_verified=True),
        "other": running_provider.configure(client_id="other", link_verified=True),
        "github": running_provider.configure(kind="github", link_verified=True),
    }
    monkeypatch.setattr(settings, "OIDC_PROVIDERS", providers)
    monkeypatch.setattr(settings, "OIDC_REDIRECT_URLS", [TARGET])
    return running_provider


@pytest.fixture
def browser(client: AsyncClient, provider: FakeProvider) -> Browser:
    return Browser(client, provider)


@pytest.fixture
async def at(app: FastAPI, database: Database) -> AsyncIterator[From]:
    """A client at an IP address, with separate cookies."""
    async with AsyncExitStack() as stack:

        def at(ip: str) -> AsyncClient:
            transport = ASGITransport(app, raise_app_exceptions=False, client=(ip, 1))
            client = AsyncClient(transport=transport, base_url="http://test/api/v1")
            stack.push_async_callback(client.aclose)
            return client

        yield at


@pytest.fixture
def elsewhere(at: From) -> AsyncClient:
    """A client whose network no other test has counted."""
    return at(some_ip())
