"""A fast path from a request to its route (docs/explanation/decisions/fast-paths.md).

Routes are declared and documented as usual in FastAPI. FastAPI finds the route and resolves its
dependencies again for each request; this package does it once, including overrides. **FastAPI
itself handles everything that is not known to be equivalent**: routes with an unsupported feature,
routes declared after one that may match any path, and the whole application if a middleware or a
replaced function must see each request.
"""

import logging
from collections.abc import Awaitable
from operator import is_
from typing import Any

from fastapi import FastAPI
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from plinth.http.dispatch.endpoint import Endpoint
from plinth.http.dispatch.known import (
    DeclaredRoute,
    UnsupportedRoute,
    find_obstacle,
    included_routers,
    walk,
)
from plinth.http.dispatch.table import Table
from plinth.http.routes import route_path
from plinth.request.context import current_request

logger = logging.getLogger(__name__)


class Dispatch:
    """The innermost middleware. It passes requests that it does not support to FastAPI.

    Args:
        skipped: classes of middleware inside it that need not see the requests it handles.
    """

    def __init__(self, app: ASGIApp, skipped: tuple[type, ...] = ()) -> None:
        self.app = app
        self._skipped = skipped
        self._routes: Routes | None = None
        self._handlers: tuple[Any, Any] | None = None
        self._is_off = False

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if self._is_off or scope["type"] != "http" or "fastapi.telemetry" in scope:
            return self.app(scope, receive, send)
        routes = self._routes
        if routes is None or not routes.are_current():
            routes = self._routes = self._load(scope["app"])
            if routes is None:
                return self.app(scope, receive, send)
        match = routes.table.find(route_path(scope), scope["method"])
        if match is None:
            return self.app(scope, receive, send)
        endpoint, parameters = match
        outer = scope.get("path_params")
        scope["path_params"] = {**outer, **parameters} if outer else parameters
        scope["starlette.exception_handlers"] = self._handlers
        if request := current_request():
            request.template = endpoint.path
        return endpoint(scope, receive, send)

    def _load(self, app: Any) -> "Routes | None":
        if type(app.dependency_overrides or {}) is not dict:
            return None  # its content may change with each request
        if obstacle := find_obstacle(self.app, app, self._skipped):
            logger.warning(
                "the fast path for requests is off, FastAPI handles all requests: %s", obstacle
            )
            self._is_off = True
            return None
        inner: Any = self.app
        while not isinstance(inner, ExceptionMiddleware):
            inner = inner.app
        self._handlers = (inner._exception_handlers, inner._status_handlers)  # noqa: SLF001
        return Routes(app)


class Routes:
    """The routes of an application, with a check for changes since."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._overrides = dict(app.dependency_overrides or {})
        self._top = list(app.router.routes)
        # The list of each included router and a copy of it. Every change of routes changes a list.
        self._included = [it.routes for it in included_routers(self._top)]
        self._included_copies = [list(it) for it in self._included]
        self.table = make_table(app)

    def are_current(self) -> bool:
        routes = self._app.router.routes
        return (
            (self._app.dependency_overrides or {}) == self._overrides
            and len(routes) == len(self._top)
            and all(map(is_, routes, self._top))
            and self._included == self._included_copies
        )


def make_table(app: FastAPI) -> Table[Endpoint]:
    table = Table[Endpoint]()
    for declared in walk(app.router.routes):
        if not declared.has_known_path:
            break  # it may match the paths of later routes
        if isinstance(declared.route, WebSocketRoute):
            continue
        if isinstance(declared.route, Mount):
            table.add_mount(declared.effective.path)
        elif isinstance(declared.route, Route):
            effective = declared.effective
            table.add(effective.path, effective.methods, _make_endpoint(declared, app))
    table.freeze()
    return table


def _make_endpoint(declared: DeclaredRoute, app: FastAPI) -> Endpoint | None:
    try:
        return Endpoint(declared, app)
    except UnsupportedRoute:
        return None
    except Exception:  # FastAPI reports the same error itself
        logger.debug("FastAPI handles %s", declared.effective.path, exc_info=True)
        return None
