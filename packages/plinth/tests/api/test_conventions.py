"""A path with another error format and authentication scheme, as in the OpenAPI document."""

from collections.abc import AsyncIterator
from typing import Annotated

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query
from httpx2 import ASGITransport, AsyncClient, Response
from pydantic import BaseModel

from app.api.v1 import users
from plinth import application
from plinth.accounts.deps import (
    CurrentUser,
    OptionalUser,
    Resources,
    Superuser,
    ViewerId,
    get_current_user,
)
from plinth.accounts.routes import auth
from plinth.config import settings
from plinth.db.database import Database
from plinth.errors import (
    Conflict,
    ExceededLimit,
    InvalidField,
    NotFound,
    PermissionDenied,
    RateLimited,
    Rejected,
    Unauthenticated,
    Unavailable,
)
from plinth.http.problems import responses
from plinth.http.routes import without_routes
from plinth.rates import parse_rate
from plinth.request.conventions import Conventions, ErrorFormat, Failure
from plinth.resources.fields import Email
from plinth.testing.answers import check_body, check_documented, check_refusal
from plinth.testing.people import People

PREFIX = f"{settings.API_V1_PREFIX}/shop"


class Errors(BaseModel):
    errors: dict[str, list[str]]


def render(failure: Failure) -> Errors:
    if failure.fields:
        return Errors(errors={str(it.loc[-1]): [it.msg] for it in failure.fields})
    return Errors(errors={"body": [failure.detail]})


SHOP = Conventions(errors=ErrorFormat(render, Errors, statuses={"sold_out": 409}), scheme="Token")
RAISED = {
    "rejected": Rejected("Not today"),
    "sold_out": Rejected("Sold out", code="sold_out"),
    "unauthenticated": Unauthenticated(),
    "denied": PermissionDenied(),
    "not_found": NotFound("No such thing"),
    "conflict": Conflict(),
    "invalid": InvalidField("email", "is taken", kind="taken"),
    "too_many": RateLimited([ExceededLimit("shop", parse_rate("1/1m"), 7)]),
    "unavailable": Unavailable(),
}
EVERY = responses(*(type(it) for it in RAISED.values()))


class Order(BaseModel):
    email: Email


shop = APIRouter(prefix="/shop")


@shop.get("/raised/{name}", responses=EVERY)
async def get_raised(name: str) -> None:
    raise RAISED[name]


@shop.get("/gone", responses={410: {"description": "Gone", **responses(Conflict)[409]}})
async def get_gone() -> None:
    raise HTTPException(410, {"any": ["JSON"]})


@shop.post("/orders", status_code=201, responses=EVERY)
async def create_order(order: Order) -> Order:
    return order


@shop.get("/mine", responses=EVERY)
async def get_mine(user: CurrentUser) -> int:
    return user.id


@shop.get("/all", responses=EVERY)
async def get_all(user: Superuser, number: Annotated[int, Query(ge=1)] = 1) -> int:
    return number


@shop.get("/shown", responses=EVERY)
async def get_shown(user: OptionalUser) -> str:
    return user.username if user else "a guest"


@shop.get("/viewer", responses=EVERY)
async def get_viewer(viewer: ViewerId) -> int | None:
    return viewer


@shop.get("/broken")
async def get_broken() -> None:
    raise RuntimeError


@pytest.fixture(scope="module")
def shop_app(resources: Resources) -> FastAPI:
    router = APIRouter()
    for it in (auth.public_router, shop):
        router.include_router(it)
    router.include_router(users.router, responses=responses(Unauthenticated))
    app = application.create_app(router, conventions={PREFIX: SHOP})
    app.state.resources = resources
    return app


@pytest.fixture
async def team(shop_app: FastAPI, database: Database) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(
        transport=ASGITransport(shop_app, raise_app_exceptions=False),
        base_url=f"http://test{PREFIX}",
        event_hooks={"response": [check_documented(shop_app)]},
    ) as client:
        yield client


