"""Middleware that a team adds to the application, as FastAPI's documentation says."""

import logging
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from httpx2 import ASGITransport, AsyncClient
from starlette.types import ASGIApp, Receive, Scope, Send

from plinth.http.middleware import RequestContextMiddleware
from plinth.observability.logs import LoggedOnce, make_config
from tests.support.application import create_app


class Noting:
    """Record the order of calls and the exceptions."""

    def __init__(self, app: ASGIApp, name: str, seen: list[Any]) -> None:
        self.app, self.name, self.seen = app, name, seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self.seen.append(self.name)
        try:
            await self.app(scope, receive, send)
        except Exception as error:
            self.seen.append((self.name, error))
            raise


class Broken(Exception):
    pass


@pytest.fixture
def seen() -> list[Any]:
    return []


@pytest.fixture
def fresh(seen: list[Any]) -> FastAPI:
    app = create_app()
    app.add_middleware(Noting, name="first", seen=seen)

    @app.middleware("http")
    async def second(request: Request, call_next: Any) -> Any:
        seen.append("second")
        response = await call_next(request)
        response.headers["x-second"] = request.url.path
        return response

    app.add_middleware(Noting, name="third", seen=seen)

    @app.get("/broken")
    async def broken() -> None:
        raise Broken("of our own making")

    return app


async def get(app: FastAPI, path: str, **headers: str) -> Any:
    transport = ASGITransport(app, raise_app_exceptions=False)
    async with AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.get(path, headers=headers)


@pytest.mark.parametrize("path", ["/", "/nowhere"])
async def test_added_middleware_runs_the_last_added_outermost(
    fresh: FastAPI, seen: list[Any], path: str
) -> None:
    response = await get(fresh, path)
    assert seen == ["third", "second", "first"]
    assert response.headers["x-second"] == path
    assert "x-request-id" in response.headers


def test_middleware_stack_is_built_by_fastapi(fresh: FastAPI) -> None:
    assert type(fresh) is FastAPI
    stack, names = fresh.build_middleware_stack(), []
    while not isinstance(stack, RequestContextMiddleware):
        names.append(type(stack).__name__)
        stack = stack.app  # type: ignore[attr-defined]
    assert names == [
        "ServerErrorMiddleware", "ExceptionTelemetryMiddleware", "AppBodyLimitMiddleware",
        "TrailingSlashMiddleware", "Noting", "BaseHTTPMiddleware", "Noting",
    ]  # fmt: skip


@pytest.mark.parametrize("declared", ["/guarded", "/guarded/"])
@pytest.mark.parametrize("asked", ["/guarded", "/guarded/"])
async def test_added_middleware_sees_the_path_that_is_routed(declared: str, asked: str) -> None:
    """Otherwise a trailing slash would bypass a middleware that protects a path."""
    app = create_app()
    app.get(declared)(lambda: "shown")

    @app.middleware("http")
    async def guard(request: Request, call_next: Any) -> Any:
        if request.url.path == declared:
            return JSONResponse({}, 403)
        return await call_next(request)

    assert (await get(app, asked)).status_code == 403


async def test_error_reporter_sees_the_exception_and_the_client_gets_a_problem(
    fresh: FastAPI, seen: list[Any]
) -> None:
    response = await get(fresh, "/broken", Origin="http://localhost:3000")

    reported = [(it[0], type(it[1])) for it in seen if isinstance(it, tuple)]
    assert reported == [("first", Broken), ("third", Broken)]
    assert response.status_code == 500
    assert response.json()["code"] == "internal_error"
    assert "Broken" not in response.text
    assert "of our own making" not in response.text
    assert response.headers["access-control-allow-origin"] == "http://localhost:3000"


async def test_exception_handler_for_500_creates_the_response(fresh: FastAPI) -> None:
    @fresh.exception_handler(500)
    async def handle(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"at": request.url.path, "kind": type(error).__name__}, 500)

    response = await get(fresh, "/broken", Origin="http://localhost:3000")
    assert response.json() == {"at": "/broken", "kind": "Broken"}
    assert "access-control-allow-origin" in response.headers


async def test_exception_is_logged_with_one_traceback(
    fresh: FastAPI, seen: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    await get(fresh, "/broken")
    assert [it.getMessage() for it in caplog.records if it.exc_info] == [
        "unexpected error at /broken"
    ]

    config = make_config()
    assert config["loggers"]["uvicorn.error"]["filters"] == ["once"]
    assert config["filters"]["once"]["()"].endswith(LoggedOnce.__name__)
    logged = next(it[1] for it in seen if isinstance(it, tuple))
    assert not LoggedOnce().filter(reporting(logged))
    assert LoggedOnce().filter(reporting(Broken()))


def reporting(error: Exception) -> logging.LogRecord:
    info = (type(error), error, error.__traceback__)
    return logging.LogRecord("uvicorn.error", logging.ERROR, "", 0, "Exception", (), info)
