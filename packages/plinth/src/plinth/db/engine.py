"""The SQLAlchemy engine and its pool, with a timeout on every wait.

A request waits for a connection and then for a statement; the first timeout ends the request. A
frozen server therefore delays a request by at most `DB_WAIT_TIMEOUT` + `DB_STATEMENT_TIMEOUT` +
`FROZEN_AFTER_SECONDS`: 4.5 seconds by default. docs/explanation/faults.md promises five.
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
from plinth.db.tenancy import observe_tenant
from plinth.errors import Unavailable
from plinth.observability import metrics

logger = logging.getLogger(__name__)

FROZEN_AFTER_SECONDS = 0.5  # how long after its own timeout a server is considered frozen
IDLE_OVERFLOW_SECONDS = 30
FRESH_SECONDS = 1  # a connection used within this time is not checked before its next use
PING_SECONDS = 0.75
READ_ONLY = "25006"  # read_only_sql_transaction: the server is no longer the primary
LAST_USED = "last used"

# Set in each transaction: in PgBouncer's transaction mode, clients share the server's sessions.
SET_TIMEOUTS = (
    "SELECT set_config('statement_timeout', '{statement_timeout}', true),"
    " set_config('lock_timeout', '{lock_timeout}', true),"
    " set_config('idle_in_transaction_session_timeout',"
    " '{idle_in_transaction_session_timeout}', true)"
)

# `monotonic()` is the clock of asyncio's and uvloop's loops. `loop.time()` is slower: before Python
# 3.12, `get_running_loop` is a system call.
_deadline: ContextVar[float] = ContextVar("deadline")


class BoundedPool(AsyncAdaptedQueuePool):
    """A pool whose timeout includes opening and checking a connection, not only the queue."""

    def connect(self) -> PoolProxiedConnection:
        started = monotonic()
        _deadline.set(started + self.timeout())
        metrics.pool_waiting.inc()
        try:
            return super().connect()
        finally:
            metrics.pool_waiting.dec()
            metrics.pool_wait_seconds.observe(monotonic() - started)


class Pool(BoundedPool):
    """A pool that keeps overflow connections until they are idle for `IDLE_OVERFLOW_SECONDS`.

    SQLAlchemy's pool closes an overflow connection on its return. A busy server then opens one for
    every other request, which costs PostgreSQL about 3 ms each time.

    `acquire` and `release` keep a second stack of connections that are ready without SQLAlchemy's
    checkout.
    """

    def __init__(
        self, creator: Any, pool_size: int = 5, max_overflow: int = 10, **options: Any
    ) -> None:
        super().__init__(creator, pool_size + max_overflow, 0, **options)
        self._base_size = pool_size
        self._overflow_used_at = 0.0
        self._ready: list[PooledConnection] = []
        self._waiters = 0
        self._generation = 0

    def size(self) -> int:
        return self._base_size

    def overflow(self) -> int:
        """Return how many connections are open beyond the size; negative if fewer are open."""
        return self._pool.maxsize + self._overflow - self._base_size

    def connect(self) -> PoolProxiedConnection:
        self._waiters += 1
        try:
            return super().connect()
        finally:
            self._waiters -= 1

    def checkedout(self) -> int:
        return super().checkedout() - len(self._ready)

    def checkedin(self) -> int:
        return super().checkedin() + len(self._ready)

    async def acquire(self) -> "PooledConnection":
        """Return a connection for one query outside a transaction.

        One that was used within `FRESH_SECONDS` skips SQLAlchemy's checkout, which costs as much
        as a query.
        """
        while self._ready:
            pooled = self._ready.pop()
            if monotonic() - pooled.used_at < FRESH_SECONDS and not pooled.driver.is_closed():
                return pooled
            await greenlet_spawn(pooled.connection.close)
        return PooledConnection(await greenlet_spawn(self.connect), self._generation)

    async def release(self, pooled: "PooledConnection") -> None:
        """Take back a connection with no transaction open; pass it on if a caller is waiting."""
        if self._waiters or pooled.generation != self._generation:
            await greenlet_spawn(pooled.connection.close)
        else:
            pooled.used_at = monotonic()
            self._ready.append(pooled)

    def invalidate_all(self) -> None:
        """Give all connections back to SQLAlchemy's pool, which checks them before their next
        use. Those in use follow on their release."""
        self._generation += 1
        while self._ready:
            self._ready.pop().connection.close()

    def abandon_server(self, pooled: "PooledConnection", error: BaseException) -> None:
        """Discard all connections opened so far, because their server is no longer the primary."""
        self.invalidate_all()
        self._invalidate(pooled.connection, error)

    def _do_get(self) -> ConnectionPoolEntry:
        if self._ready and self._pool.empty():
            self._ready.pop(0).connection.close()
        return super()._do_get()

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        now = monotonic()
        if self.checkedout() > self._base_size:
            self._overflow_used_at = now
        if self.overflow() > 0 and now - self._overflow_used_at > IDLE_OVERFLOW_SECONDS:
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
        generation: the pool's counter of `invalidate_all` at the checkout.
    """

    connection: PoolProxiedConnection
    generation: int
    used_at: float = 0.0

    @property
    def driver(self) -> Any:
        return self.connection.driver_connection


