"""Run migrations for `alembic/env.py`: under an advisory lock and with timeouts.

The lock belongs to the session and not to the transaction, so that it holds over a migration that
commits in between (CREATE INDEX CONCURRENTLY). Hence migrations need a connection of their own to
PostgreSQL, not one through a transaction pooler: `MIGRATION_DATABASE_URL` or `DIRECT_DATABASE_URL`.
"""

import asyncio
import logging
from typing import Any

from alembic import context
from alembic.util import CommandError
from asyncpg import InterfaceError, PostgresError
from sqlalchemy import Connection, MetaData, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from plinth.config import settings
from plinth.config.urls.postgres_url import libpq_url
from plinth.db.connection_errors import describe_connection_error
from plinth.db.driver import Connector, server_settings
from plinth.db.grants import GRANT, SET_ROLE_NAME, find_role
from plinth.db.schema.autogenerate import is_compared, write_revision
from plinth.devservices import EmbeddedError
from plinth.devservices.service_urls import running_services

ONE_AT_A_TIME = 0x506C696E7468  # "Plinth"
BOUND_STATEMENTS = f"SET statement_timeout = '{settings.MIGRATION_TIMEOUT}s'"
BOUND_LOCKS = f"SET lock_timeout = '{settings.MIGRATION_LOCK_TIMEOUT}s'"


def run_migrations(metadata: MetaData) -> None:
    """Do what the alembic command asks for.

    Args:
        metadata: of all tables, the library's and the application's.
    """
    _log_revisions()
    compared: dict[str, Any] = {
        "target_metadata": metadata,
        "compare_type": True,
        "compare_server_default": True,
        "include_object": is_compared,
        "process_revision_directives": write_revision,
    }
    if context.is_offline_mode():
        _print_sql(compared)
    else:
        asyncio.run(_migrate_database(compared))


def _log_revisions() -> None:
    """Log each revision to stderr, unless a program of ours runs this and logs by itself."""
    if context.config.cmd_opts is not None:
        logging.basicConfig(format="%(levelname)-5.5s [%(name)s] %(message)s")
        logging.getLogger("alembic").setLevel(logging.INFO)


def _print_sql(compared: dict[str, Any]) -> None:
    context.configure(
        dialect_name="postgresql",
        literal_binds=True,
        dialect_opts={"paramstyle": "named"},
        **compared,
    )
    with context.begin_transaction():
        context.execute(BOUND_STATEMENTS)
        context.execute(BOUND_LOCKS)
        context.run_migrations()


async def _migrate_database(compared: dict[str, Any]) -> None:
    given = context.config.attributes
    if given.get("url"):
        await _migrate_url(given["url"], given.get("role", ""), compared)
        return
    try:
        with running_services(settings) as backing:
            await _migrate_url(backing.owner_url, find_role(backing.database_url), compared)
    except EmbeddedError as error:
        raise CommandError(str(error)) from error


async def _migrate_url(url: str, role: str, compared: dict[str, Any]) -> None:
    """
    Args:
        role: the application's, which gets its rights to the tables.
    """
    direct = settings.MIGRATION_DATABASE_URL or settings.DIRECT_DATABASE_URL
    if settings.DB_PGBOUNCER and not direct:
        raise CommandError(
            "set MIGRATION_DATABASE_URL or DIRECT_DATABASE_URL: migrations do not go through "
            "PgBouncer"
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
        await connection.run_sync(_migrate, role, compared)


def _migrate(connection: Connection, role: str, compared: dict[str, Any]) -> None:
    # The lock of another migration is waited for here. Only then is the wait for a lock bounded, so
    # that a migration never makes the whole application queue up behind it.
    connection.execute(text(BOUND_STATEMENTS))
    connection.execute(text(f"SELECT pg_advisory_lock({ONE_AT_A_TIME})"))
    connection.execute(text(BOUND_LOCKS))
    connection.commit()
    context.configure(connection=connection, **compared)
    with context.begin_transaction():
        context.run_migrations()
        if _changes_schema():
            connection.exec_driver_sql(SET_ROLE_NAME, (role,))
            connection.exec_driver_sql(GRANT)


def _changes_schema() -> bool:
    """Return whether the command changes the schema, unlike `alembic current`."""
    given = context.config.cmd_opts
    return given is None or given.cmd[0].__name__ in ("upgrade", "downgrade")
