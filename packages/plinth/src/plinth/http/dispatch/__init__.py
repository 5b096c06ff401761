"""A shorter path from a request to its route: docs/explanation/decisions/fast-paths.md.

Routes are written and documented as FastAPI has them. What FastAPI works out again with each
request, which route a path means, which dependencies it has and in which order, is worked out once
here, overrides included. **What is not known to be equal takes FastAPI's own path**: a route with
something that is not understood here, everything declared after something that may match any path,
and the whole application where a middleware or a replaced function has to see each request.
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
from plinth.http.dispatch.known import Found, NotPlanned, find_obstacle, included_routers, walk
from plinth.http.dispatch.table import Table
from plinth.http.routes import route_path
from plinth.request.context import current_request

logger = logging.getLogger(__name__)


class Dispatch:
    """The innermost middleware. What it cannot answer, it hands on to FastAPI.

    Args:
        passed: kinds of middleware inside it that need not see what it answers.
    """

    def __init__(self, app: ASGIApp, passed: tuple[type, ...] = ()) -> None:
        self.app = app
        self._passed = passed
        self._routes: Routes | None = None
        self._handlers: tuple[Any, Any] | None = None
        self._is_off = False

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if self._is_off or scope["type"] != "http" or "fastapi.telemetry" in scope:
            return self.app(scope, receive, send)
        routes = self._routes
        if routes is None or not routes.are_current():
            routes = self._routes = self._look(scope["app"])
            if routes is None:
                return self.app(scope, receive, send)
        found = routes.table.find(route_path(scope), scope["method"])
        if found is None:
            return self.app(scope, receive, send)
        endpoint, parameters = found
        before = scope.get("path_params")
        scope["path_params"] = {**before, **parameters} if before else parameters
        scope["starlette.exception_handlers"] = self._handlers
        if request := current_request():
            request.template = endpoint.path
        return endpoint(scope, receive, send)

    def _look(self, app: Any) -> "Routes | None":
        if type(app.dependency_overrides or {}) is not dict:
            return None  # what it holds may differ from one request to the next
        if obstacle := find_obstacle(self.app, app, self._passed):
            logger.warning(
                "the fast path for requests is off, FastAPI's own path serves: %s", obstacle
            )
            self._is_off = True
            return None
        inside: Any = self.app
        while not isinstance(inside, ExceptionMiddleware):
            inside = inside.app
        self._handlers = (inside._exception_handlers, inside._status_handlers)  # noqa: SLF001
        return Routes(app)


class Routes:
    """What an application answers to, and whether that is so still."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._overrides = dict(app.dependency_overrides or {})
        self._top = list(app.router.routes)
        # Each router's own list beside what was in it: to add, remove or include changes one.
        self._live = [it.routes for it in included_routers(self._top)]
        self._below = [list(it) for it in self._live]
        self.table = make_table(app)

    def are_current(self) -> bool:
        routes = self._app.router.routes
        return (
            (self._app.dependency_overrides or {}) == self._overrides
            and len(routes) == len(self._top)
            and all(map(is_, routes, self._top))
            and self._live == self._below
        )


def make_table(app: FastAPI) -> Table[Endpoint]:
    table = Table[Endpoint]()
    for found in walk(app.router.routes):
        if not found.has_known_path:
            break  # it may match what was declared after it
        if isinstance(found.route, WebSocketRoute):
            continue
        if isinstance(found.route, Mount):
            table.add_mount(found.effective.path)
        elif isinstance(found.route, Route):
            table.add(found.effective.path, found.effective.methods, _plan(found, app))
    table.freeze()
    return table


def _plan(found: Found, app: FastAPI) -> Endpoint | None:
    try:
        return Endpoint(found, app)
    except NotPlanned:
        return None
    except Exception:  # FastAPI reports the same fault by itself
        logger.debug("%s takes FastAPI's own path", found.effective.path, exc_info=True)
        return None
