"""Superusers change others' accounts; one who can act as a superuser always remains."""

import asyncio

import asyncpg
import pytest
from httpx2 import AsyncClient

from plinth.testing.people import People


async def test_superuser_can_change_flags_and_names(client: AsyncClient, people: People) -> None:
    admin, ann = await people.enter(is_superuser=True), await people.add()
    changes = {"is_verified": True, "username": "renamed", "full_name": "Ann A"}
    answer = await client.patch(f"/users/{ann.id}", json=changes, headers=admin.headers)
    assert answer.status_code == 200
    assert answer.json().items() >= changes.items()


@pytest.mark.parametrize("change", [{"is_active": False}, {"is_superuser": True}])
async def test_change_of_role_or_activity_revokes_all_sessions(
    client: AsyncClient, people: People, second: asyncpg.Connection, change: dict[str, bool]
) -> None:
    admin, ann = await people.enter(is_superuser=True), await people.enter()
    await client.patch(f"/users/{ann.id}", json=change, headers=admin.headers)
    after = await client.get("/users/me", headers=ann.headers)
    assert after.status_code == 401
    token = {"refresh_token": ann.tokens["refresh_token"]}
    assert (await client.post("/auth/refresh", json=token)).status_code == 401
    live = "SELECT count(*) FROM sessions WHERE user_id = $1 AND revoked_at IS NULL"
    assert await second.fetchval(live, ann.id) == 0


async def test_change_of_name_keeps_sessions(client: AsyncClient, people: People) -> None:
    admin, ann = await people.enter(is_superuser=True), await people.enter()
    await client.patch(f"/users/{ann.id}", json={"full_name": "Ann"}, headers=admin.headers)
    assert (await client.get("/users/me", headers=ann.headers)).status_code == 200


async def test_superuser_cannot_change_protected_fields(
    client: AsyncClient, people: People, second: asyncpg.Connection
) -> None:
    admin, ann = await people.enter(is_superuser=True), await people.add()
    row = "SELECT email, hashed_password, id FROM users WHERE id = $1"
    before = await second.fetchrow(row, ann.id)
    sent = {"password": "New-Passw0rd", "hashed_password": "x", "email": "x@example.com", "id": 7}
    answer = await client.patch(f"/users/{ann.id}", json=sent, headers=admin.headers)
    assert answer.status_code == 200
    assert await second.fetchrow(row, ann.id) == before


@pytest.mark.parametrize("change", [{"is_active": False}, {"is_superuser": False}])
async def test_last_superuser_cannot_be_demoted_or_deactivated(
    client: AsyncClient, people: People, second: asyncpg.Connection, change: dict[str, bool]
) -> None:
    admin = await people.enter(is_superuser=True)
    await people.add(is_superuser=True, is_active=False)  # cannot act as one
    answer = await client.patch(f"/users/{admin.id}", json=change, headers=admin.headers)
    assert answer.status_code == 400
    assert answer.json()["code"] == "last_superuser"
    row = await second.fetchrow("SELECT is_active, is_superuser FROM users WHERE id=$1", admin.id)
    assert tuple(row) == (True, True)
    assert (await client.get("/users/me", headers=admin.headers)).status_code == 200


async def test_concurrent_mutual_demotion_leaves_one_superuser(
    client: AsyncClient, people: People, second: asyncpg.Connection
) -> None:
    for _ in range(20):
        one, two = await people.enter(is_superuser=True), await people.enter(is_superuser=True)
        demotion = {"is_superuser": False}
        answers = await asyncio.gather(
            client.patch(f"/users/{two.id}", json=demotion, headers=one.headers),
            client.patch(f"/users/{one.id}", json=demotion, headers=two.headers),
        )
        assert min(answer.status_code for answer in answers) == 200
        assert all(answer.status_code < 500 for answer in answers)
        left = await second.fetch("SELECT id FROM users WHERE is_superuser AND is_active")
        assert len(left) == 1
        await second.execute("UPDATE users SET is_superuser = false")


async def test_taken_username_is_refused(client: AsyncClient, people: People) -> None:
    admin, ann, bob = await people.enter(is_superuser=True), await people.add(), await people.add()
    taken = {"username": bob.username.upper()}
    answer = await client.patch(f"/users/{ann.id}", json=taken, headers=admin.headers)
    assert answer.status_code == 400
    assert answer.json()["detail"] == "Username already taken"


async def test_regular_user_cannot_change_users(client: AsyncClient, people: People) -> None:
    ann, eve = await people.enter(), await people.enter()
    for target in (ann.id, eve.id):
        answer = await client.patch(
            f"/users/{target}", json={"is_superuser": True}, headers=eve.headers
        )
        assert answer.status_code == 403
