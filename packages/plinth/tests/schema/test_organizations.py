"""The database keeps an owner in each organization, and a slug from another one for 90 days."""

import asyncio

import asyncpg
import pytest

from plinth.testing.people import People
from plinth.testing.rows import Rows

LAST_OWNER = "This would leave no owner in the organization: "


@pytest.fixture
async def owner(people: People) -> int:
    return (await people.add()).id


async def add_organization(rows: Rows, second: asyncpg.Connection, slug: str, owner: int) -> int:
    organization_id = await rows.add("organizations", slug=slug)
    await add_member(second, organization_id, owner, "owner")
    return organization_id


async def add_member(
    second: asyncpg.Connection, organization_id: int, user_id: int, role: str
) -> None:
    insert = "INSERT INTO memberships (organization_id, user_id, role) VALUES ($1, $2, $3)"
    await second.execute(insert, organization_id, user_id, role)


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM memberships WHERE user_id = $1",
        "UPDATE memberships SET role = 'admin' WHERE user_id = $1",
        "DELETE FROM users WHERE id = $1",
    ],
)
async def test_last_owner_stays(
    rows: Rows, second: asyncpg.Connection, people: People, owner: int, change: str
) -> None:
    acme = await add_organization(rows, second, "acme", owner)
    await add_organization(rows, second, "beta", owner)
    other = (await people.add()).id
    await add_member(second, acme, other, "admin")

    with pytest.raises(asyncpg.CheckViolationError, match=f"{LAST_OWNER}acme, beta") as refused:
        await second.execute(change, owner)
    assert refused.value.constraint_name == "ck_memberships_last_owner"

    await second.execute("UPDATE memberships SET role = 'owner' WHERE user_id = $1", other)
    with pytest.raises(asyncpg.CheckViolationError, match=f"{LAST_OWNER}beta"):
        await second.execute(change, owner)

    await second.execute("DELETE FROM organizations WHERE slug = 'beta'")
    await second.execute(change, owner)


async def test_other_members_may_go(
    rows: Rows, second: asyncpg.Connection, people: People, owner: int
) -> None:
    acme = await add_organization(rows, second, "acme", owner)
    other = (await people.add()).id
    await add_member(second, acme, other, "admin")
    await second.execute("UPDATE memberships SET role = 'member' WHERE user_id = $1", other)
    await second.execute("DELETE FROM users WHERE id = $1", other)
    assert await second.fetchval("SELECT count(*) FROM memberships") == 1


async def test_two_leaving_owners_wait_for_each_other(
    rows: Rows, second: asyncpg.Connection, people: People, owner: int, database_url: str
) -> None:
    acme = await add_organization(rows, second, "acme", owner)
    other = (await people.add()).id
    await add_member(second, acme, other, "owner")
    leave = "DELETE FROM memberships WHERE user_id = $1"
    third = await asyncpg.connect(database_url)
    try:
        first = second.transaction()
        await first.start()
        await second.execute(leave, owner)
        waiting = asyncio.create_task(third.execute(leave, other))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        await first.commit()
        with pytest.raises(asyncpg.CheckViolationError, match=f"{LAST_OWNER}acme"):
            await waiting
    finally:
        await third.close()


@pytest.mark.parametrize(
    "release",
    ["DELETE FROM organizations", "UPDATE organizations SET slug = 'newer'"],
)
async def test_released_slug_is_refused_for_90_days(
    rows: Rows, second: asyncpg.Connection, release: str
) -> None:
    first = await rows.add("organizations", slug="acme")
    await second.execute(f"{release} WHERE id = $1", first)
    other = await rows.add("organizations", slug="other")
    take = "UPDATE organizations SET slug = 'acme' WHERE id = $1"

    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await second.execute(take, other)
    assert refused.value.constraint_name == "ck_organizations_slug_released"
    with pytest.raises(asyncpg.CheckViolationError):
        await rows.add("organizations", slug="acme")

    await second.execute("UPDATE released_slugs SET released_at = released_at - interval '91 days'")
    await second.execute(take, other)


async def test_organization_takes_back_its_earlier_slug(
    rows: Rows, second: asyncpg.Connection
) -> None:
    first = await rows.add("organizations", slug="acme")
    for slug in ("newer", "acme", "newer"):
        await second.execute("UPDATE organizations SET slug = $1 WHERE id = $2", slug, first)
    assert await second.fetchval("SELECT slug FROM organizations") == "newer"


async def test_insert_that_waits_for_a_deletion_is_refused(
    rows: Rows, second: asyncpg.Connection, database_url: str
) -> None:
    """The slug is released by a transaction that commits while the insert waits for it."""
    await rows.add("organizations", slug="acme")
    third = await asyncpg.connect(database_url)
    try:
        deletion = second.transaction()
        await deletion.start()
        await second.execute("DELETE FROM organizations WHERE slug = 'acme'")
        insert = "INSERT INTO organizations (slug, name) VALUES ('acme', 'Other')"
        waiting = asyncio.create_task(third.execute(insert))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        await deletion.commit()
        with pytest.raises(asyncpg.CheckViolationError):
            await waiting
    finally:
        await third.close()


async def test_expired_releases_are_removed(rows: Rows, second: asyncpg.Connection) -> None:
    await second.execute(
        "INSERT INTO released_slugs SELECT 'old-' || n, n, now() - interval '91 days'"
        " FROM generate_series(1, 5) n"
    )
    await rows.add("organizations", slug="acme")
    await second.execute("DELETE FROM organizations")
    assert await second.fetch("SELECT slug FROM released_slugs") == [("acme",)]


@pytest.mark.parametrize("slug", ["Acme", "acme-", "-acme", "a--b", "a_b", "", "ä"])
async def test_slug_of_another_form_is_refused(rows: Rows, slug: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await rows.add("organizations", slug=slug)
