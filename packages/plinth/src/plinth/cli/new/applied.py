"""Refuse to delete a migration that the database has applied."""

import asyncio

from plinth.cli.connecting import connected
from plinth.cli.failure import Failure
from plinth.cli.new.migrations import Migration
from plinth.config import settings
from plinth.db import revisions
from plinth.devservices import EmbeddedError
from plinth.devservices.service_urls import ServiceUrls, running_services
from plinth.errors import PlinthError

DATABASE_FILES = "postgres"


def refuse_applied(migration: Migration, table: str) -> None:
    """
    Raises:
        Failure: the database is at this migration, so it could not be undone without its file.
    """
    if _find_revision() == migration.revision:
        raise Failure(
            f"The database is at {migration.path.name}, which would be deleted: undo it first by "
            f"plinth db downgrade, which deletes the rows of {table}."
        )


def _find_revision() -> str | None:
    """Return the database's revision; None if it is unreachable or was never created."""
    if settings.DATABASE_URL is None and not (settings.DATA_DIR / DATABASE_FILES).exists():
        return None
    try:
        with running_services(settings) as services:
            return asyncio.run(_read_revision(services))
    except (PlinthError, EmbeddedError, OSError):
        return None


async def _read_revision(services: ServiceUrls) -> str | None:
    async with connected(services) as database:
        return await revisions.current(database)
