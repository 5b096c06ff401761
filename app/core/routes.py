"""What an application answers to, found by walking it."""

from collections.abc import Iterator

from fastapi import FastAPI
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from starlette.routing import Mount, Route, compile_path
from starlette.types import Scope


def walk_routes(app: FastAPI) -> Iterator[RouteContext]:
    """Each route of the API, with its whole path, its methods and its dependencies."""
    for context in iter_route_contexts(app.routes):
        if isinstance(context.original_route, APIRoute):
            yield context


def allowed_methods(app: FastAPI, path: str) -> set[str]:
    allowed: set[str] = set()
    for context in iter_route_contexts(app.routes):
        if context.path and context.methods and compile_path(context.path)[0].fullmatch(path):
            allowed |= context.methods
    if "GET" in allowed:
        allowed.add("HEAD")
    return allowed | {"OPTIONS"} if allowed else allowed


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
        for mount in self._mounts:
            if scope["path"].startswith(f"{mount}/"):
                return f"{mount}/*"  # it has routes of its own, that are not ours to name
        found = self._paths.get(id(scope.get("route")))
        return found or self._by_endpoint.get(id(scope.get("endpoint")))


def declared_paths(app: FastAPI) -> set[str]:
    """The paths that answer as they are written; of what is mounted, the one it begins with."""
    mounted = {f"{route.path}/" for route in app.routes if isinstance(route, Mount)}
    return mounted | {route.path for route in walk_routes(app) if route.path}
