"""The names of routes in logs, metrics and traces: as many as an application declares."""

import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from plinth.http.middleware import (
    HeadMiddleware,
    MethodNotAllowedMiddleware,
    RequestContextMiddleware,
    RouteTemplateMiddleware,
    TrailingSlashMiddleware,
)
from plinth.http.request_metrics import MetricsMiddleware
from plinth.testing.asgi import send
from tests.support.logs import logging_to_memory


async def answer(*_: object) -> PlainTextResponse:
    return PlainTextResponse("here")


def make_app() -> FastAPI:
    inner = APIRouter(prefix="/things")
    inner.add_api_route("/{thing_id}", answer, response_model=None)
    outer = APIRouter(prefix="/v1")
    outer.include_router(inner)
    below = Starlette(routes=[Route("/", answer), Route("/rows/{row_id}", answer)])
    app = FastAPI(
        middleware=[
            Middleware(TrailingSlashMiddleware),
            Middleware(RequestContextMiddleware, trusted_proxies=[]),
            Middleware(MetricsMiddleware),
            Middleware(HeadMiddleware),
            Middleware(MethodNotAllowedMiddleware),
            Middleware(RouteTemplateMiddleware),
        ]
    )
    app.include_router(outer, prefix="/api")
    app.mount("/admin", below)
    return app


@pytest.mark.parametrize(
    ("method", "path", "route"),
    [
        ("GET", "/api/v1/things/7", "/api/v1/things/{thing_id}"),
        ("HEAD", "/api/v1/things/7/", "/api/v1/things/{thing_id}"),
        ("PUT", "/api/v1/things/7", "/api/v1/things/{thing_id}"),
        ("GET", "/admin/rows/7", "/admin/*"),
        ("GET", "/admin/nowhere/7", "/admin/*"),
        ("GET", "/api/v1/nothing", "unmatched"),
        ("GET", "/openapi.json", "/openapi.json"),
    ],
)
async def test_logged_route_is_the_declared_template(method: str, path: str, route: str) -> None:
    with logging_to_memory() as log:
        await send(make_app(), method, path)

    assert [line["route"] for line in log.requests] == [route]
