"""The fast path gives the same responses as FastAPI for each way to protect a route.

The tests use the real application with and without the dispatcher.
"""

import functools
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import ModuleType
from typing import Annotated, Any

import fastapi.routing
import pytest
import starlette.middleware.exceptions
from fastapi import (
    APIRouter,
    Depends,
    FastAPI,
    Header,
    HTTPException,
    Request,
    Response,
    Security,
    WebSocket,
    WebSocketException,
)
from fastapi.routing import APIRoute
from fastapi.security import SecurityScopes
from httpx2 import ASGITransport, AsyncClient
from starlette.middleware import Middleware
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from plinth.http.dispatch.endpoint import Endpoint
from tests.support import application

Guard = Callable[..., Any]

REQUEST_ID = re.compile(r'"request_id": "[^"]*"')
REFUSED = HTTPException(403, "not yours")


async def require_role(request: Request, role: str = "admin") -> None:
    if request.headers.get("x-role") != role:
        raise REFUSED


def require_role_in_a_thread(request: Request, role: str = "admin") -> None:
    if request.headers.get("x-role") != role:
        raise REFUSED


async def guarding(request: Request) -> AsyncIterator[None]:
    await require_role(request)
    yield


def guarding_in_a_thread(request: Request) -> Iterator[None]:
    require_role_in_a_thread(request)
    yield


class AsyncGuard:
    def __init__(self, role: str = "admin") -> None:
        self.role = role

    async def __call__(self, request: Request) -> None:
        await require_role(request, self.role)

    async def method(self, request: Request) -> None:
        await require_role(request, self.role)

    by_method = functools.partialmethod(method)


class SyncGuard(AsyncGuard):
    def __call__(self, request: Request) -> None:  # type: ignore[override]
        require_role_in_a_thread(request, self.role)


class GuardingInstance:
    async def __call__(self, request: Request) -> AsyncIterator[None]:
        await require_role(request)
        yield


class GuardedByMaking:
    def __init__(self, request: Request) -> None:
        require_role_in_a_thread(request)


