"""Sign-in to the admin pages: access, lifetime of a session, and checks of each request."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from uuid import uuid4

import asyncpg
import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient

from plinth.accounts.deps import Resources
from plinth.config import settings
from plinth.security.cookie_tokens import make_cookie_token, parse_cookie_token
from plinth.testing.people import People
from tests.support.superuser import CSRF, Superuser
from tests.support.waiting import PATIENCE

FORMS = ["/login", "/logout", "/user/edit?pk=1", "/_api/user/row-action?name=deactivate&pk=1"]
PAGES = ["", "/", "/user/list", "/session/list", "/event/list", "/mail/list", "/user/edit"]


async def is_in(someone: Superuser) -> bool:
    return (await someone.get("/")).status_code == 200


async def test_unauthenticated_request_redirects_to_the_login_page(stranger: Superuser) -> None:
    for page in PAGES:
        answer = await stranger.get(page)
        assert answer.status_code == 303, page
        assert answer.headers["location"].startswith("/admin/login?next="), page


async def test_superuser_gets_a_cookie_limited_to_the_admin_path(
    stranger: Superuser, people: People, second: asyncpg.Connection
) -> None:
    person = await people.add(is_superuser=True)
    answer = await stranger.sign_in(person)

    (cookie,) = [it for it in answer.headers.get_list("set-cookie") if "plinth_admin=" in it]
    assert {part.strip().lower() for part in cookie.split(";")[1:]} == {
        "httponly",
        "samesite=strict",
        "path=/admin",
        f"max-age={settings.ADMIN_SESSION_HOURS * 3600}",
    }
    assert await is_in(stranger)
    event = await second.fetchrow("SELECT * FROM events ORDER BY id DESC LIMIT 1")
    assert (event["event"], event["outcome"]) == ("session.started", "success")
    hours = await second.fetchval(
        "SELECT extract(epoch FROM expires_at - created_at) / 3600 FROM sessions WHERE id = $1",
        event["session_id"],
    )
    assert round(hours) == settings.ADMIN_SESSION_HOURS


async def test_login_accepts_other_spellings_of_the_email(
    stranger: Superuser, people: People
) -> None:
    person = await people.add(is_superuser=True, email="root@bücher.example")
    await stranger.sign_in(replace(person, email=" ROOT@xn--bcher-kva.example"))
    assert await is_in(stranger)


async def test_cookies_are_secure_outside_development(
    stranger: Superuser, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if a proxy terminates TLS and forwards over HTTP."""
    monkeypatch.setattr(settings, "ENVIRONMENT", "production")
    page = await stranger.get("/login")
    stranger.client.base_url = "https://test"
    entered = await stranger.sign_in(await people.add(is_superuser=True))

    cookies = [
        *page.headers.get_list("set-cookie"),
        *entered.headers.get_list("set-cookie"),
    ]
    assert len(cookies) >= 3
    assert all("secure" in cookie.lower() for cookie in cookies)
    assert all("; path=/admin" in cookie.lower() for cookie in cookies)
    assert entered.headers["location"].startswith("/admin/")
    assert await is_in(stranger)


async def test_login_of_a_regular_user_is_403_and_audited(
    stranger: Superuser, people: People, second: asyncpg.Connection
) -> None:
    answer = await stranger.sign_in(await people.add())

    assert answer.status_code == 403
    assert "Only superusers may sign in here" in answer.text
    assert not await is_in(stranger)
    assert await second.fetchval("SELECT count(*) FROM sessions") == 0
    event = await second.fetchrow("SELECT * FROM events ORDER BY id DESC LIMIT 1")
    assert (event["event"], event["outcome"]) == ("session.started", "failure")


async def test_wrong_password_and_unknown_email_get_the_same_response(
    stranger: Superuser, people: People
) -> None:
    known = await people.add(is_superuser=True)
    unknown = type(known)(0, "nobody@example.com", "nobody")
    answers = [await stranger.sign_in(person, "Wrong-Horse-7") for person in (known, unknown)]

    for answer in answers:
        assert answer.status_code == 401
        assert "Incorrect email or password" in answer.text
        assert "www-authenticate" not in answer.headers
        assert "plinth_admin" not in answer.headers.get("set-cookie", "")


async def test_login_shares_the_rate_limits_of_the_api(
    stranger: Superuser, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "LIMITS_ENABLED", True)
    monkeypatch.setattr(settings, "LIMIT_LOGIN_ACCOUNT_IP", "2/5m")
    person = await people.add(is_superuser=True)
    failed = [(await stranger.sign_in(person, "Wrong-Horse-7")).status_code for _ in range(2)]
    limited = await stranger.sign_in(person)

    assert (failed, limited.status_code) == ([401, 401], 429)
    assert int(limited.headers["retry-after"]) > 0
    assert (await people.try_to_sign_in(person)).status_code == 429, "they count together"


@pytest.mark.parametrize(
    "end",
    [
        "UPDATE sessions SET revoked_at = now()",
        "UPDATE sessions SET expires_at = now() - interval '1 second'",
        "UPDATE users SET session_epoch = session_epoch + 1",
        "UPDATE users SET is_superuser = false",
        "UPDATE users SET is_active = false",
        "DELETE FROM users",
    ],
)
async def test_ended_session_is_refused_at_the_next_request(
    root: Superuser, second: asyncpg.Connection, end: str
) -> None:
    assert await is_in(root)
    await second.execute(end)
    assert not await is_in(root)
    assert (await root.act("user", "deactivate", 1)).status_code == 303


