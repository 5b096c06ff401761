"""Pages by key: where one ends and the next begins, as a text that only we can read or make.

A page by offset reads and drops all rows before it, and shifts when rows come or go; one by key
begins right after the last row that was seen, and costs the same at the millionth.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import ColumnElement, UnaryExpression, and_, false, or_, tuple_
from sqlalchemy.orm import InstrumentedAttribute

from plinth.db.models import NumberedBase
from plinth.security.encryption import decrypt, encrypt


@dataclass(frozen=True, slots=True)
class SortKey:
    column: InstrumentedAttribute[Any]
    descending: bool

    def turned(self) -> "SortKey":
        return SortKey(self.column, not self.descending)

    @property
    def order(self) -> UnaryExpression[Any]:
        return self.order_by(self.column)

    def order_by(
        self, column: ColumnElement[Any] | InstrumentedAttribute[Any]
    ) -> UnaryExpression[Any]:
        return column.desc() if self.descending else column.asc()

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


class Cursor(NamedTuple):
    """
    Attributes:
        sort: the order that it belongs to, as in the query.
        backwards: it leads to the page before.
        values: those of the row at the edge, one for each key of the order, as JSON has them;
            `Order.read` makes them the columns'.
    """

    sort: str
    backwards: bool
    values: list[Any]


class Order:
    """What a list is sorted by. A list makes each once.

    Attributes:
        keys: one for each column, and the table's key, so that the order is whole.
    """

    def __init__(self, model: type[NumberedBase], sort: str) -> None:
        self.keys = tuple(_find_keys(model, sort))
        self._sort = sort
        self._belongs_to = _cursor_of(model.__tablename__)
        self._names = [key.column.key for key in self.keys]
        kinds: Any = tuple(key.column.type.python_type | None for key in self.keys)
        self._values: TypeAdapter[tuple[Any, ...]] = TypeAdapter(tuple[kinds])

    def cursor_at(self, row: object, *, backwards: bool) -> str:
        return self.encrypt([getattr(row, name) for name in self._names], backwards=backwards)

    def encrypt(self, values: Sequence[Any], *, backwards: bool) -> str:
        cursor = {"sort": self._sort, "backwards": backwards, "values": values}
        sealed = encrypt(cursor, belongs_to=self._belongs_to)
        return urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def read(self, values: Sequence[Any]) -> Sequence[Any]:
        """
        Raises:
            ValueError: the columns have changed since.
        """
        try:
            return self._values.validate_python(values, strict=False)
        except ValidationError:
            raise ValueError("of columns that have changed since") from None


def decrypt_cursor(text: str, table: str) -> Cursor:
    """
    Raises:
        ValueError: it is none of ours, or another list's.
    """
    try:
        sealed = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (NotBase64, ValueError):
        raise ValueError("no cursor of ours") from None
    return Cursor(**decrypt(sealed, belongs_to=_cursor_of(table)))


def after(
    keys: Sequence[SortKey], values: Sequence[ColumnElement[Any] | None]
) -> ColumnElement[bool]:
    """The rows that come after one with these values, where None is a NULL."""
    if not compare_as_row(keys):
        return _after(keys, values)
    columns = tuple_(*(key.column for key in keys))
    edge = tuple_(*values)
    return columns < edge if keys[0].descending else columns > edge


def compare_as_row(keys: Sequence[SortKey]) -> bool:
    """By one comparison of rows, which one look into an index answers."""
    return len({key.descending for key in keys}) == 1 and not any(key.is_nullable for key in keys)


def column_names(sort: str) -> list[str]:
    return [part.removeprefix("-") for part in sort.split(",")]


def _after(
    keys: Sequence[SortKey], values: Sequence[ColumnElement[Any] | None]
) -> ColumnElement[bool]:
    (key, *more), (value, *others) = keys, values
    beyond = key.beyond(value)
    return or_(beyond, and_(key.at(value), _after(more, others))) if more else beyond


def _find_keys(model: type[NumberedBase], sort: str) -> Iterator[SortKey]:
    directions: dict[str, bool] = {}
    for part in sort.split(","):
        directions.setdefault(part.removeprefix("-"), part.startswith("-"))
    directions.setdefault("id", sort.rpartition(",")[2].startswith("-"))
    for name, descending in directions.items():
        yield SortKey(getattr(model, name), descending)


def _cursor_of(table: str) -> str:
    return f"cursor of {table}"
