"""Every response has the security headers, including errors and responses of middleware."""

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.types import Receive, Scope, Send

from plinth.application import MIDDLEWARE
from plinth.http.middleware import (
    RequestContextMiddleware,
    SecurityHeadersMiddleware,
    ServerErrorMiddleware,
)
from plinth.testing.asgi import send
from plinth.testing.people import People

EXPECTED = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cache-control": "no-store",
}


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/api/v1/health", 200),
        ("HEAD", "/", 200),
        ("GET", "/nowhere", 404),
        ("PUT", "/api/v1/users/me", 405),
        ("OPTIONS", "/api/v1/users/me", 204),
        ("GET", "/api/v1/users/me", 401),
        ("POST", "/api/v1/auth/login", 422),
    ],
)
async def test_responses_and_errors_have_the_headers(
    app: FastAPI, client: AsyncClient, method: str, target: str, status: int
) -> None:
    answer = await send(app, method, target)

    assert answer.status == status
    assert {name: answer.headers.get(name) for name in EXPECTED} == EXPECTED
    assert "strict-transport-security" not in answer.headers


async def test_private_response_has_no_store(client: AsyncClient, people: People) -> None:
    answer = await client.get("/users/me", headers=(await people.enter()).headers)

    assert answer.headers["cache-control"] == "no-store"


async def test_responses_of_the_outermost_middleware_have_the_headers(app: FastAPI) -> None:
    too_large = [(b"content-length", b"99999999999")]
    preflight = [(b"origin", b"http://evil.example"), (b"access-control-request-method", b"GET")]

    for answer in (
        await send(app, "POST", "/api/v1/auth/login", too_large),
        await send(app, "OPTIONS", "/", preflight),
    ):
        assert answer.status in (400, 413)
        assert {name: answer.headers.get(name) for name in EXPECTED} == EXPECTED
    outermost = getattr(MIDDLEWARE[0].cls, "__name__", None)
    assert outermost == RequestContextMiddleware.__name__, (
        "outside of it an answer would go without"
    )


async def test_unexpected_error_has_the_headers() -> None:
    async def break_down(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("unexpected")

    app = Starlette(
        middleware=[
            Middleware(
                RequestContextMiddleware,
                trusted_proxies=[],
                adding=[SecurityHeadersMiddleware(https_only=True)],
            ),
            Middleware(ServerErrorMiddleware),
        ]
    )
    app.mount("/", break_down)
    answer = await send(app, "GET", "/")

    assert answer.status == 500
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["strict-transport-security"] == "max-age=31536000"


async def test_header_set_by_a_route_is_not_repeated(client: AsyncClient, app: FastAPI) -> None:
    answer = await client.get("http://test/.well-known/jwks.json")

    assert answer.headers.get_list("cache-control") == ["public, max-age=300"]
    assert answer.headers["x-content-type-options"] == "nosniff"
