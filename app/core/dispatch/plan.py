"""A route's dependencies in the order in which they are called, worked out once.

FastAPI solves them as a tree, anew with each request. Here they are a list: each step's arguments
are the request, parameters of it, and results of steps before it.
"""

import inspect
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from fastapi.dependencies.models import Dependant
from starlette.background import BackgroundTasks
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from app.core.dispatch.body import Taken, make_taker
from app.core.dispatch.parameters import SOURCES, Read, make_reader

# What of a Dependant is understood here; a test holds FastAPI to it.
UNDERSTOOD = {
    "path_params", "query_params", "header_params", "cookie_params", "body_params", "dependencies",
    "name", "call", "request_param_name", "websocket_param_name", "http_connection_param_name",
    "response_param_name", "background_tasks_param_name", "security_scopes_param_name",
    "own_oauth_scopes", "parent_oauth_scopes", "use_cache", "path", "scope", "concurrency",
}  # fmt: skip


class NotPlanned(Exception):
    """There is something in it that is not known here."""


class Way(Enum):
    """How a step's function is called."""

    AWAITED = auto()
    CALLED = auto()
    """A class. FastAPI makes its objects in a thread, which takes longer than most routes; one
    whose making blocks wants a function."""
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
        needs: the places of all steps without which this one is not called.
    """

    call: Callable[..., Any]
    way: Way
    results: Sequence[tuple[str, int]]
    needs: Sequence[int]
    given: Sequence[tuple[str, Callable[[Solving], Any]]]
    parameters: Sequence[Read]
    take_body: Callable[[Any], Taken | Awaitable[Taken]] | None


@dataclass(slots=True)
class Plan:
    steps: list[Step] = field(default_factory=list)

    @property
    def has_generators(self) -> bool:
        return any(it.way in (Way.UNTIL_THE_RESULT, Way.UNTIL_THE_ANSWER) for it in self.steps)

    async def solve(
        self, solving: Solving, inner: AsyncExitStack | None, outer: AsyncExitStack | None
    ) -> dict[str, Any]:
        """The arguments of the route's function, unless there are errors."""
        results: list[Any] = []
        failed: set[int] = set()
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
            if errors or (failed and not failed.isdisjoint(step.needs)):
                solving.errors += errors
                failed.add(len(results))
                results.append(None)
                continue
            for name, give in step.given:
                values[name] = give(solving)
            if step.way is Way.AWAITED:
                results.append(await step.call(**values))
            elif step.way is not Way.LAST:
                results.append(await _call(step, values, inner, outer))
        return values


async def _call(
    step: Step, values: dict[str, Any], inner: AsyncExitStack | None, outer: AsyncExitStack | None
) -> Any:
    if step.way is Way.CALLED:
        return step.call(**values)
    if step.way is Way.IN_A_THREAD:
        return await run_in_threadpool(step.call, **values)
    stack = inner if step.way is Way.UNTIL_THE_RESULT else outer
    assert stack is not None
    return await stack.enter_async_context(step.call(**values))


def make_plan(route: Dependant, *, embeds_body: bool) -> Plan:
    """
    Raises:
        NotPlanned: it has scopes of OAuth, sync generators, or what is wrapped otherwise.
    """
    plan = Plan()
    _add(route, plan, {}, embeds=embeds_body, is_last=True)
    return plan


def _add(
    node: Dependant,
    plan: Plan,
    known: dict[tuple[Any, Any], int],
    *,
    embeds: bool,
    is_last: bool = False,
) -> int:
    """The place of its step: that of an earlier one, where FastAPI would use its result again."""
    key = (node.call, node.scope)
    if node.use_cache and key in known and not is_last:
        return known[key]
    if node.own_oauth_scopes or node.security_scopes_param_name or node.concurrency:
        raise NotPlanned
    assert node.call is not None
    places = [(it.name, _add(it, plan, known, embeds=embeds)) for it in node.dependencies]
    call, way = (node.call, Way.LAST) if is_last else _classify(node)
    parameters = [
        make_reader(place, fields)
        for place in SOURCES
        if (fields := getattr(node, f"{place}_params"))
    ]
    plan.steps.append(
        Step(
            call=call,
            way=way,
            results=[(name, place) for name, place in places if name is not None],
            needs=[place for _, place in places],
            given=_given(node),
            parameters=parameters,
            take_body=make_taker(node.body_params, embeds=embeds) if node.body_params else None,
        )
    )
    known.setdefault(key, len(plan.steps) - 1)
    return len(plan.steps) - 1


def _given(node: Dependant) -> list[tuple[str, Callable[[Solving], Any]]]:
    sources: dict[str | None, Callable[[Solving], Any]] = {
        node.request_param_name: lambda solving: solving.request,
        node.http_connection_param_name: lambda solving: solving.request,
        node.response_param_name: Solving.share_response,
        node.background_tasks_param_name: Solving.share_background,
    }
    return [(name, give) for name, give in sources.items() if name is not None]


def _classify(node: Dependant) -> tuple[Callable[..., Any], Way]:
    call = node.call
    assert call is not None
    function = call if inspect.isroutine(call) or inspect.isclass(call) else type(call).__call__
    if hasattr(function, "__wrapped__") or inspect.isgeneratorfunction(function):
        raise NotPlanned
    if inspect.isasyncgenfunction(function):
        ends_first = node.scope == "function"
        way = Way.UNTIL_THE_RESULT if ends_first else Way.UNTIL_THE_ANSWER
        return asynccontextmanager(call), way
    if inspect.iscoroutinefunction(function):
        return call, Way.AWAITED
    return call, Way.CALLED if inspect.isclass(call) else Way.IN_A_THREAD
