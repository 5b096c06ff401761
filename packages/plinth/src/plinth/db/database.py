"""Sessions, connections and commits; no other module commits.

One request is one transaction: services only flush, and `Database.transaction` commits once at the
end, before the response is sent (`accounts/deps.py` makes it a function-scoped dependency).
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from sqlalchemy import MetaData
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.util import greenlet_spawn

from plinth.config import Settings, fast_paths
from plinth.db import queries
from plinth.db.constraint_errors import ConstraintErrors
from plinth.db.engine import BoundedPool, Pool, make_engine
from plinth.db.reading import Query, Reader, read_all
from plinth.db.reading.reader import AutocommitExecutor, SQLAlchemyExecutor
from plinth.db.tenancy import current_tenant
from plinth.errors import Contended, OutcomeUnknown, PlinthError

T = TypeVar("T")

BEFORE_COMMIT, AFTER_COMMIT = "before_commit", "after_commit"
MAX_RETRIES = 4
RETRY_SECONDS = 0.05  # before the first retry; doubled for each later one


class Database:
    """An engine with its connection pool. The lifespan creates one per process.

    Args:
        url: in libpq's form, with any driver name (config/urls/postgres_url.py).
        settings: the pool's size and all timeouts (`DB_*`).
        metadata: the schema, whose constraints declare the errors of their violations.
        statement_seconds: replaces `DB_STATEMENT_TIMEOUT`, for maintenance commands.
    """

    def __init__(
        self,
        url: str,
        settings: Settings,
        metadata: MetaData,
        *,
        statement_seconds: float | None = None,
    ) -> None:
        self._constraint_errors = ConstraintErrors(metadata)
        self.engine = make_engine(url, settings, statement_seconds or settings.DB_STATEMENT_TIMEOUT)
        # Without a transaction, PgBouncer may send the protocol steps of one statement to different
        # servers.
        self._read_engine = self.engine.execution_options(
            isolation_level="READ COMMITTED" if settings.DB_PGBOUNCER else "AUTOCOMMIT"
        )
        queries.observe_queries(self.engine)
        self._executor: AutocommitExecutor | SQLAlchemyExecutor
        if fast_paths.are_on(fast_paths.READING):
            self._executor = AutocommitExecutor(self.engine, in_transactions=settings.DB_PGBOUNCER)
        else:
            self._executor = SQLAlchemyExecutor(self._read_engine, self.engine)
        self._through_pgbouncer = settings.DB_PGBOUNCER
        self.reader = Reader(self._executor, self._constraint_errors.translate)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """Open a session that is committed at the end of the block, or rolled back if it raises.

        An error with `commit_on_error` is raised after a commit. Each statement has the tenant of
        its context (`db/tenancy.py`), also in a transaction that a commit or `release` began.

        Raises:
            PlinthError: for an error of the database (`constraint_errors.py`); `Unavailable` if
                there is no connection.
        """
        async with (
            self.translate_errors(),
            AsyncSession(self.engine, expire_on_commit=False) as session,
        ):
            try:
                yield session
            except Exception as error:
                if isinstance(error, PlinthError) and error.commit_on_error:
                    await _commit(session)
                raise
            await _commit(session)

    async def execute_autocommit(self, query: Query, **values: Any) -> Sequence[Any]:
        """Run a statement as its own transaction and return its rows. It is committed by then.

        Raises:
            PlinthError: as `transaction`.
        """
        needs_transaction = self._through_pgbouncer or current_tenant() is not None
        if needs_transaction or isinstance(self._executor, SQLAlchemyExecutor):
            async with self.transaction() as session:
                return await read_all(session, query, **values)
        try:
            records = await self._executor.write(query.sql, query.arrange(values))
        except Exception as error:
            if translated := self._constraint_errors.translate(error):
                raise translated from error
            raise
        return query.make_rows(records)

    async def run_with_retries(self, unit: Callable[[AsyncSession], Awaitable[T]]) -> T:
        """Run the unit in a transaction; retry after a deadlock or serialization failure.

        The unit must have no effect outside its transaction. Requests are not retried: by then
        their rate limits are counted and passwords hashed. They fail with a 503.

        Raises:
            Contended: the last attempt failed as well.
        """
        for attempt in range(MAX_RETRIES):
            try:
                async with self.transaction() as session:
                    return await unit(session)
            except Contended:
                if attempt == MAX_RETRIES - 1:
                    raise
                await asyncio.sleep(RETRY_SECONDS * 2**attempt * random.uniform(0.5, 1.5))  # noqa: S311
        raise AssertionError

    @asynccontextmanager
    async def read_connection(self) -> AsyncIterator[AsyncConnection]:
        """Acquire a connection for reads outside a transaction, which saves BEGIN and ROLLBACK."""
        engine = self._read_engine if current_tenant() is None else self.engine
        async with self.translate_errors(), engine.connect() as connection:
            yield connection

    @asynccontextmanager
    async def read_only_session(self) -> AsyncIterator[AsyncSession]:
        """Open a session in a read-only transaction; PostgreSQL refuses each change."""
        engine = self.engine.execution_options(postgresql_readonly=True)
        async with self.translate_errors(), AsyncSession(engine, expire_on_commit=False) as session:
            yield session

    @asynccontextmanager
    async def translate_errors(self) -> AsyncIterator[None]:
        try:
            yield
        except Exception as error:
            if translated := self._constraint_errors.translate(error):
                raise translated from error
            raise

    def pool_status(self) -> dict[str, int]:
        """Count connections: the pool's size, in use, idle, and open beyond the size."""
        pool = self.engine.pool
        assert isinstance(pool, BoundedPool)
        return {
            "size": pool.size(),
            "checked_out": pool.checkedout(),
            "checked_in": pool.checkedin(),
            "overflow": max(pool.overflow(), 0),
        }

    async def close(self) -> None:
        pool = self.engine.pool
        if isinstance(pool, Pool):
            await greenlet_spawn(pool.invalidate_all)
        await self.engine.dispose()


def before_commit(session: AsyncSession, callback: Callable[[], Awaitable[object]]) -> None:
    """Run `callback` at the end of the transaction; for locks that must be held only briefly."""
    session.info.setdefault(BEFORE_COMMIT, []).append(callback)


def after_commit(session: AsyncSession, callback: Callable[[], Awaitable[object]]) -> None:
    """Run `callback` after the commit; not at all after a rollback."""
    session.info.setdefault(AFTER_COMMIT, []).append(callback)


async def release(session: AsyncSession) -> None:
    """Return the connection to the pool before slow work such as hashing a password.

    Raises:
        RuntimeError: the session has changes, which this would commit too early.
    """
    if session.new or session.dirty or session.deleted:
        raise RuntimeError("release() must be called before the session has changes")
    await session.commit()


async def _commit(session: AsyncSession) -> None:
    for callback in session.info.pop(BEFORE_COMMIT, ()):
        await callback()
    await session.flush()
    try:
        await session.commit()
    except (OSError, DBAPIError) as error:  # TimeoutError is an OSError
        if isinstance(error, DBAPIError) and not error.connection_invalidated:
            raise
        raise OutcomeUnknown from error
    for callback in session.info.pop(AFTER_COMMIT, ()):
        await callback()
