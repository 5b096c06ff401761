import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from alembic.util import CommandError

from plinth.cli.connecting import connected, database_errors
from plinth.cli.failure import Failure, describe
from plinth.cli.output import confirm, out, warn
from plinth.config import settings
from plinth.db import migrations, revisions
from plinth.db.grants import find_role
from plinth.db.migrations import UnknownRevisionError
from plinth.db.schema.state import State, read_state
from plinth.devservices.service_urls import ServiceUrls, running_services


def upgrade(revision: str, *, as_sql: bool) -> None:
    if as_sql:
        with _alembic_errors():
            migrations.print_upgrade(revision)
        return
    with running_services(settings) as services:
        migrate(services, revision)


def downgrade(revision: str, *, yes: bool) -> None:
    with running_services(settings) as services:
        if not (yes or settings.is_development):
            database = describe(services.owner_url)
            confirm(f"Migrate {database} down to {revision}? The dropped data is lost.")
        role = find_role(services.database_url)
        with _alembic_errors(), database_errors(services.owner_url), _steps_printed():
            migrations.downgrade(services.owner_url, revision, role=role)
            _report(services)


def migrate(services: ServiceUrls, revision: str = "head") -> None:
    """Upgrade the database, and print each migration.

    Do not fail if a newer release has migrated the database: the previous release runs this when it
    starts, also during a rolling deployment.
    """
    role = find_role(services.database_url)
    with _alembic_errors(), database_errors(services.owner_url), _steps_printed():
        try:
            migrations.upgrade(services.owner_url, revision, role=role)
        except UnknownRevisionError as error:
            if not error.state.is_ahead():
                raise
            text, advice = error.state.describe_unknown()
            warn(f"The database is {text}. Nothing was changed. {advice}")
        else:
            _report(services)


def _report(services: ServiceUrls) -> None:
    state = asyncio.run(_find_state(services))
    at_head = " (head)" if state.revision == revisions.head() else ""
    out.print(f"The database is at migration {state.revision or 'none'}{at_head}")
    if at_head and (difference := state.compare()):
        warn("The database is {}. {}".format(*difference))


async def _find_state(services: ServiceUrls) -> State:
    async with connected(services) as database:
        return await read_state(database)


@contextmanager
def _alembic_errors() -> Iterator[None]:
    try:
        yield
    except CommandError as error:
        raise Failure(f"alembic: {error}") from error


@contextmanager
def _steps_printed() -> Iterator[None]:
    logger = logging.getLogger("alembic.runtime.migration")
    before = logger.level, logger.propagate
    printer = _StepPrinter()
    logger.addHandler(printer)
    logger.setLevel(logging.INFO)
    logger.propagate = False  # otherwise the root logger prints each step again
    try:
        yield
    finally:
        logger.removeHandler(printer)
        logger.setLevel(before[0])
        logger.propagate = before[1]


class _StepPrinter(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if message.startswith("Running "):
            out.print(f"  {message.removeprefix('Running ')}", markup=False)
