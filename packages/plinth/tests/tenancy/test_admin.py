"""The admin shows the rows of an organization after a superuser has chosen it."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient, Response
from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from plinth import admin
from plinth.config import settings
from plinth.db.models import OrganizationOwned
from plinth.organizations.models import Organization
from plinth.testing.people import People
from tests.support.application import create_app
from tests.support.superuser import Superuser

PAGE = "/organization-data"


class Other(DeclarativeBase):
    metadata = MetaData()


Organization.__table__.to_metadata(Other.metadata)  # type: ignore[attr-defined]


class TenantNote(OrganizationOwned, Other):
    __tablename__ = "tenant_notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[str]


@pytest.fixture
async def root(
    app: FastAPI, people: People, monkeypatch: pytest.MonkeyPatch, second: asyncpg.Connection
) -> AsyncIterator[Superuser]:
    """A superuser of an application that has this table, and two organizations."""
    for slug in ("acme", "other"):
        organization_id = await people.add_organization(slug)
        await second.execute(
            "INSERT INTO tenant_notes (organization_id, body) VALUES ($1, $2)",
            organization_id,
            f"note of {slug}",
        )
    monkeypatch.setattr(settings, "ADMIN_ENABLED", False)
    with_notes = create_app()
    with_notes.state.resources = app.state.resources
    admin.install(with_notes, models=[TenantNote])
    async with AsyncClient(
        transport=ASGITransport(with_notes, raise_app_exceptions=False), base_url="http://test"
    ) as client:
        superuser = Superuser(client)
        await superuser.sign_in(await people.add(is_superuser=True, username="root"))
        yield superuser


async def choose(root: Superuser, slug: str) -> Response:
    data = {"csrftoken": root.csrf, "slug": slug}
    return await root.client.post(f"/admin{PAGE}", data=data)


async def shown(root: Superuser) -> set[str]:
    page = (await root.get("/tenant-note/list")).text
    return {slug for slug in ("acme", "other") if f"note of {slug}" in page}


async def test_tables_of_organizations_are_empty_until_one_is_chosen(
    root: Superuser, second: asyncpg.Connection
) -> None:
    assert await shown(root) == set()
    assert "Choose an organization" in (await root.get("/tenant-note/list")).text
    for slug in ("acme", "other", "acme"):
        assert (await choose(root, slug)).status_code == 303
        assert await shown(root) == {slug}
        assert f"<strong>{slug}</strong>" in (await root.get(PAGE)).text
    event = await second.fetchrow("SELECT * FROM events ORDER BY id DESC LIMIT 1")
    assert event["event"] == "organization.opened"
    assert event["reason"].endswith(": acme")
    assert (
        await second.fetchval("SELECT count(*) FROM events WHERE event = $1", event["event"]) == 3
    )
    assert (await choose(root, "")).status_code == 303
    assert await shown(root) == set()


async def test_unknown_organization_is_refused(root: Superuser) -> None:
    refused = await choose(root, "absent")
    assert refused.status_code == 422
    assert "There is no organization absent" in refused.text


async def test_rows_are_changed_only_in_the_chosen_organization(
    root: Superuser, second: asyncpg.Connection
) -> None:
    rows = {row["body"]: row for row in await second.fetch("SELECT * FROM tenant_notes")}
    ours, theirs = rows["note of acme"], rows["note of other"]
    await choose(root, "acme")

    await root.act("tenant-note", "delete", theirs["id"])
    assert (await root.get("/tenant-note/detail", pk=str(theirs["id"]))).status_code == 404
    moved = {"organization_id": str(theirs["organization_id"]), "body": "moved"}
    await root.save("tenant-note", ours["id"], **moved)
    await root.save("tenant-note", organization_id=str(theirs["organization_id"]), body="added")
    kept = {row["id"]: row for row in await second.fetch("SELECT * FROM tenant_notes")}
    assert [kept[it["id"]]["organization_id"] for it in (ours, theirs)] == [
        ours["organization_id"],
        theirs["organization_id"],
    ]
    assert await second.fetchval("SELECT count(*) FROM tenant_notes WHERE body = 'added'") == 0


async def test_choice_of_another_session_is_void(root: Superuser, people: People) -> None:
    await choose(root, "acme")
    cookie = root.client.cookies["plinth_admin_organization"]
    root.client.cookies.clear()
    await root.sign_in(await people.add(is_superuser=True, username="second"))
    root.client.cookies.set("plinth_admin_organization", cookie, path="/admin")
    assert await shown(root) == set()
