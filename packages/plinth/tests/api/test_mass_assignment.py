"""Clients cannot set protected fields, whatever they send."""

from typing import Any

import asyncpg
import pytest
from httpx2 import AsyncClient
from sqlalchemy import Boolean, DateTime, Integer

from plinth.accounts.models import User
from plinth.testing.people import PASSWORD, People

MAY_BE_SET = {"email", "username", "full_name"}
UNKNOWN = ["role", "roles", "admin", "user_id", "session_id", "sessions", "__class__", "_sa_state"]
KEYS = [*(set(User.__table__.columns.keys()) - MAY_BE_SET), *UNKNOWN]


def hostile(key: str, row: asyncpg.Record) -> Any:
    """Return a value of the right type that differs from the row's."""
    column = User.__table__.columns.get(key)
    match getattr(column, "type", None):
        case Boolean():
            return not row[key]
        case Integer():
            return 424242
        case DateTime():
            return "2001-01-01T00:00:00Z"
    return "hostile"


@pytest.mark.parametrize("key", sorted(KEYS))
async def test_registration_sets_no_protected_column(
    client: AsyncClient, second: asyncpg.Connection, key: str
) -> None:
    async def register(name: str, **more: Any) -> dict[str, Any]:
        account = {"email": f"{name}@example.com", "username": name, "password": PASSWORD}
        answer = await client.post("/auth/register", json=account | more)
        assert answer.status_code == 201, answer.text
        row = await second.fetchrow("SELECT * FROM users WHERE username = $1", name)
        assert row["id"] == answer.json()["id"]
        return dict(row)

    plain = await register("plain")
    value = hostile(key, await second.fetchrow("SELECT * FROM users"))
    attacked = await register("attacked", **{key: value})

    own = {"id", "email", "email_canonical", "username", "hashed_password"}
    own |= {"created_at", "updated_at"}
    assert {k: v for k, v in attacked.items() if k not in own} == {
        k: v for k, v in plain.items() if k not in own
    }
    assert attacked["id"] != 424242
    assert attacked["email_canonical"] == attacked["email"]
    assert attacked["created_at"].year > 2001
    assert attacked["updated_at"].year > 2001
    assert attacked["hashed_password"].startswith("$argon2id")


@pytest.mark.parametrize("key", sorted(KEYS))
async def test_profile_update_sets_no_protected_column(
    client: AsyncClient, people: People, second: asyncpg.Connection, key: str
) -> None:
    person = await people.enter()
    before = await second.fetchrow("SELECT * FROM users")

    answer = await client.patch(
        "/users/me",
        headers=person.headers,
        json={key: hostile(key, before), "current_password": PASSWORD},
    )

    assert answer.status_code in {200, 422}
    assert await second.fetchrow("SELECT * FROM users") == before


async def test_registration_with_flags_creates_a_regular_user(client: AsyncClient) -> None:
    account = {
        "email": "admin@example.com",
        "username": "admin",
        "password": PASSWORD,
        "is_superuser": True,
        "is_active": False,
        "is_verified": True,
    }

    user = (await client.post("/auth/register", json=account)).json()

    assert (user["is_superuser"], user["is_active"], user["is_verified"]) == (False, True, False)
