"""Sessions in cookies over HTTP: sign-in, refresh, sign-out, and who may use them."""

import asyncio

import asyncpg
import pytest
from httpx2 import AsyncClient

from plinth.config import settings
from plinth.testing.people import PASSWORD, People, Person
from tests.support.cookies import IN_COOKIES, Page, read_cookies
from tests.support.factors import enroll


async def test_page_signs_in_and_uses_the_api(page: Page, person: Person) -> None:
    assert set(page.cookies) >= {"plinth_access", "plinth_refresh", "plinth_device"}
    assert (await page.get("/users/me")).json()["id"] == person.id
    assert (await page.get("/own/public")).json() == person.username
    assert (await page.post("/own/private")).json() == person.username
    changed = await page.patch("/users/me", json={"full_name": "Ann"})
    assert changed.json()["full_name"] == "Ann"


async def test_scripts_cannot_read_the_cookies(site: AsyncClient, person: Person) -> None:
    body = {"email": person.email, "password": PASSWORD}
    response = await site.post("/auth/login", json=body, headers=IN_COOKIES)
    cookies = read_cookies(response)
    for name, samesite in (("plinth_access", "lax"), ("plinth_refresh", "strict")):
        assert cookies[name]["httponly"]
        assert cookies[name]["samesite"] == samesite
        assert cookies[name]["path"] == "/"
        assert cookies[name]["domain"] == ""
        assert int(cookies[name]["max-age"]) > 0


@pytest.mark.parametrize(
    ("root_path", "prefix", "path"),
    [("", "__Host-", "/"), ("/shop", "__Secure-", "/shop")],
)
async def test_names_outside_development(
    site: AsyncClient,
    person: Person,
    monkeypatch: pytest.MonkeyPatch,
    root_path: str,
    prefix: str,
    path: str,
) -> None:
    monkeypatch.setattr(settings, "ENVIRONMENT", "production")
    monkeypatch.setattr(settings, "ROOT_PATH", root_path)
    page = await Page(site).sign_in(person)
    body = {"email": person.email, "password": PASSWORD}
    cookies = read_cookies(await site.post("/auth/login", json=body, headers=IN_COOKIES))
    for name in ("plinth_access", "plinth_refresh"):
        cookie = cookies[prefix + name]
        assert (cookie["secure"], cookie["path"], cookie["domain"]) == (True, path, "")
    assert (await page.get("/users/me")).status_code == 200
    plain = {name.removeprefix(prefix): value for name, value in page.cookies.items()}
    assert (await Page(site, plain).get("/users/me")).status_code == 401


async def test_request_without_the_header_gets_tokens(site: AsyncClient, person: Person) -> None:
    form = {"username": person.email, "password": PASSWORD}
    response = await site.post("/auth/token", data=form)
    assert response.status_code == 200
    assert response.json()["access_token"]
    assert "plinth_access" not in read_cookies(response)
    headers = {"Authorization": f"Bearer {response.json()['access_token']}"}
    assert (await site.patch("/users/me", json={}, headers=headers)).status_code == 200
    by_form = await Page(site).post("/auth/token", data=form, headers=IN_COOKIES)
    assert (by_form.status_code, by_form.content) == (204, b"")


async def test_cookies_are_off_by_default(client: AsyncClient, person: Person) -> None:
    body = {"email": person.email, "password": PASSWORD}
    response = await client.post("/auth/login", json=body, headers=IN_COOKIES)
    assert (response.status_code, response.json()["code"]) == (400, "unknown_transport")
    tokens = (await client.post("/auth/login", json=body)).json()
    cookies = {"plinth_access": tokens["access_token"], "plinth_refresh": tokens["refresh_token"]}
    assert (await Page(client, cookies).get("/users/me")).status_code == 401
    assert (await Page(client, cookies).refresh()).status_code == 404
    assert "Cookie" not in response.headers["vary"]


async def test_unknown_transport_is_refused(site: AsyncClient, person: Person) -> None:
    body = {"email": person.email, "password": PASSWORD}
    for value in ("Cookie", "cookies", "", "bearer"):
        response = await site.post("/auth/login", json=body, headers={"X-Auth-Transport": value})
        assert response.json()["code"] == "unknown_transport", value
    refresh = await Page(site).post("/auth/cookies/refresh")
    assert (refresh.status_code, refresh.json()["code"]) == (400, "unknown_transport")
    assert refresh.json()["detail"] == "Send the header X-Auth-Transport with the value `cookie`"


async def test_second_factor_completes_in_cookies(
    site: AsyncClient, client: AsyncClient, second: asyncpg.Connection, people: People
) -> None:
    person = await people.enter(is_verified=True)
    phone = await enroll(client, second, person)
    page = Page(site)
    body = {"email": person.email, "password": PASSWORD}
    refused = await page.post("/auth/login", json=body, headers=IN_COOKIES)
    assert (refused.status_code, refused.json()["code"]) == (403, "mfa_required")
    assert not read_cookies(refused)
    body = {
        "challenge": refused.json()["challenge"],
        "method": refused.json()["methods"][0],
        "code": phone.code(1),
    }
    completed = await page.post("/auth/mfa", json=body, headers=IN_COOKIES)
    assert (completed.status_code, completed.content) == (204, b"")
    assert (await page.get("/users/me")).json()["id"] == person.id


