"""Run migrations for `alembic/env.py`: under an advisory lock and with timeouts.

The lock belongs to the session, because a migration may consist of several transactions
(CREATE INDEX CONCURRENTLY). Migrations therefore need a direct connection to PostgreSQL, not one
through a transaction pooler: `MIGRATION_DATABASE_URL` or `DIRECT_DATABASE_URL`.
"""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from alembic import context
from alembic.script.revision import ResolutionError
from alembic.util import CommandError
from asyncpg import InterfaceError, PostgresError
from sqlalchemy import Connection, MetaData, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from plinth.config import settings
from plinth.config.urls.postgres_url import libpq_url
from plinth.db.connection_errors import describe_connection_error
from plinth.db.driver import Connector, server_settings
from plinth.db.grants import GRANT, SET_ROLE_NAME, find_role, renew_maintenance_policies
from plinth.db.migrations import UnknownRevisionError
from plinth.db.schema.autogenerate import is_compared, write_revision
from plinth.db.schema.operation import find_version
from plinth.db.schema.state import State
from plinth.devservices import EmbeddedError
from plinth.devservices.service_urls import running_services

MIGRATION_LOCK_ID = 0x506C696E7468  # "Plinth"
SET_STATEMENT_TIMEOUT = f"SET statement_timeout = '{settings.MIGRATION_TIMEOUT}s'"
REFUSE_HIDDEN_ROWS = "SET row_security = off"
SET_LOCK_TIMEOUT = f"SET lock_timeout = '{settings.MIGRATION_LOCK_TIMEOUT}s'"


def run_migrations(metadata: MetaData) -> None:
    """Run the current alembic command.

    Args:
        metadata: of all tables, those of the library and those of the application.
    """
    _log_revisions()
    options: dict[str, Any] = {
        "target_metadata": metadata,
        "compare_type": True,
        "compare_server_default": True,
        "include_object": is_compared,
        "process_revision_directives": write_revision,
    }
    if context.is_offline_mode():
        _print_sql(options)
    else:
        asyncio.run(_migrate_database(options))


def _log_revisions() -> None:
    """Log each revision to stderr, as alembic's command line does; `plinth` does it itself."""
    if context.config.cmd_opts is not None:
        logging.basicConfig(format="%(levelname)-5.5s [%(name)s] %(message)s")
        logging.getLogger("alembic").setLevel(logging.INFO)


def _print_sql(options: dict[str, Any]) -> None:
    context.configure(
        dialect_name="postgresql",
        literal_binds=True,
        dialect_opts={"paramstyle": "named"},
        **options,
    )
    with context.begin_transaction():
        context.execute(SET_STATEMENT_TIMEOUT)
        context.execute(SET_LOCK_TIMEOUT)
        context.execute(REFUSE_HIDDEN_ROWS)
        context.run_migrations()


async def _migrate_database(options: dict[str, Any]) -> None:
    attributes = context.config.attributes
    if attributes.get("url"):
        await _migrate_url(attributes["url"], attributes.get("role", ""), options)
        return
    try:
        with running_services(settings) as services:
            await _migrate_url(services.owner_url, find_role(services.database_url), options)
    except EmbeddedError as error:
        raise CommandError(str(error)) from error


async def _migrate_url(url: str, role: str, options: dict[str, Any]) -> None:
    """
    Args:
        role: of the application, which is granted access to the tables.
    """
    direct = settings.MIGRATION_DATABASE_URL or settings.DIRECT_DATABASE_URL
    if settings.DB_PGBOUNCER and not direct:
        raise CommandError(
            "migrations cannot run through PgBouncer: set MIGRATION_DATABASE_URL or "
            "DIRECT_DATABASE_URL to an address of PostgreSQL itself"
        )
    connector = Connector(
        libpq_url(direct or url),
        seconds=settings.DB_CONNECT_TIMEOUT,
        server_settings=server_settings({}, timezone="UTC", application_name="plinth migrations"),
    )

    async def connect() -> Any:
        try:
            return await connector.connect()
        except (OSError, InterfaceError, PostgresError) as error:
            raise CommandError(
                f"the database cannot be used: {describe_connection_error(error)}"
            ) from error

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(_migrate, role, options)


def _migrate(connection: Connection, role: str, options: dict[str, Any]) -> None:
    # Wait for another migration first. Set the lock timeout after that: while a migration waits for
    # the lock of a table, all queries on the table queue up behind it.
    connection.execute(text(SET_STATEMENT_TIMEOUT))
    connection.execute(text(f"SELECT pg_advisory_lock({MIGRATION_LOCK_ID})"))
    connection.execute(text(SET_LOCK_TIMEOUT))
    # Refuse a data migration that would silently skip rows: it needs `op.maintenance()`.
    connection.execute(text(REFUSE_HIDDEN_ROWS))
    connection.commit()
    context.configure(connection=connection, **options)
    with context.begin_transaction(), _unknown_revision_explained(connection):
        context.run_migrations()
        if _changes_schema():
            connection.exec_driver_sql(SET_ROLE_NAME, (role,))
            connection.exec_driver_sql(GRANT)
            connection.exec_driver_sql(renew_maintenance_policies())


@contextmanager
def _unknown_revision_explained(connection: Connection) -> Iterator[None]:
    try:
        yield
    except CommandError as error:
        cause = error.__cause__
        if not isinstance(cause, ResolutionError):
            raise
        # The argument may instead be an unknown revision that the command names.
        if cause.argument not in context.get_context().get_current_heads():
            raise
        state = State(cause.argument, find_version(connection))
        raise UnknownRevisionError(state) from error


def _changes_schema() -> bool:
    """Return whether the alembic command is `upgrade` or `downgrade`."""
    options = context.config.cmd_opts
    return options is None or options.cmd[0].__name__ in ("upgrade", "downgrade")
