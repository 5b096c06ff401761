"""Attacks that combine ways to sign in, each of which is tested alone elsewhere."""

import asyncio
from collections import Counter
from typing import Any

import asyncpg
import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient, Response

from plinth.config import settings
from plinth.security.passwords import NO_PASSWORD
from plinth.testing.outage import without_redis
from plinth.testing.people import PASSWORD, People, Person
from tests.api.test_races import WAITS_FOR_LOCK
from tests.support.authenticator import Authenticator
from tests.support.cookies import IN_COOKIES
from tests.support.factors import enroll
from tests.support.mail_server import Inbox, token_of
from tests.support.oidc_browser import Browser, get_me
from tests.support.oidc_provider import FakeProvider
from tests.support.passkeys import FACTORS, add_passkey, begin_step_up, register, send_step_up
from tests.support.passkeys import sign_in as sign_in_by_passkey

ANN = "ann@example.com"  # the address at the provider
STALE = "UPDATE sessions SET authenticated_at = now() - interval '1 hour'"
ANOTHER_KEY = "another-secret-key-of-at-least-32-bytes-xyz"


def signed_in_as(response: Response) -> dict[str, str]:
    assert response.status_code in (200, 201), response.text
    return {"Authorization": f"Bearer {response.json()['access_token']}"}


async def request_code(client: AsyncClient, inbox: Inbox, email: str) -> dict[str, str]:
    requested = await client.post("/auth/email-code", json={"email": email})
    assert requested.status_code == 202, requested.text
    letter = await inbox.next(email, "Your code for MyApp")
    return {"challenge": requested.json()["challenge"], "code": token_of(letter)}


async def sign_in_by_code(client: AsyncClient, inbox: Inbox, email: str) -> Response:
    proof = await request_code(client, inbox, email)
    return await client.post("/auth/email-code/verify", json=proof)


async def test_linking_and_a_sign_in_by_one_identity_at_once_do_not_deadlock(
    client: AsyncClient, provider: FakeProvider, people: People
) -> None:
    person = await people.enter(email=ANN, is_verified=True)
    for _ in range(5):
        linking, other = Browser(client, provider), Browser(client, provider)
        code, result = await linking.get_link_code(person), await other.get_result()
        linked, signed_in = await asyncio.gather(
            linking.finish_link(person, code), other.redeem(result["code"])
        )
        statuses = linked.status_code, signed_in.status_code
        assert set(statuses) <= {200, 201, 400}, (linked.text, signed_in.text)
        for it in (await client.get("/users/me/identities", headers=person.headers)).json():
            path = f"/users/me/identities/{it['id']}"
            assert (await client.delete(path, headers=person.headers)).status_code == 204


async def test_an_identity_and_a_passkey_removed_at_once_leave_a_way_in(
    browser: Browser, second: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "EMAIL_CODES", False)  # a code by mail is another way in
    client, tokens = browser.client, await browser.sign_in()
    me, headers = await get_me(client, tokens), signed_in_as(tokens)
    person = Person(me["id"], me["email"], me["username"], "", tokens.json())
    await add_passkey(client, person)
    (factor,) = (await client.get(FACTORS, headers=headers)).json()
    (identity,) = (await client.get("/users/me/identities", headers=headers)).json()
    paths = [f"{FACTORS}/{factor['id']}", f"/users/me/identities/{identity['id']}"] * 5
    answers = await asyncio.gather(*(client.delete(path, headers=headers) for path in paths))
    statuses = Counter(it.status_code for it in answers)
    assert statuses[204] == 1, statuses
    left = "SELECT (SELECT count(*) FROM factors) + (SELECT count(*) FROM identities)"
    assert await second.fetchval(left) == 1


async def test_a_sign_in_and_the_removal_of_its_identity_at_once_do_not_deadlock(
    client: AsyncClient, provider: FakeProvider, people: People
) -> None:
    person = await people.enter(is_verified=True)
    for number in range(5):
        provider.user |= {"sub": f"ann-{number}"}
        browser = Browser(client, provider)
        linked = (await browser.link(person)).json()
        code, path = (await browser.get_result())["code"], f"/users/me/identities/{linked['id']}"
        signed_in, removed = await asyncio.gather(
            browser.redeem(code), client.delete(path, headers=person.headers)
        )
        assert removed.status_code == 204, removed.text
        if signed_in.status_code == 200 and (await read_me(client, signed_in)).status_code == 200:
            assert (await get_me(client, signed_in))["id"] != person.id


