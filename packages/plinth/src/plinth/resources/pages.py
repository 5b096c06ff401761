"""A page of rows as it is answered, with the links to its neighbours."""

from typing import Any, Generic, TypeVar
from urllib.parse import quote

from fastapi import Request
from pydantic import BaseModel, ConfigDict

from plinth.resources.listing import Rows

ItemT = TypeVar("ItemT")
OF_ONE_PAGE = {"skip", "cursor", "total"}


class Page(BaseModel, Generic[ItemT]):
    """
    Attributes:
        total: how many there are in all, counted up to 10,000; null where it was not asked for.
        page: this page's number, from 1; null for a page by cursor.
        size: the most that a page holds.
        pages: how many pages there are, where `total` is given.
        next: link to the page after it, by key: rows that come or go meanwhile make none appear
            twice and none be missed. Null at the end.
        prev: likewise to the page before.
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
    """What a route with `response_model=Page[...]` returns."""
    wanted, total = rows.wanted, rows.total
    here = _link(request) if rows.next or rows.prev else ""
    return {
        "items": rows.items,
        "total": total,
        "page": None if wanted.cursor else wanted.skip // wanted.limit + 1,
        "size": wanted.limit,
        "pages": None if total is None else -(-total // wanted.limit),
        "next": here + rows.next if rows.next else None,
        "prev": here + rows.prev if rows.prev else None,
    }


def _link(request: Request) -> str:
    """To a page of the same list, up to its cursor. Without scheme and host, which a proxy may have
    changed (RFC 3986, 4.2)."""
    asked: str = request.scope["query_string"].decode("latin-1")
    kept = [pair for pair in asked.split("&") if pair and pair.partition("=")[0] not in OF_ONE_PAGE]
    return f"{quote(request.scope['path'])}?{'&'.join([*kept, 'cursor='])}"
