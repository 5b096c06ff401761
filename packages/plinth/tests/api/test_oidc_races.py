"""Linking an identity while its user is deleted: both lock the user before the challenge."""

import asyncio
from collections import Counter

import asyncpg
import pytest
from httpx2 import AsyncClient

from plinth.testing.people import People
from tests.api.test_second_factor_attacks import DEADLOCKS, wait_for_lock
from tests.support.oidc_browser import Browser
from tests.support.oidc_provider import FakeProvider

ROUNDS, AT_ONCE = 10, 20


@pytest.mark.no_cover
async def test_twenty_links_and_the_deletion_of_their_user_do_not_deadlock(
    client: AsyncClient, provider: FakeProvider, people: People, second: asyncpg.Connection
) -> None:
    admin = await people.enter(is_superuser=True)
    browser = Browser(client, provider)
    before = await second.fetchval(DEADLOCKS)
    for _ in range(ROUNDS):
        person = await people.enter(is_verified=True)
        started = await asyncio.gather(*(browser.start_link(person) for _ in range(AT_ONCE)))
        deletion = client.delete(f"/users/{person.id}", headers=admin.headers)
        async with second.transaction():  # until the deletion and the links wait for the user
            await second.execute("SELECT 1 FROM users WHERE id = $1 FOR UPDATE", person.id)
            deleting = asyncio.create_task(deletion)
            await wait_for_lock(second)
            links = [asyncio.create_task(browser.open_link(it)) for it in started]
            await asyncio.sleep(0.1)
        responses = await asyncio.gather(deleting, *links)
        statuses = Counter(it.status_code for it in responses)
        assert statuses[204] == 1, statuses
        assert set(statuses) <= {204, 303, 400}, statuses
    await second.execute("SELECT pg_stat_clear_snapshot()")
    assert await second.fetchval(DEADLOCKS) == before


async def test_a_link_waits_for_the_deletion_of_its_user_without_a_deadlock(
    browser: Browser, people: People, second: asyncpg.Connection
) -> None:
    person = await people.enter(is_verified=True)
    started = await browser.start_link(person)
    async with second.transaction():
        await second.execute("SELECT 1 FROM users WHERE id = $1 FOR UPDATE", person.id)
        link = asyncio.create_task(browser.open_link(started))
        await wait_for_lock(second)
        await second.execute("DELETE FROM users WHERE id = $1", person.id)
    response = await link
    assert (response.status_code, response.json()["code"]) == (400, "invalid_challenge")


async def test_a_link_opened_twenty_times_at_once_starts_once(
    browser: Browser, people: People
) -> None:
    started = await browser.start_link(await people.enter(is_verified=True))
    responses = await asyncio.gather(*(browser.open_link(started) for _ in range(AT_ONCE)))
    statuses = Counter(it.status_code for it in responses)
    assert statuses == {303: 1, 400: AT_ONCE - 1}
