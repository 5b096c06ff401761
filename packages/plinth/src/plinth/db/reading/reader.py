"""Run queries outside a transaction, and let concurrent calls share one statement."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache, cached_property, partial
from math import inf
from time import perf_counter
from typing import Any, TypeVar, cast

from asyncpg import PostgresConnectionError, PostgresError
from sqlalchemy import Executable
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.util import greenlet_spawn

from plinth.db import queries
from plinth.db.dataloader import DataLoader
from plinth.db.engine import READ_ONLY, Pool
from plinth.db.reading.query import Query, Statement, in_array, select_columns
from plinth.db.tenancy import TenantLoader, current_tenant, fetch_for_tenant
from plinth.errors import OutcomeUnknown

ModelT = TypeVar("ModelT", bound=DeclarativeBase)
K = TypeVar("K")
V = TypeVar("V")

# Including the wait for a connection. A lookup may wait for the batch before its own; both together
# stay below the 5 s that docs/explanation/faults.md promises.
MAX_LOOKUP_SECONDS = 0.75
MAX_SHARED_QUERIES = 256
MAX_RUNS_PER_STATEMENT = 20  # each run of a shared query waits for all others in its statement

Run = tuple[tuple[str, Any], ...]
"""The names and values of a query's parameters."""
Rows = Sequence[Any]


class AutocommitExecutor:
    """Run single statements outside a transaction, past SQLAlchemy's connection handling.

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
            return await self._fetch(sql, values, tenant=current_tenant(), seconds=seconds)
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
        tenant: int | None = None,
        seconds: float | None = None,
    ) -> Rows:
        pooled = await self._pool.acquire()
        connection = pooled.driver
        if tenant is not None:
            fetch = partial(fetch_for_tenant, connection, tenant)
        else:
            fetch = connection.fetch_durably if durably else connection.fetch
        started, failed = perf_counter(), True
        try:
            rows: Rows = await fetch(sql, *values, timeout=seconds)
            failed = False
        except BaseException as error:
            # After an error reported by the server, the connection is in a known state. After any
            # other error, including a cancellation, the server may still be sending.
            refused = (
                isinstance(error, PostgresError)
                and not connection.is_closed()
                and not connection.is_in_transaction()
            )
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
        tenant_engine: with transactions, for statements that have a tenant.
    """

    def __init__(self, engine: AsyncEngine, tenant_engine: AsyncEngine) -> None:
        self._engine = engine
        self._tenant_engine = tenant_engine

    async def execute(
        self, statement: Executable, values: Mapping[str, Any], *, seconds: float | None = None
    ) -> Rows:
        engine = self._engine if current_tenant() is None else self._tenant_engine
        async with engine.connect() as connection, asyncio.timeout(seconds):
            return (await connection.execute(statement, values)).all()


class SharedQuery:
    """A query whose runs in one iteration of the event loop share a statement.

    Args:
        query: for one run.
        select_several: returns the statement for several runs. Its parameters are lists with a
            value per run, and its first column is the number of the run, from 1. None for a query
            without parameters.
    """

    def __init__(self, query: Query, select_several: Callable[[], Statement] | None = None) -> None:
        self.query = query
        self._select_several = select_several

    @cached_property
    def _several(self) -> Query:
        assert self._select_several is not None
        return Query(self._select_several())

    async def load(self, reader: "Reader", runs: Sequence[Run]) -> Mapping[Run, Sequence[Any]]:
        if len(runs) == 1:
            return {runs[0]: await reader.all(self.query, **dict(runs[0]))}
        lists: dict[str, list[Any]] = {}
        for run in runs:
            for name, value in run:
                lists.setdefault(name, []).append(value)
        rows: dict[Run, list[Any]] = {run: [] for run in runs}
        for row in await reader.all(self._several, **lists):
            rows[runs[row[0] - 1]].append(row)
        return rows


