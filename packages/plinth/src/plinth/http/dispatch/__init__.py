"""A fast path from a request to its route (docs/explanation/decisions/fast-paths.md).

Routes are declared and documented as usual in FastAPI. FastAPI finds the route and resolves its
dependencies again for each request; this package does it once, including overrides. **FastAPI
itself handles everything that is not known to be equivalent**: routes with an unsupported feature,
routes declared after one that may match any path, and the whole application if a middleware or a
replaced function must see each request.
"""

import logging
import re
from collections.abc import Awaitable, Iterable, Sequence
from operator import is_
from typing import Any, Generic, TypeVar

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
from plinth.http.routes import route_path
from plinth.request.context import current_request

logger = logging.getLogger(__name__)

T = TypeVar("T")

PARAMETER = re.compile(r"\{([a-zA-Z_][a-zA-Z0-9_]*)\}")
ANY_METHOD = "*"
NO_INDEX = 1 << 30  # greater than the index of every route

Leaf = tuple[int, T | None, tuple[str, ...]]


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


class _Node(Generic[T]):
    """
    Attributes:
        children: nodes of literal segments.
        parameter: node of a segment that is a parameter.
        catch_all: index of the first route that may match any path from here on.
        leaves: by method, the index, the value and the parameter names of the path.
    """

    __slots__ = ("catch_all", "children", "leaves", "parameter")

    def __init__(self) -> None:
        self.children: dict[str, _Node[T]] = {}
        self.parameter: _Node[T] | None = None
        self.catch_all = NO_INDEX
        self.leaves: dict[str, Leaf[T]] = {}


class Table(Generic[T]):
    """Find the route that FastAPI would find: the first declared one that matches.

    It costs one dictionary lookup per segment of the path.
    """

    def __init__(self) -> None:
        self._root = _Node[T]()
        self._static: dict[str, dict[str, T | None]] = {}
        self._count = 0

    def add(self, path: str, methods: Iterable[str] | None, value: T | None) -> None:
        """
        Args:
            path: as declared. A segment that is neither literal nor `{name}` may match anything.
            methods: None for all methods.
            value: None for a route that the table does not support.
        """
        node, names = self._root, []
        for segment in path.split("/"):
            match = PARAMETER.fullmatch(segment)
            if match:
                names.append(match[1])
                node.parameter = node = node.parameter or _Node[T]()
            elif "{" in segment:
                node.catch_all = min(node.catch_all, self._count)
                break
            else:
                node = node.children.setdefault(segment, _Node[T]())
        else:
            for method in methods or (ANY_METHOD,):
                node.leaves.setdefault(method, (self._count, value, tuple(names)))
            if not names:
                self._static.setdefault(path, {}).update(dict.fromkeys(methods or ()))
        self._count += 1

    def add_mount(self, path: str) -> None:
        """Leave all paths below `path` to the mounted application."""
        node = self._root
        for segment in path.removesuffix("/").split("/"):
            if "{" in segment:
                break
            node = node.children.setdefault(segment, _Node[T]())
        node.catch_all = min(node.catch_all, self._count)
        self._count += 1

    def freeze(self) -> None:
        """Resolve each path without parameters, so that a request needs only one lookup."""
        for path, methods in self._static.items():
            for method in [*methods]:
                match = self._search(path, method)
                if match and match[1]:
                    del methods[method]  # a parameter of an earlier route matches
                else:
                    methods[method] = match[0] if match else None

    def find(self, path: str, method: str) -> tuple[T, dict[str, str]] | None:
        """Return the value of the route and its path parameters."""
        static = self._static.get(path)
        if static is not None and method in static:
            value = static[method]
            return None if value is None else (value, {})
        return self._search(path, method)

    def _search(self, path: str, method: str) -> tuple[T, dict[str, str]] | None:
        if path.endswith("\n"):
            return None  # `$` in Starlette's patterns also matches before a final newline
        node, catch_all, values = self._root, self._root.catch_all, []
        segments = path.split("/")
        for segment in segments:
            child = node.children.get(segment)
            if child is not None:
                if node.parameter is not None and segment:
                    return self._search_all(segments, method)
                node = child
            elif node.parameter is not None and segment:
                values.append(segment)
                node = node.parameter
            else:
                return None
            catch_all = min(catch_all, node.catch_all)
        return _choose([(node, values)], method, catch_all)

    def _search_all(self, segments: Sequence[str], method: str) -> tuple[T, dict[str, str]] | None:
        """Search all branches, for a segment that matches both a literal and a parameter."""
        catch_all = NO_INDEX
        ends: list[tuple[_Node[T], list[str]]] = []
        todo: list[tuple[_Node[T], int, list[str]]] = [(self._root, 0, [])]
        while todo:
            node, depth, values = todo.pop()
            catch_all = min(catch_all, node.catch_all)
            if depth == len(segments):
                ends.append((node, values))
                continue
            segment = segments[depth]
            if node.parameter is not None and segment:
                todo.append((node.parameter, depth + 1, [*values, segment]))
            if (child := node.children.get(segment)) is not None:
                todo.append((child, depth + 1, values))
        return _choose(ends, method, catch_all)


def _choose(
    ends: Sequence[tuple[_Node[T], list[str]]], method: str, catch_all: int
) -> tuple[T, dict[str, str]] | None:
    """Return the first declared route that matches; None if the table does not support it."""
    first: Leaf[T] = (catch_all, None, ())
    parameters: Sequence[str] = ()
    for node, values in ends:
        for key in (method, ANY_METHOD):
            leaf = node.leaves.get(key)
            if leaf is not None and leaf[0] < first[0]:
                first, parameters = leaf, values
    _, value, names = first
    return None if value is None else (value, dict(zip(names, parameters, strict=True)))


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
