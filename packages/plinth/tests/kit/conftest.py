from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from fastapi import APIRouter, Depends, FastAPI
from httpx2 import ASGITransport, AsyncClient

from plinth.accounts.deps import Resources, get_current_user
from plinth.config import settings
from plinth.db.database import Database
from plinth.errors import Rejected, Unauthenticated, Unavailable
from plinth.http.problems import responses
from plinth.testing.answers import check_documented
from tests.kit.drafts import Apart, router
from tests.kit.tables import drop_tables, make_tables
from tests.support.application import create_app


@pytest.fixture(scope="session")
async def drafts_app(
    app: FastAPI, resources: Resources, database_url: str
) -> AsyncIterator[FastAPI]:
    """The application with an additional resource."""
    database = Database(database_url, settings, Apart.metadata)
    await make_tables(database)
    with_drafts = create_app()
    private = APIRouter()
    private.include_router(
        router,
        dependencies=[Depends(get_current_user)],
        responses=responses(Unauthenticated, Rejected, Unavailable),
    )
    with_drafts.include_router(private, prefix=settings.API_V1_PREFIX)
    with_drafts.state.resources = replace(resources, database=database)
    yield with_drafts
    await drop_tables(database)
    await database.close()


@pytest.fixture
async def client(drafts_app: FastAPI, database: Database) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(
        transport=ASGITransport(drafts_app, raise_app_exceptions=False),
        base_url="http://test/api/v1",
        event_hooks={"response": [check_documented(drafts_app)]},
    ) as client:
        yield client
