"""The query parameters of a list, built from its `Listing`."""

import re
from collections.abc import Awaitable, Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any

from fastapi import Query
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    create_model,
)
from sqlalchemy.orm import InstrumentedAttribute

from plinth.config import settings
from plinth.resources.fields import MAX_SAFE_INTEGER, Date, DateTime, Line, SearchText
from plinth.resources.listing import FilterKind, Listing, ListParams, equality_parameter

MAX_CURSOR_LENGTH = 4096
MAX_FILTER_VALUES = 100
MAX_DIGITS = 100  # of a decimal; PostgreSQL's own limit is 131,072 before the point
# In a query a number is a text, so these are not those of bodies.
TYPES: dict[type, Any] = {
    int: Annotated[int, Field(ge=-MAX_SAFE_INTEGER, le=MAX_SAFE_INTEGER)],
    float: Annotated[float, Field(allow_inf_nan=False)],
    Decimal: Annotated[Decimal, Field(max_digits=MAX_DIGITS)],
    date: Date,
    datetime: DateTime,
}


class ListQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    skip: Annotated[
        int,
        Field(ge=0, le=MAX_SAFE_INTEGER, description="How many to leave out: a page by offset."),
    ] = 0
    limit: Annotated[int, Field(ge=1, le=settings.MAX_PAGE_SIZE, description="The most to give.")]
    cursor: Annotated[
        str | None,
        StringConstraints(max_length=MAX_CURSOR_LENGTH),
        Field(
            description="The page that `next` or `prev` of another leads to.",
            json_schema_extra={"format": "cursor"},
        ),
    ] = None
    total: Annotated[
        bool | None,
        Field(description="Count the rows. Where left out: pages by offset do, by cursor do not."),
    ] = None


def list_params_for(listing: Listing[Any]) -> Callable[..., Awaitable[ListParams]]:
    """Return a dependency that reads the query parameters of `listing`.

    `NoteListParams = Annotated[ListParams, Depends(list_params_for(crud.note.listing))]`
    """
    model = create_model(
        f"{listing.model.__name__}ListQuery",
        __base__=ListQuery,
        limit=(ListQuery.model_fields["limit"].rebuild_annotation(), settings.DEFAULT_PAGE_SIZE),
        sort=(_sort_type(listing), None),
        **_search(listing),
        **_filters(listing),
    )

    filters = frozenset(_filters(listing))

    async def read(query: Any) -> ListParams:
        given = {name: getattr(query, name) for name in sorted(filters & query.model_fields_set)}
        total = query.cursor is None if query.total is None else query.total
        return ListParams(
            limit=query.limit,
            skip=query.skip,
            cursor=query.cursor,
            sort=query.sort,
            query=getattr(query, "q", None),
            total=total,
            filters=given,
        )

    read.__annotations__["query"] = Annotated[model, Query()]
    return read


def _sort_type(listing: Listing[Any]) -> Any:
    names = "|".join(map(re.escape, listing.sort))
    return Annotated[
        str | None,
        StringConstraints(pattern=f"^-?({names})(,-?({names})){{0,{len(listing.sort) - 1}}}$"),
        Field(
            description=f"Columns, `-` before one that descends; `{listing.default}` if left out.",
            examples=[listing.default],
        ),
    ]


def _search(listing: Listing[Any]) -> dict[str, Any]:
    if listing.search is None:
        return {}
    text = Field(description="Text to search for: anywhere, without case.")
    return {"q": (Annotated[SearchText | None, text], None)}


def _filters(listing: Listing[Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, ways in listing.filters.items():
        kind = _value_type(listing.column(name))
        if FilterKind.EQUALS in ways:
            some = Field(min_length=1, max_length=MAX_FILTER_VALUES, description="Any of these.")
            fields[equality_parameter(name)] = (Annotated[list[kind] | None, some], None)  # type: ignore[valid-type]
        if FilterKind.RANGE in ways:
            for operator in ("gte", "gt", "lte", "lt"):
                fields[f"{name}__{operator}"] = (kind | None, None)
        if FilterKind.NULL in ways:
            fields[f"{name}__null"] = (bool | None, None)
        if FilterKind.CONTAINS in ways:
            fields[f"{name}__contains"] = (SearchText | None, None)
    return fields


def _value_type(column: InstrumentedAttribute[Any]) -> Any:
    kind = column.type.python_type
    if kind is str:
        length = getattr(column.type, "length", None)
        return Annotated[Line, StringConstraints(max_length=length)]
    return TYPES.get(kind, kind)
