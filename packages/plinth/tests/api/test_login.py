"""`POST /auth/login` and `POST /auth/token`"""

from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any

import asyncpg
import bcrypt
import pytest
from httpx2 import AsyncClient, Response

from plinth.config import settings
from plinth.testing.answers import check_invalid, check_refusal
from plinth.testing.people import PASSWORD, People

SignIn = Callable[[str, str], Awaitable[Response]]
WRONG = "Incorrect email or password"


@pytest.fixture(params=["json", "form"])
def sign_in(request: pytest.FixtureRequest, client: AsyncClient) -> SignIn:
    """Both ways to sign in; their responses are the same."""

    async def by_json(email: str, password: str) -> Response:
        return await client.post("/auth/login", json={"email": email, "password": password})

    async def by_form(email: str, password: str) -> Response:
        form = {"grant_type": "password", "username": email, "password": password}
        return await client.post("/auth/token", data=form)

    return by_json if request.param == "json" else by_form


async def test_login_returns_tokens(client: AsyncClient, people: People, sign_in: SignIn) -> None:
    person = await people.add()

    answer = await sign_in(person.email, PASSWORD)

    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    tokens: dict[str, Any] = answer.json()
    assert set(tokens) == {"access_token", "refresh_token", "token_type", "expires_in"}
    assert tokens["token_type"] == "bearer"
    assert tokens["expires_in"] == settings.ACCESS_TOKEN_EXPIRE_MINUTES * 60 == 1800
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert (await client.get("/users/me", headers=headers)).json()["id"] == person.id


async def test_login_ignores_the_case_of_the_email(people: People, sign_in: SignIn) -> None:
    await people.add(email="Ada.Lovelace@Example.com")

    assert (await sign_in("aDA.lOVELACE@eXAMPLE.COM", PASSWORD)).status_code == 200


async def test_failed_login_takes_a_minimum_time(
    people: People, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The response time of a failed sign-in does not show whether the account exists."""
    monkeypatch.setattr(settings, "LOGIN_FAILURE_MS", 200)
    person = await people.add()
    for email in (person.email, "nobody@example.com"):
        began = monotonic()
        assert (await sign_in(email, "wrong")).status_code == 401
        assert monotonic() - began >= 0.2


async def test_wrong_password_and_unknown_email_get_the_same_response(
    people: People, sign_in: SignIn
) -> None:
    person = await people.add()

    wrong = check_refusal(await sign_in(person.email, "Wrong-Horse-7"), 401, WRONG)
    unknown = check_refusal(await sign_in("nobody@example.com", PASSWORD), 401, WRONG)

    assert wrong | {"request_id": ""} == unknown | {"request_id": ""}


@pytest.mark.parametrize("username", ["ada", "no address", "a@b"])
async def test_malformed_email_is_an_unknown_one(
    people: People, sign_in: SignIn, username: str
) -> None:
    await people.add(username="ada")

    check_refusal(await sign_in(username, PASSWORD), 401, WRONG)


async def test_inactive_user_is_reported_only_with_the_right_password(
    people: People, sign_in: SignIn
) -> None:
    person = await people.add(is_active=False)

    check_refusal(await sign_in(person.email, PASSWORD), 400, "Inactive user")
    check_refusal(await sign_in(person.email, "Wrong-Horse-7"), 401, WRONG)


async def test_bcrypt_hash_is_accepted_and_replaced(
    people: People, second: asyncpg.Connection, sign_in: SignIn
) -> None:
    old = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    person = await people.add(hashed_password=old)

    check_refusal(await sign_in(person.email, "Wrong-Horse-7"), 401, WRONG)
    assert await second.fetchval("SELECT hashed_password FROM users") == old
    for _ in range(2):
        assert (await sign_in(person.email, PASSWORD)).status_code == 200
        assert (await second.fetchval("SELECT hashed_password FROM users")).startswith("$argon2id")


async def test_password_is_equal_in_nfc_and_nfd(client: AsyncClient, sign_in: SignIn) -> None:
    account = {"email": "ada@example.com", "username": "ada", "password": "Caf\u00e9-Horse-7"}
    assert (await client.post("/auth/register", json=account)).status_code == 201

    assert (await sign_in("ada@example.com", "Cafe\u0301-Horse-7")).status_code == 200


async def test_form_requires_the_password_grant(client: AsyncClient, people: People) -> None:
    person = await people.add()
    form = {"username": person.email, "password": PASSWORD}

    assert (await client.post("/auth/token", data=form)).status_code == 200
    check_invalid(
        await client.post("/auth/token", data=form | {"grant_type": "authorization_code"}),
        "body.grant_type",
    )
    check_invalid(await client.post("/auth/token", json=form), "body.username", "body.password")


async def test_token_url_of_the_openapi_document_issues_a_valid_token(
    client: AsyncClient, people: People
) -> None:
    person = await people.add()
    document = (await client.get("/openapi.json")).json()
    schemes = document["components"]["securitySchemes"]
    assert schemes.keys() == {"OAuth2PasswordBearer", "apiKey"}
    scheme = schemes["OAuth2PasswordBearer"]
    assert (scheme["type"], list(scheme["flows"])) == ("oauth2", ["password"])

    address = f"http://test/{scheme['flows']['password']['tokenUrl'].lstrip('/')}"
    form = {"grant_type": "password", "username": person.email, "password": PASSWORD}
    token = (await client.post(address, data=form)).json()["access_token"]

    headers = {"Authorization": f"Bearer {token}"}
    assert (await client.get("/users/me", headers=headers)).status_code == 200


async def test_session_stores_ip_and_user_agent(
    people: People, second: asyncpg.Connection, client: AsyncClient
) -> None:
    person = await people.add()

    await client.post(
        "/auth/login",
        json={"email": person.email, "password": PASSWORD},
        headers={"User-Agent": "Firefox/1\x1b[31m" + "x" * 300},
    )

    row = await second.fetchrow("SELECT user_id, user_agent, host(ip) AS ip FROM sessions")
    assert row["user_id"] == person.id
    assert row["user_agent"] == ("Firefox/1[31m" + "x" * 300)[:255]
    assert row["ip"] == "127.0.0.1"
