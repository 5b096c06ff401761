"""API keys of test users, and an application whose routes declare permissions."""

from typing import Any

from fastapi import APIRouter, FastAPI
from httpx2 import AsyncClient

from app.api.v1 import api_router
from plinth import application
from plinth.accounts.deps import (
    CurrentUser,
    DirectUser,
    FreshUser,
    OptionalUser,
    Resources,
    Superuser,
    VerifiedUser,
)
from plinth.errors import PermissionDenied, Rejected, Unauthenticated
from plinth.http import responses
from plinth.resources import PUBLIC, SUPERUSER, USER, access
from plinth.testing.people import Person

SCOPE = "profile:read"
ALL = ["things:read", "things:write", SCOPE]
REFUSALS = responses(Unauthenticated, PermissionDenied, Rejected)

things = APIRouter(prefix="/things", responses=REFUSALS)


@things.get("/read")
@access(USER, queries=1, permission="things:read")
async def read_things(user: CurrentUser) -> dict[str, Any]:
    return {"id": user.id, "is_superuser": user.is_superuser, "email": user.email}


@things.get("/plain")
@access(USER, queries=1)
async def read_plain(user: CurrentUser) -> int:
    return user.id


@things.get("/verified")
@access(USER, queries=1, permission="things:read")
async def read_verified(user: VerifiedUser) -> int:
    return user.id


@things.get("/guest")
@access(PUBLIC, queries=1)
async def read_as_guest(user: OptionalUser) -> int | None:
    return user.id if user else None


@things.get("/guest-by-key")
@access(PUBLIC, queries=1, permission="things:read")
async def read_as_guest_by_key(user: OptionalUser) -> int | None:
    return user.id if user else None


@things.get("/superuser")
@access(SUPERUSER, queries=1, permission="things:read")
async def read_as_superuser(user: Superuser) -> int:
    return user.id


@things.get("/direct")
@access(USER, queries=1, permission="things:read")
async def read_direct(user: DirectUser) -> int:
    return user.id


@things.get("/fresh")
@access(USER, queries=4, fresh=True, permission="things:read")
async def read_fresh(user: FreshUser) -> int:
    return user.id


@things.get("/field/{name}")
@access(USER, queries=1, permission="things:read")
async def read_field(user: CurrentUser, name: str) -> str:
    return str(getattr(user, name))


@things.post("/write")
@access(USER, queries=1, permission="things:write")
async def write_things(user: CurrentUser) -> int:
    return user.id


def make_app(resources: Resources) -> FastAPI:
    """Return the application with more routes."""
    router = APIRouter()
    router.include_router(things)
    router.include_router(api_router)
    app = application.create_app(router)
    app.state.resources = resources
    return app


async def create_key(
    client: AsyncClient, person: Person, scopes: list[str] | None = None, **body: Any
) -> dict[str, Any]:
    """Create a key and return the response."""
    content = {"name": "CI", "scopes": scopes or [SCOPE], **body}
    response = await client.post("/users/me/api-keys", json=content, headers=person.headers)
    assert response.status_code == 201, response.text
    created: dict[str, Any] = response.json()
    return created


def bearer(key: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {key['key']}"}


def header(key: dict[str, Any]) -> dict[str, str]:
    return {"X-API-Key": key["key"]}
