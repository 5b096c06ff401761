"""The routes of an application: found by walking it, and chosen from our routers."""

import re
from collections.abc import Callable, Iterator
from copy import copy
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from starlette.routing import Host, Match, Mount, Route, WebSocketRoute, compile_path
from starlette.types import Scope


def walk_routes(app: FastAPI) -> Iterator[RouteContext]:
    """Each route of the API, with its whole path, its methods and its dependencies."""
    for context in iter_route_contexts(app.routes):
        if isinstance(context.original_route, APIRoute):
            yield context


def allowed_methods(app: FastAPI, path: str) -> set[str]:
    """Those of the path itself, or where none is declared so, of those with parameters."""
    matching: dict[bool, set[str]] = {True: set(), False: set()}
    for context in iter_route_contexts(app.routes):
        if context.path and context.methods and compile_path(context.path)[0].fullmatch(path):
            matching[context.path == path] |= context.methods
    allowed = matching[True] or matching[False]
    if "GET" in allowed:
        allowed.add("HEAD")
    return allowed | {"OPTIONS"} if allowed else allowed


def route_path(scope: Scope) -> str:
    """As routes are declared: without what stands before it where a proxy has us, or a mount."""
    path: str = scope["path"]
    root: str = scope.get("app_root_path", scope.get("root_path", ""))
    if not root:
        return path
    return path.removeprefix(root) if path.startswith(f"{root}/") else path


class Templates:
    """Tells the path that a route was declared with, `/users/{user_id}`, from the scope of a
    request that was routed. So there are only as many as an application has routes."""

    def __init__(self, app: FastAPI) -> None:
        contexts = [it for it in iter_route_contexts(app.routes) if it.path]
        self._mounts = [it.path for it in contexts if isinstance(it.original_route, Mount)]
        self._paths = {id(it.original_route): it.path for it in contexts}
        # FastAPI notes the route in the scope only where it is one of its own kind.
        self._by_endpoint = {
            id(it.original_route.endpoint): it.path
            for it in contexts
            if isinstance(it.original_route, Route) and not isinstance(it.original_route, APIRoute)
        }

    def find(self, scope: Scope) -> str | None:
        """None where no route took it."""
        path = route_path(scope)
        for mount in self._mounts:
            if path.startswith(f"{mount}/"):
                return f"{mount}/*"  # it has routes of its own, that are not ours to name
        found = self._paths.get(id(scope.get("route")))
        return found or self._by_endpoint.get(id(scope.get("endpoint")))


def declared_methods(app: FastAPI) -> dict[str, set[str]]:
    """By each path that answers as it is written; of what is mounted, by the one it begins with,
    and without methods, which are its own affair. So is a route for any method."""
    methods: dict[str, set[str]] = {}
    open_ended = {f"{route.path}/" for route in app.routes if isinstance(route, Mount)}
    for context in iter_route_contexts(app.routes):
        if isinstance(context.original_route, Route) and context.path:
            methods.setdefault(context.path, set()).update(context.methods or ())
            if not context.methods:
                open_ended.add(context.path)
    return methods | {path: set() for path in open_ended}


def is_below_another(scope: Scope) -> bool:
    """Whether an application that is mounted, or has this host, answers the request."""
    routes = (it for it in scope["app"].routes if isinstance(it, (Host, Mount)))
    return any(it.matches({**scope})[0] is Match.FULL for it in routes)


def path_patterns(app: FastAPI, method: str | None = None) -> list[re.Pattern[str]]:
    """Return the patterns of the paths of all routes and mounts.

    Args:
        method: only of the routes that declare it.
    """
    return [
        pattern
        for context in iter_route_contexts(app.routes)
        if (pattern := getattr(context, "path_regex", None))
        and not isinstance(context.original_route, WebSocketRoute)
        and (method is None or method in (context.methods or ()))
    ]


def without_routes(router: APIRouter, *functions: Callable[..., Any]) -> APIRouter:
    """Return a copy of the router that lacks the routes of these functions.

    To override a route, include a router of your own with the same path as well.

    Raises:
        ValueError: the router has no route of a function.
    """
    found = {route.endpoint for route in router.routes if isinstance(route, APIRoute)}
    for function in functions:
        if function not in found:
            names = ", ".join(sorted(_name(it) for it in found))
            raise ValueError(
                f"without(): the router has no route of {_name(function)}. Its routes are: {names}"
            )
    kept = copy(router)
    kept.routes = [it for it in router.routes if getattr(it, "endpoint", None) not in functions]
    return kept


def refuse_duplicates(app: FastAPI) -> None:
    """Raise where a route is never called, because one declared before it matches all its paths.

    Raises:
        ValueError: names both.
    """
    before: list[RouteContext] = []
    for route in walk_routes(app):
        for other in before:
            if _hides(other, route):
                raise ValueError(
                    f"{_describe(route)} is never called: {_describe(other)} comes before it and"
                    f" matches the same paths. Drop one of them by without(router, function) in"
                    " app/api/v1/__init__.py; if they should answer different paths, include the"
                    " one with fewer parameters first"
                )
        before.append(route)


def _hides(first: RouteContext, second: RouteContext) -> bool:
    shared = (first.methods or set()) & (second.methods or set())
    return bool(shared and first.path_regex.match(second.path_format or ""))


def _describe(route: RouteContext) -> str:
    assert route.endpoint
    return f"{'/'.join(sorted(route.methods or ()))} {route.path} ({_name(route.endpoint)})"


def _name(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{getattr(function, '__qualname__', function)}"
