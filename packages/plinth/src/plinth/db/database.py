"""The one place that opens connections and commits.

One request is one transaction: whoever works in it flushes, and `Database.transaction` commits once
at the end, before the answer is sent (`accounts/deps.py` binds it function-scoped).
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
from plinth.db.autocommit import AutocommitExecutor, SQLAlchemyExecutor
from plinth.db.constraint_errors import ConstraintErrors
from plinth.db.engine import BoundedPool, Pool, make_engine
from plinth.db.reading import Query, Reader, read_all
from plinth.errors import Contended, OutcomeUnknown, PlinthError

T = TypeVar("T")

BEFORE_COMMIT, AFTER_COMMIT = "before_commit", "after_commit"
MAX_RETRIES = 4
RETRY_SECONDS = 0.05  # before the first repeat; each later one waits twice as long


class Database:
    """A pooled engine with its sessions; one a process, made by the lifespan.

    Args:
        url: libpq's form, whatever driver it names (config/urls/postgres_url.py).
        settings: the pool's figures, and the bounds of everything that waits (`DB_*`).
        metadata: the schema, whose constraints say what their violation means.
        statement_seconds: in place of `DB_STATEMENT_TIMEOUT`, for commands that nobody waits for.
    """

    def __init__(
        self,
        url: str,
        settings: Settings,
        metadata: MetaData,
        *,
        statement_seconds: float | None = None,
    ) -> None:
        self._violations = ConstraintErrors(metadata)
        self.engine = make_engine(url, settings, statement_seconds or settings.DB_STATEMENT_TIMEOUT)
        # Through PgBouncer each of a statement's steps could meet another server, unless it is in a
        # transaction.
        self._reading = self.engine.execution_options(
            isolation_level="READ COMMITTED" if settings.DB_PGBOUNCER else "AUTOCOMMIT"
        )
        queries.observe_queries(self.engine)
        self._lane: AutocommitExecutor | SQLAlchemyExecutor
        if fast_paths.are_on(fast_paths.READING):
            self._lane = AutocommitExecutor(self.engine, in_transactions=settings.DB_PGBOUNCER)
        else:
            self._lane = SQLAlchemyExecutor(self._reading)
        self._through_pgbouncer = settings.DB_PGBOUNCER
        self.reader = Reader(self._lane, self._violations.explain)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """A session whose work is committed at the end of the block, or undone when it raises.

        An error with `commit_on_error` commits and is raised all the same.

        Raises:
            PlinthError: what the database refused, named by the violated constraint or the
                SQLSTATE; `Unavailable` when it is away.
        """
        async with self.translated(), AsyncSession(self.engine, expire_on_commit=False) as session:
            try:
                yield session
            except Exception as error:
                if isinstance(error, PlinthError) and error.commit_on_error:
                    await _commit(session)
                raise
            await _commit(session)

    async def in_one_statement(self, query: Query, **values: Any) -> Sequence[Any]:
        """The rows of a statement that is the whole transaction. When this returns, it is durable.

        Raises:
            PlinthError: as `transaction`.
        """
        if self._through_pgbouncer or isinstance(self._lane, SQLAlchemyExecutor):
            async with self.transaction() as session:
                return await read_all(session, query, **values)
        try:
            records = await self._lane.write(query.sql, query.arrange(values))
        except Exception as error:
            if meaning := self._violations.explain(error):
                raise meaning from error
            raise
        return query.make_rows(records)

    async def repeated(self, unit: Callable[[AsyncSession], Awaitable[T]]) -> T:
        """Do the whole unit in a transaction, and again in a new one where it lost to another.

        For work that is nothing but its transaction. A request is not repeated: its limits were
        counted and its password hashed by then, and its 503 says that nothing was done.

        Raises:
            Contended: it lost each time.
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
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection for reads outside any transaction: nothing to begin, nothing to end."""
        async with self.translated(), self._reading.connect() as connection:
            yield connection

    @asynccontextmanager
    async def looking(self) -> AsyncIterator[AsyncSession]:
        """A session for code that may not change anything: PostgreSQL refuses it."""
        engine = self.engine.execution_options(postgresql_readonly=True)
        async with self.translated(), AsyncSession(engine, expire_on_commit=False) as session:
            yield session

    @asynccontextmanager
    async def translated(self) -> AsyncIterator[None]:
        try:
            yield
        except Exception as error:
            if meaning := self._violations.explain(error):
                raise meaning from error
            raise

    def pool_status(self) -> dict[str, int]:
        """Connections: the steady pool's size, lent out, idle, and open beyond the size."""
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


def before_commit(session: AsyncSession, act: Callable[[], Awaitable[object]]) -> None:
    """Have `act` run as the last of the transaction: for what takes a lock that all others want."""
    session.info.setdefault(BEFORE_COMMIT, []).append(act)


def after_commit(session: AsyncSession, act: Callable[[], Awaitable[object]]) -> None:
    """Have `act` run once the transaction is durable, and not at all when it is undone."""
    session.info.setdefault(AFTER_COMMIT, []).append(act)


async def release(session: AsyncSession) -> None:
    """Give the connection back before slow work that needs none, such as hashing a password.

    Only what was read so far is behind it: a session with changes may not let go of them.
    """
    if session.new or session.dirty or session.deleted:
        raise RuntimeError("release() is for a session that has only read")
    await session.commit()


async def _commit(session: AsyncSession) -> None:
    for act in session.info.pop(BEFORE_COMMIT, ()):
        await act()
    await session.flush()
    try:
        await session.commit()
    except (OSError, DBAPIError) as error:  # TimeoutError is an OSError
        if isinstance(error, DBAPIError) and not error.connection_invalidated:
            raise
        raise OutcomeUnknown from error
    for act in session.info.pop(AFTER_COMMIT, ()):
        await act()
