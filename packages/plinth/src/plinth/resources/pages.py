"""The parameters and the result of a list, and the response with links to the pages around it."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import quote

from fastapi import Request
from pydantic import BaseModel, ConfigDict

ItemT = TypeVar("ItemT")
PAGE_PARAMETERS = {"skip", "cursor", "total"}


class ListParams(NamedTuple):
    """The query parameters of a list.

    Attributes:
        query: text to search for, if the listing has a search.
        total: count the rows.
        filters: by name of the query parameter, such as `due__lt`.
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


class Rows(NamedTuple, Generic[ItemT]):
    """The rows of one page.

    Attributes:
        next: cursor of the next page; None at the end.
        prev: cursor of the previous page; None at the start.
        total: number of rows on all pages, counted up to 10,000; None if not requested.
    """

    items: Sequence[ItemT]
    params: ListParams
    next: str | None
    prev: str | None
    total: int | None = None


class Page(BaseModel, Generic[ItemT]):
    """
    Attributes:
        total: number of rows on all pages, counted up to 10,000; null if not requested.
        page: number of this page, from 1; null for a page by cursor.
        size: maximum number of rows on a page.
        pages: number of pages; null without `total`.
        next: link to the next page; null at the end. It continues after the last row of this page,
            so rows that are added or deleted in between cause neither duplicates nor gaps.
        prev: link to the previous page; null at the start.
    """

    model_config = ConfigDict(from_attributes=True)

    items: list[ItemT]
    total: int | None
    page: int | None
    size: int
    pages: int | None
    next: str | None
    prev: str | None


def show_page(request: Request, rows: Rows[Any]) -> dict[str, Any]:
    """Return the values of a `Page`, for a route with `response_model=Page[...]`."""
    params, total = rows.params, rows.total
    link = _link_before_cursor(request) if rows.next or rows.prev else ""
    return {
        "items": rows.items,
        "total": total,
        "page": None if params.cursor else params.skip // params.limit + 1,
        "size": params.limit,
        "pages": None if total is None else -(-total // params.limit),
        "next": link + rows.next if rows.next else None,
        "prev": link + rows.prev if rows.prev else None,
    }


def _link_before_cursor(request: Request) -> str:
    """Return a link to a page of the same list, up to the value of `cursor`.

    The link has no scheme and host, since a proxy may change them (RFC 3986, section 4.2).
    """
    query: str = request.scope["query_string"].decode("latin-1")
    pairs = [it for it in query.split("&") if it and it.partition("=")[0] not in PAGE_PARAMETERS]
    return f"{quote(request.scope['path'])}?{'&'.join([*pairs, 'cursor='])}"
