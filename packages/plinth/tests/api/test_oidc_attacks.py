"""Attacks on the sign-in by identity providers: redirects, browsers, codes, races, floods."""

import asyncio
import threading
from secrets import token_urlsafe
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import asyncpg
import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient
from starlette.requests import Request
from starlette.responses import Response

from plinth.accounts.deps import Resources
from plinth.accounts.providers import http, make_challenge
from plinth.config import settings
from plinth.testing.people import People
from tests.support.oidc_browser import TARGET, Browser, get_me, read_target
from tests.support.oidc_provider import FakeProvider

COOKIE = "plinth_oidc"


def make_client(app: FastAPI) -> AsyncClient:
    """Return another browser."""
    transport = ASGITransport(app, raise_app_exceptions=False)
    return AsyncClient(transport=transport, base_url=f"http://test{settings.API_V1_PREFIX}")


async def find_reasons(second: asyncpg.Connection) -> list[str]:
    rows = await second.fetch("SELECT reason FROM events WHERE event = 'identity.refused'")
    return [row["reason"].partition(": ")[2] for row in rows]


REDIRECTS = [
    "https://evil.example/",
    "https://app.example.com",
    f"{TARGET}/",
    f"{TARGET}/../evil",
    f"{TARGET}?next=https://evil.example",
    f"{TARGET}#",
    f"{TARGET}%2f",
    f"{TARGET}\t",
    f" {TARGET}",
    "HTTPS://APP.EXAMPLE.COM/signed-in",
    "https://app.example.com:443/signed-in",
    "https://app.example.com@evil.example/signed-in",
    "https://app.example.com.evil.example/signed-in",
    "https://app.example.com\\@evil.example/signed-in",
    "//app.example.com/signed-in",
    "http://app.example.com/signed-in",
    "javascript:alert(1)//https://app.example.com/signed-in",
    "https://\u0430pp.example.com/signed-in",
    "https://app.example.com/signed-in\r\nSet-Cookie: a=b",
    "",
]


@pytest.mark.parametrize("redirect_to", REDIRECTS)
async def test_only_a_listed_url_is_redirected_to(
    browser: Browser, people: People, redirect_to: str
) -> None:
    refused = await browser.start(redirect_to=redirect_to)
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_redirect")
    person = await people.enter()
    body = {"redirect_to": redirect_to, "code_challenge": make_challenge(browser.verifier)}
    path = "/users/me/identities/fake/start"
    refused = await browser.client.post(path, json=body, headers=person.headers)
    assert refused.json()["code"] == "invalid_redirect"


