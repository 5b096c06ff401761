"""The dependencies of a route as a list of steps, in the order in which FastAPI calls them.

FastAPI solves a tree of dependencies for each request. A plan is made once. The arguments of a step
are the request, its parameters, and results of earlier steps. FastAPI's own functions classify
callables, enter generators and decide which results are reused.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from fastapi.dependencies.models import (
    Dependant,
    _get_cache_key,
    _get_oauth_scopes,
    _is_async_gen_callable,
    _is_coroutine_callable,
    _is_gen_callable,
)
from fastapi.dependencies.utils import _solve_generator, get_dependant
from starlette.background import BackgroundTasks
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from plinth.http.dispatch.known import UnsupportedRoute
from plinth.http.dispatch.parameters import SOURCES, ParseBody, Read, make_body_parser, make_reader

# The attributes of Dependant that a plan supports. A test fails if FastAPI adds one.
SUPPORTED = {
    "path_params", "query_params", "header_params", "cookie_params", "body_params", "dependencies",
    "name", "call", "request_param_name", "websocket_param_name", "http_connection_param_name",
    "response_param_name", "background_tasks_param_name", "security_scopes_param_name",
    "own_oauth_scopes", "parent_oauth_scopes", "use_cache", "path", "scope", "concurrency",
}  # fmt: skip

Overrides = Mapping[Callable[..., Any], Callable[..., Any]]


class CallKind(Enum):
    COROUTINE = auto()
    THREAD = auto()
    """A plain function, called in a thread."""
    FUNCTION_SCOPE = auto()
    """A generator that ends before the response is sent (`scope="function"`)."""
    REQUEST_SCOPE = auto()
    """A generator that ends after the response is sent."""
    ENDPOINT = auto()
    """The function of the route; the caller of the plan calls it."""


class _SharedResponse(Response):
    """A response without content and its headers."""

    def __init__(self) -> None:
        self.status_code = None  # type: ignore[assignment]
        self.background = None
        self.body = b""
        self.raw_headers = []


class SolveState:
    """The state of one request while a plan is solved.

    Attributes:
        errors: validation errors of the request, in Pydantic's format.
    """

    __slots__ = ("background", "body", "errors", "request", "response")

    def __init__(self, request: Request, body: Any) -> None:
        self.request = request
        self.body = body
        self.errors: list[Any] = []
        self.response: Response | None = None
        self.background: BackgroundTasks | None = None

    def share_response(self) -> Response:
        """Return the response whose headers and status dependencies set."""
        if self.response is None:
            self.response = _SharedResponse()
        return self.response

    def share_background(self) -> BackgroundTasks:
        if self.background is None:
            self.background = BackgroundTasks()
        return self.background


@dataclass(frozen=True, slots=True)
class Step:
    """
    Attributes:
        results: arguments that are results, with the index of their step.
        needs: indexes of the steps that must succeed first. A reused step is repeated, since
            FastAPI repeats its errors.
        special: arguments such as the request or the background tasks.
    """

    dependant: Dependant
    kind: CallKind
    results: Sequence[tuple[str, int]]
    needs: Sequence[int]
    special: Sequence[tuple[str, Callable[[SolveState], Any]]]
    parameters: Sequence[Read]
    parse_body: ParseBody | None
    call: Callable[..., Any]


@dataclass(slots=True)
class Plan:
    steps: list[Step] = field(default_factory=list)

    async def solve(self, state: SolveState) -> dict[str, Any]:
        """Return the arguments of the endpoint. They are incomplete if `state.errors` is set."""
        results: list[Any] = []
        failed: dict[int, list[Any]] = {}
        values: dict[str, Any] = {}
        # No comprehensions: each one is a call, and this loop runs about six times per request.
        for step in self.steps:
            values = {}
            for name, index in step.results:
                values[name] = results[index]
            errors: list[Any] = []
            for read in step.parameters:
                parsed, faults = read(state.request)
                values |= parsed
                errors += faults
            if step.parse_body is not None:
                body = step.parse_body(state.body)
                parsed, faults = body if isinstance(body, tuple) else await body
                values |= parsed
                errors += faults
            if failed:
                errors = [it for need in step.needs for it in failed.get(need, ())] + errors
            if errors:
                failed[len(results)] = state.errors = errors
                results.append(None)
                continue
            for name, get in step.special:
                values[name] = get(state)
            if step.kind is CallKind.COROUTINE:
                results.append(await step.call(**values))
            elif step.kind is not CallKind.ENDPOINT:
                results.append(await _call(step, values, state.request))
        return values


async def _call(step: Step, values: dict[str, Any], request: Request) -> Any:
    if step.kind is CallKind.THREAD:
        return await run_in_threadpool(step.call, **values)
    scope = "function" if step.kind is CallKind.FUNCTION_SCOPE else "inner"
    return await _solve_generator(
        dependant=step.dependant,
        stack=request.scope[f"fastapi_{scope}_astack"],
        sub_values=values,
        request=request,
    )


def make_plan(route: Dependant, *, embeds_body: bool, overrides: Overrides | None = None) -> Plan:
    """
    Raises:
        UnsupportedRoute: it has OAuth scopes, or a concurrency limit.
    """
    planner = _Planner(embeds_body=embeds_body, overrides=overrides or {})
    planner.add(route, is_endpoint=True)
    return planner.plan


class _Planner:
    def __init__(self, *, embeds_body: bool, overrides: Overrides) -> None:
        self.plan = Plan()
        self._embeds_body = embeds_body
        self._overrides = overrides
        self._indexes: dict[Any, int] = {}
        # By index: whether FastAPI caches all results below the step, so each is called once.
        self._is_cached_below: dict[int, bool] = {}

    def add(self, node: Dependant, *, is_endpoint: bool = False) -> int:
        """Return the index of the step, or of an earlier step whose result FastAPI would reuse."""
        if node.own_oauth_scopes or node.parent_oauth_scopes or node.concurrency:
            raise UnsupportedRoute
        key, declared = _get_cache_key(dependant=node), node
        if node.use_cache and key in self._indexes and not is_endpoint:
            if not self._is_cached_below[self._indexes[key]]:
                raise UnsupportedRoute  # FastAPI calls the dependencies below it again
            return self._indexes[key]
        if node.call is None:
            raise UnsupportedRoute
        if not is_endpoint and node.call in self._overrides:
            node = _override(node, self._overrides[node.call])
        if node.security_scopes_param_name:
            raise UnsupportedRoute
        needs = [(it.name, self.add(it)) for it in node.dependencies]
        self.plan.steps.append(
            Step(
                dependant=node,
                kind=CallKind.ENDPOINT if is_endpoint else _classify(node, declared.scope),
                results=[(name, index) for name, index in needs if name is not None],
                needs=[index for _, index in needs],
                special=_special_arguments(node),
                parameters=_parameter_readers(node),
                parse_body=make_body_parser(node.body_params, embeds=self._embeds_body)
                if node.body_params
                else None,
                call=_callable(node),
            )
        )
        index = len(self.plan.steps) - 1
        self._indexes.setdefault(key, index)
        self._is_cached_below[index] = all(it.use_cache for it in node.dependencies) and all(
            self._is_cached_below[below] for _, below in needs
        )
        return index


def _callable(node: Dependant) -> Callable[..., Any]:
    assert node.call is not None
    return node.call


def _override(node: Dependant, call: Callable[..., Any]) -> Dependant:
    """Apply an override as FastAPI's `solve_dependencies` does."""
    return get_dependant(
        path=node.path or "",
        call=call,
        name=node.name,
        parent_oauth_scopes=_get_oauth_scopes(dependant=node),
        scope=node.scope,
        concurrency=node.concurrency,
    )


def _parameter_readers(node: Dependant) -> list[Read]:
    return [
        make_reader(location, fields)
        for location in SOURCES
        if (fields := getattr(node, f"{location}_params"))
    ]


def _special_arguments(node: Dependant) -> list[tuple[str, Callable[[SolveState], Any]]]:
    sources: dict[str | None, Callable[[SolveState], Any]] = {
        node.http_connection_param_name: lambda state: state.request,
        node.request_param_name: lambda state: state.request,
        node.background_tasks_param_name: SolveState.share_background,
        node.response_param_name: SolveState.share_response,
    }
    return [(name, get) for name, get in sources.items() if name is not None]


def _classify(node: Dependant, scope: str | None) -> CallKind:
    """Classify the callable by FastAPI's own checks, in FastAPI's order."""
    if _is_gen_callable(node.call) or _is_async_gen_callable(node.call):
        return CallKind.FUNCTION_SCOPE if scope == "function" else CallKind.REQUEST_SCOPE
    return CallKind.COROUTINE if _is_coroutine_callable(node.call) else CallKind.THREAD
