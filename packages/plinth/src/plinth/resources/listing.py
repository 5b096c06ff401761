"""Lists: the columns that sort and filter a table, the query parameters, and the pages."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import Flag, auto
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, create_model
from sqlalchemy import ColumnElement
from sqlalchemy.orm import InstrumentedAttribute

from plinth.config import settings
from plinth.db.models import NumberedBase
from plinth.db.reading import Readable
from plinth.db.reading.reader import get_or_create
from plinth.errors import InvalidField
from plinth.resources.conditions import like_pattern
from plinth.resources.fields import MAX_SAFE_INTEGER, Date, DateTime, Line, SearchText
from plinth.resources.page_query import (
    Cursor,
    Order,
    PageQuery,
    Shape,
    column_names,
    decrypt_cursor,
)
from plinth.resources.pages import ListParams, Rows

ModelT = TypeVar("ModelT", bound=NumberedBase)

MAX_SHAPES = 256  # per list, about 20 KiB each; clients choose among many
MAX_CURSOR_LENGTH = 4096
MAX_FILTER_VALUES = 100
MAX_DIGITS = 100  # of a decimal; PostgreSQL allows 131,072 before the point
# Numbers in a query string are text, so these types differ from those of bodies.
QUERY_TYPES: dict[type, Any] = {
    int: Annotated[int, Field(ge=-MAX_SAFE_INTEGER, le=MAX_SAFE_INTEGER)],
    float: Annotated[float, Field(allow_inf_nan=False)],
    Decimal: Annotated[Decimal, Field(max_digits=MAX_DIGITS)],
    date: Date,
    datetime: DateTime,
}
LIST_PARAMETERS = frozenset({"cursor", "limit", "q", "skip", "sort", "total"})
"""The query parameters of every list. A column of the same name does not replace them."""


class FilterKind(Flag):
    """The filters of a column, with their query parameters."""

    EQUALS = auto()
    """`priority=1`; repeat it to match any of several values. See `equality_parameter`."""
    RANGE = auto()
    """`due__gte`, `due__gt`, `due__lte`, `due__lt`."""
    NULL = auto()
    """`due__null=true` or `false`."""
    CONTAINS = auto()
    """`title__contains`: plain text at any position, ignoring case. Needs a trigram index."""


@dataclass(frozen=True)
class Listing(Generic[ModelT]):
    """
    Args:
        sort: columns that clients may sort by. Each needs an index that ends with the primary key.
        default: default sort order, as in the query parameter: `-created_at`.
        filters: columns that clients may filter by.
        search: the expression that `q` searches. It needs a trigram index.
    """

    model: type[ModelT]
    sort: tuple[str, ...]
    default: str
    filters: Mapping[str, FilterKind] = field(default_factory=dict)
    search: ColumnElement[str] | None = None
    _orders: dict[str, Order] = field(default_factory=dict, init=False, repr=False)
    _queries: dict[Shape, PageQuery] = field(default_factory=dict, init=False, repr=False)

    def column(self, name: str) -> InstrumentedAttribute[Any]:
        column: InstrumentedAttribute[Any] = getattr(self.model, name)
        return column

    async def fetch(
        self,
        db: Readable,
        params: ListParams,
        *,
        owner_id: int | None = None,
        total: int | None = None,
    ) -> Rows[ModelT]:
        """Return the rows of one page.

        Args:
            owner_id: only the rows of this user or organization; None for all.
            total: number of rows on all pages, if known.

        Raises:
            InvalidField: the cursor is invalid, of another sort order, or combined with `skip`.
        """
        cursor = self._read_cursor(params)
        order = self.order(cursor.sort if cursor else params.sort or self.default)
        edge = _read_edge(order, cursor)
        query = self._query(Shape(
            order=order,
            backwards=bool(cursor and cursor.backwards),
            edge=None if edge is None else tuple(value is not None for value in edge),
            filters=tuple(
                (name, value if name.endswith("__null") else None)
                for name, value in params.filters.items()
            ),
            has_query=params.query is not None,
            is_owned=owner_id is not None,
            skips=params.skip > 0,
            size=params.limit if params.limit == settings.DEFAULT_PAGE_SIZE else None,
        ))  # fmt: skip
        values = self._values(params, edge, owner_id)
        rows = await query.read(db, values, limit=params.limit + 1, skip=params.skip)
        if params.total and total is None:
            total = await query.read_total(db, values)
        return _arrange(rows, params, cursor, order, total)

    def order(self, sort: str) -> Order:
        """
        Raises:
            InvalidField: `sort` is not declared, such as the sort order of an old cursor.
        """
        return get_or_create(self._orders, sort, lambda: self._create_order(sort), size=MAX_SHAPES)

    def _create_order(self, sort: str) -> Order:
        if not set(column_names(sort)) <= {*self.sort, *column_names(self.default)}:
            raise _invalid_cursor("has a sort order that no longer exists: start again without it")
        return Order(self.model, sort)

    def _query(self, shape: Shape) -> PageQuery:
        return get_or_create(
            self._queries, shape, lambda: PageQuery(self.model, self.search, shape), size=MAX_SHAPES
        )

    def _values(
        self, params: ListParams, edge: Sequence[Any] | None, owner_id: int | None
    ) -> dict[str, Any]:
        values = {
            f"by_{name}": like_pattern(value) if name.endswith("__contains") else value
            for name, value in params.filters.items()
            if not name.endswith("__null")
        }
        for index, value in enumerate(edge or ()):
            if value is not None:
                values[f"edge_{index}"] = value
        if params.query is not None and self.search is not None:
            values["query"] = like_pattern(params.query)
        if owner_id is not None:
            values["owner"] = owner_id
        return values

    def _read_cursor(self, params: ListParams) -> Cursor | None:
        if params.cursor is None:
            return None
        if params.skip:
            raise _invalid_cursor("cannot be combined with skip")
        try:
            cursor = decrypt_cursor(params.cursor, self.model.__tablename__)
        except ValueError as error:
            raise _invalid_cursor("is not one from `next` or `prev` of this list") from error
        if params.sort not in (None, cursor.sort):
            raise _invalid_cursor(f"belongs to sort={cursor.sort}")
        return cursor


def _read_edge(order: Order, cursor: Cursor | None) -> Sequence[Any] | None:
    if cursor is None:
        return None
    try:
        return order.read(cursor.values)
    except ValueError as error:
        raise _invalid_cursor(str(error)) from error


def _invalid_cursor(reason: str) -> InvalidField:
    return InvalidField("cursor", reason, kind="cursor", location="query")


def _arrange(
    rows: Sequence[Any], params: ListParams, cursor: Cursor | None, order: Order, total: int | None
) -> Rows[Any]:
    """Return the rows in the requested order, with the cursors of the pages around them."""
    backwards, has_more = bool(cursor and cursor.backwards), len(rows) > params.limit
    items = list(rows[: params.limit])
    if backwards:
        items.reverse()
    has_next = backwards or has_more
    has_prev = has_more if backwards else bool(cursor or params.skip)
    return Rows(
        items,
        params,
        next=order.cursor_at(items[-1], backwards=False) if items and has_next else None,
        prev=order.cursor_at(items[0], backwards=True) if items and has_prev else None,
        total=total,
    )


class ListQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    skip: Annotated[int, Field(ge=0, le=MAX_SAFE_INTEGER, description="Rows to skip.")] = 0
    limit: Annotated[int, Field(ge=1, le=settings.MAX_PAGE_SIZE, description="Page size.")]
    cursor: Annotated[
        str | None,
        StringConstraints(max_length=MAX_CURSOR_LENGTH),
        Field(
            description="Position of the page, from `next` or `prev` of another page.",
            json_schema_extra={"format": "cursor"},
        ),
    ] = None
    total: Annotated[bool | None, Field(description="Count rows; default without cursor.")] = None


def list_params_for(listing: Listing[Any]) -> Callable[..., Awaitable[ListParams]]:
    """Return a dependency that reads the query parameters of `listing`.

    `NoteListParams = Annotated[ListParams, Depends(list_params_for(crud.note.listing))]`
    """
    filters = _filter_fields(listing)
    model = create_model(
        f"{listing.model.__name__}ListQuery",
        __base__=ListQuery,
        limit=(ListQuery.model_fields["limit"].rebuild_annotation(), settings.DEFAULT_PAGE_SIZE),
        sort=(_sort_type(listing), None),
        **_search_field(listing),
        **filters,
    )
    names = frozenset(filters)

    async def read(query: Any) -> ListParams:
        total = query.cursor is None if query.total is None else query.total
        return ListParams(
            limit=query.limit,
            skip=query.skip,
            cursor=query.cursor,
            sort=query.sort,
            query=getattr(query, "q", None),
            total=total,
            filters={it: getattr(query, it) for it in sorted(names & query.model_fields_set)},
        )

    read.__annotations__["query"] = Annotated[model, Query()]
    return read


def _sort_type(listing: Listing[Any]) -> Any:
    names = "|".join(map(re.escape, listing.sort))
    return Annotated[
        str | None,
        StringConstraints(pattern=f"^-?({names})(,-?({names})){{0,{len(listing.sort) - 1}}}$"),
        Field(
            description=f"Columns to sort by; `-` sorts descending. Default: `{listing.default}`.",
            examples=[listing.default],
        ),
    ]


def _search_field(listing: Listing[Any]) -> dict[str, Any]:
    if listing.search is None:
        return {}
    description = Field(description="Text to search for, at any position, ignoring case.")
    return {"q": (Annotated[SearchText | None, description], None)}


def _filter_fields(listing: Listing[Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, kinds in listing.filters.items():
        type_ = _query_type(listing.column(name))
        if FilterKind.EQUALS in kinds:
            some = Field(min_length=1, max_length=MAX_FILTER_VALUES, description="Any of these.")
            fields[equality_parameter(name)] = (Annotated[list[type_] | None, some], None)  # type: ignore[valid-type]
        if FilterKind.RANGE in kinds:
            for operator in ("gte", "gt", "lte", "lt"):
                fields[f"{name}__{operator}"] = (type_ | None, None)
        if FilterKind.NULL in kinds:
            fields[f"{name}__null"] = (bool | None, None)
        if FilterKind.CONTAINS in kinds:
            fields[f"{name}__contains"] = (SearchText | None, None)
    return fields


def equality_parameter(column: str) -> str:
    """Return the query parameter that filters a column by value: `priority`, but `total__eq`."""
    return f"{column}__eq" if column in LIST_PARAMETERS else column


def _query_type(column: InstrumentedAttribute[Any]) -> Any:
    type_ = column.type.python_type
    if type_ is str:
        length = getattr(column.type, "length", None)
        return Annotated[Line, StringConstraints(max_length=length)]
    return QUERY_TYPES.get(type_, type_)
