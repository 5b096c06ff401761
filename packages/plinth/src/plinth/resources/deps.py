"""Dependencies of any route, as types: `db: DB`, `id: RowId`."""

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


def database_of(request: Request) -> Database:
    """The database that the lifespan of `application.py` opened."""
    found: Database = request.app.state.resources.database
    return found


async def get_db(request: Request) -> AsyncIterator[AsyncSession]:
    async with database_of(request).transaction() as session:
        yield session


# Function-scoped: the transaction is committed before the answer is sent, so that a yes is durable.
# Always this alias, and never a bare Depends(get_db): that would open a second session.
DB = Annotated[AsyncSession, Depends(get_db, scope="function")]


async def get_database(request: Request) -> Database:
    return database_of(request)


# For routes whose service decides itself when a transaction begins.
DatabaseDep = Annotated[Database, Depends(get_database)]


async def get_reader(request: Request) -> Reader:
    return database_of(request).reader


# For routes that only read: no session, no transaction, and no connection until a query is sent.
ReadDB = Annotated[Reader, Depends(get_reader)]


async def get_client() -> client.Client:
    request = current_request()
    return request.client if request else client.Client(None, None)


Client = Annotated[client.Client, Depends(get_client)]


Skip = Annotated[int, Query(ge=0, le=MAX_ID, description="How many to leave out.")]
Limit = Annotated[int, Query(ge=1, le=settings.MAX_PAGE_SIZE, description="The most to give.")]
RowId = Annotated[int, Path(ge=1, le=MAX_ID)]