def make_engine(url: str, settings: Settings, statement_seconds: float) -> AsyncEngine:
    timeouts = {
        "statement_timeout": statement_seconds,
        "lock_timeout": min(settings.DB_LOCK_TIMEOUT, statement_seconds),
        "idle_in_transaction_session_timeout": max(
            settings.DB_IDLE_IN_TRANSACTION_TIMEOUT, statement_seconds
        ),
    }
    through_pgbouncer = settings.DB_PGBOUNCER
    connector = Connector(
        url,
        seconds=settings.DB_CONNECT_TIMEOUT,
        command_timeout=statement_seconds + FROZEN_AFTER_SECONDS,
        server_settings=server_settings(
            {} if through_pgbouncer else timeouts,
            timezone="UTC",
            application_name=settings.PROJECT_NAME,
        ),
        **({"statement_cache_size": 0} if through_pgbouncer else {}),
    )
    faults = FaultLog(logger, "the database")

    async def connect() -> Any:
        try:
            async with asyncio.timeout_at(_deadline.get()):
                connection = await connector.connect()
        except Exception as error:
            # Any failure here, such as a wrong password or a missing database, is an outage.
            faults.note(error)
            if isinstance(error, OSError):  # includes TimeoutError; translated by its own type
                raise
            raise Unavailable from error
        faults.clear()
        return connection

    # In PgBouncer's transaction mode, the names of prepared statements would collide on a shared
    # server connection. Unnamed ones are replaced by the next statement.
    unnamed = {"prepared_statement_cache_size": 0, "prepared_statement_name_func": lambda: ""}
    engine = create_async_engine(
        "postgresql+asyncpg://",
        connect_args={"async_creator_fn": connect, **(unnamed if through_pgbouncer else {})},
        poolclass=Pool if fast_paths.are_on(fast_paths.READING) else BoundedPool,
        pool_size=settings.DB_POOL_SIZE,
        max_overflow=settings.DB_MAX_OVERFLOW,
        pool_timeout=min(settings.DB_POOL_TIMEOUT, settings.DB_WAIT_TIMEOUT),
        pool_recycle=settings.DB_POOL_RECYCLE,
        pool_use_lifo=True,  # reuse recently used connections, which need no check
        echo=settings.DB_ECHO,
        hide_parameters=not settings.DEBUG,  # keep password hashes out of error messages
    )
    sync = engine.sync_engine
    event.listen(sync, "connect", _record_use)
    event.listen(sync, "checkin", _record_use)
    event.listen(sync, "checkout", _check_alive)
    event.listen(sync, "handle_error", _invalidate_read_only_server)
    observe_tenant(engine)
    if through_pgbouncer:
        statement = SET_TIMEOUTS.format_map(server_settings(timeouts))
        event.listen(sync, "begin", lambda connection: connection.exec_driver_sql(statement))
    return engine


def _record_use(_: object, entry: ConnectionPoolEntry) -> None:
    entry.info[LAST_USED] = monotonic()


def _check_alive(adapted: Any, entry: ConnectionPoolEntry, _: object) -> None:
    """Ping the server, unless the connection is known to be closed or was used a moment ago.

    Raises:
        InvalidatePoolError: the connection is dead. SQLAlchemy replaces it and, because their
            server may be gone, all others.
    """
    if adapted.driver_connection.is_closed():
        raise InvalidatePoolError
    now = monotonic()
    if now - entry.info[LAST_USED] < FRESH_SECONDS:
        return
    seconds = max(min(PING_SECONDS, _deadline.get() - now), 0.001)
    try:
        # `execute` without arguments uses the simple query protocol: no prepared statement.
        adapted.run_async(lambda connection: connection.execute("SELECT", timeout=seconds))
    except (OSError, TimeoutError, InterfaceError, PostgresError) as error:
        raise InvalidatePoolError from error


def _invalidate_read_only_server(context: ExceptionContext) -> None:
    if getattr(context.original_exception, "sqlstate", None) == READ_ONLY:
        context.is_disconnect = True
    if context.is_disconnect and context.engine and isinstance(context.engine.pool, Pool):
        context.engine.pool.invalidate_all()
