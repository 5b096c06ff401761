"""Attacks on sessions in cookies: what another site, subdomain, origin or session can send."""

from collections.abc import Mapping
from typing import Any

import asyncpg
import pytest
from httpx2 import AsyncClient, Response
from starlette.websockets import WebSocket

from plinth.accounts.deps import oauth2_scheme
from plinth.accounts.session_cookies import CrossSiteRequest, make_csrf_token
from plinth.config import settings
from plinth.request.cookies import TRANSPORT_HEADER
from plinth.security.refresh_tokens import make_refresh_token
from plinth.testing.people import PASSWORD, People, Person
from tests.support.cookies import IN_COOKIES, Page, read_cookies

CROSS_ORIGINS: list[Mapping[str, str]] = [
    {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://test:8001"},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://app.test"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "null"},
    {"Sec-Fetch-Site": "cross-site", "Origin": ""},
    {"Sec-Fetch-Site": "", "Origin": "null"},
    {"Sec-Fetch-Site": "", "Origin": "http://test.evil.example"},
    {"Sec-Fetch-Site": "", "Origin": "http://test:8001"},
    {"Sec-Fetch-Site": "", "Origin": "http://evil.example@test"},
    {"Sec-Fetch-Site": "SAME-ORIGIN", "Origin": "http://test"},
]
cross_origins = pytest.mark.parametrize("headers", CROSS_ORIGINS, ids=str)


def check_code(response: Response, status: int, code: str) -> None:
    assert (response.status_code, response.json()["code"]) == (status, code), response.text


@cross_origins
async def test_another_origin_changes_nothing_even_with_the_token(
    page: Page, headers: dict[str, str]
) -> None:
    check_code(await page.post("/own/private", headers=headers), 403, "cross_site")
    check_code(await page.post("/own/public", headers=headers), 403, "cross_site")
    check_code(await page.post("/auth/logout", headers=headers), 403, "cross_site")
    assert (await page.get("/users/me")).status_code == 200


@cross_origins
async def test_another_origin_neither_signs_in_nor_refreshes(
    page: Page, person: Person, headers: dict[str, str]
) -> None:
    body = {"email": person.email, "password": PASSWORD}
    login = await page.post("/auth/login", json=body, headers=headers | IN_COOKIES)
    check_code(login, 403, "cross_site")
    assert not read_cookies(login)
    refresh = await page.post("/auth/cookies/refresh", headers=headers | IN_COOKIES)
    check_code(refresh, 403, "cross_site")
    assert not read_cookies(refresh)


async def test_listed_origin_needs_the_token(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = {"Origin": "http://app.test", "Sec-Fetch-Site": "same-site"}
    monkeypatch.setattr(settings, "BACKEND_CORS_ORIGINS", ["http://app.test"])
    assert (await page.post("/own/private", headers=listed)).status_code == 200
    without_token = listed | {"X-CSRF-Token": ""}
    check_code(await page.post("/own/private", headers=without_token), 403, "invalid_csrf_token")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "REPORT", "post"])
async def test_every_unsafe_method_requires_the_token(page: Page, method: str) -> None:
    page.csrf_token = None
    check_code(await page.send(method, "/own/any"), 403, "invalid_csrf_token")
    no_origin = {"Origin": "", "Sec-Fetch-Site": ""}
    check_code(await page.send(method, "/own/any", headers=no_origin), 403, "invalid_csrf_token")


async def test_token_of_another_session_is_refused(
    page: Page, site: AsyncClient, people: People
) -> None:
    other = await Page(site).sign_in(await people.add())
    assert other.csrf_token
    assert page.csrf_token
    for token in (
        other.csrf_token,
        page.csrf_token[:-1],
        page.csrf_token + "=",
        page.csrf_token.swapcase(),
        f"{page.csrf_token}, {page.csrf_token}",
        "é",
        "null",
    ):
        page.csrf_token = token
        check_code(await page.post("/own/private"), 403, "invalid_csrf_token")


async def test_token_outside_of_the_header_does_not_count(page: Page) -> None:
    token = page.csrf_token or ""
    page.csrf_token = None
    page.cookies |= {"X-CSRF-Token": token, "csrf_token": token}
    path = f"/own/private?csrf_token={token}&X-CSRF-Token={token}"
    response = await page.post(path, data={"csrf_token": token})
    check_code(response, 403, "invalid_csrf_token")