def check_errors(answer: Response, status: int, errors: dict[str, list[str]]) -> None:
    assert (answer.status_code, answer.json()) == (status, {"errors": errors})
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("name", RAISED)
async def test_route_error_has_the_documented_format(team: AsyncClient, name: str) -> None:
    """`check_documented` compares the body with the schema that the document names."""
    answer = await team.get(f"/raised/{name}")
    assert answer.status_code in EVERY
    assert set(answer.json()) == {"errors"}


async def test_error_keeps_its_headers_and_names_the_scheme(team: AsyncClient) -> None:
    answer = await team.get("/raised/too_many")
    check_errors(answer, 429, {"body": ["Too many attempts; try again later"]})
    assert answer.headers["retry-after"] == "7"
    answer = await team.get("/raised/unauthenticated")
    check_errors(answer, 401, {"body": ["Could not validate credentials"]})
    assert answer.headers["www-authenticate"] == "Token"


async def test_http_exception_with_any_detail_uses_the_format(team: AsyncClient) -> None:
    check_errors(await team.get("/gone"), 410, {"body": ["Gone"]})


async def test_error_code_can_have_another_status(team: AsyncClient) -> None:
    check_errors(await team.get("/raised/sold_out"), 409, {"body": ["Sold out"]})
    check_errors(await team.get("/raised/rejected"), 400, {"body": ["Not today"]})


async def test_validation_error_names_the_fields(team: AsyncClient) -> None:
    answer = await team.post("/orders", json={"email": "no\tbody@example.com"})
    reason = "must not contain control characters or lone surrogates"
    check_errors(answer, 422, {"email": [reason]})
    answer = await team.post("/orders", content="{", headers={"Content-Type": "application/json"})
    assert (answer.status_code, set(answer.json())) == (422, {"errors"})


async def test_lone_surrogate_in_the_body_is_422(team: AsyncClient) -> None:
    """UTF-8 cannot encode a lone surrogate."""
    answer = await team.post(
        "/orders", content=rb'{"\ud800": 1}', headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, set(answer.json())) == (422, {"errors"})


BEFORE_A_ROUTE = {
    "an unknown path": ("GET", "/nowhere", {}, b"", 404),
    "another method": ("PUT", "/orders", {}, b"", 405),
    "a large body": ("POST", "/orders", {}, b" " * (settings.MAX_BODY_SIZE + 1), 413),
    "a long path": ("GET", "/" + "a" * 3000, {}, b"", 414),
    "large headers": ("GET", "/mine", {"X-Large": "a" * 40_000}, b"", 431),
    "a failure of ours": ("GET", "/broken", {}, b"", 500),
}


@pytest.mark.parametrize("case", BEFORE_A_ROUTE)
async def test_errors_before_routing_use_the_format(
    team: AsyncClient, shop_app: FastAPI, case: str
) -> None:
    method, path, headers, body, status = BEFORE_A_ROUTE[case]
    answer = await team.request(method, path, headers=headers, content=body or None)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    check_body(shop_app.openapi(), {"$ref": "#/components/schemas/Errors"}, answer)


