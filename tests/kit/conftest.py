from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from fastapi import APIRouter, Depends, FastAPI
from httpx2 import ASGITransport, AsyncClient
from sqlalchemy import Table

from app.api.deps import Resources, get_current_user
from app.core.config import settings
from app.core.database import Database
from app.core.errors import Rejected, Unauthenticated, Unavailable
from app.core.problems import responses
from app.main import create_app
from tests.kit.drafts import Apart, Draft, Folder, router

TRIGGERS = """
CREATE TRIGGER set_updated_at BEFORE UPDATE ON {table} FOR EACH ROW
    WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION set_updated_at();
CREATE TRIGGER count_version BEFORE UPDATE ON {table} FOR EACH ROW
    WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION count_version();
"""


@pytest.fixture(scope="session")
async def drafts_app(
    app: FastAPI, resources: Resources, database_url: str
) -> AsyncIterator[FastAPI]:
    """The application with a resource more."""
    database = Database(database_url, settings, Apart.metadata)
    tables = [table for model in (Folder, Draft) if isinstance(table := model.__table__, Table)]
    async with database.engine.begin() as connection:
        await connection.run_sync(Apart.metadata.create_all, tables)
        for table in tables:
            for trigger in TRIGGERS.format(table=table.name).split(";")[:-1]:
                await connection.exec_driver_sql(trigger)
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
    async with database.engine.begin() as connection:
        await connection.run_sync(Apart.metadata.drop_all, tables)
    await database.close()


@pytest.fixture
async def client(drafts_app: FastAPI, database: Database) -> AsyncIterator[AsyncClient]:
    transport = ASGITransport(drafts_app)
    async with AsyncClient(transport=transport, base_url="http://test/api/v1") as client:
        yield client