async def test_safe_method_cannot_be_overridden(page: Page) -> None:
    page.csrf_token = None
    for header in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        response = await page.get("/own/private", headers={header: "POST"})
        assert response.status_code == 405
    assert (await page.get("/own/private?_method=POST")).status_code == 405
    for method in ("HEAD", "TRACE"):
        assert (await page.send(method, "/own/private")).status_code == 405
    assert (await page.send("OPTIONS", "/own/private")).content == b""
    assert (await page.send("HEAD", "/own/public")).status_code == 200


async def test_refresh_requires_post_and_the_header(page: Page) -> None:
    for response in (
        await page.get("/auth/cookies/refresh", headers=IN_COOKIES),
        await page.send("HEAD", "/auth/cookies/refresh", headers=IN_COOKIES),
    ):
        assert response.status_code == 405
        assert not read_cookies(response)
    response = await page.post("/auth/cookies/refresh")
    check_code(response, 400, "unknown_transport")
    assert (await page.refresh()).status_code == 204


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_json_with_the_media_type_of_a_form_is_refused(page: Page, media_type: str) -> None:
    page.csrf_token = None
    headers = {"Content-Type": media_type, "Sec-Fetch-Site": "cross-site", "Origin": "null"}
    response = await page.patch("/users/me", content='{"full_name": "Eve"}', headers=headers)
    check_code(response, 403, "cross_site")
    assert (await page.get("/users/me")).json()["full_name"] is None


async def test_form_on_another_site_sets_no_session(site: AsyncClient, person: Person) -> None:
    """Login CSRF: the browser would use the account of the attacker from then on."""
    form = {"username": person.email, "password": PASSWORD}
    headers = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    response = await site.post("/auth/token", data=form, headers=headers)
    assert not read_cookies(response)


async def test_two_cookies_of_one_name_authenticate_no_one(
    page: Page, site: AsyncClient, people: People
) -> None:
    """Another subdomain can add its own cookie unless the prefix is `__Host-`."""
    mine = page.cookies["plinth_access"]
    other = (await Page(site).sign_in(await people.add())).cookies["plinth_access"]
    for pair in ((mine, other), (other, mine), (mine, ""), (mine, mine)):
        cookie = "; ".join(f"plinth_access={value}" for value in pair)
        assert (await page.get("/users/me", headers={"Cookie": cookie})).status_code == 401
        assert (await page.get("/own/public", headers={"Cookie": cookie})).json() == "guest"
    own = page.cookies["plinth_refresh"]
    twice = {"Cookie": f"plinth_refresh={own}; plinth_refresh={own}"} | IN_COOKIES
    response = await page.post("/auth/cookies/refresh", headers=twice)
    check_code(response, 401, "invalid_refresh_token")


