"""Single statements, each a transaction by itself, on connections that are lent without ado."""

import asyncio
from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any

from asyncpg import PostgresConnectionError, PostgresError
from sqlalchemy import Executable
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import greenlet_spawn

from plinth.db import queries
from plinth.db.engine import READ_ONLY, Pool
from plinth.errors import OutcomeUnknown

Rows = Sequence[Any]


class AutocommitExecutor:
    """
    Args:
        in_transactions: wrap each read in one, where that is all that holds a statement's steps
            together (PgBouncer). A write is not for this lane then.
    """

    def __init__(self, engine: AsyncEngine, *, in_transactions: bool) -> None:
        assert isinstance(engine.pool, Pool)
        self._engine = engine
        self._pool = engine.pool
        self._in_transactions = in_transactions

    async def read(self, sql: str, values: Sequence[Any], *, seconds: float | None = None) -> Rows:
        """
        Args:
            seconds: the most that it may take; None leaves it to the engine.
        """
        if not self._in_transactions:
            return await self._fetch(sql, values, seconds=seconds)
        async with self._engine.connect() as connection, asyncio.timeout(seconds):
            return (await connection.exec_driver_sql(sql, tuple(values))).all()

    async def write(self, sql: str, values: Sequence[Any]) -> Rows:
        """When this returns, it is durable.

        Raises:
            Unresolved: nobody answered whether it is.
        """
        return await self._fetch(sql, values, durably=True)

    async def _fetch(
        self,
        sql: str,
        values: Sequence[Any],
        *,
        durably: bool = False,
        seconds: float | None = None,
    ) -> Rows:
        lent = await self._pool.acquire()
        connection = lent.driver
        fetch = connection.fetch_durably if durably else connection.fetch
        began, failed = perf_counter(), True
        try:
            found: Rows = await fetch(sql, *values, timeout=seconds)
            failed = False
        except BaseException as error:
            # A refusal leaves a connection as it was; of all else, a cancellation too, one cannot
            # know what the server is about to send.
            refused = isinstance(error, PostgresError) and not connection.is_closed()
            if getattr(error, "sqlstate", None) == READ_ONLY:
                await greenlet_spawn(self._pool.leave, lent, error)
            elif not refused:
                await greenlet_spawn(lent.connection.invalidate, error)
            await greenlet_spawn(lent.connection.close)
            lost = isinstance(error, (PostgresConnectionError, OSError)) or not refused
            if durably and lost and isinstance(error, Exception):
                raise OutcomeUnknown from error
            raise
        finally:
            queries.record(sql, perf_counter() - began, failed=failed)
        await self._pool.keep(lent)
        return found


class SQLAlchemyExecutor:
    """The same by SQLAlchemy's own ways, where the fast paths are off.

    Args:
        engine: whose connections read outside a transaction, or through PgBouncer in one.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def execute(
        self, statement: Executable, values: Mapping[str, Any], *, seconds: float | None = None
    ) -> Rows:
        async with self._engine.connect() as connection, asyncio.timeout(seconds):
            return (await connection.execute(statement, values)).all()
