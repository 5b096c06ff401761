"""Queries with statically typed parameters and rows."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from types import NoneType
from typing import Any, Generic, ParamSpec, TypeVar, get_args, get_origin, get_type_hints
from uuid import UUID

from pydantic import BaseModel, TypeAdapter
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
    func,
    select,
)
from sqlalchemy.sql.elements import SQLCoreOperations
from sqlalchemy.types import TypeEngine

from plinth.db.reading.query import Query, array_param
from plinth.db.reading.reader import Readable, Reader, read_all, read_one
from plinth.errors import NotFound

P = ParamSpec("P")
T = TypeVar("T")
RowT = TypeVar("RowT")

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

    def __init__(
        self,
        function: Callable[P, Select[*tuple[Any, ...]]],
        row: type[RowT],
        item: str | None = None,
    ) -> None:
        self._item = item
        self.name = f"{function.__module__}.{function.__qualname__}"
        build: Callable[..., Select[*tuple[Any, ...]]] = function
        statement = build(**_make_parameters(function, self.name))
        self._defaults = _find_defaults(function)
        _check_columns(statement, row, self.name)
        self._is_tuple = issubclass(row, tuple)
        is_model = issubclass(row, BaseModel)
        self._adapter: Any = TypeAdapter(list[row]) if is_model else None  # type: ignore[valid-type]
        self._query = Query(statement, row if self._is_tuple else None)
        self._count_query = Query(_count_rows(statement))

    async def all(self, db: Readable, /, *args: P.args, **values: P.kwargs) -> list[RowT]:
        """Return every row."""
        assert not args
        records: Any = await read_all(db, self._query, **_flatten(self._defaults | values))
        rows: list[Any] = records if isinstance(db, Reader) else self._query.wrap(records)
        if self._adapter:
            validated: list[RowT] = self._adapter.validate_python(rows, from_attributes=True)
            return validated
        return list(rows) if self._is_tuple else [value for (value,) in rows]

    async def first(self, db: Readable, /, *args: P.args, **values: P.kwargs) -> RowT | None:
        """Return the first row, or None."""
        rows = await self.all(db, *args, **values)
        return rows[0] if rows else None

    async def one(self, db: Readable, /, *args: P.args, **values: P.kwargs) -> RowT:
        """Return the first row.

        Raises:
            NotFound: there is no row.
        """
        row = await self.first(db, *args, **values)
        if row is None:
            raise NotFound.of(self._item) if self._item else NotFound
        return row

    async def page(
        self, db: Readable, /, *args: P.args, **values: P.kwargs
    ) -> tuple[list[RowT], int]:
        """Return the rows, and their total number without limit and offset."""
        rows = await self.all(db, *args, **values)
        count = await read_one(db, self._count_query, **_flatten(self._defaults | values))
        assert count
        return rows, count.total


def typed_query(
    row: type[RowT], *, item: str | None = None
) -> Callable[[Callable[P, Select[*tuple[Any, ...]]]], TypedQuery[P, RowT]]:
    """Turn a function that returns a statement into a typed query.

    The function's keyword-only parameters are the parameters of the query, with their defaults. The
    function is called once, with SQL parameters as arguments, so it must not branch on them. A
    `list[...]` parameter is an array, for `in_list`. A Pydantic model is a group of parameters,
    such as the filters of a list.

    Args:
        row: a `NamedTuple` with a field for each column, in the same order; a Pydantic model, as
            which each row is validated; or the type of a single column.
        item: the snake_case name of the row's resource, for the error of `one`.

    Raises:
        TypeError: a parameter is not keyword-only or has no type, or the columns differ from the
            fields of the row.
    """

    def decorate(function: Callable[P, Select[*tuple[Any, ...]]]) -> TypedQuery[P, RowT]:
        return TypedQuery(function, row, item)

    return decorate


def in_list(column: SQLCoreOperations[T], values: list[T]) -> ColumnElement[bool]:
    """Return the condition that a `list[...]` parameter contains the column."""
    array: Any = values  # `typed_query` passes an SQL parameter
    return column == any_(array)


def _make_parameters(function: Callable[..., Any], name: str) -> dict[str, Any]:
    hints = get_type_hints(function)
    parameters = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is not parameter.KEYWORD_ONLY or parameter.name not in hints:
            raise TypeError(
                f"{name}: give the parameter {parameter.name} a type and move it after `*`"
            )
        parameters[parameter.name] = _make_parameter(parameter.name, hints[parameter.name])
    names = [it for group in parameters.items() for it in _flatten(dict([group]))]
    if repeated := sorted({it for it in names if names.count(it) > 1}):
        raise TypeError(
            f"{name}: more than one parameter is named {repeated[0]}, because the fields of a group"
            " have its name as their prefix: rename the group"
        )
    return parameters


def _find_defaults(function: Callable[..., Any]) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters.values()
    return {it.name: it.default for it in parameters if it.default is not it.empty}


def _count_rows(statement: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    # With its columns, which DISTINCT compares. PostgreSQL does not compute them otherwise.
    matching = statement.order_by(None).limit(None).offset(None).subquery()
    return select(func.count().label("total")).select_from(matching)


def _make_parameter(name: str, hint: Any) -> Any:
    kind, _ = _split_none(hint)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind.model_construct(
            **{it: _make_parameter(f"{name}_{it}", hint) for it, hint in _list_hints(kind)}
        )
    if get_origin(kind) is list:
        (element,) = get_args(kind)
        return array_param(name, TYPES[element])
    return bindparam(name, type_=TYPES.get(kind))


def _list_hints(model: type[BaseModel]) -> Iterable[tuple[str, Any]]:
    hints = get_type_hints(model)
    return ((name, hints[name]) for name in model.model_fields)


def _flatten(values: Mapping[str, Any]) -> dict[str, Any]:
    """Replace each group by its values, with the names that `_make_parameter` gives them."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, BaseModel):
            flat |= {f"{name}_{key}": getattr(value, key) for key in type(value).model_fields}
        else:
            flat[name] = value
    return flat


