"""A statement of SQLAlchemy's, compiled once, and the rows that it gives."""

from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

from sqlalchemy import Float, Numeric, Select
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.sql.dml import ReturningUpdate, UpdateBase
from sqlalchemy.sql.visitors import iterate
from sqlalchemy.types import TypeEngine

FLOAT8, NUMERIC = 701, 1700  # PostgreSQL's numbers of these types

Process = Callable[[Any], Any]
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

    def wrap(self, rows: Iterable[Iterable[Any]]) -> list[Any]:
        """Of rows that SQLAlchemy has read."""
        return list(map(self._row, rows))

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
