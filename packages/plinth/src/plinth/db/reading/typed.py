"""Queries whose columns and values a type checker knows."""

import inspect
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from types import NoneType
from typing import Any, Generic, ParamSpec, TypeVar, get_args, get_origin, get_type_hints
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Date,
    DateTime,
    Float,
    LargeBinary,
    Numeric,
    Select,
    String,
    Uuid,
    any_,
    bindparam,
)
from sqlalchemy.sql.elements import SQLCoreOperations
from sqlalchemy.types import TypeEngine

from plinth.db.reading.query import Query
from plinth.db.reading.reader import Readable, Reader, read_all
from plinth.db.reading.statements import array_param

P = ParamSpec("P")
T = TypeVar("T")
RowT = TypeVar("RowT", bound=tuple[Any, ...])

TYPES: dict[type, TypeEngine[Any]] = {
    bool: Boolean(),
    bytes: LargeBinary(),
    date: Date(),
    datetime: DateTime(timezone=True),
    Decimal: Numeric(),
    float: Float(),
    int: BigInteger(),
    str: String(),
    UUID: Uuid(),
}


class TypedQuery(Generic[P, RowT]):
    """A query made by `typed_query`."""

    def __init__(self, function: Callable[P, Select[*tuple[Any, ...]]], row: type[RowT]) -> None:
        self.name = f"{function.__module__}.{function.__qualname__}"
        build: Callable[..., Select[*tuple[Any, ...]]] = function
        statement = build(**_make_parameters(function, self.name))
        _check_columns(statement, row, self.name)
        self._query = Query(statement, row)

    async def all(self, db: Readable, /, *args: P.args, **values: P.kwargs) -> list[RowT]:
        """Return every row."""
        assert not args
        found = await read_all(db, self._query, **values)
        return list(found) if isinstance(db, Reader) else self._query.wrap(found)

    async def first(self, db: Readable, /, *args: P.args, **values: P.kwargs) -> RowT | None:
        """Return the first row, or None."""
        rows = await self.all(db, *args, **values)
        return rows[0] if rows else None


def typed_query(
    row: type[RowT],
) -> Callable[[Callable[P, Select[*tuple[Any, ...]]]], TypedQuery[P, RowT]]:
    """Make a query of a function that returns its statement.

    The function's keyword-only parameters are the values of each run. It is called once, with
    parameters of SQL in their place, so it must not decide by them. A parameter `list[...]` is an
    array, for `in_list`.

    Args:
        row: a `NamedTuple` with a field for each column, in the same order.

    Raises:
        TypeError: a parameter is not keyword-only or has no type, or the columns are not those of
            the row.
    """

    def decorate(function: Callable[P, Select[*tuple[Any, ...]]]) -> TypedQuery[P, RowT]:
        return TypedQuery(function, row)

    return decorate


def in_list(column: SQLCoreOperations[T], values: list[T]) -> ColumnElement[bool]:
    """Return whether the column is one of a query's `list[...]` parameter."""
    array: Any = values  # SQL by the time a query is made
    return column == any_(array)


def _make_parameters(function: Callable[..., Any], name: str) -> dict[str, ColumnElement[Any]]:
    hints = get_type_hints(function)
    made = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is not parameter.KEYWORD_ONLY or parameter.name not in hints:
            raise TypeError(
                f"{name}: give the parameter {parameter.name} a type and put it behind `*`"
            )
        made[parameter.name] = _make_parameter(parameter.name, hints[parameter.name])
    return made


def _make_parameter(name: str, hint: Any) -> ColumnElement[Any]:
    kind, _ = _split_none(hint)
    if get_origin(kind) is list:
        (element,) = get_args(kind)
        return array_param(name, TYPES[element])
    return bindparam(name, type_=TYPES.get(kind))


def _check_columns(statement: Select[*tuple[Any, ...]], row: type[Any], name: str) -> None:
    columns = [(str(key), column) for key, column in statement.exported_columns.items()]
    names = tuple(key for key, _ in columns)
    if names != row._fields:
        raise TypeError(f"{name}: the columns are {names}, and {row.__name__} has {row._fields}")
    hints = get_type_hints(row)
    for key, column in columns:
        kind, is_optional = _split_none(hints[key])
        found = _find_python_type(column.type)
        if found and isinstance(kind, type) and not issubclass(found, kind):
            raise TypeError(f"{name}: {key} is {found.__name__}, and {kind.__name__} in the row")
        if isinstance(column, Column) and column.nullable and not is_optional:
            raise TypeError(f"{name}: {key} may be NULL, and the row has {kind} without None")


def _find_python_type(kind: TypeEngine[Any]) -> type | None:
    try:
        return kind.python_type
    except NotImplementedError:
        return None


def _split_none(hint: Any) -> tuple[Any, bool]:
    """The type beside None, and whether None is allowed."""
    arguments = get_args(hint)
    if NoneType not in arguments:
        return hint, False
    others = [it for it in arguments if it is not NoneType]
    return others[0] if len(others) == 1 else Any, True
