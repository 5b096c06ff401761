"""Lists: which columns a table is sorted and filtered by, and the pages of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Flag, auto
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeVar

from sqlalchemy import ColumnElement
from sqlalchemy.orm import InstrumentedAttribute

from plinth.config import settings
from plinth.db.bounded_cache import get_or_create
from plinth.db.models import NumberedBase
from plinth.db.reading import Readable
from plinth.errors import InvalidField
from plinth.resources.cursor import Cursor, Order, column_names, decrypt_cursor
from plinth.resources.page_query import PageQuery, Shape, pattern

ModelT = TypeVar("ModelT", bound=NumberedBase)

MAX_SHAPES = 256  # of a list's pages; clients choose among many, and each takes some 20 KiB


LIST_PARAMETERS = frozenset({"cursor", "limit", "q", "skip", "sort", "total"})
"""The query parameters of every list, which a column of the same name does not replace."""


def equality_parameter(column: str) -> str:
    """The query parameter that filters a column by value: `priority`; but `total__eq`."""
    return f"{column}__eq" if column in LIST_PARAMETERS else column


class FilterKind(Flag):
    """How a column is filtered, and what its query parameters are."""

    EQUALS = auto()
    """`priority=1`; given several times, any of them. See `equality_parameter`."""
    RANGE = auto()
    """`due__gte`, `due__gt`, `due__lte`, `due__lt`."""
    NULL = auto()
    """`due__null=true` or `false`."""
    CONTAINS = auto()
    """`title__contains`: plain text, anywhere, without case. Wants a trigram index."""


class ListParams(NamedTuple):
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
    filters: Mapping[str, Any] = MappingProxyType({})

    @property
    def is_all(self) -> bool:
        return not self.filters and self.query is None


class Rows(NamedTuple, Generic[ModelT]):
    """A page.

    Attributes:
        next: the cursor to the page after it; None at the end. Likewise `prev`.
        total: how many there are in all, counted up to `MAX_COUNT`; None where not asked for.
    """

    items: Sequence[ModelT]
    wanted: ListParams
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
    filters: Mapping[str, FilterKind] = field(default_factory=dict)
    search: ColumnElement[str] | None = None
    _orders: dict[str, Order] = field(default_factory=dict, init=False, repr=False)
    _queries: dict[Shape, PageQuery] = field(default_factory=dict, init=False, repr=False)

    def column(self, name: str) -> InstrumentedAttribute[Any]:
        found: InstrumentedAttribute[Any] = getattr(self.model, name)
        return found

    async def fetch(
        self,
        db: Readable,
        wanted: ListParams,
        *,
        owner_id: int | None = None,
        total: int | None = None,
    ) -> Rows[ModelT]:
        """A page.

        Args:
            owner_id: only the rows of this user; None for everyone's.
            total: how many there are, where that is known already.

        Raises:
            InvalidField: the cursor is none of ours, of another order or beside a `skip`.
        """
        cursor = self._read_cursor(wanted)
        order = self.order(cursor.sort if cursor else wanted.sort or self.default)
        edge = self._read_edge(order, cursor)
        query = self._query(Shape(
            order=order,
            backwards=bool(cursor and cursor.backwards),
            edge=None if edge is None else tuple(value is not None for value in edge),
            filters=tuple(
                (name, value if name.endswith("__null") else None)
                for name, value in wanted.filters.items()
            ),
            has_query=wanted.query is not None,
            is_owned=owner_id is not None,
            skips=wanted.skip > 0,
            size=wanted.limit if wanted.limit == settings.DEFAULT_PAGE_SIZE else None,
        ))  # fmt: skip
        values = self._values(wanted, edge, owner_id)
        found = await query.read(db, values, limit=wanted.limit + 1, skip=wanted.skip)
        if wanted.total and total is None:
            total = await query.read_total(db, values)
        return _arrange(found, wanted, cursor, order, total)

    def order(self, sort: str) -> Order:
        """
        Raises:
            InvalidField: it is not declared, as that of a cursor that is older than we are.
        """
        return get_or_create(self._orders, sort, lambda: self._make_order(sort), most=MAX_SHAPES)

    def _make_order(self, sort: str) -> Order:
        if not set(column_names(sort)) <= {*self.sort, *column_names(self.default)}:
            raise _refuse("belongs to an order that there is no more")
        return Order(self.model, sort)

    def _query(self, shape: Shape) -> PageQuery:
        return get_or_create(
            self._queries, shape, lambda: PageQuery(self.model, self.search, shape), most=MAX_SHAPES
        )

    def _values(
        self, wanted: ListParams, edge: Sequence[Any] | None, owner_id: int | None
    ) -> dict[str, Any]:
        values = {
            f"by_{name}": pattern(value) if name.endswith("__contains") else value
            for name, value in wanted.filters.items()
            if not name.endswith("__null")
        }
        for place, value in enumerate(edge or ()):
            if value is not None:
                values[f"edge_{place}"] = value
        if wanted.query is not None and self.search is not None:
            values["query"] = pattern(wanted.query)
        if owner_id is not None:
            values["owner"] = owner_id
        return values

    def _read_edge(self, order: Order, cursor: Cursor | None) -> Sequence[Any] | None:
        if cursor is None:
            return None
        try:
            return order.read(cursor.values)
        except ValueError as error:
            raise _refuse(str(error)) from error

    def _read_cursor(self, wanted: ListParams) -> Cursor | None:
        if wanted.cursor is None:
            return None
        if wanted.skip:
            raise _refuse("goes without a skip")
        try:
            cursor = decrypt_cursor(wanted.cursor, self.model.__tablename__)
        except ValueError as error:
            raise _refuse("is none that we gave out") from error
        if wanted.sort not in (None, cursor.sort):
            raise _refuse(f"belongs to sort={cursor.sort}")
        return cursor


def _arrange(
    found: Sequence[Any], wanted: ListParams, cursor: Cursor | None, order: Order, total: int | None
) -> Rows[Any]:
    """In the order that is asked for, with the ways to its neighbours."""
    backwards, more = bool(cursor and cursor.backwards), len(found) > wanted.limit
    rows = list(found[: wanted.limit])
    if backwards:
        rows.reverse()
    follows = backwards or more
    precedes = more if backwards else bool(cursor or wanted.skip)
    return Rows(
        rows,
        wanted,
        next=order.cursor_at(rows[-1], backwards=False) if rows and follows else None,
        prev=order.cursor_at(rows[0], backwards=True) if rows and precedes else None,
        total=total,
    )


def _refuse(reason: str) -> InvalidField:
    return InvalidField("cursor", reason, kind="cursor", where="query")