async def test_logout_revokes_the_session(root: Superuser, second: asyncpg.Connection) -> None:
    cookie = root.client.cookies["plinth_admin"]
    assert (
        await root.client.get("/admin/", headers={"Cookie": f"plinth_admin={cookie}"})
    ).status_code == 200
    answer = await root.client.post("/admin/logout", data={"csrftoken": root.csrf})

    assert answer.status_code == 303
    assert await second.fetchval("SELECT revoked_reason FROM sessions") == "signed out"
    old = {"Cookie": f"plinth_admin={cookie}"}
    assert (await root.client.get("/admin/", headers=old)).status_code == 303


async def test_logout_all_revokes_the_admin_session(
    stranger: Superuser, people: People, client: AsyncClient
) -> None:
    person = await people.enter(is_superuser=True)
    await stranger.sign_in(person)
    assert await is_in(stranger)

    await client.post("/auth/logout-all", headers=person.headers)
    assert not await is_in(stranger)


async def test_admin_and_api_reject_each_others_tokens(
    stranger: Superuser, people: People, client: AsyncClient
) -> None:
    person = await people.enter(is_superuser=True)
    for kind in ("refresh_token", "access_token"):
        headers = {"Cookie": f"plinth_admin={person.tokens[kind]}"}
        assert (await stranger.client.get("/admin/", headers=headers)).status_code == 303
    await stranger.sign_in(person)
    cookie = stranger.client.cookies["plinth_admin"]

    token = parse_cookie_token(cookie)
    assert token
    forged = make_cookie_token(token.session_id).text
    headers = {"Cookie": f"plinth_admin={forged}"}
    assert (await stranger.client.get("/admin/", headers=headers)).status_code == 303
    assert (await client.post("/auth/refresh", json={"refresh_token": cookie})).status_code == 401
    bearer = {"Authorization": f"Bearer {cookie}"}
    assert (await client.get("/users/me", headers=bearer)).status_code == 401
    assert await is_in(stranger), "and trying did not end the session"


async def test_form_without_a_valid_csrf_token_is_refused(
    root: Superuser, app: FastAPI, second: asyncpg.Connection
) -> None:
    own = root.csrf
    async with AsyncClient(
        transport=ASGITransport(app, raise_app_exceptions=False), base_url="http://test"
    ) as other:
        await other.get("/admin/login")
        of_another = other.cookies[CSRF]
    before = await second.fetchval("SELECT count(*) FROM events")
    for token in (None, "", "wrong", own[:-3] + "abc", of_another):
        sent = {} if token is None else {"csrftoken": token}
        for path in FORMS:
            answer = await root.client.post(f"/admin{path}", data=sent)
            assert (answer.status_code, "CSRF" in answer.text) == (403, True), (path, token)
    root.client.cookies.delete(CSRF)
    assert (await root.client.post("/admin/logout", data={"csrftoken": own})).status_code == 403

    assert await second.fetchval("SELECT count(*) FROM events") == before
    assert await is_in(root)


async def test_requests_from_other_origins_are_refused(root: Superuser) -> None:
    """Not even an origin that CORS allows to read the API."""
    for origin in (settings.BACKEND_CORS_ORIGINS[0], "http://evil.example", "null", "https://test"):
        headers = {"Origin": origin, "X-CSRFToken": root.csrf}
        read = await root.client.get("/admin/user/list", headers=headers)
        written = await root.client.post("/admin/logout", headers=headers)
        assert (read.status_code, written.status_code) == (403, 403), origin
        assert "csrf" not in read.text.lower()
    own = await root.client.get("/admin/", headers={"Origin": "http://test"})
    assert own.status_code == 200


async def test_redirect_after_login_stays_on_the_same_host(
    stranger: Superuser, people: People
) -> None:
    person = await people.add(is_superuser=True)
    for target in ("https://evil.example/", "//evil.example", "javascript:alert(1)"):
        page = await stranger.get("/login", next=target)
        token = re.search(r'name="csrftoken" value="([^"]+)"', page.text)
        assert token
        answer = await stranger.client.post(
            "/admin/login",
            params={"next": target},
            data={"csrftoken": token[1], "email": person.email, "password": person.password},
        )
        assert answer.headers["location"] == "/admin/"
        stranger.client.cookies.delete("plinth_admin")


async def test_slow_request_body_holds_no_database_connection(
    stranger: Superuser, resources: Resources
) -> None:
    """Otherwise a few clients with invented cookies could use up all database connections."""
    await stranger.get("/login")
    asked = asyncio.Event()

    async def never_sent() -> AsyncIterator[bytes]:
        asked.set()
        await asyncio.Event().wait()
        yield b""

    headers = {
        "Cookie": f"plinth_admin={make_cookie_token(uuid4()).text}; {CSRF}={stranger.csrf}",
        "Content-Type": "application/x-www-form-urlencoded",
        "X-CSRFToken": stranger.csrf,
    }
    sending = asyncio.create_task(
        stranger.client.post("/admin/login", headers=headers, content=never_sent())
    )
    await asyncio.wait_for(asked.wait(), PATIENCE)
    lent = resources.database.pool_status()["checked_out"]
    sending.cancel()
    with suppress(asyncio.CancelledError):
        await sending
    assert lent == 0


async def test_back_link_stays_on_the_same_host(
    root: Superuser, second: asyncpg.Connection
) -> None:
    me = await second.fetchval("SELECT id FROM users")
    for origin in ("/%09/evil.example", "/%0a/evil.example", "/%0D%5cevil.example"):
        page = (await root.client.get(f"/admin/user/edit?pk={me}&_origin={origin}")).text
        assert "/admin/user/list" in page
        for target in re.findall(r'href="([^"]*)"', page):
            seen = re.sub(r"[\t\r\n]", "", target)  # as a browser reads it
            assert not re.match(r"[/\\]{2}", seen), target
