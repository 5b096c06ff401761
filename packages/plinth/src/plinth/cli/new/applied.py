"""Whether the database of these settings knows of a migration whose file is to go."""

import asyncio

from plinth.cli.connecting import connected
from plinth.cli.failure import Failure
from plinth.cli.new.migrations import Migration
from plinth.config import settings
from plinth.db import revisions
from plinth.devservices.errors import EmbeddedError
from plinth.devservices.service_urls import ServiceUrls, running_services
from plinth.errors import PlinthError

DATABASE_FILES = "postgres"


def refuse_applied(migration: Migration, table: str) -> None:
    """
    Raises:
        Failure: the database is at this migration, and could not find back without it.
    """
    if _find_revision() == migration.revision:
        raise Failure(
            f"The database is at {migration.path.name}, which would go: undo it first by plinth db "
            f"downgrade, and lose the rows of {table}."
        )


def _find_revision() -> str | None:
    """None where the database does not answer, or none was ever made."""
    if settings.DATABASE_URL is None and not (settings.DATA_DIR / DATABASE_FILES).exists():
        return None
    try:
        with running_services(settings) as services:
            return asyncio.run(_ask(services))
    except (PlinthError, EmbeddedError, OSError):
        return None


async def _ask(services: ServiceUrls) -> str | None:
    async with connected(services) as database:
        return await revisions.current(database)