async def test_a_sign_in_that_waits_for_the_removal_of_its_identity_is_refused(
    browser: Browser, people: People, second: asyncpg.Connection
) -> None:
    person = await people.enter(is_verified=True)
    assert (await browser.link(person)).status_code == 201
    code = (await browser.get_result())["code"]
    async with second.transaction():
        await second.execute("SELECT 1 FROM users WHERE id = $1 FOR UPDATE", person.id)
        attempt = asyncio.create_task(browser.redeem(code))
        for _ in range(500):
            if await second.fetchval(WAITS_FOR_LOCK):
                break
            await asyncio.sleep(0.01)
        await second.execute("DELETE FROM identities")
        await second.execute("UPDATE users SET credential_epoch = credential_epoch + 1")
    assert (await attempt).status_code == 401


async def read_me(client: AsyncClient, tokens: Response) -> Response:
    return await client.get("/users/me", headers=signed_in_as(tokens))


async def test_step_up_without_a_password_names_a_method_that_exists(
    client: AsyncClient, people: People, second: asyncpg.Connection, inbox: Inbox
) -> None:
    person = await people.add(is_verified=True, hashed_password=NO_PASSWORD)
    headers = signed_in_as(await sign_in_by_code(client, inbox, person.email))
    await second.execute(STALE)
    stale = await client.post("/users/me/factors/totp", json={}, headers=headers)
    assert stale.status_code == 403
    assert stale.json()["methods"] == ["email_code", "password_reset"]
    headers = signed_in_as(await sign_in_by_code(client, inbox, person.email))
    assert (
        await client.post("/users/me/factors/totp", json={}, headers=headers)
    ).status_code == 201


async def test_a_pending_change_of_address_cannot_take_an_address_that_a_provider_registered(
    browser: Browser, people: People, inbox: Inbox, second: asyncpg.Connection
) -> None:
    waiting = await people.enter(is_verified=True)
    body = {"email": ANN, "current_password": PASSWORD}
    changed = await browser.client.patch("/users/me", json=body, headers=waiting.headers)
    assert changed.status_code == 200, changed.text
    link = {"token": token_of(await inbox.next(ANN))}
    owner = await get_me(browser.client, await browser.sign_in())
    assert owner["id"] != waiting.id
    taken = await browser.client.post("/auth/email/verify", json=link, headers=waiting.headers)
    assert taken.status_code == 400, taken.text
    holder = "SELECT id FROM users WHERE email = $1"
    assert await second.fetchval(holder, ANN) == owner["id"]


async def test_a_reset_sets_the_first_password_and_keeps_a_verified_identity(
    browser: Browser, people: People, inbox: Inbox
) -> None:
    before = await get_me(browser.client, await browser.sign_in())
    await browser.client.post("/auth/password/forgot", json={"email": ANN})
    token = token_of(await inbox.next(ANN, "Set a new password"))
    body = {"token": token, "password": PASSWORD}
    assert (await browser.client.post("/auth/password/reset", json=body)).status_code == 204
    person = Person(before["id"], ANN, before["username"])
    assert (await people.try_to_sign_in(person)).status_code == 200
    assert (await get_me(browser.client, await browser.sign_in()))["id"] == person.id


async def test_a_reset_of_an_unverified_account_removes_the_identity_that_made_it(
    browser: Browser, provider: FakeProvider, inbox: Inbox, second: asyncpg.Connection
) -> None:
    provider.claims = {"email_verified": False}  # a stranger names the address of another person
    stranger = signed_in_as(await browser.sign_in())
    await browser.client.post("/auth/password/forgot", json={"email": ANN})
    token = token_of(await inbox.next(ANN, "Set a new password"))
    browser.client.cookies.clear()
    body = {"token": token, "password": PASSWORD}
    assert (await browser.client.post("/auth/password/reset", json=body)).status_code == 204
    assert (await browser.client.get("/users/me", headers=stranger)).status_code == 401
    assert await second.fetchval("SELECT count(*) FROM identities") == 0
    assert (await browser.sign_in()).json()["code"] == "identity_not_linked"


