"""Who runs queries, and lets those share one who ask at the same time."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache, cached_property, partial
from math import inf
from time import perf_counter
from typing import Any, TypeVar, cast

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase

from plinth.db import queries
from plinth.db.autocommit import AutocommitExecutor, SQLAlchemyExecutor
from plinth.db.bounded_cache import get_or_create
from plinth.db.dataloader import DataLoader
from plinth.db.reading.query import Query, Statement
from plinth.db.reading.statements import in_array, select_columns

ModelT = TypeVar("ModelT", bound=DeclarativeBase)
K = TypeVar("K")
V = TypeVar("V")

# With the wait for a connection. One may wait for the query before theirs: two of these are below
# the fault contract's 5 s.
LOOK_UP_SECONDS = 0.75
SHARED_QUERIES = 256
RUNS_AT_ONCE = 20  # of a shared query in one statement: each waits for all

Run = tuple[tuple[str, Any], ...]
"""The values that a query is run with, by their names."""


class SharedQuery:
    """A query whose runs are one, where they are asked for in the same turn of the loop.

    Args:
        query: for one run.
        select_several: the same for several that differ in their values. These come as lists, and
            each row begins with the number, from 1, of the run that it belongs to. None for a query
            that has no values.
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
        found: dict[Run, list[Any]] = {run: [] for run in runs}
        for row in await reader.all(self._several, **lists):
            found[runs[row[0] - 1]].append(row)
        return found


class Reader:
    """Runs queries, each by itself and as fresh as the moment in which it is sent.

    Args:
        translate: what an error of the database means.
        seconds: the most that a query may take; None leaves it to the engine.
    """

    def __init__(
        self,
        lane: AutocommitExecutor | SQLAlchemyExecutor,
        translate: Callable[[Exception], Exception | None],
        seconds: float | None = None,
    ) -> None:
        self._lane = lane
        self._translate = translate
        self._seconds = seconds
        self._by_id: dict[type[Any], DataLoader[int, Any]] = {}
        self._shared: dict[SharedQuery, DataLoader[Run, Sequence[Any]]] = {}

    async def all(self, query: Query, /, **values: Any) -> list[Any]:
        """
        Raises:
            PlinthError: what went wrong, as `Database.translated` has it.
            RuntimeError: it would write, and commit by itself, past `db/database.py`.
        """
        if not query.only_reads:
            raise RuntimeError("this only reads: ask for `db: DB` to write")
        try:
            if isinstance(self._lane, SQLAlchemyExecutor):
                records = await self._lane.execute(query.statement, values, seconds=self._seconds)
                return query.wrap(records)
            records = await self._lane.read(query.sql, query.arrange(values), seconds=self._seconds)
        except Exception as error:
            if meaning := self._translate(error):
                raise meaning from error
            raise
        return query.make_rows(records)

    async def shared(self, query: SharedQuery, /, **values: Any) -> Sequence[Any]:
        """As `all`. Nobody waits for a run that was sent before; the rows are others' as well.

        Args:
            values: can be hashed.
        """
        batcher = get_or_create(
            self._shared,
            query,
            lambda: DataLoader(partial(query.load, self), in_flight=inf, largest=RUNS_AT_ONCE),
            most=SHARED_QUERIES,
        )
        began, failed = perf_counter(), True
        try:
            rows = await batcher.get(tuple(values.items()))
            failed = False
        finally:
            queries.record_share(query.query.sql, perf_counter() - began, failed=failed)
        return rows or ()

    def together(
        self, load: Callable[["Reader", Sequence[K]], Awaitable[Mapping[K, V]]]
    ) -> DataLoader[K, V]:
        """Have look-ups that arrive together share a query, which has less time than others."""
        hurried = Reader(self._lane, self._translate, LOOK_UP_SECONDS)
        return DataLoader(lambda keys: load(hurried, keys))

    async def get(self, model: type[ModelT], id: int) -> ModelT | None:  # noqa: A002
        """A row by its key, in a query that is shared."""
        batcher = self._by_id.get(model)
        if batcher is None:
            query = _by_ids(model)

            async def load(reader: Reader, ids: Sequence[int]) -> Mapping[int, Any]:
                return {row.id: row for row in await reader.all(query, ids=ids)}

            batcher = self._by_id[model] = self.together(load)
        return cast("ModelT | None", await batcher.get(id))


Readable = Reader | AsyncSession


async def read_all(db: Readable, query: Query, /, **values: Any) -> Sequence[Any]:
    """By a reader; or by a session, and so with what its transaction has changed."""
    if isinstance(db, Reader):
        return await db.all(query, **values)
    return (await db.execute(query.statement, values)).all()


async def read_one(db: Readable, query: Query, /, **values: Any) -> Any | None:
    """The first row, or None."""
    rows = await read_all(db, query, **values)
    return rows[0] if rows else None


async def read_by_id(db: Readable, model: type[ModelT], id: int) -> ModelT | None:  # noqa: A002
    if isinstance(db, Reader):
        return await db.get(model, id)
    return cast("ModelT | None", await read_one(db, _by_ids(model), ids=[id]))


@cache
def _by_ids(model: type[Any]) -> Query:
    return Query(select_columns(model).where(in_array(model.id, "ids")))
