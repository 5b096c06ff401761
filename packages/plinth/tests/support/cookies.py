"""An application with sessions in cookies, and a page of its front end."""

from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any

from fastapi import APIRouter, FastAPI
from httpx2 import AsyncClient, Response

from app.api.deps import CurrentUser, OptionalUser
from app.api.v1 import api_router
from plinth import application
from plinth.accounts.deps import Resources
from plinth.accounts.routes import cookie_sessions
from plinth.errors import Unauthenticated
from plinth.http import responses
from plinth.testing.people import Person

ORIGIN = "http://test"
SAME_ORIGIN = {"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin"}
IN_COOKIES = {"X-Auth-Transport": "cookie"}


own = APIRouter(prefix="/own")


@own.get("/public")
async def read_own(user: OptionalUser) -> str:
    return user.username if user else "guest"


@own.post("/public")
async def write_own(user: OptionalUser) -> str:
    return user.username if user else "guest"


@own.api_route(
    "/any", methods=["POST", "PUT", "PATCH", "DELETE", "REPORT"], include_in_schema=False
)
async def write_by_any_method(user: CurrentUser) -> str:
    return user.username


@own.post("/private", responses=responses(Unauthenticated))
async def write_private(user: CurrentUser) -> str:
    return user.username


def make_app(resources: Resources) -> FastAPI:
    """Return an application with `AUTH_COOKIES=true` and the routes of a team."""
    router = APIRouter()
    router.include_router(own)
    router.include_router(cookie_sessions.public_router, prefix="/auth")
    router.include_router(
        cookie_sessions.private_router, prefix="/auth", responses=responses(Unauthenticated)
    )
    router.include_router(api_router)
    app = application.create_app(router)
    app.state.resources = resources
    return app


def read_cookies(response: Response) -> dict[str, Any]:
    """Return the cookies that a response sets, with their attributes."""
    cookies: SimpleCookie = SimpleCookie()
    for line in response.headers.get_list("set-cookie"):
        cookies.load(line)
    return dict(cookies)


@dataclass
class Page:
    """A page of the front end: it sends its cookies, its origin, and the CSRF token it knows."""

    client: AsyncClient
    cookies: dict[str, str] = field(default_factory=dict)
    csrf_token: str | None = None

    async def sign_in(self, person: Person) -> "Page":
        body = {"email": person.email, "password": person.password}
        response = await self.post("/auth/login", json=body, headers=IN_COOKIES)
        assert response.status_code == 204, response.text
        assert response.content == b""
        await self.fetch_csrf_token()
        return self

    async def fetch_csrf_token(self) -> str:
        response = await self.get("/auth/cookies/csrf")
        assert response.status_code == 200, response.text
        token: str = response.json()["csrf_token"]
        self.csrf_token = token
        return token

    async def get(self, path: str, **options: Any) -> Response:
        return await self.send("GET", path, **options)

    async def post(self, path: str, **options: Any) -> Response:
        return await self.send("POST", path, **options)

    async def patch(self, path: str, **options: Any) -> Response:
        return await self.send("PATCH", path, **options)

    async def refresh(self) -> Response:
        return await self.post("/auth/cookies/refresh", headers=IN_COOKIES)

    async def send(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, **options: Any
    ) -> Response:
        sent = dict(SAME_ORIGIN)
        if self.csrf_token:
            sent["X-CSRF-Token"] = self.csrf_token
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent |= headers or {}
        encoded = [(name.encode(), it.encode("latin-1")) for name, it in sent.items() if it]
        response = await self.client.request(method, path, headers=encoded, **options)
        for name, cookie in read_cookies(response).items():
            self.cookies[name] = cookie.value
            if cookie["max-age"] == "0":
                del self.cookies[name]
        return response
