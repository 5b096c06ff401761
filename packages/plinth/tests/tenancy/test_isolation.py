"""Two organizations send interleaved requests on one connection, and never see a foreign row.

The policies alone isolate them, so each filter by organization in the code can be removed. The
filters alone isolate them as well.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import asyncpg
import pytest
from fastapi import APIRouter, Depends, FastAPI
from httpx2 import ASGITransport, AsyncClient, Response

from plinth.accounts.deps import Resources
from plinth.config import fast_paths, settings
from plinth.db.database import Database
from plinth.db.schema.isolation import DISABLE, ENABLE
from plinth.db.tenancy import tenant
from plinth.organizations.deps import get_member
from plinth.resources import CRUDResource, idempotency, page_query
from plinth.testing.databases import as_application
from plinth.testing.people import People, Person
from tests.kit.tables import TRIGGERS
from tests.support.application import create_app
from tests.tenancy.bills import TABLES, Apart, bills, router

ONE_CONNECTION = {"DB_POOL_SIZE": 1, "DB_MAX_OVERFLOW": 0}
REQUESTS = 1000
FEW = 120


@dataclass
class Company:
    """An organization as its member sees it.

    Attributes:
        known: rows that responses contained, by id.
        foreign: responses or rows of the table that have a row of another organization.
    """

    id: int
    slug: str
    member: Person
    client_id: int
    numbers: int = 0
    cursor: str | None = None
    known: list[int] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)

    def next_number(self) -> str:
        self.numbers += 1
        return f"{self.slug}-{self.numbers}"

    def note(self, response: Response) -> Any:
        request = response.request
        self.statuses[f"{request.method} {response.status_code}"] += 1
        if not response.is_success or not response.content:
            return None
        body = response.json()
        rows = body["items"] if "items" in body else body if isinstance(body, list) else [body]
        for row in rows:
            if row["organization_id"] != self.id or not row["number"].startswith(self.slug):
                self.foreign.append(f"{request.method} {request.url}: {row}")
        return body


@pytest.fixture
def notes() -> None:
    """Instead of the table of the other modules here."""


@pytest.fixture
async def tables(database_url: str, second: asyncpg.Connection) -> AsyncIterator[None]:
    owner = Database(database_url, settings, Apart.metadata)
    async with owner.engine.begin() as connection:
        await connection.run_sync(Apart.metadata.create_all, TABLES)
        for table in TABLES:
            for statement in (*TRIGGERS.format(table=table.name).split(";")[:-1], *ENABLE):
                await connection.exec_driver_sql(statement.format(table=table.name))
    yield
    async with owner.engine.begin() as connection:
        await connection.run_sync(Apart.metadata.drop_all, TABLES)
    await owner.close()


@pytest.fixture(params=["fast paths", "ordinary paths"])
async def billing(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    resources: Resources,
    database_url: str,
    tables: None,
) -> AsyncIterator[FastAPI]:
    """An application with these tables, whose pool has one connection."""
    if request.param == "ordinary paths":
        monkeypatch.setattr(fast_paths, "are_on", lambda _: False)
    app = create_app()
    members = APIRouter()
    members.include_router(router, dependencies=[Depends(get_member)])
    app.include_router(members, prefix=settings.API_V1_PREFIX)
    few = settings.model_copy(update=ONE_CONNECTION)
    database = Database(as_application(database_url), few, Apart.metadata)
    app.state.resources = replace(resources, database=database)
    yield app
    await database.close()


@pytest.fixture
async def companies(people: People, second: asyncpg.Connection, tables: None) -> list[Company]:
    """One user is a member of both, so that only the organization separates the rows."""
    both = await people.enter()
    found = []
    for slug in ("acme", "other"):
        organization_id = await people.add_organization(slug)
        await people.join(organization_id, both, "owner")
        client_id = await second.fetchval(
            "INSERT INTO clients (organization_id, name) VALUES ($1, 'c') RETURNING id",
            organization_id,
        )
        found.append(Company(organization_id, slug, both, client_id))
    return found


@asynccontextmanager
async def connected(app: FastAPI) -> AsyncIterator[AsyncClient]:
    transport = ASGITransport(app, raise_app_exceptions=False)
    async with AsyncClient(transport=transport, base_url="http://test/api/v1") as client:
        yield client


async def send_all(app: FastAPI, companies: Sequence[Company], requests: int) -> None:
    """Send requests of all kinds for both organizations at the same time."""
    ours, theirs = companies
    async with connected(app) as client:
        while sum(it.statuses.total() for it in companies) < requests:
            await asyncio.gather(
                send_one_of_each(client, ours, theirs), send_one_of_each(client, theirs, ours)
            )


async def send_one_of_each(client: AsyncClient, ours: Company, theirs: Company) -> None:
    """Call every route, with ids, a cursor, a key, a search and a reference of the other one."""
    path = f"/organizations/{ours.slug}/bills/"
    headers = ours.member.headers

    async def send(method: str, where: str, json: Any = None, **more: str) -> Any:
        response = await client.request(method, where, json=json, headers={**headers, **more})
        return ours.note(response)

    key = f"key-{ours.numbers}"
    made = await send("POST", path, {"number": ours.next_number()}, **{"Idempotency-Key": key})
    await send("POST", f"{path}bulk", [{"number": ours.next_number()} for _ in range(2)])
    if made:
        ours.known.append(made["id"])
        await send("GET", f"{path}{made['id']}")
        changes = {"number": ours.next_number(), "client_id": ours.client_id}
        await send("PATCH", f"{path}{made['id']}", changes)
    first = await send("GET", f"{path}?limit=2")
    await send("GET", path)
    await send("GET", f"{path}?q={theirs.slug}")
    await send("GET", f"{path}?number={theirs.slug}-1")
    if first and first["next"]:
        ours.cursor = first["next"].partition("cursor=")[2].partition("&")[0]
        await send("GET", first["next"].removeprefix(settings.API_V1_PREFIX))
    if theirs.cursor:
        await send("GET", f"{path}?limit=2&cursor={theirs.cursor}")
    for foreign in theirs.known[-2:]:
        await send("GET", f"{path}{foreign}")
        await send("PATCH", f"{path}{foreign}", {"number": ours.next_number()})
        await send("DELETE", f"{path}{foreign}")
    reference = {"number": ours.next_number(), "client_id": theirs.client_id}
    await send("POST", path, reference)
    same = {"number": f"{theirs.slug}-{theirs.numbers}"}
    await send("POST", path, {"number": f"{ours.slug}-{same}"[:50]}, **{"Idempotency-Key": key})
    if len(ours.known) > 5:
        await send("DELETE", f"{path}{ours.known.pop(0)}")


async def find_foreign(companies: Sequence[Company], second: asyncpg.Connection) -> list[str]:
    """Return foreign rows at the client, and rows that a request of another one changed or lost."""
    seen = [it for company in companies for it in company.foreign]
    rows = {row["id"]: row for row in await second.fetch("SELECT * FROM bills")}
    for company in companies:
        seen += [f"lost: {it}" for it in company.known if it not in rows]
        seen += [
            f"changed: {row}"
            for row in rows.values()
            if row["organization_id"] == company.id and not row["number"].startswith(company.slug)
        ]
    return seen


async def test_requests_of_two_organizations_see_no_foreign_row(
    billing: FastAPI, companies: list[Company], second: asyncpg.Connection
) -> None:
    await send_all(billing, companies, REQUESTS)

    assert await find_foreign(companies, second) == []
    total = companies[0].statuses + companies[1].statuses
    assert total.total() >= REQUESTS
    expected = {
        "POST 201", "GET 200", "PATCH 200", "DELETE 204",
        "GET 404", "PATCH 404", "DELETE 404", "GET 422", "POST 422",
    }  # fmt: skip
    assert set(total) == expected, "a request was answered in another way"


class Everyone:
    """A caller whose comparison with the organization of a row always succeeds."""

    class _Any(int):
        def __eq__(self, _: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

    organization_id = _Any()


async def get_unfiltered(self: Any, db: Any, id: int, *, viewer: Any) -> Any:  # noqa: A002
    everyone: Any = Everyone
    return await GET(self, db, id, viewer=viewer and everyone)


async def get_unfiltered_page(self: Any, db: Any, params: Any, **_: Any) -> Any:
    return await self.listing.fetch(db, params)


GET = CRUDResource.get
REMOVALS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "of a row": lambda patch: patch.setattr(CRUDResource, "get", get_unfiltered),
    "of a change": lambda patch: patch.setattr(CRUDResource, "_owned_by", lambda *_: []),
    "of a list": lambda patch: patch.setattr(CRUDResource, "get_page", get_unfiltered_page),
    "of a cursor": lambda patch: patch.setattr(page_query, "current_tenant", lambda: None),
    "of a key": lambda patch: patch.setattr(idempotency, "current_tenant", lambda: None),
}
SEEN_WITHOUT_POLICY = ("of a row", "of a change", "of a list")


@pytest.mark.parametrize("removed", REMOVALS)
@pytest.mark.parametrize("billing", ["fast paths"], indirect=True)
async def test_policies_isolate_without_a_filter(
    billing: FastAPI,
    companies: list[Company],
    second: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    removed: str,
) -> None:
    REMOVALS[removed](monkeypatch)
    await send_all(billing, companies, FEW)
    assert await find_foreign(companies, second) == []


@pytest.mark.parametrize("removed", SEEN_WITHOUT_POLICY)
@pytest.mark.parametrize("billing", ["fast paths"], indirect=True)
async def test_foreign_rows_appear_without_filter_and_policy(
    billing: FastAPI,
    companies: list[Company],
    second: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    removed: str,
) -> None:
    """So the tests above can fail."""
    await drop_policies(second)
    REMOVALS[removed](monkeypatch)
    await send_all(billing, companies, FEW)
    assert await find_foreign(companies, second) != []


@pytest.mark.parametrize("billing", ["fast paths"], indirect=True)
async def test_filters_isolate_without_policies(
    billing: FastAPI, companies: list[Company], second: asyncpg.Connection
) -> None:
    await drop_policies(second)
    await send_all(billing, companies, FEW)
    assert await find_foreign(companies, second) == []


async def drop_policies(second: asyncpg.Connection) -> None:
    for table in TABLES:
        for statement in DISABLE:
            await second.execute(statement.format(table=table.name))


async def test_worker_and_export_read_each_organization_apart(
    billing: FastAPI, companies: list[Company]
) -> None:
    """Outside of requests, without a filter in the code."""
    await send_all(billing, companies, FEW)
    database: Database = billing.state.resources.database

    async def export(company: Company) -> set[int]:
        with tenant(company.id):
            found = set()
            for skip in range(0, 20, 5):
                async with database.transaction() as db:
                    rows = await bills.rows.get_multi(db, skip=skip, limit=5)
                found |= {row.organization_id for row in rows}
        return found

    found = await asyncio.gather(*map(export, companies))
    assert found == [{company.id} for company in companies]
    async with database.transaction() as db:
        assert await bills.rows.get_count(db) == 0