def _check_columns(statement: Select[*tuple[Any, ...]], row: type[Any], name: str) -> None:
    columns = [(str(key), column) for key, column in statement.exported_columns.items()]
    names = tuple(key for key, _ in columns)
    hints = _find_hints(row, names)
    is_ordered = not issubclass(row, BaseModel)
    if (names if is_ordered else {*names}) != (tuple(hints) if is_ordered else {*hints}):
        raise TypeError(f"{name}: the columns are {names}, but {row.__name__} has {tuple(hints)}")
    for key, column in columns:
        kind, is_optional = _split_none(hints[key])
        actual = _find_python_type(column.type)
        field = f"{row.__name__}.{key}"
        is_nested = isinstance(kind, type) and issubclass(kind, BaseModel)
        if actual and not is_nested and isinstance(kind, type) and not issubclass(actual, kind):
            raise TypeError(
                f"{name}: the column is {actual.__name__}, but {field} is {kind.__name__}"
            )
        if isinstance(column, Column) and column.nullable and not is_optional:
            raise TypeError(f"{name}: the column may be NULL, but {field} does not allow None")


def _find_hints(row: type[Any], names: Sequence[str]) -> dict[str, Any]:
    """Return the types of a row's fields, in their order; for a single value, of the column."""
    if row in TYPES:
        return dict.fromkeys(names[:1], row)
    if issubclass(row, BaseModel):
        return dict(_list_hints(row))
    hints = get_type_hints(row)
    return {name: hints[name] for name in row._fields}


def _find_python_type(kind: TypeEngine[Any]) -> type | None:
    try:
        return kind.python_type
    except NotImplementedError:
        return None


def _split_none(hint: Any) -> tuple[Any, bool]:
    """Return the type without None, and whether None is allowed."""
    arguments = get_args(hint)
    if NoneType not in arguments:
        return hint, False
    others = [it for it in arguments if it is not NoneType]
    return others[0] if len(others) == 1 else Any, True
