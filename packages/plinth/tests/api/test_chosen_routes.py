"""An application chooses which of the library's routes exist."""

import json

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from app.api.v1 import users
from plinth import application
from plinth.accounts.routes import auth, user_sessions
from plinth.http.routes import without_routes
from plinth.testing.asgi import send

own = APIRouter(prefix="/users")


@own.get("/me")
async def get_me() -> str:
    return "mine"


def serve(*routers: APIRouter) -> FastAPI:
    api_router = APIRouter()
    for router in routers:
        api_router.include_router(router)
    return application.create_app(api_router)


async def test_dropped_route_is_404_and_not_documented() -> None:
    app = serve(without_routes(auth.public_router, auth.refresh, auth.login_by_form))
    paths = app.openapi()["paths"]
    assert "/api/v1/auth/login" in paths
    for path in ("/api/v1/auth/refresh", "/api/v1/auth/token"):
        assert path not in paths
        assert (await send(app, "POST", path)).status == 404


def test_without_routes_keeps_the_original_router() -> None:
    lacking = without_routes(auth.public_router, auth.login)
    assert len(lacking.routes) == len(auth.public_router.routes) - 1
    lacking.get("/auth/more")(get_me)
    assert all(
        it.endpoint is not get_me for it in auth.public_router.routes if isinstance(it, APIRoute)
    )


async def test_route_is_overridden_by_a_route_with_the_same_path() -> None:
    app = serve(own, without_routes(users.router, users.get_me))
    assert json.loads((await send(app, "GET", "/api/v1/users/me")).body) == "mine"
    assert "/api/v1/users/me/events" in app.openapi()["paths"]


def test_dropping_a_function_without_a_route_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"no route of app\.api\.v1\.users\.get_me\. "):
        without_routes(auth.public_router, users.get_me)


def test_duplicate_route_error_names_both_functions() -> None:
    with pytest.raises(ValueError, match="is never called") as raised:
        serve(users.router, own)
    text = str(raised.value)
    assert f"GET /api/v1/users/me ({__name__}.get_me)" in text
    assert "GET /api/v1/users/me (app.api.v1.users.get_me)" in text
    assert "without_routes(router, function)" in text


def test_route_shadowed_by_a_path_parameter_is_an_error() -> None:
    """Otherwise `/users/me` would match `/users/{user_id}` with an invalid id."""
    with pytest.raises(ValueError, match=r"users\.get_user\) comes before it"):
        serve(without_routes(users.router, users.get_me), own)


def test_other_methods_and_longer_paths_are_not_duplicates() -> None:
    routes = APIRouter(prefix="/users")
    routes.post("/me")(get_me)
    routes.get("/{user_id}/me")(get_me)
    assert serve(users.router, user_sessions.router, routes).routes
