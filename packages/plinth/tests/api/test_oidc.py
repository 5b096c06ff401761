"""Sign-in by identity providers over HTTP, against a provider on loopback."""

import asyncio
from collections.abc import Awaitable

import asyncpg
import pytest
from httpx2 import AsyncClient, Response

from plinth.config import settings
from plinth.testing.operations import find_operations
from plinth.testing.people import People
from tests.support.factors import enroll
from tests.support.oidc_browser import Browser, get_me, read_target
from tests.support.oidc_provider import FakeProvider


async def test_a_first_sign_in_registers_a_user(
    browser: Browser, second: asyncpg.Connection
) -> None:
    me = await get_me(browser.client, await browser.sign_in())
    assert (me["email"], me["username"], me["full_name"]) == ("ann@example.com", "ann", "Ann")
    assert me["is_verified"]
    row = await second.fetchrow("SELECT * FROM users")
    assert row["hashed_password"] == "!"
    session = await second.fetchrow("SELECT * FROM sessions")
    assert (session["aal"], session["amr"]) == (1, "oidc")


async def test_a_later_sign_in_finds_the_same_user(
    browser: Browser, provider: FakeProvider, second: asyncpg.Connection
) -> None:
    first = await get_me(browser.client, await browser.sign_in())
    provider.user |= {"email": "new@example.com", "preferred_username": "renamed"}
    assert await get_me(browser.client, await browser.sign_in()) == first
    row = await second.fetchrow("SELECT * FROM identities")
    assert (row["provider"], row["issuer"]) == ("fake", provider.url)
    assert (row["subject"], row["email"]) == ("ann-1", "new@example.com")
    assert row["last_used_at"]


async def test_claims_from_the_userinfo_endpoint(browser: Browser, provider: FakeProvider) -> None:
    provider.userinfo = dict(provider.user)
    provider.user = {"sub": "ann-1"}
    me = await get_me(browser.client, await browser.sign_in())
    assert (me["email"], me["is_verified"]) == ("ann@example.com", True)


async def test_github_by_its_numeric_id(
    client: AsyncClient, provider: FakeProvider, second: asyncpg.Connection
) -> None:
    browser = Browser(client, provider, "github")
    first = await get_me(client, await browser.sign_in())
    assert (first["email"], first["username"]) == ("octo@example.com", "octocat")
    provider.github_user["login"] = "renamed"
    assert await get_me(client, await browser.sign_in()) == first
    assert await second.fetchval("SELECT subject FROM identities") == "583231"


async def test_a_second_factor_is_still_required(
    browser: Browser, provider: FakeProvider, people: People, second: asyncpg.Connection
) -> None:
    person = await people.enter(email="ann@example.com", is_verified=True)
    app = await enroll(browser.client, second, person)
    pending = await browser.sign_in()
    assert (pending.status_code, pending.json()["code"]) == (403, "mfa_required")
    body = {"challenge": pending.json()["challenge"], "code": app.code()}
    signed_in = await browser.client.post("/auth/mfa", json=body)
    assert (await get_me(browser.client, signed_in))["id"] == person.id
    session = "SELECT aal, amr FROM sessions ORDER BY created_at DESC LIMIT 1"
    assert tuple(await second.fetchrow(session)) == (2, "oidc otp")


async def test_link_list_and_remove(
    browser: Browser, provider: FakeProvider, people: People, second: asyncpg.Connection
) -> None:
    person = await people.enter(is_verified=True)
    epoch = "SELECT credential_epoch FROM users WHERE id = $1"
    before = await second.fetchval(epoch, person.id)
    linked = await browser.link(person)
    assert linked.status_code == 201, linked.text
    assert await second.fetchval(epoch, person.id) > before
    listed = (await browser.client.get("/users/me/identities", headers=person.headers)).json()
    assert [it["id"] for it in listed] == [linked.json()["id"]]
    other = await browser.sign_in()
    assert (await get_me(browser.client, other))["id"] == person.id
    path = f"/users/me/identities/{linked.json()['id']}"
    before = await second.fetchval(epoch, person.id)
    removed = await browser.client.delete(path, headers=person.headers)
    assert removed.status_code == 204, removed.text
    assert await second.fetchval(epoch, person.id) > before
    ended = {"Authorization": f"Bearer {other.json()['access_token']}"}
    assert (await browser.client.get("/users/me", headers=ended)).status_code == 401
    mails = [row["kind"] for row in await second.fetch("SELECT kind FROM mails ORDER BY kind")]
    assert mails == ["identity_linked", "identity_removed"]


