"""`GET /users/me` and `PATCH /users/me`"""

from typing import Any

import asyncpg
import pytest
from httpx2 import AsyncClient

from plinth import accounts
from plinth.accounts.schemas.user import UserUpdate
from plinth.accounts.services.accounts import WrongPassword
from plinth.db.database import Database
from plinth.errors import InvalidField, Rejected
from plinth.testing.answers import USER, check_invalid, check_refusal
from plinth.testing.people import PASSWORD, People

UNAUTHENTICATED = "Could not validate credentials"
WRONG_PASSWORD = "The current password is missing or wrong"
NEW_PASSWORD = "Other-Horse-8"


async def test_get_me_returns_the_current_user(client: AsyncClient, people: People) -> None:
    person = await people.enter(full_name="Ada Lovelace")

    answer = await client.get("/users/me", headers=person.headers)

    assert answer.status_code == 200
    assert set(answer.json()) == USER
    assert answer.json() | {"created_at": ""} == {
        "id": person.id,
        "email": person.email,
        "username": person.username,
        "full_name": "Ada Lovelace",
        "is_active": True,
        "is_superuser": False,
        "is_verified": False,
        "created_at": "",
    }


@pytest.mark.parametrize("method", ["GET", "PATCH"])
@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer nonsense", "Basic YWRhOmFkYQ==", "Token abc"]
)
async def test_missing_or_invalid_token_is_401(
    client: AsyncClient, method: str, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}

    check_refusal(
        await client.request(method, "/users/me", headers=headers, json={}), 401, UNAUTHENTICATED
    )


@pytest.mark.parametrize("method", ["GET", "PATCH"])
async def test_inactive_user_is_400(
    client: AsyncClient, people: People, second: asyncpg.Connection, method: str
) -> None:
    person = await people.enter()
    await second.execute("UPDATE users SET is_active = false")

    answer = await client.request(method, "/users/me", headers=person.headers, json={})

    check_refusal(answer, 400, "Inactive user")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"username": "Countess"},
        {"full_name": "Countess of Lovelace"},
        {"full_name": None},
        {"username": "Countess", "full_name": None},
    ],
    ids=str,
)
async def test_patch_changes_only_the_sent_fields(
    client: AsyncClient, people: People, second: asyncpg.Connection, changes: dict[str, Any]
) -> None:
    person = await people.enter(full_name="Ada Lovelace")
    before = await second.fetchrow("SELECT * FROM users")

    answer = await client.patch("/users/me", headers=person.headers, json=changes)

    assert answer.status_code == 200, answer.text
    assert set(answer.json()) == USER
    wanted = {name: value for name, value in changes.items() if name != "current_password"}
    after = dict(await second.fetchrow("SELECT * FROM users"))
    assert (after["updated_at"] > before["updated_at"]) is bool(wanted)
    assert after == {**dict(before), "updated_at": after["updated_at"], **wanted}
    seen = (await client.get("/users/me", headers=person.headers)).json()
    assert seen == answer.json()
    assert {name: seen[name] for name in wanted} == wanted


@pytest.mark.parametrize("field", ["email", "username", "password"])
async def test_null_is_refused_except_for_the_full_name(
    client: AsyncClient, people: People, field: str
) -> None:
    person = await people.enter()
    changes = {field: None, "current_password": PASSWORD}

    check_invalid(
        await client.patch("/users/me", headers=person.headers, json=changes), f"body.{field}"
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "nobody"),
        ("username", "ab"),
        ("username", "a" * 51),
        ("username", "with space"),
        ("password", "Aa34567"),
        ("password", "no-upper-case-1"),
        ("full_name", "x" * 256),
    ],
)
async def test_patch_validates_like_registration(
    client: AsyncClient, people: People, field: str, value: str
) -> None:
    person = await people.enter()
    changes = {field: value, "current_password": PASSWORD}

    check_invalid(
        await client.patch("/users/me", headers=person.headers, json=changes), f"body.{field}"
    )


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"email": "TAKEN@example.com", "current_password": PASSWORD}, "Email already registered"),
        ({"username": "TAKEN"}, "Username already taken"),
    ],
)
async def test_taken_email_or_username_is_refused(
    client: AsyncClient,
    people: People,
    second: asyncpg.Connection,
    changes: dict[str, str],
    detail: str,
) -> None:
    person = await people.enter()
    await people.add(email="taken@example.com", username="taken")

    check_refusal(
        await client.patch("/users/me", headers=person.headers, json=changes), 400, detail
    )
    mine = await second.fetchrow("SELECT email, username FROM users WHERE id = $1", person.id)
    assert tuple(mine) == (person.email, person.username)


async def test_user_can_change_the_case_of_their_username(
    client: AsyncClient, people: People
) -> None:
    person = await people.enter(username="ada")

    answer = await client.patch("/users/me", headers=person.headers, json={"username": "Ada"})

    assert answer.json()["username"] == "Ada"


