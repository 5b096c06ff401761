"""Lists: which columns a table is sorted and filtered by, and the pages of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Flag, auto
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Select, func, literal, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from app.core.errors import InvalidField
from app.crud.cursor import Cursor, SortKey, after, edge_of, read_values, unseal_cursor
from app.models.base import NumberedBase

ModelT = TypeVar("ModelT", bound=NumberedBase)

COUNTED = 10_000
"""Up to where rows are counted: counting reads each, a million take a tenth of a second."""


class By(Flag):
    """How a column is filtered, and what its query parameters are."""

    EQUALS = auto()
    """`priority=1`; given several times, any of them."""
    RANGE = auto()
    """`due__gte`, `due__gt`, `due__lte`, `due__lt`."""
    NULL = auto()
    """`due__null=true` or `false`."""
    CONTAINS = auto()
    """`title__contains`: plain text, anywhere, without case. Wants a trigram index."""


OPERATORS: Mapping[str, Callable[[InstrumentedAttribute[Any], Any], ColumnElement[bool]]] = {
    "": lambda column, values: column.in_(values),
    "gte": lambda column, value: column >= value,
    "gt": lambda column, value: column > value,
    "lte": lambda column, value: column <= value,
    "lt": lambda column, value: column < value,
    "null": lambda column, value: column.is_(None) if value else column.is_not(None),
    "contains": lambda column, value: column.icontains(value, autoescape=True),
}
"""By what stands after the `__` of a query parameter."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of a list is asked for.

    Attributes:
        filters: by the name of the query parameter, as `due__lt`.
        query: text to search for, where the listing has a search.
        total: count the rows.
    """

    limit: int
    skip: int = 0
    cursor: str | None = None
    sort: str | None = None
    query: str | None = None
    total: bool = False
    filters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_all(self) -> bool:
        return not self.filters and self.query is None


@dataclass(frozen=True, slots=True)
class Rows(Generic[ModelT]):
    """A page.

    Attributes:
        next: the cursor to the page after it; None at the end. Likewise `prev`.
        total: how many there are in all, counted up to `COUNTED`; None where not asked for.
    """

    items: Sequence[ModelT]
    wanted: Wanted
    next: str | None
    prev: str | None
    total: int | None = None


@dataclass(frozen=True)
class Listing(Generic[ModelT]):
    """
    Args:
        sort: the columns to sort by. Each wants an index that ends with the key.
        default: the order where none is asked for, as in a query: `-created_at`.
        filters: the columns to filter by, and how.
        search: the expression that `q` looks through. It wants a trigram index.
    """

    model: type[ModelT]
    sort: tuple[str, ...]
    default: str
    filters: Mapping[str, By] = field(default_factory=dict)
    search: ColumnElement[str] | None = None

    def column(self, name: str) -> InstrumentedAttribute[Any]:
        found: InstrumentedAttribute[Any] = getattr(self.model, name)
        return found

    async def fetch(
        self, db: AsyncSession, wanted: Wanted, *visible: ColumnElement[bool]
    ) -> Rows[ModelT]:
        """A page of the rows for which `visible` holds.

        Raises:
            InvalidField: the cursor is none of ours, of another order or beside a `skip`.
        """
        where = [*visible, *self._conditions(wanted)]
        cursor = self._read_cursor(wanted)
        sort = cursor.sort if cursor else wanted.sort or self.default
        keys = self.keys(sort)
        page = select(self.model).where(*where).limit(wanted.limit + 1).offset(wanted.skip)
        rows, more = await self._read(db, page, keys, cursor, wanted.limit)
        backwards = bool(cursor and cursor.backwards)

        def lead(to: int, *, back: bool) -> str:
            edge = Cursor(sort, back, edge_of(rows[to], keys))
            return edge.seal(self._table, keys)

        follows = more if not backwards else True
        precedes = more if backwards else bool(cursor or wanted.skip)
        return Rows(
            rows,
            wanted,
            next=lead(-1, back=False) if rows and follows else None,
            prev=lead(0, back=True) if rows and precedes else None,
            total=await self._count(db, where) if wanted.total else None,
        )

    async def _read(
        self,
        db: AsyncSession,
        page: Select[ModelT],
        keys: Sequence[SortKey],
        cursor: Cursor | None,
        limit: int,
    ) -> tuple[list[ModelT], bool]:
        """The rows, and whether there are more in the direction that was read."""
        way = [key.turned() for key in keys] if cursor and cursor.backwards else keys
        if cursor:
            try:
                page = page.where(after(way, read_values(keys, cursor.values)))
            except ValueError as error:
                raise _refuse(str(error)) from error
        found = (await db.scalars(page.order_by(*(key.order for key in way)))).all()
        rows = list(found[:limit])
        if cursor and cursor.backwards:
            rows.reverse()
        return rows, len(found) > limit

    def _read_cursor(self, wanted: Wanted) -> Cursor | None:
        if wanted.cursor is None:
            return None
        if wanted.skip:
            raise _refuse("goes without a skip")
        try:
            cursor = unseal_cursor(wanted.cursor, self._table)
        except ValueError as error:
            raise _refuse("is none that we gave out") from error
        if not set(_names(cursor.sort)) <= {*self.sort, *_names(self.default)}:
            raise _refuse("belongs to an order that there is no more")
        if wanted.sort not in (None, cursor.sort):
            raise _refuse(f"belongs to sort={cursor.sort}")
        return cursor

    def keys(self, sort: str) -> list[SortKey]:
        """One for each column, and the table's key, so that the order is whole."""
        keys: dict[str, SortKey] = {}
        descending = False
        for part in sort.split(","):
            name, descending = part.removeprefix("-"), part.startswith("-")
            keys.setdefault(name, SortKey(self.column(name), descending))
        keys.setdefault("id", SortKey(self.column("id"), descending))
        return list(keys.values())

    def _conditions(self, wanted: Wanted) -> list[ColumnElement[bool]]:
        conditions = [self._condition(name, value) for name, value in wanted.filters.items()]
        if wanted.query is not None and self.search is not None:
            conditions.append(self.search.icontains(wanted.query, autoescape=True))
        return conditions

    def _condition(self, parameter: str, value: Any) -> ColumnElement[bool]:
        name, _, operator = parameter.partition("__")
        return OPERATORS[operator](self.column(name), value)

    async def _count(self, db: AsyncSession, where: Sequence[ColumnElement[bool]]) -> int:
        some = select(literal(1)).select_from(self.model).where(*where).limit(COUNTED)
        return await db.scalar(select(func.count()).select_from(some.subquery())) or 0

    @property
    def _table(self) -> str:
        return str(self.model.__tablename__)


def _names(sort: str) -> list[str]:
    return [part.removeprefix("-") for part in sort.split(",")]


def _refuse(reason: str) -> InvalidField:
    return InvalidField("cursor", reason, kind="cursor", where="query")