@pytest.mark.parametrize(
    "name",
    [
        "plinth_access",
        "__Secure-plinth_access",
        "__host-plinth_access",
        "__HOST-PLINTH_ACCESS",
        "$__Host-plinth_access",
        "\x85__Host-plinth_access",
        "\xa0__Host-plinth_access",
        "\x1c__Host-plinth_access",
        "__Host-plinth_access\xa0",
        '"__Host-plinth_access"',
        "__Host-plinth_access[]",
        "__Host-plinth%5Faccess",
    ],
)
async def test_name_that_another_host_may_set_is_another_name(
    page: Page, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(settings, "ENVIRONMENT", "production")
    token = page.cookies["plinth_access"]
    for prefix in ("", "$Version=1; ", "a=1;"):
        headers = {"Cookie": f"{prefix}{name}={token}"}
        response = await page.get("/users/me", headers=headers)
        assert response.status_code == 401, prefix
    headers = {"Cookie": f"__Host-plinth_access={token}"}
    assert (await page.get("/users/me", headers=headers)).status_code == 200


async def test_sign_in_replaces_the_tokens_of_an_attacker(
    site: AsyncClient, people: People, person: Person
) -> None:
    """Session fixation: the attacker knows the cookies that the browser had before."""
    attacker = await Page(site).sign_in(await people.add())
    victim = await Page(site, dict(attacker.cookies), attacker.csrf_token).sign_in(person)
    for name in ("plinth_access", "plinth_refresh"):
        assert victim.cookies[name] != attacker.cookies[name]
    assert (await victim.get("/users/me")).json()["id"] == person.id
    assert (await attacker.get("/users/me")).json()["id"] != person.id
    forged = Page(site, dict(victim.cookies), attacker.csrf_token)
    check_code(await forged.post("/own/private"), 403, "invalid_csrf_token")


async def test_tokens_cannot_be_swapped(page: Page) -> None:
    access, refresh = page.cookies["plinth_access"], page.cookies["plinth_refresh"]
    swapped = Page(page.client, {"plinth_access": refresh, "plinth_refresh": access})
    assert (await swapped.get("/users/me")).status_code == 401
    assert (await swapped.refresh()).status_code == 401
    header = {"Authorization": f"Bearer {refresh}"}
    assert (await page.get("/users/me", headers=header)).status_code == 401


async def test_forged_refresh_token_yields_no_csrf_token(
    page: Page, site: AsyncClient, second: asyncpg.Connection
) -> None:
    """Session ids are no secret, so the CSRF token is only for the holder of the session."""
    session_id = await second.fetchval("SELECT id FROM sessions")
    assert page.csrf_token == make_csrf_token(session_id)
    forged = Page(site, {"plinth_refresh": make_refresh_token(session_id).text})
    assert (await forged.get("/auth/cookies/csrf")).status_code == 401


async def test_another_origin_cannot_read_the_csrf_token(page: Page) -> None:
    headers = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    response = await page.get("/auth/cookies/csrf", headers=headers)
    assert "access-control-allow-origin" not in response.headers
    assert response.headers["cross-origin-resource-policy"] == "same-origin"
    preflight = await page.client.options(
        "/own/private",
        headers={
            "Origin": "https://evil.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "X-CSRF-Token, X-Auth-Transport",
        },
    )
    assert "access-control-allow-origin" not in preflight.headers


async def test_every_way_in_refuses_cookies_for_another_site(site: AsyncClient) -> None:
    """Each route with `Delivery` checks the origin before it reads the proof."""
    document = (await site.get("/openapi.json")).json()
    ways = [
        path.removeprefix(settings.API_V1_PREFIX)
        for path, operations in document["paths"].items()
        if any(
            it["name"] == TRANSPORT_HEADER
            for it in operations.get("post", {}).get("parameters", ())
        )
        and operations["post"]["security"] == []
    ]
    assert {"/auth/login", "/auth/token", "/auth/mfa", "/auth/cookies/refresh"} <= set(ways)
    headers = IN_COOKIES | {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    for way in ways:
        response = await site.post(way, headers=headers, json={})
        assert response.status_code in (403, 422), way
        assert not read_cookies(response), way


async def test_no_token_is_in_a_body(site: AsyncClient, person: Person) -> None:
    page = await Page(site).sign_in(person)
    secrets = [page.cookies["plinth_access"], page.cookies["plinth_refresh"]]
    for response in (
        await page.get("/auth/cookies/csrf"),
        await page.get("/users/me"),
        await page.get("/users/me/sessions"),
        await page.refresh(),
    ):
        assert not any(secret in response.text for secret in secrets)


async def _unused(*_: Any) -> Any:
    raise AssertionError


def make_handshake(page: Page, **headers: str) -> WebSocket:
    sent = {"host": "test", "cookie": f"plinth_access={page.cookies['plinth_access']}"} | headers
    scope = {
        "type": "websocket",
        "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
    }
    return WebSocket(scope, receive=_unused, send=_unused)


async def test_websocket_by_cookie_requires_an_origin(page: Page) -> None:
    """A browser sends the cookies with the handshake of a page of any origin."""
    for origin in ("https://evil.example", "http://test:8001", "null", "http://app.test"):
        with pytest.raises(CrossSiteRequest):
            await oauth2_scheme(make_handshake(page, origin=origin))
    with pytest.raises(CrossSiteRequest):
        await oauth2_scheme(make_handshake(page))
    token = await oauth2_scheme(make_handshake(page, origin="http://test"))
    assert token == page.cookies["plinth_access"]
