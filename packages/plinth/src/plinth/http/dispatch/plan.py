"""A route's dependencies in the order in which FastAPI calls them, worked out once.

FastAPI solves them as a tree, anew with each request. Here they are a list: each step's arguments
are the request, parameters of it, and results of steps before it. What a callable is, how a
generator is entered, and which results are used again, FastAPI's own functions decide.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
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

from plinth.http.dispatch.body import Taken, make_taker
from plinth.http.dispatch.known import NotPlanned
from plinth.http.dispatch.parameters import SOURCES, Read, make_reader

# What of a Dependant is understood here; a test holds FastAPI to it.
UNDERSTOOD = {
    "path_params", "query_params", "header_params", "cookie_params", "body_params", "dependencies",
    "name", "call", "request_param_name", "websocket_param_name", "http_connection_param_name",
    "response_param_name", "background_tasks_param_name", "security_scopes_param_name",
    "own_oauth_scopes", "parent_oauth_scopes", "use_cache", "path", "scope", "concurrency",
}  # fmt: skip

Overrides = Mapping[Callable[..., Any], Callable[..., Any]]


class Way(Enum):
    """How a step's function is called."""

    AWAITED = auto()
    IN_A_THREAD = auto()
    UNTIL_THE_RESULT = auto()
    """A generator whose end comes before the answer is sent (`scope="function"`)."""
    UNTIL_THE_ANSWER = auto()
    """A generator whose end comes when the answer was sent."""
    LAST = auto()
    """The route's own function, which is not called as a step."""


class _Shared(Response):
    """Of no content, and so without the headers of any."""

    def __init__(self) -> None:
        self.status_code = None  # type: ignore[assignment]
        self.background = None
        self.body = b""
        self.raw_headers = []


class Solving:
    """One request's way through a plan.

    Attributes:
        errors: of what was sent, as Pydantic has them.
    """

    __slots__ = ("background", "body", "errors", "request", "response")

    def __init__(self, request: Request, body: Any) -> None:
        self.request = request
        self.body = body
        self.errors: list[Any] = []
        self.response: Response | None = None
        self.background: BackgroundTasks | None = None

    def share_response(self) -> Response:
        """The one that dependencies set headers and the status of."""
        if self.response is None:
            self.response = _Shared()
        return self.response

    def share_background(self) -> BackgroundTasks:
        if self.background is None:
            self.background = BackgroundTasks()
        return self.background


@dataclass(frozen=True, slots=True)
class Step:
    """
    Attributes:
        results: the names of arguments that are results, with the places of their steps.
        needs: the places of all steps without which this one is not called; one that is used again
            stands here again, since FastAPI reports its errors again.
    """

    dependant: Dependant
    way: Way
    results: Sequence[tuple[str, int]]
    needs: Sequence[int]
    given: Sequence[tuple[str, Callable[[Solving], Any]]]
    parameters: Sequence[Read]
    take_body: Callable[[Any], Taken | Awaitable[Taken]] | None
    call: Callable[..., Any]


@dataclass(slots=True)
class Plan:
    steps: list[Step] = field(default_factory=list)

    async def solve(self, solving: Solving) -> dict[str, Any]:
        """The arguments of the route's function, unless there are errors."""
        results: list[Any] = []
        failed: dict[int, list[Any]] = {}
        values: dict[str, Any] = {}
        # Without comprehensions: each is a call, and this runs some six times a request.
        for step in self.steps:
            values = {}
            for name, index in step.results:
                values[name] = results[index]
            errors: list[Any] = []
            for read in step.parameters:
                found, wrong = read(solving.request)
                values |= found
                errors += wrong
            if step.take_body is not None:
                taken = step.take_body(solving.body)
                found, wrong = taken if isinstance(taken, tuple) else await taken
                values |= found
                errors += wrong
            if failed:
                errors = [it for need in step.needs for it in failed.get(need, ())] + errors
            if errors:
                failed[len(results)] = solving.errors = errors
                results.append(None)
                continue
            for name, give in step.given:
                values[name] = give(solving)
            if step.way is Way.AWAITED:
                results.append(await step.call(**values))
            elif step.way is not Way.LAST:
                results.append(await _call(step, values, solving.request))
        return values


