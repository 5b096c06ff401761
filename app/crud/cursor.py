"""Pages by key: where one ends and the next begins, as a text that only we can read or make.

A page by offset reads and drops all rows before it, and shifts when rows come or go; one by key
begins right after the last row that was seen, and costs the same at the millionth.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import BindParameter, ColumnElement, UnaryExpression, and_, false, or_, tuple_
from sqlalchemy.orm import InstrumentedAttribute

from app.core.sealing import seal, unseal


@dataclass(frozen=True, slots=True)
class SortKey:
    column: InstrumentedAttribute[Any]
    descending: bool

    def turned(self) -> "SortKey":
        return SortKey(self.column, not self.descending)

    @property
    def order(self) -> UnaryExpression[Any]:
        return self.column.desc() if self.descending else self.column.asc()

    @property
    def is_nullable(self) -> bool:
        return bool(self.column.property.columns[0].nullable)

    def beyond(self, value: Any) -> ColumnElement[bool]:
        """What comes after `value`. To PostgreSQL, and so here, NULL is the largest of all."""
        if self.descending:
            return self.column.is_not(None) if value is None else self.column < value
        if value is None:
            return false()
        larger = self.column > value
        return or_(larger, self.column.is_(None)) if self.is_nullable else larger

    def at(self, value: Any) -> ColumnElement[bool]:
        return self.column.is_(None) if value is None else self.column == value


@dataclass(frozen=True, slots=True)
class Cursor:
    """
    Attributes:
        sort: the order that it belongs to, as in the query.
        backwards: it leads to the page before.
        values: those of the row at the edge, one for each key of the order.
    """

    sort: str
    backwards: bool
    values: list[Any]

    def seal(self, table: str, keys: Sequence[SortKey]) -> str:
        plain = [
            _adapter(key).dump_python(value, mode="json")
            for key, value in zip(keys, self.values, strict=True)
        ]
        content = {"sort": self.sort, "backwards": self.backwards, "values": plain}
        sealed = seal(content, belongs_to=f"cursor of {table}")
        return urlsafe_b64encode(sealed).rstrip(b"=").decode()


def unseal_cursor(text: str, table: str) -> Cursor:
    """Its values are still those of JSON; `read_values` makes them the columns'.

    Raises:
        ValueError: it is none of ours, or another list's.
    """
    try:
        sealed = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (NotBase64, ValueError):
        raise ValueError("no cursor of ours") from None
    return Cursor(**unseal(sealed, belongs_to=f"cursor of {table}"))


def read_values(keys: Sequence[SortKey], values: Sequence[Any]) -> list[Any]:
    """
    Raises:
        ValueError: the columns have changed since.
    """
    try:
        return [
            _adapter(key).validate_python(value, strict=False)
            for key, value in zip(keys, values, strict=True)
        ]
    except ValidationError:
        raise ValueError("of columns that have changed since") from None


def after(
    keys: Sequence[SortKey], values: Sequence[BindParameter[Any] | None]
) -> ColumnElement[bool]:
    """The rows that come after one with these values, where None is a NULL."""
    if len({key.descending for key in keys}) == 1 and not any(key.is_nullable for key in keys):
        # One comparison of rows, which one look into an index answers.
        columns = tuple_(*(key.column for key in keys))
        edge = tuple_(*values)
        return columns < edge if keys[0].descending else columns > edge
    return _after(keys, values)


def edge_of(row: object, keys: Sequence[SortKey]) -> list[Any]:
    return [getattr(row, key.column.key) for key in keys]


def _after(
    keys: Sequence[SortKey], values: Sequence[BindParameter[Any] | None]
) -> ColumnElement[bool]:
    (key, *more), (value, *others) = keys, values
    beyond = key.beyond(value)
    return or_(beyond, and_(key.at(value), _after(more, others))) if more else beyond


@cache  # making one takes longer than the page
def _adapter(key: SortKey) -> TypeAdapter[Any]:
    kind = key.column.type.python_type
    return TypeAdapter(kind | None)
