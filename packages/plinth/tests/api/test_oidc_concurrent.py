"""Concurrent requests of one user with the same account at a provider."""

import asyncio

import asyncpg
import pytest

from plinth.testing.people import People
from tests.api.test_oidc_linking import ADDRESS
from tests.api.test_second_factor_attacks import wait_for_lock
from tests.support.oidc_browser import Browser
from tests.support.oidc_provider import FakeProvider

LINK = (
    "INSERT INTO identities (user_id, provider, issuer, subject) VALUES ($1, 'fake', $2, 'ann-1')"
)


async def test_identity_that_its_user_links_meanwhile_signs_in(
    browser: Browser, provider: FakeProvider, people: People, second: asyncpg.Connection
) -> None:
    """Link and sign in at the same time, such as in two tabs."""
    person = await people.add(email=ADDRESS, is_verified=True)
    code = (await browser.get_result())["code"]
    async with second.transaction():
        await second.execute("SELECT id FROM users WHERE id = $1 FOR UPDATE", person.id)
        sent = asyncio.ensure_future(browser.redeem(code))
        await wait_for_lock(second)
        await second.execute(LINK, person.id, provider.url)
    signed_in = await sent
    assert signed_in.status_code == 200, signed_in.text
    assert await second.fetchval("SELECT count(*) FROM identities") == 1


@pytest.mark.parametrize("same_code", [True, False])
async def test_double_click_does_not_name_another_account(
    browser: Browser,
    people: People,
    second: asyncpg.Connection,
    *,
    same_code: bool,
) -> None:
    person = await people.enter()
    codes = [await browser.get_link_code(person) for _ in range(2)]
    answers = await asyncio.gather(
        *(browser.finish_link(person, codes[0] if same_code else it) for it in codes)
    )
    refused = {it.json().get("code") for it in answers if it.status_code != 201}
    assert refused == {"invalid_challenge"}
    assert await second.fetchval("SELECT count(*) FROM identities") == 1
    assert (await browser.link(person)).status_code == 201, "it is linked to this account"
