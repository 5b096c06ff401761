"""The short way from a request to its route: docs/decisions/hot-path.md has the figures.

Routes are written and documented as FastAPI has them. What it works out again with each request,
which route a path means, which dependencies it has and in which order, is worked out once here. A
route with something that is not known here goes FastAPI's own way, as do all while
`app.dependency_overrides` has any; what is answered is the same (`tests/core/dispatch`).

One thing differs: the most specific route answers, wherever it was declared. `/users/me` is never
taken for `/users/{user_id}`.
"""

from collections.abc import Awaitable

from fastapi import FastAPI
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from app.core.dispatch.endpoint import Endpoint
from app.core.dispatch.plan import NotPlanned
from app.core.dispatch.table import Table
from app.core.request import current_request
from app.core.routes import route_path


class Dispatch:
    """The innermost middleware. What it cannot answer, it hands on to FastAPI."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._table: Table[Endpoint] | None = None

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http" and not scope["app"].dependency_overrides:
            table = self._table = self._table or make_table(scope["app"])
            found = table.find(route_path(scope), scope["method"])
            if found:
                endpoint, scope["path_params"] = found
                if request := current_request():
                    request.template = endpoint.path
                return endpoint(scope, receive, send)
        return self.app(scope, receive, send)


def make_table(app: FastAPI) -> Table[Endpoint]:
    table = Table[Endpoint]()
    others: list[tuple[str, str, Endpoint | None]] = []
    for route in iter_route_contexts(app.routes):
        path = route.path or "/"
        if isinstance(route.original_route, Mount):
            table.leave_out(path)
            continue
        endpoint = _make_endpoint(route, app)
        for method in route.methods or ():
            table.add(path, method, endpoint)
            others.append((_other_slash(path), method, endpoint))
    for path, method, endpoint in others:  # what was declared so goes first
        table.add(path, method, endpoint)
    return table


def _make_endpoint(route: RouteContext, app: FastAPI) -> Endpoint | None:
    try:
        return Endpoint(route, app) if isinstance(route.original_route, APIRoute) else None
    except NotPlanned:
        return None


def _other_slash(path: str) -> str:
    return path.removesuffix("/") if path.endswith("/") else f"{path}/"