async def _call(step: Step, values: dict[str, Any], request: Request) -> Any:
    if step.way is Way.IN_A_THREAD:
        return await run_in_threadpool(step.call, **values)
    until = "function" if step.way is Way.UNTIL_THE_RESULT else "inner"
    return await _solve_generator(
        dependant=step.dependant,
        stack=request.scope[f"fastapi_{until}_astack"],
        sub_values=values,
        request=request,
    )


def make_plan(route: Dependant, *, embeds_body: bool, overrides: Overrides | None = None) -> Plan:
    """
    Raises:
        NotPlanned: it has scopes of OAuth, or a bound on concurrency.
    """
    planner = _Planner(embeds_body=embeds_body, overrides=overrides or {})
    planner.add(route, is_last=True)
    return planner.plan


class _Planner:
    def __init__(self, *, embeds_body: bool, overrides: Overrides) -> None:
        self.plan = Plan()
        self._embeds = embeds_body
        self._overrides = overrides
        self._known: dict[Any, int] = {}
        self._pure: dict[int, bool] = {}
        """By place: all below it is called once, however often it is asked for."""

    def add(self, node: Dependant, *, is_last: bool = False) -> int:
        """The place of its step: that of an earlier one, where FastAPI would use its result."""
        if node.own_oauth_scopes or node.parent_oauth_scopes or node.concurrency:
            raise NotPlanned
        key, declared = _get_cache_key(dependant=node), node
        if node.use_cache and key in self._known and not is_last:
            if not self._pure[self._known[key]]:
                raise NotPlanned  # FastAPI calls what is below it once more
            return self._known[key]
        if node.call is None:
            raise NotPlanned
        if not is_last and node.call in self._overrides:
            node = _override(node, self._overrides[node.call])
        if node.security_scopes_param_name:
            raise NotPlanned
        places = [(it.name, self.add(it)) for it in node.dependencies]
        self.plan.steps.append(
            Step(
                dependant=node,
                way=Way.LAST if is_last else _classify(node, declared.scope),
                results=[(name, place) for name, place in places if name is not None],
                needs=[place for _, place in places],
                given=_given(node),
                parameters=_read_parameters(node),
                take_body=make_taker(node.body_params, embeds=self._embeds)
                if node.body_params
                else None,
                call=_callable(node),
            )
        )
        place = len(self.plan.steps) - 1
        self._known.setdefault(key, place)
        self._pure[place] = all(it.use_cache for it in node.dependencies) and all(
            self._pure[below] for _, below in places
        )
        return place


def _callable(node: Dependant) -> Callable[..., Any]:
    assert node.call is not None
    return node.call


def _override(node: Dependant, call: Callable[..., Any]) -> Dependant:
    """As FastAPI's `solve_dependencies` does with each request."""
    return get_dependant(
        path=node.path or "",
        call=call,
        name=node.name,
        parent_oauth_scopes=_get_oauth_scopes(dependant=node),
        scope=node.scope,
        concurrency=node.concurrency,
    )


def _read_parameters(node: Dependant) -> list[Read]:
    return [
        make_reader(place, fields)
        for place in SOURCES
        if (fields := getattr(node, f"{place}_params"))
    ]


def _given(node: Dependant) -> list[tuple[str, Callable[[Solving], Any]]]:
    sources: dict[str | None, Callable[[Solving], Any]] = {
        node.http_connection_param_name: lambda solving: solving.request,
        node.request_param_name: lambda solving: solving.request,
        node.background_tasks_param_name: Solving.share_background,
        node.response_param_name: Solving.share_response,
    }
    return [(name, give) for name, give in sources.items() if name is not None]


def _classify(node: Dependant, scope: str | None) -> Way:
    """By FastAPI's own judgment of a callable, in the order in which it asks."""
    if _is_gen_callable(node.call) or _is_async_gen_callable(node.call):
        return Way.UNTIL_THE_RESULT if scope == "function" else Way.UNTIL_THE_ANSWER
    return Way.AWAITED if _is_coroutine_callable(node.call) else Way.IN_A_THREAD
