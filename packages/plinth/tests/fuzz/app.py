"""The application with an additional resource (tests/kit/drafts.py), for a server to run."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from fastapi import APIRouter, Depends, FastAPI

from plinth.accounts.deps import get_current_user
from plinth.config import settings
from plinth.db.database import Database
from plinth.db.models import Base
from plinth.errors import Rejected, Unauthenticated, Unavailable
from plinth.http.problems import responses
from tests.kit.drafts import Apart, router
from tests.kit.tables import make_tables
from tests.support import application


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with application.lifespan(app):
        assert settings.DATABASE_URL
        tables = {**Base.metadata.tables, **Apart.metadata.tables}
        declared: Any = SimpleNamespace(tables=tables)
        database = Database(settings.DATABASE_URL, settings, declared)
        await make_tables(database)
        app.state.resources = replace(app.state.resources, database=database)
        yield
        await database.close()


def create_app() -> FastAPI:
    app = application.create_app()
    app.router.lifespan_context = lifespan
    private = APIRouter()
    private.include_router(
        router,
        dependencies=[Depends(get_current_user)],
        responses=responses(Unauthenticated, Rejected, Unavailable),
    )
    app.include_router(private, prefix=settings.API_V1_PREFIX)
    return app


app = create_app()