async def test_overload_response_uses_the_format(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    router = APIRouter()
    router.include_router(shop)
    app = application.create_app(router, conventions={PREFIX: SHOP})
    app.state.resources = resources
    (in_flight,) = (it for it in app.user_middleware if "prefix_limits" in it.kwargs)
    monkeypatch.setitem(in_flight.kwargs, "limit", 0)
    async with AsyncClient(transport=ASGITransport(app), base_url=f"http://test{PREFIX}") as client:
        answer = await client.get("/shown")
    assert (answer.status_code, set(answer.json())) == (503, {"errors"})


@pytest.mark.parametrize("path", ["/shopping", "/users/me"])
async def test_other_paths_return_problem_documents(
    team: AsyncClient, people: People, path: str
) -> None:
    answer = await team.get(f"http://test{settings.API_V1_PREFIX}{path}")
    if answer.status_code == 401:
        check_refusal(answer, 401, "Could not validate credentials")
    else:
        check_refusal(answer, 404, "Not Found")


async def test_each_path_accepts_only_its_scheme(team: AsyncClient, people: People) -> None:
    person = await people.enter()
    token = person.tokens["access_token"]
    for scheme in ("Token", "token"):
        headers = {"Authorization": f"{scheme} {token}"}
        assert (await team.get("/mine", headers=headers)).json() == person.id
        assert (await team.get("/all", headers=headers)).status_code == 403
    assert (
        await team.get("/mine", headers={"Authorization": f"Bearer {token}"})
    ).status_code == 401
    me = f"http://test{settings.API_V1_PREFIX}/users/me"
    assert (await team.get(me, headers={"Authorization": f"Token {token}"})).status_code == 401
    assert (await team.get(me, headers={"Authorization": f"Bearer {token}"})).status_code == 200


async def test_optional_authentication_serves_guests(team: AsyncClient, people: People) -> None:
    person = await people.enter()
    headers = {"Authorization": f"Token {person.tokens['access_token']}"}
    assert (await team.get("/shown")).json() == "a guest"
    assert (await team.get("/shown", headers=headers)).json() == person.username
    assert (await team.get("/viewer")).json() is None
    assert (await team.get("/viewer", headers=headers)).json() == person.id


def test_openapi_documents_the_format_and_the_scheme(shop_app: FastAPI) -> None:
    document = shop_app.openapi()
    mine = document["paths"][f"{PREFIX}/mine"]["get"]
    assert mine["security"] == [{"Token": []}]
    assert document["paths"][f"{PREFIX}/shown"]["get"]["security"] == [{}, {"Token": []}]
    assert document["paths"][f"{PREFIX}/viewer"]["get"]["security"] == [{}, {"Token": []}]
    assert document["components"]["securitySchemes"]["Token"]["type"] == "apiKey"
    me = document["paths"][f"{settings.API_V1_PREFIX}/users/me"]["get"]
    assert me["security"] == [{"OAuth2PasswordBearer": []}, {"apiKey": []}]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    expected = "application/json" if path.startswith(PREFIX) else "problem+json"
                    assert all(expected in it for it in response["content"]), (path, status)


def test_oauth2_scheme_without_a_token_route_is_plain_bearer() -> None:
    router = APIRouter()
    router.include_router(without_routes(auth.public_router, auth.login_by_form))
    router.include_router(users.router, dependencies=[Depends(get_current_user)])
    schemes = application.create_app(router).openapi()["components"]["securitySchemes"]
    assert schemes.keys() == {"OAuth2PasswordBearer", "apiKey"}
    assert schemes["OAuth2PasswordBearer"] == {"type": "http", "scheme": "bearer"}


def test_two_schemas_with_the_same_name_are_an_error() -> None:
    class PublicUser(BaseModel):
        wrong: str

    router = APIRouter()
    router.include_router(users.router)
    errors = ErrorFormat(lambda failure: PublicUser(wrong=failure.detail), PublicUser)
    app = application.create_app(router, conventions={"/api": Conventions(errors=errors)})
    with pytest.raises(ValueError, match=r"two different schemas named PublicUser"):
        app.openapi()


@pytest.mark.parametrize("prefix", ["", "shop", "/shop/", "/shop/{shop_id}"])
def test_invalid_prefix_is_an_error(prefix: str) -> None:
    with pytest.raises(ValueError, match=r"conventions: the prefix"):
        application.create_app(APIRouter(), conventions={prefix: SHOP})


def test_longest_prefix_applies() -> None:
    router = APIRouter()
    router.include_router(shop)
    app = application.create_app(
        router, conventions={settings.API_V1_PREFIX: Conventions(scheme="Key"), PREFIX: SHOP}
    )
    assert app.openapi()["paths"][f"{PREFIX}/mine"]["get"]["security"] == [{"Token": []}]
