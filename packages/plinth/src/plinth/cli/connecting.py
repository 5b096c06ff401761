from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from asyncpg import InterfaceError, PostgresError
from sqlalchemy.exc import DBAPIError

from plinth.cache import cache
from plinth.cli.application import load_metadata
from plinth.cli.failure import Failure, describe
from plinth.config import settings
from plinth.db import engine, queries
from plinth.db.connection_errors import describe_connection_error
from plinth.db.database import Database
from plinth.devservices.service_urls import ServiceUrls
from plinth.errors import Unavailable
from plinth.observability import logs

STATEMENT_SECONDS = 3600  # a command may take its time: nobody waits for an answer within seconds


@asynccontextmanager
async def connected(backing: ServiceUrls) -> AsyncIterator[Database]:
    """The database, and the cache too: what a command changes, the server must not remember."""
    logs.silence(queries.__name__)  # a slow statement is no news of a command
    logs.silence(engine.__name__)  # what cannot be reached, `reaching` tells
    await cache.open(
        backing.redis_url, prefix=settings.CACHE_PREFIX, timeout_ms=settings.CACHE_TIMEOUT_MS
    )
    database = Database(
        backing.database_url, settings, load_metadata(), statement_seconds=STATEMENT_SECONDS
    )
    try:
        yield database
    finally:
        await database.close()
        await cache.close()


@contextmanager
def reaching(database_url: str) -> Iterator[None]:
    """Say in a sentence that the database is away, or what it refused.

    Raises:
        Failure
    """
    try:
        yield
    except (DBAPIError, Unavailable, OSError, InterfaceError, PostgresError) as error:
        where = f"The database at {describe(database_url)}"
        why = describe_connection_error(find_cause(error))
        raise Failure(f"{where} cannot be used: {why}") from error


def find_cause(error: BaseException) -> BaseException:
    """What the driver said, below what SQLAlchemy and `Database` made of it."""
    if isinstance(error, Unavailable):
        error = error.__cause__ or error
    below = error.orig if isinstance(error, DBAPIError) else None  # its adapter's error
    return (below.__cause__ or below) if below else error