@pytest.mark.parametrize("codes", [False, True])
async def test_the_last_way_in_cannot_be_removed(
    browser: Browser,
    second: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    *,
    codes: bool,
) -> None:
    """A code by mail is a way in."""
    monkeypatch.setattr(settings, "EMAIL_CODES", codes)
    tokens = (await browser.sign_in()).json()
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    identity = (await browser.client.get("/users/me/identities", headers=headers)).json()[0]
    path = f"/users/me/identities/{identity['id']}"
    response = await browser.client.delete(path, headers=headers)
    assert await second.fetchval("SELECT count(*) FROM identities") == (0 if codes else 1)
    if codes:
        assert response.status_code == 204
    else:
        assert (response.status_code, response.json()["code"]) == (400, "last_way_in")


async def test_step_up_of_a_user_without_password_is_a_new_sign_in(
    browser: Browser, second: asyncpg.Connection
) -> None:
    tokens = (await browser.sign_in()).json()
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    await second.execute("UPDATE sessions SET authenticated_at = now() - interval '1 hour'")
    stale = await browser.client.post("/users/me/factors/totp", json={}, headers=headers)
    assert (stale.status_code, stale.json()["methods"]) == (
        403,
        ["oidc", "email_code", "password_reset"],
    )
    body = {"method": "password", "password": "!"}
    refused = await browser.client.post("/auth/step-up", json=body, headers=headers)
    assert refused.json()["code"] == "method_not_accepted"
    fresh = {"Authorization": f"Bearer {(await browser.sign_in()).json()['access_token']}"}
    added = await browser.client.post("/users/me/factors/totp", json={}, headers=fresh)
    assert added.status_code == 201


async def test_twenty_first_sign_ins_of_one_subject_make_one_user(
    browser: Browser, second: asyncpg.Connection
) -> None:
    codes = [(await browser.get_result())["code"] for _ in range(20)]
    responses = await asyncio.gather(*(browser.redeem(code) for code in codes))
    assert {response.status_code for response in responses} == {200}
    assert await second.fetchval("SELECT count(*) FROM users") == 1
    assert await second.fetchval("SELECT count(*) FROM identities") == 1


async def test_a_code_signs_in_once(browser: Browser, second: asyncpg.Connection) -> None:
    code = (await browser.get_result())["code"]
    responses = await asyncio.gather(*(browser.redeem(code) for _ in range(20)))
    statuses = sorted(response.status_code for response in responses)
    assert statuses == [200] + [400] * 19
    assert await second.fetchval("SELECT count(*) FROM sessions") == 1


async def test_each_step_makes_at_most_the_declared_queries(
    browser: Browser, people: People, statements: list[str]
) -> None:
    """The contract suite has no provider, so it cannot call these routes successfully."""

    async def count(name: str, step: Awaitable[Response]) -> Response:
        statements.clear()
        response = await step
        assert response.status_code < 400, response.text
        declared = next(it for it in find_operations() if it.path.endswith(name)).declaration
        assert declared
        assert len(statements) <= declared.queries, "\n".join(
            it[:90].replace("\n", " ") for it in statements
        )
        return response

    started = await count("/{provider}/start", browser.start())
    response = browser.provider.authorize(started.headers["location"])
    returned = await count("/{provider}/callback", browser.call_back(response))
    await count("/oidc/token", browser.redeem(read_target(returned)["code"]))
    person = await people.enter(is_verified=True)
    browser.provider.user |= {"sub": "bea-1", "email": "bea@example.com"}
    ticket = await count("/identities/{provider}/start", browser.start_link(person))
    url = ticket.json()["url"].replace("http://localhost:8000", "http://test")
    started = await count("/{provider}/link", browser.client.get(url))
    response = browser.provider.authorize(started.headers["location"])
    returned = await count("/{provider}/callback", browser.call_back(response))
    code = read_target(returned)["code"]
    linked = await count("/identities/link", browser.finish_link(person, code))
    path = f"/users/me/identities/{linked.json()['id']}"
    removed = browser.client.delete(path, headers=person.headers)
    await count("/identities/{identity_id}", removed)
    await people.add(email="cal@example.com")
    browser.provider.user |= {"sub": "cal-1", "email": "cal@example.com"}
    code = (await browser.get_result())["code"]
    await count("/oidc/token", browser.redeem(code))
