"""A page of rows as it is answered, with the links to its neighbours."""

from typing import Any
from urllib.parse import quote

from fastapi import Request

from plinth.crud.listing import Rows

OF_ONE_PAGE = {"skip", "cursor", "total"}


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
