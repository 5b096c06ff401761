"""The sign-in of a superuser with a second factor."""

import asyncpg
import pytest
from httpx2 import AsyncClient

from plinth.config import settings
from plinth.testing.people import People
from tests.support.factors import enroll
from tests.support.superuser import Superuser, challenge_of


async def test_login_requires_the_code(
    stranger: Superuser, people: People, client: AsyncClient, second: asyncpg.Connection
) -> None:
    root = await people.enter(is_superuser=True)
    phone = await enroll(client, second, root)

    page = await stranger.sign_in(root)
    assert page.status_code == 403
    challenge = challenge_of(page)
    assert challenge
    assert 'name="password"' not in page.text
    assert (await stranger.get("/")).status_code == 303, "the password alone is not enough"

    wrong = await stranger.send_code(challenge, "000000")
    assert wrong.status_code == 400
    assert challenge in wrong.text
    right = await stranger.send_code(challenge, phone.code())
    assert right.status_code == 303
    assert (await stranger.get("/")).status_code == 200
    again = await stranger.send_code(challenge, phone.code(1))
    assert again.status_code in {303, 400}


async def test_challenge_of_a_regular_user_does_not_open_the_admin(
    stranger: Superuser, people: People, client: AsyncClient, second: asyncpg.Connection
) -> None:
    person = await people.enter()
    phone = await enroll(client, second, person)
    pending = await people.try_to_sign_in(person)
    challenge = pending.json()["challenge"]

    await stranger.get("/login")
    await stranger.send_code(challenge, phone.code())

    assert (await stranger.get("/")).status_code == 303


async def test_superuser_without_the_required_factor_gets_an_explanation(
    stranger: Superuser, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "MFA_REQUIRED", "superusers")
    page = await stranger.sign_in(await people.add(is_superuser=True))
    assert page.status_code == 403
    assert "MFA_REQUIRED requires a second factor" in page.text
