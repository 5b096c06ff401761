"""The sign-in of a superuser with a passkey: after the password, or alone."""

from dataclasses import replace

import asyncpg
import pytest
from httpx2 import AsyncClient

from plinth.config import settings
from plinth.security.passwords import NO_PASSWORD
from plinth.testing.people import People, Person
from tests.support.authenticator import HONEST, PRESENT, Authenticator
from tests.support.factors import enroll
from tests.support.passkeys import add_passkey
from tests.support.superuser import Superuser, challenge_of

BUTTON = 'data-plinth="use-passkey"'


@pytest.fixture
async def person(people: People) -> Person:
    return await people.enter(is_superuser=True)


@pytest.fixture
async def passkey(client: AsyncClient, person: Person) -> Authenticator:
    return await add_passkey(client, person)


async def is_in(browser: Superuser) -> bool:
    return (await browser.get("/")).status_code == 200


async def test_passkey_completes_the_sign_in_after_the_password(
    stranger: Superuser, person: Person, passkey: Authenticator, second: asyncpg.Connection
) -> None:
    page = await stranger.sign_in(person)
    assert (page.status_code, BUTTON in page.text) == (403, True)
    assert 'name="code"' not in page.text, "the account has no method with a code"
    challenge = challenge_of(page)

    options = (await stranger.begin_passkey(challenge)).json()
    wrong = passkey.get(options, replace(HONEST, signature=b"x"))
    refused = await stranger.send_passkey(wrong, challenge)
    assert (refused.status_code, BUTTON in refused.text) == (400, True)
    assert "The passkey was not accepted" in refused.text
    assert not await is_in(stranger)

    entered = await stranger.send_passkey(passkey.get(options), challenge)
    assert entered.status_code == 303
    assert await is_in(stranger)
    session = await second.fetchrow("SELECT aal, amr FROM sessions ORDER BY created_at DESC")
    assert tuple(session) == (2, "pwd pop")


async def test_passkey_signs_in_alone_without_a_password(
    stranger: Superuser, person: Person, passkey: Authenticator, second: asyncpg.Connection
) -> None:
    await second.execute(
        "UPDATE users SET hashed_password = $2 WHERE id = $1", person.id, NO_PASSWORD
    )
    assert BUTTON in (await stranger.get("/login")).text
    options = (await stranger.begin_passkey()).json()
    assert options["userVerification"] == "required"
    assert (await stranger.send_passkey(passkey.get(options))).status_code == 303
    assert await is_in(stranger)
    session = await second.fetchrow(
        "SELECT aal, amr, expires_at - created_at < interval '1 day' FROM sessions"
        " ORDER BY created_at DESC"
    )
    assert tuple(session) == (2, "pop", True)
    stranger.client.cookies.delete("plinth_admin")
    assert (await stranger.send_passkey(passkey.get(options))).status_code == 400, "used up"


async def test_passkey_without_user_verification_does_not_sign_in_alone(
    stranger: Superuser, passkey: Authenticator
) -> None:
    await stranger.get("/login")
    options = (await stranger.begin_passkey()).json()
    unverified = passkey.get(options, replace(HONEST, flags=PRESENT))
    assert (await stranger.send_passkey(unverified)).status_code == 400
    assert not await is_in(stranger)


async def test_passkey_satisfies_the_required_second_factor(
    stranger: Superuser, passkey: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "MFA_REQUIRED", "superusers")
    await stranger.get("/login")
    options = (await stranger.begin_passkey()).json()
    await stranger.send_passkey(passkey.get(options))
    assert await is_in(stranger)


@pytest.mark.parametrize("alone", [True, False])
async def test_passkey_of_a_regular_user_does_not_open_the_admin(
    stranger: Superuser,
    people: People,
    client: AsyncClient,
    second: asyncpg.Connection,
    *,
    alone: bool,
) -> None:
    person = await people.enter()
    passkey = await add_passkey(client, person)
    await stranger.get("/login")
    pending = "" if alone else (await people.try_to_sign_in(person)).json()["challenge"]
    options = (await stranger.begin_passkey(pending)).json()
    refused = await stranger.send_passkey(passkey.get(options), pending)
    assert refused.status_code == 403
    assert "Only superusers may sign in here" in refused.text
    assert not await is_in(stranger)
    event = await second.fetchrow("SELECT * FROM events ORDER BY id DESC LIMIT 1")
    assert (event["outcome"], event["reason"]) == ("failure", "not a superuser, in the admin")
    assert event["subject_id"] == person.id


async def test_page_offers_codes_beside_a_passkey(
    stranger: Superuser,
    client: AsyncClient,
    person: Person,
    passkey: Authenticator,
    second: asyncpg.Connection,
) -> None:
    await enroll(client, second, person)
    page = await stranger.sign_in(person)
    assert BUTTON in page.text
    assert 'value="totp"' in page.text
    assert 'value="recovery_code"' not in page.text
    assert passkey.credential_id


async def test_passkey_requires_the_csrf_token(stranger: Superuser, passkey: Authenticator) -> None:
    await stranger.get("/login")
    options = (await stranger.begin_passkey()).json()
    client = stranger.client
    assert (await client.post("/admin/login/passkey")).status_code == 403
    sent = {"credential": "{}", "csrftoken": "wrong"}
    assert (await client.post("/admin/login", data=sent)).status_code == 403
    other = {"Origin": "https://evil.example", "X-CSRFToken": stranger.csrf}
    refused = await client.post("/admin/login/passkey", headers=other)
    assert (refused.status_code, refused.json()["code"]) == (403, "other_origin")
    assert (await stranger.send_passkey(passkey.get(options))).status_code == 303


@pytest.mark.parametrize("credential", [{}, {"id": "é"}, {"id": "AQ", "response": []}])
async def test_malformed_passkey_is_refused(
    stranger: Superuser, credential: dict[str, object]
) -> None:
    await stranger.get("/login")
    refused = await stranger.send_passkey(credential)
    assert refused.status_code == 422
    assert "The passkey was not accepted" in refused.text


async def test_beginnings_are_limited(stranger: Superuser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "LIMITS_ENABLED", True)
    await stranger.get("/login")
    answers = [await stranger.begin_passkey() for _ in range(100)]
    limited = [it for it in answers if it.status_code == 429]
    assert limited
    assert limited[0].json()["detail"].startswith("Too many")
    assert int(limited[0].headers["Retry-After"]) > 0
    assert (await stranger.begin_passkey("A" * 64)).status_code == 400
