"""`Dispatch` responds as FastAPI does: each request is sent to the same application with and
without it, and both responses and side effects are compared."""

from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import fields
from typing import Annotated, Any

import pytest
from fastapi import (
    APIRouter,
    BackgroundTasks,
    Body,
    Cookie,
    Depends,
    FastAPI,
    Header,
    HTTPException,
    Path,
    Query,
    Request,
    Response,
)
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.security import OAuth2PasswordBearer
from httpx2 import ASGITransport, AsyncClient
from pydantic import BaseModel, ConfigDict, Field
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, PlainTextResponse

from plinth.http.dispatch import Dispatch, make_table
from plinth.http.dispatch.plan import SUPPORTED, CallKind, make_plan
from plinth.http.routes import walk_routes

did: ContextVar[list[str]] = ContextVar("did")
router = APIRouter(prefix="/it")


class Thing(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    name: str = Field(min_length=2)
    size: int = 1


class Narrowed(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sort: Annotated[str | None, Field(pattern="^[ab]$")] = None
    tags: list[str] = []
    since: Annotated[int, Field(alias="from", ge=0)] = 0


class Refused(Exception):
    pass


class Special(Refused):
    pass


def note(what: str) -> None:
    did.get().append(what)


async def first() -> str:
    note("first")
    return "1"


async def second(one: Annotated[str, Depends(first)], flag: bool = False) -> str:
    note(f"second {flag}")
    return one + "2"


def in_a_thread(one: Annotated[str, Depends(first)]) -> str:
    return f"{one} in a thread"


class Copied:
    def __init__(
        self, response: Response, if_match: Annotated[str | None, Header()] = None
    ) -> None:
        self.response, self.if_match = response, if_match


async def until_the_result() -> AsyncIterator[str]:
    note("result begins")
    try:
        yield "r"
    except Exception as error:
        note(f"result sees {type(error).__name__}")
        raise
    finally:
        note("result ends")


async def until_the_answer() -> AsyncIterator[str]:
    note("answer begins")
    yield "a"
    note("answer ends")


R = Annotated[str, Depends(until_the_result, scope="function")]
A = Annotated[str, Depends(until_the_answer)]


@router.get("/plain", response_model=Thing)
async def plain() -> dict[str, Any]:
    return {"name": "plain", "size": 3, "secret": "not shown"}


@router.get("/wrong", response_model=Thing)
async def wrong() -> dict[str, Any]:
    return {"name": "x"}


@router.get("/none")
async def none():  # type: ignore[no-untyped-def]  # noqa: ANN201 - no response model
    return {"at": None, "of": {1, 2}}


@router.get("/tree")
async def tree(
    b: Annotated[str, Depends(second)],
    a: Annotated[str, Depends(first)],
    t: Annotated[str, Depends(in_a_thread)],
    again: Annotated[str, Depends(first, use_cache=False)],
) -> list[str]:
    return [a, b, t, again]


@router.get("/things/{thing_id}/{kind}")
async def read(
    thing_id: Annotated[int, Path(ge=1)],
    kind: str,
    many: Annotated[list[int], Query(default_factory=list)],
    must: Annotated[int, Query(alias="Must")],
    q: Annotated[str | None, Query(max_length=3)] = None,
) -> dict[str, Any]:
    return {"id": thing_id, "kind": kind, "q": q, "many": many, "must": must}


@router.get("/narrowed")
async def narrowed(query: Annotated[Narrowed, Query()]) -> Narrowed:
    return query


@router.get("/heads")
async def heads(
    copy: Annotated[Copied, Depends()],
    x_many: Annotated[list[str] | None, Header()] = None,
    c: Annotated[str | None, Cookie()] = None,
) -> list[Any]:
    copy.response.headers["ETag"] = '"1"'
    copy.response.set_cookie("seen", "1")
    copy.response.status_code = 202
    return [copy.if_match, x_many, c]


@router.get("/strict-heads")
async def strict_heads(
    x_count: Annotated[int, Header(ge=1)],
    key: Annotated[str, Header(alias="The-Key", pattern="^k")] = "k",
    under_score: Annotated[str | None, Header(convert_underscores=False)] = None,
    c: Annotated[int, Cookie(le=9)] = 3,
) -> list[Any]:
    return [x_count, key, under_score, c]


@router.post("/things", status_code=201)
async def create(
    thing: Thing, background: BackgroundTasks, b: Annotated[str, Depends(second)]
) -> Thing:
    background.add_task(note, "background")
    return thing


async def demote(request: Request) -> None:
    (await request.json())["name"] = "demoted"


@router.post("/demoted", dependencies=[Depends(demote)])
async def demoted(thing: Thing) -> Thing:
    return thing


@router.get("/stacks")
async def stacks(request: Request) -> str:
    for name in ("middleware", "inner", "function"):
        request.scope[f"fastapi_{name}_astack"].callback(note, f"{name} ends")
    return "noted"


@router.post("/two")
async def two(thing: Thing, times: Annotated[int, Body(ge=1)]) -> list[Thing]:
    return [thing] * times


@router.delete("/things/{thing_id}", status_code=204)
async def remove(thing_id: int) -> None:
    note(f"removed {thing_id}")


@router.get("/generators")
async def generators(r: R, a: A) -> str:
    note("route")
    return r + a


@router.get("/generators/{how}")
async def failing(how: str, r: R, a: A) -> Response:
    note("route")
    if how == "refused":
        raise Refused
    if how == "special":
        raise Special
    if how == "http":
        raise HTTPException(418, "teapot", headers={"X-Tea": "green"})
    return PlainTextResponse("as it is", 203, background=None)


@router.get("/self")
async def itself(request: Request) -> list[Any]:
    return [str(request.url_for("read", thing_id=1, kind="k")), request.path_params,
            request.scope["route"].path, request.scope["endpoint"].__name__]  # fmt: skip


@router.get("/secure")
async def secure(token: Annotated[str, Depends(OAuth2PasswordBearer("t"))]) -> str:
    return token


class Checked(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    since: Annotated[int, Field(alias="from")] = 0


class Late(Response):
    """A response that fails before it starts."""

    async def __call__(self, *_: Any) -> None:
        raise Refused


async def counted(flag: bool = False) -> str:
    note("counted")
    return str(flag)


async def counting(_: Annotated[str, Depends(counted, use_cache=False)]) -> str:
    note("counting")
    return "c"


async def on_counting(one: Annotated[str, Depends(counting)]) -> str:
    return one


async def on_second(one: Annotated[str, Depends(second)]) -> str:
    return one


async def swallowing() -> AsyncIterator[str]:
    with suppress(Refused):
        yield "s"


def in_a_thread_until_the_answer() -> Iterator[str]:
    note("thread begins")
    yield "t"
    note("thread ends")


async def ends_badly() -> AsyncIterator[str]:
    yield "b"
    raise Refused


@router.get("/by-name")
async def by_name(query: Annotated[Checked, Query()]) -> Checked:
    return query


@router.get("/late")
async def late() -> Response:
    return Late()


@router.get("/twice")
async def twice(
    one: Annotated[str, Depends(second)], two: Annotated[str, Depends(on_second)]
) -> list[str]:
    return [one, two]


@router.get("/not-cached-below")
async def not_cached_below(
    one: Annotated[str, Depends(counting)], two: Annotated[str, Depends(on_counting)]
) -> list[str]:
    return [one, two]


@router.get("/one-generator")
async def one_generator(
    a: Annotated[str, Depends(until_the_answer)],
    b: Annotated[str, Depends(until_the_answer, scope="request")],
    t: Annotated[str, Depends(in_a_thread_until_the_answer)],
) -> list[str]:
    return [a, b, t]


@router.get("/swallowed")
async def swallowed(s: Annotated[str, Depends(swallowing)]) -> str:
    raise Refused


@router.get("/ends-badly")
async def ending_badly(b: Annotated[str, Depends(ends_badly)]) -> str:
    return b


@router.get("/background-refuses")
async def background_refuses(background: BackgroundTasks) -> str:
    async def refuse() -> None:
        raise Refused

    background.add_task(refuse)
    return "sent"


@router.get("/handler-refuses")
async def handler_refuses() -> None:
    raise Twice


@router.get("/status/{status}")
async def any_status(status: int, response: Response) -> str:
    response.status_code = status
    return "text"


@router.get("/scope")
async def show_scope(request: Request) -> list[Any]:
    noted = request.scope["fastapi"]
    context = noted["effective_route_context"]
    return [
        sorted(noted),
        context.path,
        context.original_route is request.scope["route"],
        type(noted["included_router"]).__name__,
        request.scope["router"] is request.app.router,
    ]


class Twice(Exception):
    pass


async def handle_by_refusing(_: Request, error: Exception) -> Response:
    raise HTTPException(409, "again") from error


async def handle_refusal(_: Request, error: Exception) -> Response:
    return JSONResponse({"refused": type(error).__name__}, 409)


def handle_validation(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [{k: str(v) for k, v in it.items() if k != "ctx"} for it in error.errors()]
    return JSONResponse({"errors": errors, "body": str(error.body), "text": str(error)}, 422)


def make_app(*, short: bool) -> FastAPI:
    app = FastAPI(middleware=[Middleware(Dispatch)] if short else [])
    app.include_router(router, prefix="/api", dependencies=[Depends(first)])
    app.add_exception_handler(Refused, handle_refusal)
    app.add_exception_handler(Twice, handle_by_refusing)
    app.add_exception_handler(RequestValidationError, handle_validation)
    return app


REQUESTS: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", "/plain", {}),
    ("GET", "/wrong", {}),
    ("GET", "/none", {}),
    ("GET", "/tree?flag=true", {}),
    ("GET", "/tree?flag=perhaps", {}),
    ("GET", "/things/7/big?Must=3", {}),
    ("GET", "/things/7/big?Must=3&q=abcd&many=1&many=2", {}),
    ("GET", "/things/7/big?many=1&many=x&Must=1&Must=2", {}),
    ("GET", "/things/0/a%20b?q=&Must=", {}),
    ("GET", "/things/x/y", {}),
    ("GET", "/narrowed", {}),
    ("GET", "/narrowed?sort=a&tags=1&tags=2&from=3", {}),
    ("GET", "/narrowed?sort=c&from=-1&since=1&more=1&more=2", {}),
    ("GET", "/narrowed?sort=b&sort=a", {}),
    ("GET", "/heads", {}),
    ("GET", "/heads", {"headers": [("If-Match", "x"), ("X-Many", "1"), ("X-Many", "2"),
                                   ("Cookie", "c=d")]}),
    ("GET", "/strict-heads", {}),
    ("GET", "/strict-heads", {"headers": [("X-COUNT", "1"), ("the-key", "kk"), ("under_score", "u"),
                                          ("x-count", "0"), ("Cookie", "d=1; c=7")]}),
    ("GET", "/strict-heads", {"headers": [("X-Count", "x"), ("The-Key", ""), ("Under-Score", "u"),
                                          ("Cookie", "c=10; c=11")]}),
    ("POST", "/things", {"json": {"name": "thing"}}),
    ("POST", "/things?flag=x", {"json": {"name": "t"}}),
    ("POST", "/things", {"content": b"{", "headers": {"Content-Type": "application/json"}}),
    ("POST", "/things", {"content": b"\xff", "headers": {"Content-Type": "application/json"}}),
    ("POST", "/things", {"content": b'{"name": "ab"}', "headers": {"Content-Type": "text/plain"}}),
    ("POST", "/things", {"content": b'{"name": "ab"}'}),
    ("POST", "/things", {"content": b'{"name": "ab"}',
                         "headers": {"Content-Type": "application/x+json; charset=utf-8"}}),
    ("POST", "/things", {}),
    ("POST", "/two", {"json": {"thing": {"name": "ab"}, "times": 2}}),
    ("POST", "/two", {"json": {"thing": {"name": "a"}, "times": 0}}),
    ("POST", "/two", {"json": [1]}),
    ("POST", "/demoted", {"json": {"name": "admin"}}),
    ("GET", "/stacks", {}),
    ("DELETE", "/things/3", {}),
    ("GET", "/generators", {}),
    ("GET", "/generators/refused", {}),
    ("GET", "/generators/special", {}),
    ("GET", "/generators/http", {}),
    ("GET", "/generators/response", {}),
    ("GET", "/self", {}),
    ("GET", "/secure", {}),
    ("GET", "/secure", {"headers": {"Authorization": "Bearer abc"}}),
    ("GET", "/by-name?since=3", {}),
    ("GET", "/by-name?from=3&since=4", {}),
    ("GET", "/late", {}),
    ("GET", "/twice", {}),
    ("GET", "/twice?flag=perhaps", {}),
    ("GET", "/not-cached-below", {}),
    ("GET", "/not-cached-below?flag=perhaps", {}),
    ("GET", "/one-generator", {}),
    ("GET", "/swallowed", {}),
    ("GET", "/ends-badly", {}),
    ("GET", "/background-refuses", {}),
    ("GET", "/handler-refuses", {}),
    ("GET", "/status/204", {}),
    ("GET", "/status/205", {}),
    ("GET", "/status/304", {}),
    ("GET", "/status/299", {}),
    ("GET", "/scope", {}),
    ("GET", "/nowhere", {}),
    ("PATCH", "/plain", {}),
]  # fmt: skip


async def run(app: FastAPI, method: str, path: str, options: dict[str, Any]) -> dict[str, Any]:
    token = did.set([])
    transport = ASGITransport(app, raise_app_exceptions=True)
    try:
        async with AsyncClient(transport=transport, base_url="http://test") as client:
            answer = await client.request(method, f"/api/it{path}", **options)
        told: dict[str, Any] = {
            "status": answer.status_code,
            "headers": sorted(answer.headers.multi_items()),
            "body": answer.text,
        }
    except Exception as error:  # noqa: BLE001 - whatever it is, both have to raise it
        told = {"raised": type(error).__name__}
    told["did"] = list(did.get())
    did.reset(token)
    return told


@pytest.mark.parametrize(("method", "path", "options"), REQUESTS)
async def test_fast_path_and_fastapi_return_equal_responses(
    method: str, path: str, options: dict[str, Any]
) -> None:
    ours = await run(make_app(short=True), method, path, options)
    theirs = await run(make_app(short=False), method, path, options)

    assert ours == theirs


def test_compared_routes_use_the_fast_path() -> None:
    table = make_table(make_app(short=True))
    paths = {path.partition("?")[0] for _, path, _ in REQUESTS} - {"/nowhere", "/things"}
    assert table.find("/api/it/not-cached-below", "GET") is None
    paths.remove("/not-cached-below")

    assert [path for path in sorted(paths) if not table.find(f"/api/it{path}", "GET")] == [
        "/demoted", "/things/3", "/two",
    ]  # fmt: skip
    assert table.find("/api/it/demoted", "POST")
    assert table.find("/api/it/two", "POST")


def test_all_fields_of_dependant_are_supported() -> None:
    """Fail if an update of FastAPI adds a field that the dispatcher does not know."""
    assert {field.name for field in fields(Dependant)} == SUPPORTED


async def test_own_dependencies_use_no_thread(app: FastAPI) -> None:
    plans = [
        (route.path, make_plan(route.dependant, embeds_body=False)) for route in walk_routes(app)
    ]
    assert len(plans) > 30
    assert not [path for path, plan in plans for it in plan.steps if it.kind is CallKind.THREAD]


async def test_only_forms_and_parameter_models_use_the_slow_path(app: FastAPI) -> None:
    table = make_table(app)
    long = {
        route.path
        for route in walk_routes(app)
        for method in route.methods or ()
        if not table.find((route.path or "").replace("{", "x").replace("}", ""), method)
    }
    redirects = {f"/api/v1/auth/oidc/{{provider}}/{step}" for step in ("callback", "link", "start")}
    assert long == {"/api/v1/auth/token", *redirects}