class Reader:
    """Run queries outside a transaction. Each sees what was committed when it was sent.

    A query with a tenant (`db/tenancy.py`) runs in a transaction of its own, which costs two more
    round trips.

    Args:
        translate: returns the domain error for an error of the database.
        seconds: the timeout of a query; None uses the engine's.
    """

    def __init__(
        self,
        executor: AutocommitExecutor | SQLAlchemyExecutor,
        translate: Callable[[Exception], Exception | None],
        seconds: float | None = None,
    ) -> None:
        self._executor = executor
        self._translate = translate
        self._seconds = seconds
        self._by_id: dict[type[Any], DataLoader[int, Any]] = {}
        self._loaders: dict[Any, DataLoader[Any, Any]] = {}
        self._shared: dict[SharedQuery, TenantLoader[Run, Sequence[Any]]] = {}

    async def all(self, query: Query, /, **values: Any) -> list[Any]:
        """
        Raises:
            PlinthError: as in `Database.transaction`.
            RuntimeError: the query writes.
        """
        if not query.only_reads:
            raise RuntimeError("a Reader cannot run a statement that writes: use `db: DB` instead")
        try:
            if isinstance(self._executor, SQLAlchemyExecutor):
                records = await self._executor.execute(
                    query.statement, values, seconds=self._seconds
                )
                return query.wrap(records)
            records = await self._executor.read(
                query.sql, query.arrange(values), seconds=self._seconds
            )
        except Exception as error:
            if translated := self._translate(error):
                raise translated from error
            raise
        return query.make_rows(records)

    async def shared(self, query: SharedQuery, /, **values: Any) -> Sequence[Any]:
        """Return rows like `all`. Callers share the list, so it must not be changed.

        Args:
            values: must be hashable.
        """
        loader = get_or_create(
            self._shared,
            query,
            lambda: TenantLoader(
                partial(query.load, self),
                max_concurrent=inf,
                max_batch_size=MAX_RUNS_PER_STATEMENT,
            ),
            size=MAX_SHARED_QUERIES,
        )
        started, failed = perf_counter(), True
        try:
            rows = await loader.get(tuple(values.items()))
            failed = False
        finally:
            queries.record_share(query.query.sql, perf_counter() - started, failed=failed)
        return rows or ()

    def batched(
        self, load: Callable[["Reader", Sequence[K]], Awaitable[Mapping[K, V]]]
    ) -> DataLoader[K, V]:
        """Return a loader whose concurrent lookups share a query, with a shorter timeout.

        All callers with the same `load` get the same loader.
        """
        loader = self._loaders.get(load)
        if loader is None:
            reader = Reader(self._executor, self._translate, MAX_LOOKUP_SECONDS)
            loader = self._loaders[load] = TenantLoader(lambda keys: load(reader, keys))
        return loader

    async def get(self, model: type[ModelT], id: int) -> ModelT | None:  # noqa: A002
        """Return a row by its key. Concurrent calls share a query."""
        loader = self._by_id.get(model)
        if loader is None:
            query = _by_ids(model)

            async def load(reader: Reader, ids: Sequence[int]) -> Mapping[int, Any]:
                return {row.id: row for row in await reader.all(query, ids=ids)}

            loader = self._by_id[model] = self.batched(load)
        return cast("ModelT | None", await loader.get(id))


Readable = Reader | AsyncSession


async def read_all(db: Readable, query: Query, /, **values: Any) -> Sequence[Any]:
    """Run a query with a reader, or with a session, which sees its own uncommitted changes."""
    if isinstance(db, Reader):
        return await db.all(query, **values)
    return (await db.execute(query.statement, values)).all()


async def read_one(db: Readable, query: Query, /, **values: Any) -> Any | None:
    """Return the first row, or None."""
    rows = await read_all(db, query, **values)
    return rows[0] if rows else None


async def read_by_id(db: Readable, model: type[ModelT], id: int) -> ModelT | None:  # noqa: A002
    if isinstance(db, Reader):
        return await db.get(model, id)
    return cast("ModelT | None", await read_one(db, _by_ids(model), ids=[id]))


@cache
def _by_ids(model: type[Any]) -> Query:
    return Query(select_columns(model).where(in_array(model.id, "ids")))


def get_or_create(cache: dict[K, V], key: K, create: Callable[[], V], *, size: int) -> V:
    """Return the value of a key. Create it if it is missing, and evict the oldest if full.

    It bounds a cache whose keys clients choose.
    """
    value = cache.get(key)
    if value is None:
        if len(cache) >= size:
            del cache[next(iter(cache))]
        value = cache[key] = create()
    return value
