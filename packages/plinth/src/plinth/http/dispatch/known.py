"""Checks that FastAPI and Starlette are unmodified, so that the dispatcher may replace them.

If a function was replaced, or a route is of a subclass or wrapped by instrumentation, FastAPI
itself handles the request.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

import fastapi.dependencies.utils
import fastapi.middleware.asyncexitstack
import fastapi.routing
import starlette.middleware.exceptions
import starlette.requests
import starlette.responses
import starlette.routing
from fastapi import APIRouter
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.routing import APIRoute, APIWebSocketRoute, _EffectiveRouteContext, _IncludedRouter
from starlette import _exception_handler
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute, compile_path

ORIGINALS: dict[ModuleType, tuple[str, ...]] = {
    fastapi.routing: (
        "request_response", "get_request_handler", "run_endpoint_function", "serialize_response",
        "APIRoute.handle", "APIRoute.matches", "APIRoute.get_route_handler",
        "APIRouter.app", "APIRouter.handle", "APIRouter.matches",
        "_IncludedRouter.handle", "_IncludedRouter.matches", "_IncludedRouter._match",
        "_IncludedRouter._handle_selected", "_EffectiveRouteContext.matches",
        "solve_dependencies", "jsonable_encoder", "run_in_threadpool",
        "wrap_app_handling_exceptions",
    ),
    fastapi.dependencies.utils: (
        "solve_dependencies", "_solve_generator", "request_params_to_args", "request_body_to_args",
        "get_dependant", "run_in_threadpool",
    ),
    fastapi.middleware.asyncexitstack: ("AsyncExitStackMiddleware.__call__",),
    starlette.middleware.exceptions: (
        "ExceptionMiddleware.__call__", "wrap_app_handling_exceptions",
    ),
    _exception_handler: ("wrap_app_handling_exceptions",),
    starlette.routing: ("Router.__call__", "Route.handle", "Route.matches"),
    starlette.requests: ("Request.body", "Request.json", "Request.stream"),
    json: ("loads",),
    starlette.responses: ("Response.__init__", "Response.__call__", "JSONResponse.render"),
}  # fmt: skip
"""The functions that the dispatcher replaces, by the module that calls them. Each must be the
library's original."""

LIBRARIES = ("fastapi", "starlette", "json")
ROUTER_METHODS = ("__call__", "app", "handle", "matches")
KNOWN_MATCHES = (
    Route.matches, APIRoute.matches, Mount.matches, WebSocketRoute.matches,
    APIWebSocketRoute.matches,
)  # fmt: skip


class UnsupportedRoute(Exception):
    """The dispatcher does not support the route; FastAPI handles it."""


class DeclaredRoute(NamedTuple):
    """
    Attributes:
        route: None if it may match any path.
        context: for a route of an included router, with the full path and all dependencies.
        included: the innermost included router.
    """

    route: BaseRoute | None
    context: _EffectiveRouteContext | None
    included: _IncludedRouter | None

    @property
    def effective(self) -> Any:
        context = self.context
        return (context.starlette_route or context) if context else self.route

    @property
    def has_known_path(self) -> bool:
        """Whether the route matches by path and methods only."""
        route = self.route
        if route is None or type(route).matches not in KNOWN_MATCHES or "matches" in vars(route):
            return False
        effective, compiled = self.effective, ""
        if isinstance(route, (Route, Mount)):
            path = f"{effective.path}/{{path:path}}" if isinstance(route, Mount) else effective.path
            compiled = compile_path(path)[0].pattern
        return not compiled or bool(effective.path_regex.pattern == compiled)


def walk(routes: list[BaseRoute]) -> Iterator[DeclaredRoute]:
    """Yield the routes in the order in which FastAPI tries them."""
    for route in routes:
        if type(route) is _IncludedRouter:
            yield from _walk_included(route)
        else:
            yield DeclaredRoute(route, None, None)


def _walk_included(included: _IncludedRouter) -> Iterator[DeclaredRoute]:
    if not is_known_router(included.original_router):
        yield DeclaredRoute(None, None, None)
        return
    for candidate in included.effective_candidates():
        if isinstance(candidate, _IncludedRouter):
            yield from _walk_included(candidate)
        else:
            yield DeclaredRoute(candidate.original_route, candidate, included)


def included_routers(routes: list[BaseRoute]) -> Iterator[APIRouter]:
    for route in routes:
        if isinstance(route, _IncludedRouter):
            yield route.original_router
            yield from included_routers(route.original_router.routes)


def is_known_router(router: Any) -> bool:
    """Return whether the router finds routes as `APIRouter` does. Subclasses may declare routes."""
    return isinstance(router, APIRouter) and all(
        getattr(type(router), name) is getattr(APIRouter, name) and name not in vars(router)
        for name in ROUTER_METHODS
    )


def handler_variables(declared: DeclaredRoute) -> Mapping[str, Any]:
    """Return the closure variables of FastAPI's request handler for the route.

    Raises:
        UnsupportedRoute: another `route_class` or a wrapper handles the route.
    """
    route = declared.route
    if not isinstance(route, APIRoute) or type(route).handle is not APIRoute.handle:
        raise UnsupportedRoute
    if "handle" in vars(route):
        raise UnsupportedRoute
    app = declared.context.app if declared.context else route.app
    request_handler = _closure_variables(app, "request_response.<locals>.app").get("f")
    return _closure_variables(request_handler, "get_request_handler.<locals>.app")


def _closure_variables(function: Any, name: str) -> dict[str, Any]:
    if (
        type(function) is not FunctionType
        or function.__globals__ is not vars(fastapi.routing)
        or function.__qualname__ != name
    ):
        raise UnsupportedRoute
    cells = (cell.cell_contents for cell in function.__closure__ or ())
    return dict(zip(function.__code__.co_freevars, cells, strict=True))


def find_obstacle(inner: Any, app: Any, skipped: tuple[type, ...]) -> str | None:
    """Return the reason why FastAPI must handle all requests; None if there is no such reason.

    Args:
        inner: the ASGI application that the dispatcher would skip.
        skipped: classes of middleware that may be skipped.
    """
    for module, names in ORIGINALS.items():
        for name in names:
            if not _is_original(module, name):
                return f"{module.__name__}.{name} was replaced"
    known = (ExceptionMiddleware, AsyncExitStackMiddleware, *skipped)
    while type(inner) in known:
        inner = inner.app
    if inner is not getattr(app, "router", None):
        return f"the middleware {type(inner).__name__} is between the dispatcher and the router"
    if not is_known_router(inner):
        return f"{type(inner).__name__} is not FastAPI's router"
    if getattr(inner, "middleware_stack", None) != getattr(inner, "app", None):
        return "the router has its own middleware"
    if getattr(inner, "form_limits", None):
        return "the router has form limits"
    return None


def _is_original(module: ModuleType, name: str) -> bool:
    function: Any = module
    for part in name.split("."):
        function = getattr(function, part, None)
    source = sys.modules.get(getattr(function, "__module__", None) or "")
    return (
        source is not None
        and source.__name__.partition(".")[0] in LIBRARIES
        and type(function) is FunctionType
        and function.__globals__ is vars(source)  # differs for a wrapper with `functools.wraps`
    )
