"""`POST /auth/register`"""

from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from httpx2 import AsyncClient, Response

from plinth.testing.answers import USER, check_invalid, check_refusal
from plinth.testing.people import PASSWORD, People

ADA = {
    "email": "Ada@example.com",
    "username": "Ada",
    "password": PASSWORD,
    "full_name": "Ada Lovelace",
}


async def register(client: AsyncClient, **values: Any) -> Response:
    return await client.post("/auth/register", json=ADA | values)


async def test_register_creates_a_user(client: AsyncClient, second: asyncpg.Connection) -> None:
    answer = await register(client)

    assert answer.status_code == 201, answer.text
    user = answer.json()
    assert set(user) == USER
    assert {name: user[name] for name in ("email", "username", "full_name")} == {
        name: ADA[name] for name in ("email", "username", "full_name")
    }
    assert (user["is_active"], user["is_superuser"], user["is_verified"]) == (True, False, False)
    made = datetime.fromisoformat(user["created_at"])
    assert made.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - made) < timedelta(minutes=1)
    row = await second.fetchrow("SELECT * FROM users")
    assert (row["id"], row["email"], row["username"]) == (user["id"], "Ada@example.com", "Ada")
    assert row["hashed_password"].startswith("$argon2id$")


async def test_full_name_is_optional(client: AsyncClient) -> None:
    without = {name: value for name, value in ADA.items() if name != "full_name"}

    assert (await client.post("/auth/register", json=without)).json()["full_name"] is None


@pytest.mark.parametrize("email", ["Ada@example.com", "ada@example.com", "ADA@EXAMPLE.COM"])
async def test_taken_email_ignores_case(client: AsyncClient, email: str) -> None:
    await register(client)

    answer = await register(client, email=email, username="other")

    assert check_refusal(answer, 400, "Email already registered")["code"] == "email_taken"


@pytest.mark.parametrize("username", ["Ada", "ada", "ADA"])
async def test_taken_username_ignores_case(client: AsyncClient, username: str) -> None:
    await register(client)

    answer = await register(client, email="other@example.com", username=username)

    assert check_refusal(answer, 400, "Username already taken")["code"] == "username_taken"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("username", "abc"),
        ("username", "a" * 50),
        ("username", "_-0"),
        ("password", "Aa345678"),
        ("password", "Aa3" + "x" * 97),
        ("password", "Ünï9 中文 pass"),
        ("full_name", "x" * 255),
        ("full_name", "Łukasz O'Neil-Ünal 王"),
        ("full_name", None),
        ("email", "a.b+tag@sub.example.com"),
        ("email", "a" * 64 + "@example.com"),
    ],
)
async def test_value_at_the_limit_is_accepted(client: AsyncClient, field: str, value: str) -> None:
    answer = await register(client, **{field: value})

    assert answer.status_code == 201, answer.text
    if field != "password":
        assert answer.json()[field] == value


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("username", "ab"),
        ("username", "a" * 51),
        ("username", "with space"),
        ("username", "dot.ted"),
        ("username", "Ünal"),
        ("username", "ada\n"),
        ("username", None),
        ("password", "Aa34567"),
        ("password", "Aa3" + "x" * 98),
        ("password", "no-upper-case-1"),
        ("password", "NO-LOWER-CASE-1"),
        ("password", "No-Digit-At-All"),
        ("password", None),
        ("full_name", "x" * 256),
        ("full_name", "two\nlines"),
        ("email", "nobody"),
        ("email", "@example.com"),
        ("email", "a@b@example.com"),
        ("email", "a" * 250 + "@example.com"),
        ("email", None),
    ],
)
async def test_value_beyond_the_limit_is_refused(
    client: AsyncClient, second: asyncpg.Connection, field: str, value: str
) -> None:
    check_invalid(await register(client, **{field: value}), f"body.{field}")
    assert await second.fetchval("SELECT count(*) FROM users") == 0


@pytest.mark.parametrize("field", ["email", "username", "password"])
async def test_missing_field_is_refused(client: AsyncClient, field: str) -> None:
    answer = await client.post(
        "/auth/register", json={name: value for name, value in ADA.items() if name != field}
    )

    check_invalid(answer, f"body.{field}")


async def test_refused_password_is_not_in_the_response(client: AsyncClient) -> None:
    answer = await register(client, password="my-secret-words")

    check_invalid(answer, "body.password")
    assert "my-secret-words" not in answer.text


async def test_passwords_that_share_72_bytes_differ(client: AsyncClient, people: People) -> None:
    long = "Aa1" + "x" * 80
    await register(client, password=long)

    async def try_with(password: str) -> int:
        credentials = {"email": ADA["email"], "password": password}
        return (await client.post("/auth/login", json=credentials)).status_code

    assert await try_with(long) == 200
    assert await try_with(long[:72]) == 401
    assert await try_with(long[:-1] + "y") == 401
