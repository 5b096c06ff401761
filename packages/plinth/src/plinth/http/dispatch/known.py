"""What is known to be FastAPI's own, and so may be done in its place.

Subclasses, wrappers of instrumentation and functions that something replaced are not known:
FastAPI's own path runs them.
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
"""The functions in whose place the dispatcher works, by the modules that call them: each has to be
the one that the libraries define."""

LIBRARIES = ("fastapi", "starlette", "json")
ROUTER_METHODS = ("__call__", "app", "handle", "matches")
KNOWN_MATCHES = (
    Route.matches, APIRoute.matches, Mount.matches, WebSocketRoute.matches,
    APIWebSocketRoute.matches,
)  # fmt: skip


class NotPlanned(Exception):
    """The route has something that is not known here."""


class Found(NamedTuple):
    """A route in the order in which FastAPI asks them.

    Attributes:
        route: None where anything may match.
        context: of a route in a router that was included, with its whole path and dependencies.
        included: the innermost router of these.
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
        """It matches by its path and methods alone."""
        route = self.route
        if route is None or type(route).matches not in KNOWN_MATCHES or "matches" in vars(route):
            return False
        ours, compiled = self.effective, ""
        if isinstance(route, (Route, Mount)):
            path = f"{ours.path}/{{path:path}}" if isinstance(route, Mount) else ours.path
            compiled = compile_path(path)[0].pattern
        return not compiled or bool(ours.path_regex.pattern == compiled)


def walk(routes: list[BaseRoute]) -> Iterator[Found]:
    for route in routes:
        if type(route) is _IncludedRouter:
            yield from _walk_included(route)
        else:
            yield Found(route, None, None)


def _walk_included(included: _IncludedRouter) -> Iterator[Found]:
    if not is_known_router(included.original_router):
        yield Found(None, None, None)
        return
    for candidate in included.effective_candidates():
        if isinstance(candidate, _IncludedRouter):
            yield from _walk_included(candidate)
        else:
            yield Found(candidate.original_route, candidate, included)


def included_routers(routes: list[BaseRoute]) -> Iterator[APIRouter]:
    for route in routes:
        if isinstance(route, _IncludedRouter):
            yield route.original_router
            yield from included_routers(route.original_router.routes)


def is_known_router(router: Any) -> bool:
    """A subclass may change how routes are declared, and not how requests find them."""
    return isinstance(router, APIRouter) and all(
        getattr(type(router), name) is getattr(APIRouter, name) and name not in vars(router)
        for name in ROUTER_METHODS
    )


def handler_of(found: Found) -> Mapping[str, Any]:
    """The arguments of FastAPI's handler for the route, as the handler itself holds them.

    Raises:
        NotPlanned: something else answers: a `route_class` of its own, or a wrapper.
    """
    route = found.route
    if not isinstance(route, APIRoute) or type(route).handle is not APIRoute.handle:
        raise NotPlanned
    if "handle" in vars(route):
        raise NotPlanned
    app = found.context.app if found.context else route.app
    request_handler = _variables(app, "request_response.<locals>.app").get("f")
    return _variables(request_handler, "get_request_handler.<locals>.app")


def _variables(function: Any, name: str) -> dict[str, Any]:
    if (
        type(function) is not FunctionType
        or function.__globals__ is not vars(fastapi.routing)
        or function.__qualname__ != name
    ):
        raise NotPlanned
    cells = (cell.cell_contents for cell in function.__closure__ or ())
    return dict(zip(function.__code__.co_freevars, cells, strict=True))


def find_obstacle(inside: Any, app: Any, passed: tuple[type, ...]) -> str | None:
    """Why the whole application has to be left to FastAPI.

    Args:
        inside: what the dispatcher would go past.
        passed: kinds of middleware that need not see what is answered before them.
    """
    for module, names in ORIGINALS.items():
        for name in names:
            if not _is_original(module, name):
                return f"{module.__name__}.{name} was replaced"
    known = (ExceptionMiddleware, AsyncExitStackMiddleware, *passed)
    while type(inside) in known:
        inside = inside.app
    if inside is not getattr(app, "router", None):
        return f"{type(inside).__name__} stands between it and the router"
    if not is_known_router(inside):
        return f"{type(inside).__name__} is not FastAPI's router"
    if getattr(inside, "middleware_stack", None) != getattr(inside, "app", None):
        return "the router has middleware of its own"
    if getattr(inside, "form_limits", None):
        return "the router has form limits"
    return None


def _is_original(module: ModuleType, name: str) -> bool:
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    home = sys.modules.get(getattr(found, "__module__", None) or "")
    return (
        home is not None
        and home.__name__.partition(".")[0] in LIBRARIES
        and type(found) is FunctionType
        and found.__globals__ is vars(home)  # what `functools.wraps` dresses up has others
    )
