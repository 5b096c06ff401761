"""Reads outside of any transaction, at the least that they can cost: docs/decisions/hot-path.md.

SQLAlchemy writes the SQL, once; asyncpg runs it on a connection of the engine's pool. There is no
session to make, no transaction to begin and to end, and no row to be tracked. What is read so can
be shown and cannot be changed: for that there is `Database.transaction`.
"""

from collections import namedtuple
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import cache, cached_property, partial
from math import inf
from time import perf_counter
from typing import Any, TypeVar, cast

from sqlalchemy import (
    ARRAY,
    Boolean,
    ColumnElement,
    Float,
    Numeric,
    Select,
    any_,
    bindparam,
    case,
    literal_column,
    select,
    true,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute, class_mapper
from sqlalchemy.sql.dml import ReturningUpdate, UpdateBase
from sqlalchemy.sql.visitors import iterate
from sqlalchemy.types import TypeEngine

from app.core import queries
from app.core.batching import Batcher
from app.core.kept import keep
from app.core.lane import Lane

ModelT = TypeVar("ModelT", bound=DeclarativeBase)
K = TypeVar("K")
V = TypeVar("V")

# With the wait for a connection. One may wait for the query before theirs: two of these are below
# the fault contract's 5 s.
LOOK_UP_SECONDS = 0.75
SHARED_QUERIES = 256
RUNS_AT_ONCE = 20  # of a shared query in one statement: each waits for all
FLOAT8, NUMERIC = 701, 1700  # PostgreSQL's numbers of these types

DEAR = "(SELECT count(*) > 0 FROM generate_series(1, 1000000000000))"

Column = InstrumentedAttribute[Any]
Process = Callable[[Any], Any]
Run = tuple[tuple[str, Any], ...]
"""The values that a query is run with, by their names."""
Statement = Select[*tuple[Any, ...]] | ReturningUpdate[*tuple[Any, ...]]

_dialect = dialect()  # type: ignore[no-untyped-call]


class Query:
    """A statement that gives rows. It is compiled once, by its first run: a start has none of them
    to wait for. Its `bindparam`s' values come with each run.

    Args:
        row: the class of its rows, with the columns as its fields; by default one is made. They
            read like the objects that the ORM would make.
    """

    def __init__(self, statement: Statement, row: Any = None) -> None:
        self.statement = statement
        self._given_row = row

    @cached_property
    def sql(self) -> str:
        return str(self._compiled)

    @cached_property
    def only_reads(self) -> bool:
        return isinstance(self.statement, Select) and not any(
            isinstance(part, UpdateBase)
            for part in iterate(self.statement)  # in a CTE, say
        )

    @cached_property
    def _compiled(self) -> Any:
        return self.statement.compile(dialect=_dialect)

    @cached_property
    def _constants(self) -> Mapping[str, Any]:
        """Those with a value of their own: what stood in the statement as a literal."""
        binds = self._compiled.binds.items()
        return {name: bind.effective_value for name, bind in binds if not bind.required}

    @cached_property
    def _order(self) -> Sequence[str]:
        return self._compiled.positiontup or ()

    @cached_property
    def _binding(self) -> Mapping[str, Process]:
        found: Mapping[str, Process] = self._compiled._bind_processors  # noqa: SLF001
        return found

    @cached_property
    def _row(self) -> Callable[[Iterable[Any]], Any]:
        """What the row's `_make` does, without a call of Python for each row."""
        names = tuple(map(str, self.statement.exported_columns.keys()))
        row: Any = self._given_row or namedtuple("Row", names)
        assert row._fields == names
        return partial(tuple.__new__, row)

    @cached_property
    def _reading(self) -> Sequence[tuple[int, Process]]:
        return [
            (place, process)
            for place, column in enumerate(self.statement.exported_columns)
            if (process := _find_processor(column.type))
        ]

    def arrange(self, values: Mapping[str, Any]) -> list[Any]:
        """The values as the statement numbers them."""
        given = {**self._constants, **values}
        binding = self._binding
        return [
            binding[name](given[name]) if name in binding else given[name] for name in self._order
        ]

    def make_rows(self, records: Sequence[Any]) -> list[Any]:
        if not self._reading:
            return list(map(self._row, records))
        return [self._row(self._read(record)) for record in records]

    def _read(self, record: Iterable[Any]) -> list[Any]:
        values = list(record)
        for place, process in self._reading:
            values[place] = process(values[place])
        return values


def _find_processor(kind: TypeEngine[Any]) -> Process | None:
    """What SQLAlchemy does with a value of this type as it comes from asyncpg."""
    sent_as = FLOAT8 if isinstance(kind, Float) else NUMERIC if isinstance(kind, Numeric) else None
    process: Process | None = kind._cached_result_processor(_dialect, sent_as)  # noqa: SLF001
    return process


def select_columns(model: type[DeclarativeBase]) -> Select[*tuple[Any, ...]]:
    """All that an object of it would have, without what it refers to, and what is secret: a column
    with `info={"secret": True}`."""
    attributes = class_mapper(model).column_attrs
    shown = (it.key for it in attributes if not it.columns[0].info.get("secret"))
    return select(*(getattr(model, key) for key in shown))


def one_of(column: Column, name: str) -> ColumnElement[bool]:
    """For look-ups by key: the value of `name` is a list, and this is in it."""
    return column == any_(listed(name, column.type))


def listed(name: str, kind: TypeEngine[Any]) -> ColumnElement[Any]:
    """A parameter that is a list, of these.

    It comes by a subquery, which hides it from the planner. Of a list that it sees it takes the
    length into account, and so plans anew each time, at twice what a look-up itself costs.
    """
    kinds = ARRAY(kind)
    return sql_cast(select(bindparam(name, type_=kinds)).scalar_subquery(), kinds)


def planned_by_its_values() -> ColumnElement[bool]:
    """A condition that holds, for a statement whose best way depends on what is asked for.

    A statement that is kept prepared PostgreSQL plans for its values five times. Then it takes one
    plan for all, where that does not seem dearer on average, for as long as the connection lives;
    by the one for all, a common word takes a hundred times as long to search for. To that plan this
    condition seems dearer than anything, since it could be the other case; from a plan for given
    values it is gone.
    """
    dear: ColumnElement[bool] = literal_column(DEAR, Boolean)
    return case((bindparam("holds", value=True, type_=Boolean), true()), else_=dear)


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
        lane: Lane,
        translate: Callable[[Exception], Exception | None],
        seconds: float | None = None,
    ) -> None:
        self._lane = lane
        self._translate = translate
        self._seconds = seconds
        self._by_id: dict[type[Any], Batcher[int, Any]] = {}
        self._shared: dict[SharedQuery, Batcher[Run, Sequence[Any]]] = {}

    async def all(self, query: Query, /, **values: Any) -> list[Any]:
        """
        Raises:
            PlinthError: what went wrong, as `Database.translated` has it.
            RuntimeError: it would write, and commit by itself, past `core/database.py`.
        """
        if not query.only_reads:
            raise RuntimeError("this only reads: ask for `db: DB` to write")
        try:
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
        batcher = keep(
            self._shared,
            query,
            lambda: Batcher(partial(query.load, self), in_flight=inf, largest=RUNS_AT_ONCE),
            most=SHARED_QUERIES,
        )
        began, failed = perf_counter(), True
        try:
            rows = await batcher.get(tuple(values.items()))
            failed = False
        finally:
            queries.note_share(query.query.sql, perf_counter() - began, failed=failed)
        return rows or ()

    def together(
        self, load: Callable[["Reader", Sequence[K]], Awaitable[Mapping[K, V]]]
    ) -> Batcher[K, V]:
        """Have look-ups that arrive together share a query, which has less time than others."""
        hurried = Reader(self._lane, self._translate, LOOK_UP_SECONDS)
        return Batcher(lambda keys: load(hurried, keys))

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
    return Query(select_columns(model).where(one_of(model.id, "ids")))
