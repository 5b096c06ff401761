"""Run single statements outside a transaction, past SQLAlchemy's connection handling."""

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
        in_transactions: wrap each read in a transaction. PgBouncer needs it: only a transaction
            keeps the protocol steps of a statement on one server. `write` must not be used then.
    """

    def __init__(self, engine: AsyncEngine, *, in_transactions: bool) -> None:
        assert isinstance(engine.pool, Pool)
        self._engine = engine
        self._pool = engine.pool
        self._in_transactions = in_transactions

    async def read(self, sql: str, values: Sequence[Any], *, seconds: float | None = None) -> Rows:
        """
        Args:
            seconds: the timeout; None uses the engine's.
        """
        if not self._in_transactions:
            return await self._fetch(sql, values, seconds=seconds)
        async with self._engine.connect() as connection, asyncio.timeout(seconds):
            return (await connection.exec_driver_sql(sql, tuple(values))).all()

    async def write(self, sql: str, values: Sequence[Any]) -> Rows:
        """Run a statement that is its own transaction; it is committed when this returns.

        Raises:
            OutcomeUnknown: the connection was lost before the server confirmed the commit.
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
        pooled = await self._pool.acquire()
        connection = pooled.driver
        fetch = connection.fetch_durably if durably else connection.fetch
        started, failed = perf_counter(), True
        try:
            rows: Rows = await fetch(sql, *values, timeout=seconds)
            failed = False
        except BaseException as error:
            # After an error reported by the server, the connection is in a known state. After any
            # other error, including a cancellation, the server may still be sending.
            refused = isinstance(error, PostgresError) and not connection.is_closed()
            if getattr(error, "sqlstate", None) == READ_ONLY:
                await greenlet_spawn(self._pool.abandon_server, pooled, error)
            elif not refused:
                await greenlet_spawn(pooled.connection.invalidate, error)
            await greenlet_spawn(pooled.connection.close)
            lost = isinstance(error, (PostgresConnectionError, OSError)) or not refused
            if durably and lost and isinstance(error, Exception):
                raise OutcomeUnknown from error
            raise
        finally:
            queries.record(sql, perf_counter() - started, failed=failed)
        await self._pool.release(pooled)
        return rows


class SQLAlchemyExecutor:
    """Run single statements through SQLAlchemy; used when the fast paths are off.

    Args:
        engine: in autocommit mode; through PgBouncer, with transactions.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def execute(
        self, statement: Executable, values: Mapping[str, Any], *, seconds: float | None = None
    ) -> Rows:
        async with self._engine.connect() as connection, asyncio.timeout(seconds):
            return (await connection.execute(statement, values)).all()
