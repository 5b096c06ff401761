"""A page of rows as it is answered, with the links to its neighbours."""

from typing import Any
from urllib.parse import quote

from fastapi import Request

from app.crud.listing import Rows

OF_ONE_PAGE = {"skip", "cursor", "total"}


def show_page(request: Request, rows: Rows[Any]) -> dict[str, Any]:
    """What a route with `response_model=Page[...]` returns."""
    wanted, total = rows.wanted, rows.total
    return {
        "items": rows.items,
        "total": total,
        "page": None if wanted.cursor else wanted.skip // wanted.limit + 1,
        "size": wanted.limit,
        "pages": None if total is None else -(-total // wanted.limit),
        "next": _link(request, rows.next),
        "prev": _link(request, rows.prev),
    }


def _link(request: Request, cursor: str | None) -> str | None:
    """Without scheme and host, which a proxy may have changed (RFC 3986, 4.2)."""
    if cursor is None:
        return None
    asked: str = request.scope["query_string"].decode("latin-1")
    kept = [pair for pair in asked.split("&") if pair and pair.partition("=")[0] not in OF_ONE_PAGE]
    return f"{quote(request.scope['path'])}?{'&'.join([*kept, f'cursor={cursor}'])}"
