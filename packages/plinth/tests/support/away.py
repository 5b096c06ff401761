"""A second application in this process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from plinth.testing.outage import changed_settings
from tests.support.application import create_app, lifespan


@asynccontextmanager
async def second_app(**changed: object) -> AsyncIterator[FastAPI]:
    """Start another application with changed settings."""
    async with changed_settings(**changed):
        app = create_app()
        async with lifespan(app):
            yield app