async def test_refresh_replaces_both_cookies(page: Page) -> None:
    before = dict(page.cookies)
    del page.cookies["plinth_access"]  # as when it expires
    assert (await page.get("/users/me")).status_code == 401
    assert (await page.refresh()).status_code == 204
    assert page.cookies["plinth_access"] != before["plinth_access"]
    assert page.cookies["plinth_refresh"] != before["plinth_refresh"]
    assert (await page.post("/own/private")).status_code == 200, "the CSRF token stays valid"


async def test_tabs_refresh_at_once(page: Page) -> None:
    tabs = [Page(page.client, dict(page.cookies), page.csrf_token) for _ in range(3)]
    answers = await asyncio.gather(*(tab.refresh() for tab in tabs))
    assert [it.status_code for it in answers] == [204, 204, 204]
    assert len({tab.cookies["plinth_refresh"] for tab in tabs}) == 1
    for tab in tabs:
        assert (await tab.post("/own/private")).status_code == 200


async def test_replayed_refresh_cookie_revokes_the_session(
    page: Page, second: asyncpg.Connection
) -> None:
    stolen = Page(page.client, dict(page.cookies))
    await page.refresh()
    await second.execute("UPDATE sessions SET last_used_at = now() - interval '1 minute'")
    replay = await stolen.refresh()
    assert (replay.status_code, replay.json()["code"]) == (401, "invalid_refresh_token")
    assert (await page.get("/users/me")).status_code == 401


async def test_revoked_session_is_refused_at_the_next_request(
    page: Page, second: asyncpg.Connection
) -> None:
    await second.execute("UPDATE sessions SET revoked_at = now()")
    assert (await page.get("/users/me")).status_code == 401
    assert (await page.refresh()).status_code == 401
    assert (await page.get("/own/public")).json() == "guest"


@pytest.mark.parametrize("path", ["/auth/logout", "/auth/logout-all"])
async def test_sign_out_clears_the_cookies(
    page: Page, second: asyncpg.Connection, path: str
) -> None:
    kept = Page(page.client, dict(page.cookies), page.csrf_token)
    response = await page.post(path)
    assert response.status_code == 204
    assert {"plinth_access", "plinth_refresh"}.isdisjoint(page.cookies)
    assert (await kept.get("/users/me")).status_code == 401
    assert (await kept.refresh()).status_code == 401


async def test_sign_out_by_bearer_keeps_the_cookies_of_another_session(
    page: Page, people: People, person: Person
) -> None:
    other = await people.sign_in(person)
    response = await page.post("/auth/logout", headers=other.headers)
    assert response.status_code == 204
    assert not read_cookies(response)
    assert (await page.get("/users/me")).status_code == 200


async def test_invalid_cookie_is_that_of_a_guest(page: Page) -> None:
    page.csrf_token = None
    for value in ("invalid", "", page.cookies["plinth_access"][:-4] + "AAAA"):
        page.cookies["plinth_access"] = value
        for method in ("GET", "POST"):
            assert (await page.send(method, "/own/public")).json() == "guest"
        assert (await page.post("/own/private")).status_code == 401


async def test_bearer_token_takes_precedence(page: Page, people: People) -> None:
    other = await people.enter()
    assert (await page.get("/users/me", headers=other.headers)).json()["id"] == other.id
    without_token = other.headers | {"X-CSRF-Token": ""}
    assert (await page.post("/own/private", headers=without_token)).status_code == 200
    for header in ("Bearer invalid", "bearer ", "BEARER x"):
        response = await page.get("/users/me", headers={"Authorization": header})
        assert response.status_code == 401, header
    basic = await page.get("/users/me", headers={"Authorization": "Basic YTpi"})
    assert basic.status_code == 200, "as behind a proxy with a password"


async def test_responses_vary_by_cookie(page: Page) -> None:
    response = await page.get("/users/me")
    assert "Cookie" in ", ".join(response.headers.get_list("vary"))
    assert response.headers["cache-control"] == "no-store"


async def test_request_by_cookie_sends_one_query(page: Page, statements: list[str]) -> None:
    statements.clear()
    await page.get("/users/me")
    assert len(statements) == 1


async def test_cookies_are_documented(site: AsyncClient) -> None:
    document = (await site.get("/openapi.json")).json()
    schemes = document["components"]["securitySchemes"]
    assert schemes["sessionCookie"] == {"type": "apiKey", "in": "cookie", "name": "plinth_access"}
    me = document["paths"][f"{settings.API_V1_PREFIX}/users/me"]
    assert {"sessionCookie": []} in me["get"]["security"]
    assert {"sessionCookie": [], "csrfToken": []} in me["patch"]["security"]
    login = document["paths"][f"{settings.API_V1_PREFIX}/auth/login"]["post"]
    assert "204" in login["responses"]
    assert [it["name"] for it in login["parameters"]] == ["X-Auth-Transport"]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if any(it["name"] == "X-Auth-Transport" for it in operation.get("parameters", ())):
                missing = {"204", "400", "403"} - set(operation["responses"])
                assert not missing, path


async def test_cookies_are_not_documented_by_default(client: AsyncClient) -> None:
    text = (await client.get("/openapi.json")).text
    for word in ("sessionCookie", "csrf", "X-Auth-Transport", "/auth/cookies"):
        assert word not in text
