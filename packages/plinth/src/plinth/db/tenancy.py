"""The current tenant: the organization whose rows a statement may see and change.

Policies of PostgreSQL (row-level security) compare each row with a setting of the transaction.
Every statement runs with the tenant of the context in which it is sent. Without a tenant, tables
with policies have no rows and refuse each change. docs/how-to/tenant-isolation.md explains the use.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import asyncpg
from sqlalchemy import Connection
from sqlalchemy.event import listen
from sqlalchemy.ext.asyncio import AsyncEngine

from plinth.db.dataloader import DataLoader

K = TypeVar("K")
V = TypeVar("V")

TENANT_SETTING = "app.organization_id"
MAINTENANCE_SETTING = "app.maintenance"
TENANT_POLICY = "tenant_isolation"
SET_TENANT = f"SELECT set_config('{TENANT_SETTING}', '{{}}', true)"
UNKNOWN = -1
SAVEPOINTS = ("SAVEPOINT", "RELEASE SAVEPOINT", "ROLLBACK TO SAVEPOINT")  # allowed after an error
MAX_LOADERS = 256  # of tenants whose requests run at the same time, per loader

_current: ContextVar[int | None] = ContextVar("tenant", default=None)


def current_tenant() -> int | None:
    """Return the id of the organization; None outside of one."""
    return _current.get()


def set_tenant(organization_id: int | None) -> None:
    """Set the tenant for the rest of the current request or task; see `tenant` for a block."""
    _current.set(_check(organization_id))


@contextmanager
def tenant(organization_id: int | None) -> Iterator[None]:
    """Run the statements of the block with this tenant; with None, without one.

    Flush the session before the block ends: a change that is flushed later has another tenant, and
    PostgreSQL refuses it.
    """
    token = _current.set(_check(organization_id))
    try:
        yield
    finally:
        _current.reset(token)


def _check(organization_id: int | None) -> int | None:
    # It becomes part of a statement without parameters.
    if organization_id is not None and type(organization_id) is not int:
        raise TypeError(f"the tenant must be the id of an organization, not {organization_id!r}")
    return organization_id


async def fetch_for_tenant(
    connection: asyncpg.Connection,
    organization_id: int,
    sql: str,
    *values: Any,
    timeout: float | None = None,  # noqa: ASYNC109
) -> list[asyncpg.Record]:
    """Run a query in a transaction of the tenant. After an error, the transaction may be open."""
    begin = f"BEGIN; {SET_TENANT.format(organization_id)}"  # one round trip
    try:
        await connection.execute(begin, timeout=timeout)
        rows: list[asyncpg.Record] = await connection.fetch(sql, *values, timeout=timeout)
    except asyncpg.PostgresError:
        if not connection.is_closed():
            await connection.execute("ROLLBACK", timeout=timeout)
        raise
    await connection.execute("COMMIT", timeout=timeout)
    return rows


def is_tenant_statement(sql: str) -> bool:
    """Return whether it sets the tenant. Like BEGIN, it does not count as a query."""
    return sql.startswith(SET_TENANT.partition("{")[0])


def observe_tenant(engine: AsyncEngine) -> None:
    """Set the tenant before each statement whose transaction has another one."""
    listen(engine.sync_engine, "begin", _begin)
    listen(engine.sync_engine, "rollback_savepoint", _forget)
    listen(engine.sync_engine, "before_cursor_execute", _set)


def _begin(connection: Connection) -> None:
    connection.info[TENANT_SETTING] = None


def _forget(connection: Connection, *_: Any) -> None:
    # The rollback restores the tenant from before the savepoint, so set it again.
    connection.info[TENANT_SETTING] = UNKNOWN


def _set(
    connection: Connection, _cursor: Any, statement: str, _values: Any, _context: Any, _many: bool
) -> None:
    wanted, info = _current.get(), connection.info
    if info.get(TENANT_SETTING) == wanted or statement.startswith(SAVEPOINTS):
        return
    if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
        raise RuntimeError("this connection was opened without a tenant: open it inside tenant()")
    info[TENANT_SETTING] = wanted  # first: the statement itself leads here again
    connection.exec_driver_sql(SET_TENANT.format("" if wanted is None else wanted))


class TenantLoader(DataLoader[K, V]):
    """A loader with separate batches per tenant, which runs each with its tenant.

    The task of a batch has an empty context, so it would run without a tenant otherwise.
    """

    def __init__(self, load: Callable[[Sequence[K]], Awaitable[Any]], **options: Any) -> None:
        super().__init__(load, **options)
        self._load_keys = load
        self._options = options
        self._of_tenants: dict[int, DataLoader[K, V]] = {}

    def get(self, key: K) -> Any:
        organization_id = _current.get()
        if organization_id is None:
            return super().get(key)
        return self._of_tenant(organization_id).get(key)

    def _of_tenant(self, organization_id: int) -> DataLoader[K, V]:
        loaders = self._of_tenants
        loader = loaders.get(organization_id)
        if loader is None:
            if len(loaders) >= MAX_LOADERS:
                del loaders[next(iter(loaders))]
            load = self._load_keys

            async def load_for_tenant(keys: Sequence[K]) -> Any:
                with tenant(organization_id):
                    return await load(keys)

            loader = loaders[organization_id] = DataLoader(load_for_tenant, **self._options)
        return loader
