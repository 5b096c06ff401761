"""The routes of an application, and the selection of routes from a router."""

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from starlette.routing import Host, Match, Mount, Route, WebSocketRoute, compile_path
from starlette.types import Scope


def walk_routes(app: FastAPI) -> Iterator[RouteContext]:
    """Yield each route of the API, with its full path, methods and dependencies."""
    for context in iter_route_contexts(app.routes):
        if isinstance(context.original_route, APIRoute):
            yield context


def allowed_methods(app: FastAPI, path: str) -> set[str]:
    """Return the methods of a literal path; if it is not declared, of the routes that match it."""
    matching: dict[bool, set[str]] = {True: set(), False: set()}
    for context in iter_route_contexts(app.routes):
        if context.path and context.methods and compile_path(context.path)[0].fullmatch(path):
            matching[context.path == path] |= context.methods
    allowed = matching[True] or matching[False]
    if "GET" in allowed:
        allowed.add("HEAD")
    return allowed | {"OPTIONS"} if allowed else allowed


def route_path(scope: Scope) -> str:
    """Return the path of a request without the prefix of a proxy or a mount."""
    path: str = scope["path"]
    root: str = scope.get("app_root_path", scope.get("root_path", ""))
    if not root:
        return path
    return path.removeprefix(root) if path.startswith(f"{root}/") else path


class RouteTable:
    """The routes of an application by path, for middleware.

    Attributes:
        methods: methods by declared path. A set is empty if the route allows every method, or for
            the prefix of a mounted application.
        patterns: patterns of all paths.
        head_patterns: patterns of the routes that declare HEAD.
    """

    def __init__(self, app: FastAPI) -> None:
        contexts = list(iter_route_contexts(app.routes))
        self.methods = _methods_by_path(app, contexts)
        self.patterns = [
            it.path_regex
            for it in contexts
            if getattr(it, "path_regex", None) and not isinstance(it.original_route, WebSocketRoute)
        ]
        self.head_patterns = [
            it.path_regex
            for it in contexts
            if getattr(it, "path_regex", None) and "HEAD" in (it.methods or ())
        ]
        contexts = [it for it in contexts if it.path]
        self._mounts = [it.path for it in contexts if isinstance(it.original_route, Mount)]
        self._templates = {id(it.original_route): it.path for it in contexts}
        # FastAPI sets `scope["route"]` only for its own classes of routes.
        self._templates_by_endpoint = {
            id(it.original_route.endpoint): it.path
            for it in contexts
            if isinstance(it.original_route, Route) and not isinstance(it.original_route, APIRoute)
        }

    def find_template(self, scope: Scope) -> str | None:
        """Return the declared path of a routed request, such as `/users/{user_id}`.

        There are only as many as the application has routes. None if no route matched.
        """
        path = route_path(scope)
        for mount in self._mounts:
            if path.startswith(f"{mount}/"):
                return f"{mount}/*"  # the routes of the mounted application are unknown here
        template = self._templates.get(id(scope.get("route")))
        return template or self._templates_by_endpoint.get(id(scope.get("endpoint")))


def route_table(app: FastAPI) -> RouteTable:
    """Return the table of `app`, which the first request builds."""
    table: RouteTable | None = getattr(app.state, "route_table", None)
    if table is None:
        table = app.state.route_table = RouteTable(app)
    return table


def _methods_by_path(app: FastAPI, contexts: Sequence[RouteContext]) -> dict[str, set[str]]:
    methods: dict[str, set[str]] = {}
    unrestricted = {f"{route.path}/" for route in app.routes if isinstance(route, Mount)}
    for context in contexts:
        if isinstance(context.original_route, Route) and context.path:
            methods.setdefault(context.path, set()).update(context.methods or ())
            if not context.methods:
                unrestricted.add(context.path)
    return methods | {path: set() for path in unrestricted}


def belongs_to_mount(scope: Scope) -> bool:
    """Return whether a mounted application, or one with its own host, handles the request."""
    routes = (it for it in scope["app"].routes if isinstance(it, (Host, Mount)))
    return any(it.matches({**scope})[0] is Match.FULL for it in routes)


def without_routes(router: APIRouter, *functions: Callable[..., Any]) -> APIRouter:
    """Return a copy of the router without the routes of these functions.

    To override a route, also include your own router with the same path.

    Raises:
        ValueError: the router has no route of a function.
    """
    endpoints = {route.endpoint for route in router.routes if isinstance(route, APIRoute)}
    for function in functions:
        if function not in endpoints:
            names = ", ".join(sorted(_name(it) for it in endpoints))
            raise ValueError(
                f"without_routes(): the router has no route of {_name(function)}. Its routes"
                f" are: {names}"
            )
    reduced = copy(router)
    reduced.routes = [it for it in router.routes if getattr(it, "endpoint", None) not in functions]
    return reduced


def refuse_duplicates(app: FastAPI) -> None:
    """
    Raises:
        ValueError: a route is never called, because an earlier one matches all its paths.
    """
    earlier: list[RouteContext] = []
    for route in walk_routes(app):
        for other in earlier:
            if _hides(other, route):
                raise ValueError(
                    f"{_describe(route)} is never called: {_describe(other)} comes before it and"
                    f" matches the same paths. Drop one with without_routes(router, function) in"
                    " app/api/v1/__init__.py; if they are meant for different paths, include the"
                    " one with fewer parameters first"
                )
        earlier.append(route)


def _hides(first: RouteContext, second: RouteContext) -> bool:
    shared = (first.methods or set()) & (second.methods or set())
    return bool(shared and first.path_regex.match(second.path_format or ""))


def _describe(route: RouteContext) -> str:
    assert route.endpoint
    return f"{'/'.join(sorted(route.methods or ()))} {route.path} ({_name(route.endpoint)})"


def _name(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{getattr(function, '__qualname__', function)}"
