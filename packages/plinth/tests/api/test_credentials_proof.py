"""A link proves that the user reads the mail, not that the account is theirs."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import asyncpg
import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient, Response

from plinth.testing.answers import check_documented, check_refusal
from plinth.testing.people import PASSWORD, People, Person
from tests.support.mail_server import Inbox, text_of, token_of

VICTIM = "victim@example.com"
SIGN_IN = "Sign in to the account that this link belongs to, then confirm the address again"
Browser = Callable[[], AsyncClient]


@pytest.fixture
async def browser(app: FastAPI, client: AsyncClient) -> AsyncIterator[Browser]:
    """Create clients with separate cookies."""
    async with AsyncExitStack() as stack:

        def make() -> AsyncClient:
            made = AsyncClient(
                transport=ASGITransport(app),
                base_url="http://test/api/v1",
                event_hooks={"response": [check_documented(app)]},
            )
            stack.push_async_callback(made.aclose)
            return made

        yield make


async def verify(client: AsyncClient, token: str, person: Person | None = None) -> Response:
    headers = person.headers if person else {}
    return await client.post("/auth/email/verify", json={"token": token}, headers=headers)


async def register(client: AsyncClient, inbox: Inbox, email: str = VICTIM) -> str:
    """Return the token from the mail to the address."""
    account = {"email": email, "username": "stranger", "password": PASSWORD}
    answer = await client.post("/auth/register", json=account)
    assert answer.status_code == 201, answer.text
    letter = await inbox.next(email, "Confirm your e-mail")
    assert "username stranger" in text_of(letter)
    return token_of(letter)


async def is_verified(second: asyncpg.Connection) -> bool:
    found: bool = await second.fetchval("SELECT is_verified FROM users WHERE username = 'stranger'")
    return found


async def test_click_of_the_mailbox_owner_does_not_verify_the_attackers_account(
    browser: Browser, inbox: Inbox, second: asyncpg.Connection
) -> None:
    stranger, owner = browser(), browser()
    token = await register(stranger, inbox)
    refused = await verify(owner, token)
    check_refusal(refused, 403, SIGN_IN)
    assert refused.json()["code"] == "not_signed_in"
    assert not await is_verified(second)


async def test_mailbox_owner_takes_the_account_over_by_a_reset(
    browser: Browser, people: People, inbox: Inbox, second: asyncpg.Connection
) -> None:
    stranger, owner = browser(), browser()
    await register(stranger, inbox)
    theirs = await people.sign_in(Person(0, VICTIM, "stranger"))
    await owner.post("/auth/password/forgot", json={"email": VICTIM})
    token = token_of(await inbox.next(VICTIM, "Set a new password"))
    body = {"token": token, "password": "Better-Horse-8"}
    assert (await owner.post("/auth/password/reset", json=body)).status_code == 204
    assert await is_verified(second)
    assert (await stranger.get("/users/me", headers=theirs.headers)).status_code == 401
    credentials = {"email": VICTIM, "password": PASSWORD}
    assert (await stranger.post("/auth/login", json=credentials)).status_code == 401


async def test_browser_that_registered_can_verify(
    browser: Browser, inbox: Inbox, second: asyncpg.Connection
) -> None:
    own = browser()
    token = await register(own, inbox)
    assert (await verify(own, token)).status_code == 204
    assert await is_verified(second)


async def test_another_browser_can_verify_after_sign_in(
    browser: Browser, people: People, inbox: Inbox, second: asyncpg.Connection
) -> None:
    desk, phone = browser(), browser()
    token = await register(desk, inbox)
    assert (await verify(phone, token)).status_code == 403
    person = await people.sign_in(Person(0, VICTIM, "stranger"))
    assert (await verify(phone, token, person)).status_code == 204, "the token was not used up"
    assert await is_verified(second)


async def test_session_or_browser_of_another_account_cannot_verify(
    browser: Browser, people: People, inbox: Inbox, second: asyncpg.Connection
) -> None:
    stranger, owner = browser(), browser()
    token = await register(stranger, inbox)
    another = await people.add()
    credentials = {"email": another.email, "password": PASSWORD}
    tokens = (await owner.post("/auth/login", json=credentials)).json()
    assert "plinth_device" in owner.cookies
    signed_in = Person(another.id, another.email, another.username, PASSWORD, tokens)
    assert (await verify(owner, token)).status_code == 403
    assert (await verify(owner, token, signed_in)).status_code == 403
    assert not await is_verified(second)


async def test_ended_session_cannot_verify(
    browser: Browser, people: People, inbox: Inbox, second: asyncpg.Connection
) -> None:
    token = await register(browser(), inbox)
    person = await people.sign_in(Person(0, VICTIM, "stranger"))
    await second.execute("UPDATE sessions SET revoked_at = now()")
    assert (await verify(browser(), token, person)).status_code == 403


async def test_click_of_the_mailbox_owner_does_not_move_the_email_to_an_attacker(
    browser: Browser, people: People, inbox: Inbox, second: asyncpg.Connection
) -> None:
    """The same with a change of e-mail: the attacker's account already has an address."""
    stranger = await people.enter(username="stranger", is_verified=True)
    owner = await people.enter()
    changes = {"email": VICTIM, "current_password": PASSWORD}
    answer = await browser().patch("/users/me", headers=stranger.headers, json=changes)
    assert answer.status_code == 200, answer.text
    letter = await inbox.next(VICTIM, "Confirm your new e-mail")
    assert "username stranger" in text_of(letter)
    for clicking in (None, owner):
        check_refusal(await verify(browser(), token_of(letter), clicking), 403, SIGN_IN)
    email = "SELECT email FROM users WHERE username = 'stranger'"
    assert await second.fetchval(email) == stranger.email
    assert (await verify(browser(), token_of(letter), stranger)).status_code == 204
    assert await second.fetchval(email) == VICTIM
