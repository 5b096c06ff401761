"""Dependencies of routes, as types: `db: DB`, `id: RowId`."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Path, Query, Request
from sqlalchemy.ext.asyncio import AsyncSession

from plinth.config import settings
from plinth.db.database import Database
from plinth.db.reading import Reader
from plinth.request import client
from plinth.request.context import current_request
from plinth.resources.fields import MAX_ID


async def get_db(request: Request) -> AsyncIterator[AsyncSession]:
    async with _get_database(request).transaction() as session:
        yield session


# Function-scoped: commit before the response is sent, so a success response means that the data is
# committed. Never use a bare Depends(get_db): it would open a second session.
DB = Annotated[AsyncSession, Depends(get_db, scope="function")]


async def get_database(request: Request) -> Database:
    return _get_database(request)


# For routes whose service begins and commits its own transactions.
DatabaseDep = Annotated[Database, Depends(get_database)]


async def get_reader(request: Request) -> Reader:
    return _get_database(request).reader


# For routes that only read: no session, no transaction, and no connection before the first query.
ReadDB = Annotated[Reader, Depends(get_reader)]


async def get_client() -> client.Client:
    request = current_request()
    return request.client if request else client.Client(None, None)


Client = Annotated[client.Client, Depends(get_client)]


Skip = Annotated[int, Query(ge=0, le=MAX_ID, description="Rows to skip.")]
Limit = Annotated[int, Query(ge=1, le=settings.MAX_PAGE_SIZE, description="Page size.")]
RowId = Annotated[int, Path(ge=1, le=MAX_ID)]


def _get_database(request: Request) -> Database:
    """Return the database that the lifespan of `application.py` opened."""
    database: Database = request.app.state.resources.database
    return database