async def test_an_app_with_a_private_scheme(
    browser: Browser, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = "com.example.app:/signed-in"
    monkeypatch.setattr(settings, "OIDC_REDIRECT_URLS", [target])
    started = await browser.start(redirect_to=target)
    returned = await browser.call_back(provider.authorize(started.headers["location"]))
    url, _, code = returned.headers["location"].partition("?code=")
    assert url == target
    assert (await browser.redeem(code)).status_code == 200


async def test_the_host_header_changes_no_url(browser: Browser) -> None:
    evil = {"Host": "evil.example", "X-Forwarded-Host": "evil.example"}
    query = {"redirect_to": TARGET, "code_challenge": make_challenge(browser.verifier)}
    started = await browser.client.get("/auth/oidc/fake/start", params=query, headers=evil)
    sent = dict(parse_qsl(urlsplit(started.headers["location"]).query))
    assert sent["redirect_uri"] == "http://localhost:8000/api/v1/auth/oidc/fake/callback"


@pytest.mark.parametrize("challenge", ["", "short", "a" * 42, "a" * 44, "+" * 43, "a" * 42 + "="])
async def test_a_challenge_that_is_not_s256(browser: Browser, challenge: str) -> None:
    assert (await browser.start(code_challenge=challenge)).status_code == 422


async def test_a_state_of_another_browser(
    app: FastAPI, browser: Browser, provider: FakeProvider, second: asyncpg.Connection
) -> None:
    """Login CSRF: the attacker's response, opened by the victim, signs in no one."""
    response = await browser.authorize()
    async with make_client(app) as victim:
        other = Browser(victim, provider)
        refused = await other.call_back(response)
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_state")
        await other.authorize()
        refused = await other.call_back(response)
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_state")
    assert await find_reasons(second) == [
        "state without the cookie of its browser",
        "state unknown, used, expired or of another browser",
    ]
    assert "code" in read_target(await browser.call_back(response)), "the state is still valid"


async def test_a_state_is_valid_once(browser: Browser, second: asyncpg.Connection) -> None:
    response = await browser.authorize()
    results = await asyncio.gather(*(browser.call_back(response) for _ in range(20)))
    assert sorted(it.status_code for it in results) == [303] + [400] * 19


@pytest.mark.parametrize("state", ["", "x", "A" * 64, "B" * 43, "a\x00b", "\u0130"])
async def test_an_invented_state(browser: Browser, state: str) -> None:
    await browser.authorize()
    refused = await browser.call_back({"state": state, "code": "x"})
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_state")
    assert (await browser.call_back({})).status_code == 400


async def test_an_expired_state(browser: Browser, second: asyncpg.Connection) -> None:
    response = await browser.authorize()
    await second.execute("UPDATE challenges SET expires_at = now()")
    assert (await browser.call_back(response)).json()["code"] == "invalid_state"


async def test_two_tabs_sign_in(browser: Browser) -> None:
    first, other = await browser.authorize(), await browser.authorize()
    for response in (first, other):
        code = read_target(await browser.call_back(response))["code"]
        assert (await browser.redeem(code)).status_code == 200


async def test_the_code_of_the_redirect_needs_its_verifier(
    browser: Browser, second: asyncpg.Connection
) -> None:
    code = (await browser.get_result())["code"]
    stolen = await browser.redeem(code, token_urlsafe(32))
    assert (stolen.status_code, stolen.json()["code"]) == (400, "invalid_verifier")
    assert await find_reasons(second) == ["wrong code verifier"]
    assert (await browser.redeem(code)).json()["code"] == "invalid_challenge", "it is used up"
    assert await second.fetchval("SELECT count(*) FROM users") == 0


async def test_the_code_of_the_redirect_expires(
    browser: Browser, second: asyncpg.Connection
) -> None:
    code = (await browser.get_result())["code"]
    left = "SELECT extract(epoch FROM expires_at - now()) FROM challenges WHERE kind = 'oidc_code'"
    assert 0 < await second.fetchval(left) <= 60
    await second.execute("UPDATE challenges SET expires_at = now()")
    assert (await browser.redeem(code)).json()["code"] == "invalid_challenge"


async def test_no_token_and_no_secret_is_in_a_url_or_a_row(
    browser: Browser, provider: FakeProvider, second: asyncpg.Connection
) -> None:
    response = await browser.authorize()
    rows = str([dict(row) for row in await second.fetch("SELECT * FROM challenges")])
    returned = await browser.call_back(response)
    code = read_target(returned)["code"]
    rows += str([dict(row) for row in await second.fetch("SELECT * FROM challenges")])
    for secret in (response["state"], response["code"], code, "ann-1", "ann@example.com"):
        assert secret not in rows
    assert returned.headers["cache-control"] == "no-store"
    assert returned.headers["referrer-policy"] == "no-referrer"


async def test_a_challenge_of_another_purpose(
    browser: Browser, people: People, second: asyncpg.Connection
) -> None:
    person = await people.enter(is_verified=True)
    state = (await browser.authorize())["state"]
    code = (await browser.get_result())["code"]
    link_code = await browser.get_link_code(person)
    for text in (state, link_code):
        assert (await browser.redeem(text)).json()["code"] == "invalid_challenge"
    for text in (state, code):
        refused = await browser.finish_link(person, text)
        assert refused.json()["code"] == "invalid_challenge"
    for text in (state, code, link_code):
        mfa = await browser.client.post("/auth/mfa", json={"challenge": text, "code": "000000"})
        assert mfa.json()["code"] == "invalid_challenge"
        ticket = await browser.client.get("/auth/oidc/fake/link", params={"ticket": text})
        assert ticket.json()["code"] == "invalid_challenge"


async def test_a_lured_victim_is_not_linked_to_the_attacker(
    app: FastAPI,
    browser: Browser,
    provider: FakeProvider,
    people: People,
    second: asyncpg.Connection,
) -> None:
    """The victim opens the attacker's ticket. The code arrives at the victim's front end only."""
    attacker = await people.enter(is_verified=True)
    url = (await browser.start_link(attacker)).json()["url"]
    async with make_client(app) as client:
        victim = Browser(client, provider)
        opened = await client.get(url.replace("http://localhost:8000", "http://test"))
        response = provider.authorize(opened.headers["location"])
        code = read_target(await victim.call_back(response))["code"]
        person = await people.enter(is_verified=True)
        refused = await victim.finish_link(person, code)
        assert refused.json()["code"] == "invalid_verifier"
        assert (await victim.redeem(code)).json()["code"] == "invalid_challenge"
    assert await second.fetchval("SELECT count(*) FROM identities") == 0


async def test_linking_ends_in_the_session_that_began_it(
    browser: Browser, people: People, second: asyncpg.Connection
) -> None:
    person = await people.enter(is_verified=True)
    code = await browser.get_link_code(person)
    refused = await browser.finish_link(await people.sign_in(person), code)
    assert (refused.status_code, refused.json()["code"]) == (403, "other_session")
    stranger = await people.enter()
    refused = await browser.finish_link(stranger, await browser.get_link_code(person))
    assert (refused.status_code, refused.json()["code"]) == (403, "other_session")
    assert set(await find_reasons(second)) == {"link code of another session"}
    assert await second.fetchval("SELECT count(*) FROM identities") == 0


async def test_a_link_is_void_after_a_change_of_the_credentials(
    browser: Browser, people: People, second: asyncpg.Connection
) -> None:
    person = await people.enter(is_verified=True)
    change = "UPDATE users SET credential_epoch = credential_epoch + 1 WHERE id = $1"
    url = (await browser.start_link(person)).json()["url"].replace("http://localhost:8000", "")
    await second.execute(change, person.id)
    assert (await browser.client.get(f"http://test{url}")).json()["code"] == "invalid_challenge"
    code = await browser.get_link_code(person)
    await second.execute(change, person.id)
    assert (await browser.finish_link(person, code)).json()["code"] == "invalid_challenge"


async def test_a_link_code_is_void_after_an_identity_was_removed(
    browser: Browser, people: People, second: asyncpg.Connection
) -> None:
    person = await people.enter(is_verified=True)
    linked = (await browser.link(person)).json()["id"]
    code = await browser.get_link_code(person)
    path = f"/users/me/identities/{linked}"
    assert (await browser.client.delete(path, headers=person.headers)).status_code == 204
    assert (await browser.finish_link(person, code)).json()["code"] == "invalid_challenge"
    assert await second.fetchval("SELECT count(*) FROM identities") == 0


async def test_identities_of_others_are_not_found(browser: Browser, people: People) -> None:
    person, stranger = await people.enter(is_verified=True), await people.enter()
    linked = (await browser.link(person)).json()["id"]
    path = f"/users/me/identities/{linked}"
    assert (await browser.client.delete(path, headers=stranger.headers)).status_code == 404
    listed = await browser.client.get("/users/me/identities", headers=stranger.headers)
    assert listed.json() == []


async def test_linking_and_removing_need_a_recent_authentication(
    browser: Browser, people: People, second: asyncpg.Connection
) -> None:
    person = await people.enter(is_verified=True)
    linked = (await browser.link(person)).json()["id"]
    await second.execute("UPDATE sessions SET authenticated_at = now() - interval '1 hour'")
    path = f"/users/me/identities/{linked}"
    for refused in (
        await browser.start_link(person),
        await browser.client.delete(path, headers=person.headers),
    ):
        assert (refused.status_code, refused.json()["code"]) == (403, "step_up_required")


async def test_an_account_has_at_most_ten_identities(
    browser: Browser, people: People, second: asyncpg.Connection
) -> None:
    person = await people.enter(is_verified=True)
    await second.execute(
        "INSERT INTO identities (user_id, provider, issuer, subject) "
        "SELECT $1, 'fake', 'https://x.example', n::text FROM generate_series(1, 10) n",
        person.id,
    )
    assert (await browser.link(person)).json()["code"] == "too_many_identities"


async def test_two_subjects_with_one_address_make_one_account(
    browser: Browser, provider: FakeProvider, second: asyncpg.Connection
) -> None:
    codes = []
    for number in range(10):
        provider.user["sub"] = f"subject-{number}"
        codes.append((await browser.get_result())["code"])
    responses = await asyncio.gather(*(browser.redeem(code) for code in codes))
    assert {it.status_code for it in responses} <= {200, 400, 503}
    assert await second.fetchval("SELECT count(*) FROM users") == 1


async def test_two_accounts_cannot_link_one_subject(
    browser: Browser, people: People, second: asyncpg.Connection
) -> None:
    owners = [await people.enter(is_verified=True) for _ in range(5)]
    codes = [await browser.get_link_code(owner) for owner in owners]
    pairs = zip(owners, codes, strict=True)
    responses = await asyncio.gather(*(browser.finish_link(it, code) for it, code in pairs))
    assert sorted(it.status_code for it in responses) == [201, 400, 400, 400, 400]


async def test_of_two_ways_in_one_remains(
    browser: Browser,
    provider: FakeProvider,
    second: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two requests remove one identity each, at once, of an account without a password."""
    monkeypatch.setattr(settings, "EMAIL_CODES", False)
    for number in range(5):
        provider.user |= {"sub": f"first-{number}", "email": f"race{number}@example.com"}
        tokens = (await browser.sign_in()).json()
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        user_id = await second.fetchval("SELECT max(id) FROM users")
        await second.execute(
            "INSERT INTO identities (user_id, provider, issuer, subject) "
            "VALUES ($1, 'fake', $2, $3)",
            user_id,
            provider.url,
            f"second-{number}",
        )
        listed = (await browser.client.get("/users/me/identities", headers=headers)).json()
        paths = [f"/users/me/identities/{it['id']}" for it in listed]
        removed = await asyncio.gather(
            *(browser.client.delete(path, headers=headers) for path in paths)
        )
        assert sorted(it.status_code for it in removed) == [204, 400]


async def test_a_removed_provider_is_no_way_in(
    browser: Browser,
    provider: FakeProvider,
    second: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings, "EMAIL_CODES", False)
    tokens = (await browser.sign_in()).json()
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    await second.execute(
        "INSERT INTO identities (user_id, provider, issuer, subject) "
        "SELECT id, 'gone', 'https://gone.example', '1' FROM users"
    )
    path = f"/users/me/identities/{await second.fetchval(BY_PROVIDER)}"
    assert (await browser.client.delete(path, headers=headers)).json()["code"] == "last_way_in"
    code = (await browser.get_result())["code"]
    monkeypatch.setattr(settings, "OIDC_PROVIDERS", {})
    assert (await browser.redeem(code)).status_code == 404
    assert (await browser.start()).json()["code"] == "provider_not_found"
    assert (await browser.call_back({})).json()["code"] == "provider_not_found"


BY_PROVIDER = "SELECT id FROM identities WHERE provider = 'fake'"


@pytest.mark.parametrize("step", ["start", "callback", "token"])
async def test_each_step_is_limited_per_network(
    browser: Browser, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setattr(settings, "LIMITS_ENABLED", True)
    monkeypatch.setattr(settings, "LIMIT_OIDC_IP", "3/5m")

    async def send() -> Any:
        if step == "start":
            return await browser.start()
        if step == "callback":
            return await browser.call_back({"state": "x"})
        return await browser.redeem("x")

    statuses = [(await send()).status_code for _ in range(4)]
    assert statuses[-1] == 429
    assert 429 not in statuses[:-1]


async def test_the_cookie_in_development(browser: Browser) -> None:
    started = await browser.start()
    attributes = started.headers["set-cookie"].split("; ")
    assert attributes[0].startswith(f"{COOKIE}=")
    assert {"HttpOnly", "Path=/", "SameSite=lax", "Max-Age=600"} <= set(attributes)


@pytest.mark.parametrize(
    ("root_path", "name", "path"),
    [("", f"__Host-{COOKIE}", "Path=/"), ("/shop", f"__Secure-{COOKIE}", "Path=/shop")],
)
async def test_the_cookie_in_production(
    browser: Browser, monkeypatch: pytest.MonkeyPatch, root_path: str, name: str, path: str
) -> None:
    await browser.start()  # loads the documents; without https only in development
    monkeypatch.setattr(settings, "ENVIRONMENT", "production")
    monkeypatch.setattr(settings, "ROOT_PATH", root_path)
    started = await browser.start()
    attributes = started.headers["set-cookie"].split("; ")
    assert attributes[0].startswith(f"{name}=")
    assert {"HttpOnly", path, "SameSite=lax", "Secure"} <= set(attributes)
    assert not any(it.startswith("Domain") for it in attributes)


async def test_a_planted_cookie_is_replaced(browser: Browser) -> None:
    browser.client.cookies.set(COOKIE, "planted")
    assert "planted" not in (await browser.start()).headers["set-cookie"]


async def test_an_unencrypted_provider_is_not_contacted_in_production(
    browser: Browser, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "ENVIRONMENT", "production")
    assert (await browser.start()).json()["code"] == "provider_refused"
    assert provider.requests.total() == 0


async def test_no_connection_is_held_while_a_provider_is_awaited(
    browser: Browser, provider: FakeProvider, resources: Resources
) -> None:
    released = threading.Event()
    reached = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def wait(_: Request) -> Response:
        loop.call_soon_threadsafe(reached.set)
        await asyncio.to_thread(released.wait)
        return Response(status_code=503)

    response = await browser.authorize()
    provider.answers["/token"] = wait
    waiting = asyncio.create_task(browser.call_back(response))
    await reached.wait()
    assert resources.database.pool_status()["checked_out"] == 0
    released.set()
    assert read_target(await waiting) == {"error": "provider_unavailable"}


async def test_a_frozen_provider_takes_few_places(
    browser: Browser, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "MAX_CONCURRENT", 2)
    monkeypatch.setattr(http, "REQUEST_SECONDS", 0.5)
    arrived: list[str] = []

    async def freeze(_: Request) -> Response:
        arrived.append("x")
        await asyncio.sleep(5)
        return Response()

    responses = [await browser.authorize() for _ in range(6)]
    provider.answers["/token"] = freeze
    results = await asyncio.gather(*(browser.call_back(it) for it in responses))
    assert {read_target(it)["error"] for it in results} == {"provider_unavailable"}
    assert len(arrived) <= 2
    provider.answers.clear()
    assert (await browser.sign_in()).status_code == 200, "the places are free again"


async def test_a_provider_that_is_down(
    browser: Browser, monkeypatch: pytest.MonkeyPatch, provider: FakeProvider
) -> None:
    down = provider.configure(issuer="http://127.0.0.1:9")
    monkeypatch.setattr(settings, "OIDC_PROVIDERS", {"fake": down})
    refused = await browser.start()
    assert (refused.status_code, refused.json()["code"]) == (503, "provider_unavailable")
    assert "retry-after" in refused.headers


async def test_a_deactivated_user_stays_out_by_every_provider(
    browser: Browser, provider: FakeProvider, second: asyncpg.Connection
) -> None:
    await get_me(browser.client, await browser.sign_in())
    await second.execute("UPDATE users SET is_active = false")
    assert (await browser.sign_in()).json()["code"] == "inactive_user"
    provider.user |= {"sub": "another-1", "email_verified": False}
    assert (await browser.sign_in()).json()["code"] == "identity_not_linked", "says no more"
    provider.user["email_verified"] = True
    assert (await browser.sign_in()).json()["code"] == "inactive_user"
    assert await second.fetchval("SELECT count(*) FROM identities") == 1
    reasons = await find_reasons(second)
    assert reasons.count("inactive user") == 2