@pytest.mark.parametrize("changes", [{"email": "new@example.com"}, {"password": NEW_PASSWORD}])
@pytest.mark.parametrize("current", [{}, {"current_password": None}, {"current_password": "Wrong"}])
async def test_change_of_email_or_password_requires_the_current_password(
    client: AsyncClient,
    people: People,
    second: asyncpg.Connection,
    changes: dict[str, str],
    current: dict[str, str | None],
) -> None:
    person = await people.enter()
    before = await second.fetchrow("SELECT * FROM users")

    answer = await client.patch(
        "/users/me", headers=person.headers, json={"full_name": "Eve", **changes, **current}
    )

    check_refusal(answer, 400, WRONG_PASSWORD)
    assert await second.fetchrow("SELECT * FROM users") == before


async def test_application_can_change_the_email_without_the_password(
    people: People, database: Database, second: asyncpg.Connection
) -> None:
    """An e-mail changes by a link in a mail to it; a new password requires the current one."""
    person = await people.enter(is_verified=True)
    session_id = await second.fetchval("SELECT id FROM sessions")

    async def update(**changes: Any) -> None:
        async with database.transaction() as db:
            await accounts.update_profile(
                db, person.id, session_id, UserUpdate(**changes), password_for_email=False
            )

    await update(email="new@example.com")
    assert await second.fetchval("SELECT email FROM users") == person.email
    recipients = await second.fetch("SELECT recipient FROM mails ORDER BY recipient")
    assert {row["recipient"] for row in recipients} == {"new@example.com", person.email}
    for changes in ({"password": NEW_PASSWORD}, {"password": NEW_PASSWORD, "email": "b@b.example"}):
        with pytest.raises(WrongPassword):
            await update(**changes)


async def test_application_can_change_the_email_immediately(
    people: People, database: Database, second: asyncpg.Connection
) -> None:
    """The new address is unverified and gets the link; the old one a notice; other sessions end."""
    person = await people.enter(is_verified=True)
    taken = await people.add()
    session_id = await second.fetchval("SELECT id FROM sessions")
    await people.sign_in(person)

    async def update(email: str) -> None:
        changes = UserUpdate(email=email, current_password=PASSWORD)
        async with database.transaction() as db:
            await accounts.update_profile(db, person.id, session_id, changes, email_by_link=False)

    await update("new@example.com")

    found = await second.fetchrow("SELECT email, is_verified FROM users WHERE id = $1", person.id)
    assert tuple(found) == ("new@example.com", False)
    mails = await second.fetch("SELECT kind, recipient FROM mails")
    assert {tuple(row) for row in mails} == {
        ("email_verify", "new@example.com"),
        ("email_changed", person.email),
    }
    left = await second.fetch("SELECT id FROM sessions WHERE revoked_at IS NULL")
    assert [row["id"] for row in left] == [session_id]
    with pytest.raises(Rejected):
        await update(taken.email)


async def test_application_can_set_a_password_without_the_current_one(
    people: People, database: Database, second: asyncpg.Connection, client: AsyncClient
) -> None:
    """The rules for new passwords apply, and the other sessions end."""
    person = await people.enter()
    session_id = await second.fetchval("SELECT id FROM sessions")
    other = await people.sign_in(person)

    async def update(password: str) -> None:
        changes = UserUpdate(password=password)
        async with database.transaction() as db:
            await accounts.update_profile(
                db, person.id, session_id, changes, password_for_password=False
            )

    with pytest.raises(InvalidField):
        await update("Password-1234")
    await update(NEW_PASSWORD)

    credentials = {"email": person.email, "password": NEW_PASSWORD}
    assert (await client.post("/auth/login", json=credentials)).status_code == 200
    assert (await client.get("/users/me", headers=person.headers)).status_code == 200
    assert (await client.get("/users/me", headers=other.headers)).status_code == 401


async def test_new_email_is_pending_until_verified(
    client: AsyncClient, people: People, second: asyncpg.Connection
) -> None:
    person = await people.enter(is_verified=True)
    before = await second.fetchrow("SELECT * FROM users")

    changes = {"email": "new@example.com", "current_password": PASSWORD}
    answer = await client.patch("/users/me", headers=person.headers, json=changes)

    assert (answer.status_code, answer.json()["email"]) == (200, person.email)
    assert await second.fetchrow("SELECT * FROM users") == before


async def test_new_password_replaces_the_old_one(client: AsyncClient, people: People) -> None:
    person = await people.enter()
    changes = {"password": NEW_PASSWORD, "current_password": PASSWORD}

    answer = await client.patch("/users/me", headers=person.headers, json=changes)

    assert answer.status_code == 200
    assert NEW_PASSWORD not in answer.text
    for password, status in ((PASSWORD, 401), (NEW_PASSWORD, 200)):
        credentials = {"email": person.email, "password": password}
        assert (await client.post("/auth/login", json=credentials)).status_code == status
