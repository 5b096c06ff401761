"""Bindings of a row, a cursor and an idempotency key that routes alone cannot test."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi import APIRouter, FastAPI
from httpx2 import ASGITransport, AsyncClient

from plinth.accounts.deps import VerifiedUser
from plinth.accounts.models import User
from plinth.accounts.queries.principal import Principal
from plinth.db.database import Database
from plinth.errors import NotFound
from plinth.http import problems
from plinth.request.conventions import ErrorFormat
from plinth.resources.crud import CRUDResource
from plinth.resources.pages import ListParams
from plinth.testing.answers import check_invalid
from plinth.testing.people import People, Person
from tests.kit.drafts import DraftCreate, drafts, router


@pytest.fixture
async def owner(people: People) -> Person:
    return await people.enter()


@pytest.fixture
async def apart(drafts_app: FastAPI) -> Database:
    found: Database = drafts_app.state.resources.database
    return found


async def test_guest_finds_no_owned_row(
    client: AsyncClient, owner: Person, apart: Database
) -> None:
    made = await client.post("/drafts/", json={"title": "First"}, headers=owner.headers)

    with pytest.raises(NotFound):
        await drafts.get(apart.reader, made.json()["id"], viewer=None)
    page = await drafts.get_page(apart.reader, ListParams(limit=10, total=True), viewer=None)
    assert (list(page.items), page.total) == ([], 0)


async def test_owner_is_the_creator_even_if_the_schema_accepts_owner_id(
    client: AsyncClient, owner: Person, people: People, apart: Database
) -> None:
    class CarelessCreate(DraftCreate):
        owner_id: int

    other = await people.enter()
    me = (await client.get("/users/me", headers=owner.headers)).json()
    row: Any = Principal
    maker = row._make([me["id"], *[None] * (len(row._fields) - 1)])
    async with apart.transaction() as db:
        made = await drafts.create(db, CarelessCreate(title="First", owner_id=other.id), by=maker)
        given: dict[str, Any] = {"owner_id": other.id}
        more = await drafts.create(db, DraftCreate(title="Second"), by=maker, **given)
    assert (made.owner_id, more.owner_id) == (owner.id, owner.id)


async def test_column_from_the_route_overrides_the_body(
    client: AsyncClient, owner: Person, apart: Database
) -> None:
    row: Any = Principal
    maker = row._make([owner.id, *[None] * (len(row._fields) - 1)])
    async with apart.transaction() as db:
        made = await drafts.create(db, DraftCreate(title="Sent"), by=maker, title="Given")
    assert made.title == "Given"


def test_deny_writes_requires_an_owner_column() -> None:
    with pytest.raises(ValueError, match="User: deny_writes=True needs an owner for each row"):
        CRUDResource[User, DraftCreate, DraftCreate](User, deny_writes=True)


def test_error_format_refuses_a_success_status() -> None:
    def render(_: object) -> DraftCreate:
        return DraftCreate(title="Error")

    for status in (200, 304, 600):
        with pytest.raises(ValueError, match=f"unauthenticated has {status}; use one from 400"):
            ErrorFormat(render, DraftCreate, statuses={"unauthenticated": status})


async def test_cursor_of_another_table_is_refused(client: AsyncClient, people: People) -> None:
    superuser = await people.enter(is_superuser=True)
    for title in ("First", "Second"):
        await client.post("/drafts/", json={"title": title}, headers=superuser.headers)
    order: dict[str, str | int] = {"sort": "-created_at", "limit": 1}
    page = await client.get("/drafts/", params=order, headers=superuser.headers)
    (cursor,) = parse_qs(urlsplit(page.json()["next"]).query)["cursor"]

    own = await client.get("/users/", params=order, headers=superuser.headers)
    assert own.status_code == 200, "the order exists there"
    answer = await client.get(
        f"/users/?cursor={cursor}&sort=-created_at", headers=superuser.headers
    )
    check_invalid(answer, "query.cursor")


async def test_an_idempotency_key_is_bound_to_the_path(drafts_app: FastAPI, owner: Person) -> None:
    headers = owner.headers | {"Idempotency-Key": "key"}
    async with AsyncClient(
        transport=ASGITransport(_twice(drafts_app)), base_url="http://test"
    ) as client:
        first = await client.post("/one/drafts/", json={"title": "First"}, headers=headers)
        assert first.status_code == 201
        other = await client.post("/two/drafts/", json={"title": "First"}, headers=headers)
        assert (other.status_code, other.json()["code"]) == (422, "validation_error")


async def test_unverified_user_is_refused_if_verification_is_required(
    drafts_app: FastAPI, people: People
) -> None:
    async with AsyncClient(
        transport=ASGITransport(_twice(drafts_app)), base_url="http://test"
    ) as client:
        verified = await people.enter(is_verified=True)
        allowed = await client.get("/verified", headers=verified.headers)
        assert allowed.json() == verified.id
        unverified = await people.enter(is_verified=False)
        refused = await client.get("/verified", headers=unverified.headers)
        assert (refused.status_code, refused.json()["code"]) == (403, "unverified")


def _twice(drafts_app: FastAPI) -> FastAPI:
    """An application with the same resource at two paths, and a route for verified users."""
    app = FastAPI()
    problems.install(app)
    app.state.resources = drafts_app.state.resources
    more = APIRouter()

    @more.get("/verified")
    async def show(user: VerifiedUser) -> int:
        return user.id

    app.include_router(more)
    for prefix in ("/one", "/two"):
        app.include_router(router, prefix=prefix)
    return app