@pytest.mark.parametrize("known", [True, False])
async def test_pending_proofs_and_a_new_secret_key(
    browser: Browser, inbox: Inbox, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    client = browser.client
    assert (await browser.sign_in()).status_code == 200
    response, code = await browser.authorize(), (await browser.get_result())["code"]
    proof = await request_code(client, inbox, ANN)
    if known:
        monkeypatch.setattr(settings, "SECRET_KEY_FALLBACKS", [settings.SECRET_KEY])
    monkeypatch.setattr(settings, "SECRET_KEY", ANOTHER_KEY)
    statuses = (
        (await browser.call_back(response)).status_code,
        (await browser.redeem(code)).status_code,
        (await client.post("/auth/email-code/verify", json=proof)).status_code,
    )
    assert statuses == ((303, 200, 200) if known else (400, 400, 400))


async def test_passkeys_and_providers_work_without_redis(
    app: FastAPI, browser: Browser, people: People
) -> None:
    person = await people.enter(is_verified=True)
    passkey = await add_passkey(browser.client, person)
    async with without_redis(app) as client:
        offline = Browser(client, browser.provider)
        assert (await offline.sign_in()).status_code == 200
        assert (await sign_in_by_passkey(client, passkey)).status_code == 200


CROSS_SITE = {"Origin": "https://evil.example.com", "Sec-Fetch-Site": "cross-site"} | IN_COOKIES


async def test_no_way_to_sign_in_sets_the_session_of_a_browser_from_another_site(
    site: AsyncClient, provider: FakeProvider, people: People, inbox: Inbox
) -> None:
    person = await people.add(is_verified=True)
    browser = Browser(site, provider)
    code, proof = (
        (await browser.get_result())["code"],
        await request_code(site, inbox, person.email),
    )
    attempts: dict[str, Any] = {
        "/auth/oidc/token": {"code": code, "code_verifier": browser.verifier},
        "/auth/email-code/verify": proof,
    }
    for path, body in attempts.items():
        refused = await site.post(path, json=body, headers=CROSS_SITE)
        assert (refused.status_code, refused.json()["code"]) == (403, "cross_site"), path
        assert "set-cookie" not in refused.headers
        accepted = await site.post(path, json=body, headers=IN_COOKIES)
        assert accepted.status_code == 204, f"{path}: the proof was not used up"


async def test_a_step_up_by_passkey_is_of_the_session_that_began_it(
    client: AsyncClient, people: People, second: asyncpg.Connection
) -> None:
    person = await people.enter(is_verified=True)
    passkey = await add_passkey(client, person)
    tokens = await sign_in_by_passkey(client, passkey)
    thief = Person(person.id, person.email, person.username, "", tokens.json())
    credential = passkey.get(await begin_step_up(client, thief))
    refused = await send_step_up(client, person, credential)
    assert refused.json()["code"] == "invalid_passkey"


@pytest.mark.parametrize("added", ["passkey", "app"])
async def test_a_factor_that_a_stranger_adds_during_a_claim_is_removed(
    client: AsyncClient, people: People, inbox: Inbox, second: asyncpg.Connection, added: str
) -> None:
    stranger = await people.enter()  # who registered the address of another person
    client.cookies.clear()
    proof = await request_code(client, inbox, stranger.email)
    attempt: Any = (
        register(client, stranger, Authenticator())
        if added == "passkey"
        else enroll(client, second, stranger)
    )
    claimed, _ = await asyncio.gather(
        client.post("/auth/email-code/verify", json=proof), attempt, return_exceptions=True
    )
    assert isinstance(claimed, Response)
    if claimed.status_code != 200:  # the new factor voided the code
        claimed = await sign_in_by_code(client, inbox, stranger.email)
    assert claimed.status_code == 200, claimed.text
    assert await second.fetchval("SELECT count(*) FROM factors") == 0
    assert (await client.get("/users/me", headers=stranger.headers)).status_code == 401


async def test_wrong_codes_count_for_an_account_after_every_first_factor(
    browser: Browser,
    people: People,
    second: asyncpg.Connection,
    inbox: Inbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client, person = browser.client, await people.enter(email=ANN, is_verified=True)
    assert (await browser.link(person)).status_code == 201
    app = await enroll(client, second, person)
    client.cookies.clear()
    pending = [
        await people.try_to_sign_in(person),
        await browser.sign_in(),
        await sign_in_by_code(client, inbox, ANN),
    ]
    monkeypatch.setattr(settings, "LIMITS_ENABLED", True)
    monkeypatch.setattr(settings, "LIMIT_MFA", "3/5m")
    bodies = [{"challenge": it.json()["challenge"], "code": "000000"} for it in pending]
    for body in bodies:
        assert (await client.post("/auth/mfa", json=body)).json()["code"] == "wrong_code"
    for body in bodies:
        body["code"] = app.code()
        assert (await client.post("/auth/mfa", json=body)).status_code == 429
