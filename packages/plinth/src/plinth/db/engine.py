"""SQLAlchemy's engine, with a bound on everything that it waits for.

A request asks for a connection and then for statements, and whichever hangs first ends it. So
`DB_WAIT_TIMEOUT`, `DB_STATEMENT_TIMEOUT` and half a second together are the most that a frozen
server costs: 4.5 seconds, where the fault contract says five.
"""

import asyncio
import logging
from contextvars import ContextVar
from dataclasses import dataclass
from time import monotonic
from typing import Any

from asyncpg import InterfaceError, PostgresError
from sqlalchemy import ExceptionContext, PoolProxiedConnection, event
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry
from sqlalchemy.util import greenlet_spawn

from plinth.config import Settings, fast_paths
from plinth.db.connection_errors import FaultLog
from plinth.db.driver import Connector, server_settings
from plinth.errors import Unavailable
from plinth.observability import metrics

logger = logging.getLogger(__name__)

FROZEN_AFTER_SECONDS = (
    0.5  # seconds beyond its own timeout after which a server is taken for frozen
)
IDLE_OVERFLOW_SECONDS = 30  # seconds
FRESH_SECONDS = 1  # seconds since its last use for which a connection is taken to live
PING_SECONDS = 0.75
READ_ONLY = "25006"  # read_only_sql_transaction: it was the primary, and is no more
LAST_USED = "last used"

# In PgBouncer's transaction mode a session's parameters would be another's in the next moment.
SET_BOUNDS = (
    "SELECT set_config('statement_timeout', '{statement_timeout}', true),"
    " set_config('lock_timeout', '{lock_timeout}', true),"
    " set_config('idle_in_transaction_session_timeout',"
    " '{idle_in_transaction_session_timeout}', true)"
)

# By the clock of the loops, asyncio's and uvloop's alike. Asking a loop for it costs a call of the
# system before Python 3.12: what the running loop is depends on the process.
_until: ContextVar[float] = ContextVar("until")


class BoundedPool(AsyncAdaptedQueuePool):
    """Its timeout bounds getting a connection in all, and not the wait for a free one alone."""

    def connect(self) -> PoolProxiedConnection:
        began = monotonic()
        _until.set(began + self.timeout())
        metrics.pool_waiting.inc()
        try:
            return super().connect()
        finally:
            metrics.pool_waiting.dec()
            metrics.pool_wait_seconds.observe(monotonic() - began)


class Pool(BoundedPool):
    """A pool that keeps overflow connections until they are idle for `IDLE_OVERFLOW_SECONDS`.

    SQLAlchemy's pool closes an overflow connection on its return. A busy server then opens one for
    every other request, at some 3 ms of PostgreSQL's time.
    """

    def __init__(
        self, creator: Any, pool_size: int = 5, max_overflow: int = 10, **options: Any
    ) -> None:
        super().__init__(creator, pool_size + max_overflow, 0, **options)
        self._steady = pool_size
        self._needed_at = 0.0
        self._kept: list[PooledConnection] = []
        self._wanted = 0
        self._generation = 0

    def size(self) -> int:
        return self._steady

    def overflow(self) -> int:
        """Those that are open beyond the size; below zero, those that are not open yet."""
        return self._pool.maxsize + self._overflow - self._steady

    def connect(self) -> PoolProxiedConnection:
        self._wanted += 1
        try:
            return super().connect()
        finally:
            self._wanted -= 1

    def checkedout(self) -> int:
        return super().checkedout() - len(self._kept)

    def checkedin(self) -> int:
        return super().checkedin() + len(self._kept)

    async def acquire(self) -> "PooledConnection":
        """For one query outside of any transaction. One that was used so a moment ago is lent again
        without ado, where the usual way costs as much as the query."""
        while self._kept:
            lent = self._kept.pop()
            if monotonic() - lent.used_at < FRESH_SECONDS and not lent.driver.is_closed():
                return lent
            await greenlet_spawn(lent.connection.close)
        return PooledConnection(await greenlet_spawn(self.connect), self._generation)

    async def keep(self, lent: "PooledConnection") -> None:
        """After a query that left it as it was; unless somebody waits for one."""
        if self._wanted or lent.generation != self._generation:
            await greenlet_spawn(lent.connection.close)
        else:
            lent.used_at = monotonic()
            self._kept.append(lent)

    def invalidate_all(self) -> None:
        """Of all that are kept, or are in use: the server that they lead to is not to be trusted,
        and the usual way will see to it."""
        self._generation += 1
        while self._kept:
            self._kept.pop().connection.close()

    def leave(self, lent: "PooledConnection", error: BaseException) -> None:
        """The server that it leads to is to be left, by all who were connected so far."""
        self.invalidate_all()
        self._invalidate(lent.connection, error)

    def _do_get(self) -> ConnectionPoolEntry:
        if self._kept and self._pool.empty():
            self._kept.pop(0).connection.close()
        return super()._do_get()

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        now = monotonic()
        if self.checkedout() > self._steady:
            self._needed_at = now
        if self.overflow() > 0 and now - self._needed_at > IDLE_OVERFLOW_SECONDS:
            try:
                record.close()
            finally:
                self._dec_overflow()
        else:
            super()._do_return_conn(record)


