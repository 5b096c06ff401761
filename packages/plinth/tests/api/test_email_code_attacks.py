"""Attacks on codes by mail over HTTP. Each test expresses the right behavior."""

import asyncio
from collections import Counter

import asyncpg
import pytest
from httpx2 import AsyncClient

from plinth.config import settings
from plinth.security.passwords import NO_PASSWORD
from plinth.testing.people import People
from tests.api.test_email_codes import LIVE, ask, ask_and_read, elsewhere, verify
from tests.support.factors import add_app, confirm_app
from tests.support.mail_server import Inbox, none_waits
from tests.support.passkeys import add_passkey, sign_in

__all__ = ["elsewhere"]


async def test_concurrent_sign_ins_survive_no_claim(
    elsewhere: AsyncClient, inbox: Inbox, people: People, second: asyncpg.Connection
) -> None:
    stranger = await people.enter()
    challenge, code = await ask_and_read(elsewhere, inbox, stranger.email)
    _, response, *_ = await asyncio.gather(
        people.try_to_sign_in(stranger),
        verify(elsewhere, challenge, code),
        *(people.try_to_sign_in(stranger) for _ in range(15)),
    )
    assert response.status_code in {200, 400, 503}
    if response.status_code == 200:
        assert [tuple(row) for row in await second.fetch(LIVE)] == [(1, "email")]
        assert (await people.try_to_sign_in(stranger)).status_code == 401


async def test_concurrent_enrollment_survives_no_claim(
    client: AsyncClient,
    elsewhere: AsyncClient,
    inbox: Inbox,
    people: People,
    second: asyncpg.Connection,
) -> None:
    stranger = await people.enter()
    app = await add_app(client, stranger)
    challenge, code = await ask_and_read(elsewhere, inbox, stranger.email)
    enrolled, response = await asyncio.gather(
        confirm_app(client, stranger, app),
        verify(elsewhere, challenge, code),
        return_exceptions=True,
    )
    del enrolled
    assert not isinstance(response, BaseException)
    if response.status_code == 200:
        assert await second.fetchval("SELECT count(*) FROM factors") == 0
        assert [tuple(row) for row in await second.fetch(LIVE)] == [(1, "email")]
    else:  # the enrollment was first, and changed the credentials
        assert response.json()["code"] == "wrong_code"


async def test_passkey_of_a_stranger_does_not_survive_a_claim(
    client: AsyncClient, elsewhere: AsyncClient, inbox: Inbox, people: People
) -> None:
    stranger = await people.enter()
    passkey = await add_passkey(client, stranger)
    challenge, code = await ask_and_read(elsewhere, inbox, stranger.email)
    assert (await verify(elsewhere, challenge, code)).status_code == 200
    assert (await sign_in(client, passkey)).status_code >= 400


async def test_device_of_another_account_does_not_keep_the_credentials(
    client: AsyncClient, inbox: Inbox, people: People, second: asyncpg.Connection
) -> None:
    await people.enter()  # on this device
    stranger = await people.add()
    challenge, code = await ask_and_read(client, inbox, stranger.email)
    assert (await verify(client, challenge, code)).status_code == 200
    stored = "SELECT hashed_password FROM users WHERE id = $1"
    assert await second.fetchval(stored, stranger.id) == NO_PASSWORD


async def test_twenty_challenges_of_one_account_leave_one_code(
    client: AsyncClient, inbox: Inbox, people: People, second: asyncpg.Connection
) -> None:
    person = await people.add(is_verified=True)
    challenges = await asyncio.gather(*(ask(client, person.email) for _ in range(20)))
    await none_waits(second)
    assigned = "SELECT count(*) FROM challenges WHERE user_id = $1"
    assert await second.fetchval(assigned, person.id) == 1
    answers = [await verify(client, challenge, "none") for challenge in challenges]
    assert Counter(it.json()["code"] for it in answers) == {"wrong_code": 20}


async def test_guesses_across_challenges_are_counted_for_the_account(
    elsewhere: AsyncClient, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five guesses for each challenge, but not five for each of many."""
    person = await people.add(is_verified=True)
    challenges = [await ask(elsewhere, person.email) for _ in range(10)]
    monkeypatch.setattr(settings, "LIMITS_ENABLED", True)
    tries = [verify(elsewhere, challenge, "none") for challenge in challenges for _ in range(5)]
    statuses = Counter(response.status_code for response in await asyncio.gather(*tries))
    assert statuses == {400: 5, 429: 45}


async def test_claim_starts_no_session_without_a_required_factor(
    elsewhere: AsyncClient,
    inbox: Inbox,
    people: People,
    second: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stranger = await people.enter()
    challenge, code = await ask_and_read(elsewhere, inbox, stranger.email)
    monkeypatch.setattr(settings, "MFA_REQUIRED", "all")
    response = await verify(elsewhere, challenge, code)
    assert (response.status_code, response.json()["code"]) == (403, "mfa_required")
    assert response.json()["methods"] == []
    assert await second.fetch(LIVE) == []
    row = await second.fetchrow("SELECT is_verified, hashed_password FROM users")
    assert tuple(row) == (True, NO_PASSWORD), "the claim is committed with the refusal"
