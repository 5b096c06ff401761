"""A superuser who acts as a user, in combination with other ways to prove an account."""

import asyncpg
import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient

from plinth.config import settings
from plinth.http.routes import walk_routes
from plinth.resources.access import OWNER, USER, get_access
from plinth.testing.people import PASSWORD, People, Person
from tests.support.cookies import IN_COOKIES, Page
from tests.support.mail_server import Inbox, token_of


async def act(client: AsyncClient, admin: Person, user: Person) -> Person:
    path, body = f"/users/{user.id}/impersonation", {"reason": "Ticket 4711"}
    response = await client.post(path, json=body, headers=admin.headers)
    assert response.status_code == 201, response.text
    return Person(user.id, user.email, user.username, PASSWORD, response.json())


@pytest.fixture
async def admin(people: People, monkeypatch: pytest.MonkeyPatch) -> Person:
    monkeypatch.setattr(settings, "IMPERSONATION_MINUTES", 30)
    return await people.enter(is_superuser=True, is_verified=True)


@pytest.fixture
async def acting(client: AsyncClient, people: People, admin: Person) -> Person:
    return await act(client, admin, await people.add(is_verified=True))


# Changes that a superuser who acts as the user may make.
PERMITTED = {("POST", "/api/v1/auth/logout"), ("PATCH", "/api/v1/users/me")}


async def test_every_route_that_changes_an_account_refuses_an_impersonation(
    app: FastAPI, client: AsyncClient, acting: Person
) -> None:
    accepted, count = [], 0
    for path, methods in private_routes(app):
        for method in sorted(methods - {"GET", "HEAD"}):
            if (method, path) in PERMITTED:
                continue
            count += 1
            url = path.removeprefix("/api/v1").replace("{provider}", "fake")
            url = url.replace("{", "").replace("}", "")
            response = await client.request(method, url, headers=acting.headers)
            if response.json().get("code") != "impersonating":
                accepted.append(f"{method} {path}: {response.status_code}")
    assert count >= 15
    assert not accepted, "take DirectUser or FreshUser"


def private_routes(app: FastAPI) -> list[tuple[str, set[str]]]:
    found = []
    for route in walk_routes(app):
        declared = get_access(route.endpoint) if route.endpoint else None
        if route.path and declared and declared.audience in (USER, OWNER):
            found.append((route.path, set(route.methods or ())))
    return found


async def test_an_impersonation_does_not_reveal_whether_a_password_is_right(
    client: AsyncClient, acting: Person
) -> None:
    answers = []
    for password in (PASSWORD, "Wrong-Horse-8"):
        body = {"email": "new@example.com", "current_password": password}
        response = await client.patch("/users/me", json=body, headers=acting.headers)
        answers.append((response.status_code, response.json()["code"]))
    assert answers == [(403, "impersonating")] * 2


async def test_an_impersonation_is_no_sign_in_for_a_mailed_link(
    client: AsyncClient, people: People, second: asyncpg.Connection, admin: Person, inbox: Inbox
) -> None:
    user = await people.enter()
    await client.post("/auth/email/resend", headers=user.headers)
    link = token_of(await inbox.next(user.email))
    client.cookies.clear()
    acting = await act(client, admin, user)
    refused = await client.post("/auth/email/verify", json={"token": link}, headers=acting.headers)
    assert (refused.status_code, refused.json()["code"]) == (403, "not_signed_in")
    assert "plinth_device" not in client.cookies
    assert not await second.fetchval("SELECT is_verified FROM users WHERE id = $1", user.id)


async def test_an_impersonation_in_cookies_ends_with_the_rights_of_the_superuser(
    site: AsyncClient, people: People, second: asyncpg.Connection, admin: Person
) -> None:
    page = await Page(site).sign_in(admin)
    user = await people.add(is_verified=True)
    path, body = f"/users/{user.id}/impersonation", {"reason": "Ticket 4711"}
    started = await page.post(path, json=body, headers=IN_COOKIES)
    assert (started.status_code, started.content) == (204, b"")
    stale = await page.patch("/users/me", json={"full_name": "New"})
    assert stale.json()["code"] == "invalid_csrf_token", "the token of the other session"
    await page.fetch_csrf_token()
    assert (await page.get("/users/me")).json()["id"] == user.id
    assert (await page.refresh()).status_code == 204
    assert (await page.post("/auth/step-up/passkey/options")).json()["code"] == "impersonating"
    await second.execute("UPDATE users SET is_superuser = false WHERE id = $1", admin.id)
    assert (await page.get("/users/me")).status_code == 401
    assert (await page.refresh()).status_code == 401