@dataclass(slots=True)
class PooledConnection:
    """
    Attributes:
        generation: of the pool's connections, when it was taken from there.
    """

    connection: PoolProxiedConnection
    generation: int
    used_at: float = 0.0

    @property
    def driver(self) -> Any:
        return self.connection.driver_connection


def make_engine(url: str, settings: Settings, statement_seconds: float) -> AsyncEngine:
    bounds = {
        "statement_timeout": statement_seconds,
        "lock_timeout": min(settings.DB_LOCK_TIMEOUT, statement_seconds),
        "idle_in_transaction_session_timeout": max(
            settings.DB_IDLE_IN_TRANSACTION_TIMEOUT, statement_seconds
        ),
    }
    pooled = settings.DB_PGBOUNCER
    connector = Connector(
        url,
        seconds=settings.DB_CONNECT_TIMEOUT,
        command_timeout=statement_seconds + FROZEN_AFTER_SECONDS,
        server_settings=server_settings(
            {} if pooled else bounds, timezone="UTC", application_name=settings.PROJECT_NAME
        ),
        **({"statement_cache_size": 0} if pooled else {}),
    )

    faults = FaultLog(logger, "the database")

    async def connect() -> Any:
        try:
            async with asyncio.timeout_at(_until.get()):
                connection = await connector.connect()
        except Exception as error:
            # Whatever it is (a rotated password, a missing database), no request can mend it.
            faults.note(error)
            if isinstance(error, OSError):  # a TimeoutError is one, and has a meaning of its own
                raise
            raise Unavailable from error
        faults.clear()
        return connection

    # In PgBouncer's transaction mode a prepared statement with a name would meet another's of that
    # name; one without lives until the next is prepared, so to the transaction's end at the least.
    unnamed = {"prepared_statement_cache_size": 0, "prepared_statement_name_func": lambda: ""}
    engine = create_async_engine(
        "postgresql+asyncpg://",
        connect_args={"async_creator_fn": connect, **(unnamed if pooled else {})},
        poolclass=Pool if fast_paths.are_on(fast_paths.READING) else BoundedPool,
        pool_size=settings.DB_POOL_SIZE,
        max_overflow=settings.DB_MAX_OVERFLOW,
        pool_timeout=min(settings.DB_POOL_TIMEOUT, settings.DB_WAIT_TIMEOUT),
        pool_recycle=settings.DB_POOL_RECYCLE,
        pool_use_lifo=True,  # what is used is known to live
        echo=settings.DB_ECHO,
        hide_parameters=not settings.DEBUG,  # an error's text must not carry a password's hash
    )
    sync = engine.sync_engine
    event.listen(sync, "connect", _note_use)
    event.listen(sync, "checkin", _note_use)
    event.listen(sync, "checkout", _check_alive)
    event.listen(sync, "handle_error", _invalidate_read_only_server)
    if pooled:
        statement = SET_BOUNDS.format_map(server_settings(bounds))
        event.listen(sync, "begin", lambda connection: connection.exec_driver_sql(statement))
    return engine


def _note_use(_: object, entry: ConnectionPoolEntry) -> None:
    entry.info[LAST_USED] = monotonic()


def _check_alive(adapted: Any, entry: ConnectionPoolEntry, _: object) -> None:
    """One that ended is known at no cost; for the others a ping, unless they were just in use.

    Raises:
        InvalidatePoolError: it does not live, and so the others may not: a new one is made.
    """
    if adapted.driver_connection.is_closed():
        raise InvalidatePoolError
    now = monotonic()
    if now - entry.info[LAST_USED] < FRESH_SECONDS:
        return
    seconds = max(min(PING_SECONDS, _until.get() - now), 0.001)
    try:
        # As a simple query, which prepares nothing.
        adapted.run_async(lambda connection: connection.execute("SELECT", timeout=seconds))
    except (OSError, TimeoutError, InterfaceError, PostgresError) as error:
        raise InvalidatePoolError from error


def _invalidate_read_only_server(context: ExceptionContext) -> None:
    if getattr(context.original_exception, "sqlstate", None) == READ_ONLY:
        context.is_disconnect = True
    if context.is_disconnect and context.engine and isinstance(context.engine.pool, Pool):
        context.engine.pool.invalidate_all()