def traced(function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(function)
    async def call(*args: Any, **options: Any) -> Any:
        return await function(*args, **options)

    return call


def traced_lazily(function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """A callable that returns a coroutine but is not a coroutine function."""

    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        return function(*args, **options)

    return call


async def scoped(scopes: SecurityScopes, request: Request) -> None:
    await require_role(request, scopes.scopes[0])


async def below(_: Annotated[None, Depends(functools.partial(require_role, role="admin"))]) -> None:
    pass


class Keyed(APIRoute):
    """A route class with its own check."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        handle = super().get_route_handler()

        async def check(request: Request) -> Response:
            await require_role(request)
            return await handle(request)

        return check


class Handled(APIRoute):
    async def handle(self, scope: Any, receive: Any, send: Any) -> None:
        await require_role(Request(scope))
        await super().handle(scope, receive, send)


class KeyedRouter(APIRouter):
    async def handle(self, scope: Any, receive: Any, send: Any) -> None:
        await require_role(Request(scope))
        await super().handle(scope, receive, send)


GUARDS: dict[str, Guard] = {
    "async": require_role,
    "sync": require_role_in_a_thread,
    "partial of async": functools.partial(require_role, role="admin"),
    "partial of sync": functools.partial(require_role_in_a_thread, role="admin"),
    "partial of a partial": functools.partial(functools.partial(require_role), role="admin"),
    "instance, async": AsyncGuard(),
    "instance, sync": SyncGuard(),
    "partial of an instance": functools.partial(AsyncGuard()),
    "bound method": AsyncGuard().method,
    "partial of a bound method": functools.partial(AsyncGuard().method),
    "partialmethod": AsyncGuard().by_method,
    "generator, async": guarding,
    "generator, sync": guarding_in_a_thread,
    "partial of a generator": functools.partial(guarding),
    "instance, generator": GuardingInstance(),
    "class": GuardedByMaking,
    "decorated": traced(require_role),
    "decorated twice": traced(traced(require_role)),
    "decorated lazily": traced_lazily(require_role),
    "partial of decorated": functools.partial(traced(require_role), role="admin"),
    "partial of decorated lazily": functools.partial(traced_lazily(require_role), role="admin"),
    "below": below,
}


async def shown() -> dict[str, str]:
    return {"secret": "shown"}


def at_route(app: FastAPI, guard: Guard) -> None:
    app.get("/it", dependencies=[Depends(guard)])(shown)


def at_parameter(app: FastAPI, guard: Guard) -> None:
    async def endpoint(_: Annotated[Any, Depends(guard)]) -> dict[str, str]:
        return await shown()

    app.get("/it")(endpoint)


def at_router(app: FastAPI, guard: Guard) -> None:
    router = APIRouter(dependencies=[Depends(guard)])
    router.get("/it")(shown)
    app.include_router(router)


def at_include(app: FastAPI, guard: Guard) -> None:
    outer, inner = APIRouter(), APIRouter()
    inner.get("/it")(shown)
    outer.include_router(inner, dependencies=[Depends(guard)])
    app.include_router(outer)


def at_application(app: FastAPI, guard: Guard) -> None:
    app.router.dependencies.append(Depends(guard))
    app.get("/it")(shown)


def as_override(app: FastAPI, guard: Guard) -> None:
    async def open_to_all() -> None:
        pass

    app.get("/it", dependencies=[Depends(open_to_all)])(shown)
    app.dependency_overrides[open_to_all] = guard


def as_override_below(app: FastAPI, guard: Guard) -> None:
    async def open_to_all() -> None:
        pass

    async def between(_: Annotated[None, Depends(open_to_all)]) -> None:
        pass

    app.get("/it", dependencies=[Depends(between)])(shown)
    app.dependency_overrides[open_to_all] = guard


def in_a_mounted_application(app: FastAPI, guard: Guard) -> None:
    inner = FastAPI()
    at_route(inner, guard)
    app.mount("/mounted", inner)


PLACES = [
    at_route, at_parameter, at_router, at_include, at_application, as_override, as_override_below,
    in_a_mounted_application,
]  # fmt: skip


def guarded_app(inside: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        await require_role(Request(scope))
        await inside(scope, receive, send)

    return guarded


def shape_route_class(app: FastAPI) -> None:
    router = APIRouter(route_class=Keyed)
    router.get("/it")(shown)
    app.include_router(router)


def shape_route_class_of_the_application(app: FastAPI) -> None:
    app.router.route_class = Keyed
    app.get("/it")(shown)


def shape_route_class_that_handles(app: FastAPI) -> None:
    router = APIRouter(route_class=Handled)
    router.get("/it")(shown)
    app.include_router(router)


def shape_router_class(app: FastAPI) -> None:
    router = KeyedRouter()
    router.get("/it")(shown)
    app.include_router(router)


def shape_security_scopes(app: FastAPI) -> None:
    app.get("/it", dependencies=[Security(scoped, scopes=["admin"])])(shown)


def shape_security_scopes_below(app: FastAPI) -> None:
    async def between(_: Annotated[None, Security(scoped)]) -> None:
        pass

    app.get("/it", dependencies=[Security(between, scopes=["admin"])])(shown)


def shape_declared_before(app: FastAPI) -> None:
    """The first matching route responds, also if a later one is more specific."""
    app.get("/{name}", dependencies=[Depends(require_role)])(shown)
    app.get("/it")(shown)


def shape_mounted_before(app: FastAPI) -> None:
    async def refuse(scope: Any, receive: Any, send: Any) -> None:
        await require_role(Request(scope))
        await Response(b'{"secret":"shown"}', media_type="application/json")(scope, receive, send)

    app.mount("/it", refuse)
    app.get("/it/")(shown)


def shape_host_before(app: FastAPI) -> None:
    guarded = FastAPI()
    at_route(guarded, require_role)
    app.host("test", guarded)
    app.get("/it")(shown)


def shape_starlette_route_before(app: FastAPI) -> None:
    async def guarded(request: Request) -> Response:
        await require_role(request)
        return Response(b'{"secret":"shown"}', media_type="application/json")

    app.add_route("/it", guarded)
    app.get("/it")(shown)


def shape_middleware_added_to_the_list(app: FastAPI) -> None:
    app.user_middleware.append(Middleware(Gate))
    app.get("/it")(shown)


def shape_replaced_handler(app: FastAPI) -> None:
    """Replace it as instrumentation and pagination packages do."""
    app.get("/it")(shown)
    route: Any = app.router.routes[-1]
    route.app = guarded_app(route.app)


def shape_router_with_custom_handling(app: FastAPI) -> None:
    router: Any = APIRouter()
    router.get("/it")(shown)
    router.handle = guarded_app(router.handle)
    app.include_router(router)


def shape_router_of_the_application(app: FastAPI) -> None:
    app.router = CalledRouter(dependency_overrides_provider=app)
    app.get("/it")(shown)


def shape_handle_replaced(app: FastAPI) -> None:
    app.get("/it")(shown)
    route: Any = app.router.routes[-1]
    route.handle = guarded_app(route.handle)


def shape_route_with_custom_matches_before(app: FastAPI) -> None:
    app.get("/other", dependencies=[Depends(require_role)])(shown)
    route: Any = app.router.routes[-1]
    matches = route.matches
    route.matches = lambda scope: matches({**scope, "path": "/other"})
    app.get("/it")(shown)


def shape_route_with_custom_pattern_before(app: FastAPI) -> None:
    app.get("/other", dependencies=[Depends(require_role)])(shown)
    route: Any = app.router.routes[-1]
    route.path_regex = re.compile("^/it$")
    app.get("/it")(shown)


def shape_route_of_another_application(app: FastAPI) -> None:
    """Only the overrides of its own application apply."""
    other = FastAPI()
    as_override(other, require_role)
    app.router.routes.append(other.router.routes[-1])


class CalledRouter(APIRouter):
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await guarded_app(super().__call__)(scope, receive, send)


def shape_middleware_of_the_router(app: FastAPI) -> None:
    app.router.middleware_stack = Gate(app.router.app)
    app.get("/it")(shown)


class Gate:
    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and Request(scope).headers["x-role"] != "admin":
            await Response(status_code=403)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


SHAPES = {name: it for name, it in globals().items() if name.startswith("shape_")}


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    """The real application with its middleware and handlers, but without its routes."""
    app = application.create_app()
    del app.router.routes[:]
    return app


async def ask(app: FastAPI, role: str) -> tuple[int, str]:
    path = (
        "/mounted/it" if any(getattr(it, "path", "") == "/mounted" for it in app.routes) else "/it"
    )
    if any(getattr(it, "path", "") == "/it/" for it in app.routes):
        path = "/it/"
    transport = ASGITransport(app, raise_app_exceptions=False)
    async with AsyncClient(transport=transport, base_url="http://test") as client:
        response = await client.get(path, headers={"X-Role": role})
    return response.status_code, REQUEST_ID.sub("", response.text)


@pytest.mark.parametrize("place", PLACES, ids=lambda it: it.__name__)
@pytest.mark.parametrize("guard", GUARDS)
async def test_guard_applies_at_each_place(bare: FastAPI, guard: str, place: Any) -> None:
    place(bare, GUARDS[guard])
    refused, answered = await ask(bare, "other"), await ask(bare, "admin")
    assert refused[0] == 403
    assert (refused, answered) == (
        await without_dispatch(bare, "other"), await without_dispatch(bare, "admin"),
    )  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
async def test_guard_applies_in_each_application_shape(bare: FastAPI, shape: str) -> None:
    SHAPES[shape](bare)
    assert (await ask(bare, "other"))[0] == 403
    status, text = await ask(bare, "admin")
    assert (status, "shown" in text) == (200, True)


async def without_dispatch(app: FastAPI, role: str) -> tuple[int, str]:
    """The same application without the dispatcher."""
    stack = app.middleware_stack
    app.middleware_stack = None
    kinds = app.user_middleware
    app.user_middleware = [it for it in kinds if "Dispatch" not in repr(it)]
    try:
        return await ask(app, role)
    finally:
        app.user_middleware, app.middleware_stack = kinds, stack


async def test_guard_of_a_websocket_is_called(bare: FastAPI) -> None:
    async def guard(role: str = "") -> None:
        if role != "admin":
            raise WebSocketException(1008)

    router = APIRouter()

    @router.websocket("/it", dependencies=[Depends(functools.partial(guard))])
    async def endpoint(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text("shown")

    bare.include_router(router, prefix="/api")
    client = TestClient(bare)
    with (
        pytest.raises((WebSocketDisconnect, WebSocketDenialResponse)),
        client.websocket_connect("/api/it?role=other") as socket,
    ):
        socket.receive_text()
    with client.websocket_connect("/api/it?role=admin") as socket:
        assert socket.receive_text() == "shown"


REPLACED = {
    fastapi.routing: (
        "solve_dependencies", "run_endpoint_function", "serialize_response",
        "wrap_app_handling_exceptions",
    ),
    starlette.middleware.exceptions: ("wrap_app_handling_exceptions",),
}  # fmt: skip


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in REPLACED.items() for name in names]
)
async def test_function_patched_by_a_package_is_called(
    bare: FastAPI, monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str
) -> None:
    """Replace the name in the calling module, as packages for tracing do."""
    original, calls = getattr(module, name), []

    @functools.wraps(original)
    def replacement(*args: Any, **options: Any) -> Any:
        calls.append(name)
        return original(*args, **options)

    monkeypatch.setattr(module, name, replacement)
    bare.get("/it")(shown)
    assert (await ask(bare, "any"))[0] == 200
    assert calls


async def test_removed_route_is_404_and_added_guard_is_called(bare: FastAPI) -> None:
    inner = APIRouter()
    inner.get("/it")(shown)
    bare.include_router(inner)
    assert (await ask(bare, "other"))[0] == 200

    removed = bare.router.routes.pop()
    assert (await ask(bare, "other"))[0] == 404

    at_route(bare, require_role)
    bare.router.routes.append(removed)
    assert (await ask(bare, "other"))[0] == 403

    bare.router.routes[:] = [removed]
    assert (await ask(bare, "other"))[0] == 200


async def test_route_replaced_by_an_equal_route_is_called(bare: FastAPI) -> None:
    bare.get("/it")(shown)
    assert (await ask(bare, "other"))[0] == 200
    replacement = APIRoute("/it", shown, dependencies=[Depends(require_role)])
    assert replacement == bare.router.routes[0]
    bare.router.routes[0] = replacement
    assert (await ask(bare, "other"))[0] == 403


async def test_route_inserted_first_into_an_included_router_is_called(bare: FastAPI) -> None:
    inner = APIRouter()
    inner.get("/it")(shown)
    bare.include_router(inner)
    assert (await ask(bare, "other"))[0] == 200
    inner.get("/it", dependencies=[Depends(require_role)])(shown)
    inner.routes.insert(0, inner.routes.pop())
    assert (await ask(bare, "other"))[0] == 403


async def test_monkeypatched_fastapi_function_is_called(
    bare: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = APIRoute.handle

    async def guarded(self: APIRoute, scope: Any, receive: Any, send: Any) -> None:
        await require_role(Request(scope))
        await handle(self, scope, receive, send)

    monkeypatch.setattr(APIRoute, "handle", guarded)
    bare.get("/it")(shown)
    assert (await ask(bare, "other"))[0] == 403
    assert (await ask(bare, "admin"))[0] == 200


async def test_custom_override_mapping_is_queried_for_each_request(bare: FastAPI) -> None:
    async def open_to_all() -> None:
        pass

    class Overrides(dict[Guard, Guard]):
        def get(self, call: Guard, default: Any = None) -> Any:
            return require_role if call is open_to_all else default

    bare.get("/it", dependencies=[Depends(open_to_all)])(shown)
    bare.dependency_overrides = Overrides({open_to_all: open_to_all})
    assert (await ask(bare, "other"))[0] == 403


async def test_dependency_overrides_apply_at_once_on_the_fast_path(
    bare: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = []
    call = Endpoint.__call__

    async def noting(*them: Any) -> None:
        ran.append(1)
        await call(*them)

    monkeypatch.setattr(Endpoint, "__call__", noting)

    async def open_to_all() -> None:
        pass

    bare.get("/it", dependencies=[Depends(require_role)])(shown)
    assert (await ask(bare, "other"))[0] == 403
    bare.dependency_overrides[require_role] = open_to_all
    assert (await ask(bare, "other"))[0] == 200
    bare.dependency_overrides[require_role] = functools.partial(require_role, role="admin")
    assert (await ask(bare, "other"))[0] == 403
    bare.dependency_overrides = {require_role: open_to_all}
    assert (await ask(bare, "other"))[0] == 200
    bare.dependency_overrides.clear()
    assert (await ask(bare, "other"))[0] == 403
    assert len(ran) == 5, "tests with overrides have to run what production runs"


async def test_dependencies_of_each_include_router_apply(bare: FastAPI) -> None:
    """One router that is included twice, once with a protecting dependency."""
    router = APIRouter()

    @router.get("/it")
    async def it(x_name: Annotated[str | None, Header()] = None) -> dict[str, str]:
        return await shown()

    bare.include_router(router, prefix="/open")
    bare.include_router(router, dependencies=[Depends(functools.partial(require_role))])
    assert (await ask(bare, "other"))[0] == 403
    assert (await ask(bare, "admin"))[0] == 200
