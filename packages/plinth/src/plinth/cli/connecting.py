from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from asyncpg import InterfaceError, PostgresError
from sqlalchemy.exc import DBAPIError

from plinth.cache import cache
from plinth.cli.application import load_metadata
from plinth.cli.failure import Failure, describe
from plinth.config import settings
from plinth.db import constraint_errors, engine, queries
from plinth.db.connection_errors import describe_connection_error
from plinth.db.database import Database
from plinth.devservices.service_urls import ServiceUrls
from plinth.errors import Unavailable
from plinth.observability import logs

STATEMENT_SECONDS = 3600  # commands such as imports run longer than requests


@asynccontextmanager
async def connected(services: ServiceUrls) -> AsyncIterator[Database]:
    """Open the database, and the cache, from which a command removes what it changed."""
    set_up_logs()
    await cache.open(
        services.redis_url, prefix=settings.CACHE_PREFIX, timeout_ms=settings.CACHE_TIMEOUT_MS
    )
    database = Database(
        services.database_url, settings, load_metadata(), statement_seconds=STATEMENT_SECONDS
    )
    try:
        yield database
    finally:
        await database.close()
        await cache.close()


def set_up_logs() -> None:
    """Print log lines readably, except slow statements, which are normal in commands.

    The database's faults are not logged either, because the commands report them.
    """
    logs.set_up_command()
    for module in (queries, engine, constraint_errors):
        logs.silence(module.__name__)


@contextmanager
def database_errors(database_url: str) -> Iterator[None]:
    """Turn an error of the database into a message.

    Raises:
        Failure
    """
    try:
        yield
    except (DBAPIError, Unavailable, OSError, InterfaceError, PostgresError) as error:
        advice = describe_connection_error(find_cause(error))
        raise Failure(
            f"The database at {describe(database_url)} cannot be used: {advice}"
        ) from error


def find_cause(error: BaseException) -> BaseException:
    """Return the driver's error, which `Database` and SQLAlchemy have wrapped."""
    if isinstance(error, Unavailable):
        error = error.__cause__ or error
    adapted = error.orig if isinstance(error, DBAPIError) else None
    return (adapted.__cause__ or adapted) if adapted else error
