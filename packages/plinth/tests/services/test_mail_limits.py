"""Limits on mails to one address, and the mails that an unverified address may receive."""

from collections import Counter
from collections.abc import Awaitable, Callable
from itertools import count

import asyncpg
import pytest
from httpx2 import AsyncClient

from plinth.accounts.services import outbox
from plinth.cache import cache
from plinth.config import settings
from plinth.db.database import Database
from plinth.mail.messages import TEMPLATES
from plinth.testing.people import PASSWORD, People, Person
from tests.support.logs import logging_to_memory
from tests.support.mail_server import Inbox, none_waits, token_of

LINKS = {"email_verify", "email_change", "password_reset", "email_code", "organization_invitation"}
NOTICES = {
    "password_changed",
    "email_change_notice",
    "email_changed",
    "factor_added",
    "factor_removed",
    "recovery_codes_replaced",
    "recovery_code_used",
    "account_claimed",
    "identity_linked",
    "identity_removed",
    "impersonated",
    "api_key_created",
    "api_key_changed",
    "api_key_revoked",
}
FILLING = {
    "minutes": "30",
    "organization": "Acme",
    "inviter": "bob",
    "role": "member",
    "until": "2 December",
    "name": "CI",
    "reason": "x",
    "username": "ann",
    "page": "x",
    "token": "x",
    "code": "12345678",
    "expires_at": 4_000_000_000,
    "new_email": "new@example.com",
    "left": "9",
    "provider": "google",
}
Send = Callable[..., Awaitable[None]]


@pytest.fixture(autouse=True)
def limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "LIMITS_ENABLED", True)
    for name in ("LIMIT_VERIFY_ACCOUNT", "LIMIT_FORGOT_ACCOUNT", "LIMIT_FORGOT_IP"):
        monkeypatch.setattr(settings, name, "1000/1m")  # not tested here


@pytest.fixture
def send(database: Database, second: asyncpg.Connection) -> Send:
    async def send(kind: str, recipient: str, times: int = 1) -> None:
        for _ in range(times):
            async with database.transaction() as db:
                await outbox.enqueue(db, kind, recipient, **FILLING)
        await none_waits(second)

    return send


def arrived(inbox: Inbox) -> Counter[str]:
    return Counter(recipient for _, all_of in inbox.envelopes for recipient in all_of)


_numbers = count()


def some_address() -> str:
    """Return an address that no other test uses, because the counts outlive a test."""
    return f"limited{next(_numbers)}@example.com"


def test_each_kind_is_a_link_or_a_notice() -> None:
    kinds = {file.stem for file in TEMPLATES.glob("*.txt")}
    assert kinds == LINKS | NOTICES, "decide whether an unproven address may get the new kind"


@pytest.mark.parametrize("kind", sorted(LINKS | NOTICES))
async def test_mails_of_a_kind_to_one_address_are_limited(
    inbox: Inbox, send: Send, second: asyncpg.Connection, kind: str
) -> None:
    address = some_address()
    with logging_to_memory() as log:
        await send(kind, address, times=13)
    assert arrived(inbox) == {address: 10}
    assert log.text.count("suppressed by rate limit mail-address") == 3
    assert await second.fetchval("SELECT count(*) FROM mails") == 10, "the others are removed"
    told = await second.fetch("SELECT event, outcome, reason FROM events")
    assert [tuple(row) for row in told] == [
        ("mail.suppressed", "failure", f"{kind}: rate limit mail-address")
    ]


async def test_other_spellings_of_an_address_count_together(inbox: Inbox, send: Send) -> None:
    address = some_address()
    await send("email_change", address, times=9)
    await send("email_change", address.upper())
    await send("email_change", address.title())
    assert sum(arrived(inbox).values()) == 10


async def test_a_flood_of_one_kind_suppresses_no_other(inbox: Inbox, send: Send) -> None:
    address = some_address()
    for kind in sorted(LINKS):
        await send(kind, address, times=11)
    inbox.envelopes.clear()
    for kind in sorted(NOTICES):
        await send(kind, address)
    assert arrived(inbox) == {address: len(NOTICES)}


@pytest.mark.parametrize(("kind", "most"), [("email_change", 12), ("password_reset", 15)])
async def test_daily_limit_excludes_password_resets(
    inbox: Inbox, send: Send, monkeypatch: pytest.MonkeyPatch, kind: str, most: int
) -> None:
    monkeypatch.setattr(settings, "LIMIT_MAIL_ADDRESS", "1000/1m")
    monkeypatch.setattr(settings, "LIMIT_MAIL_ADDRESS_DAY", "12/1d")
    address = some_address()
    await send(kind, address, times=15)
    assert arrived(inbox) == {address: most}


async def test_retried_mail_counts_once(inbox: Inbox, send: Send) -> None:
    address = some_address()
    inbox.at_rcpt[address] = ["451 try later"] * 4
    await send("email_verify", address, times=10)
    assert arrived(inbox) == {address: 10}


async def test_half_of_the_limit_applies_without_redis(
    inbox: Inbox, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_redis", None)
    address = some_address()
    await send("email_change", address, times=8)
    assert arrived(inbox) == {address: 5}


async def test_registration_cannot_flood_the_address_of_another_person(
    client: AsyncClient, people: People, inbox: Inbox, second: asyncpg.Connection
) -> None:
    """An observed attack: 61 mails in 16 seconds, one for each change of the password."""
    victim, password = some_address(), PASSWORD
    account = {"email": victim, "username": "stranger", "password": password}
    assert (await client.post("/auth/register", json=account)).status_code == 201
    stranger = await people.sign_in(Person(0, victim, "stranger"))
    for number in range(20):
        changes = {"password": f"{PASSWORD}{number}", "current_password": password}
        answer = await client.patch("/users/me", headers=stranger.headers, json=changes)
        assert answer.status_code == 200, answer.text
        password = changes["password"]
        await client.post("/auth/email/resend", headers=stranger.headers)
    await none_waits(second)
    subjects = Counter(letter["Subject"] for letter in inbox.letters)
    assert subjects == {"Confirm your e-mail for MyApp": 10}


async def test_unverified_address_gets_links_and_no_notices(
    client: AsyncClient, people: People, inbox: Inbox, second: asyncpg.Connection
) -> None:
    person = await people.enter(is_verified=False)
    new = some_address()
    changes = {"password": "Better-Horse-8", "email": new, "current_password": PASSWORD}
    answer = await client.patch("/users/me", headers=person.headers, json=changes)
    assert answer.status_code == 200, answer.text
    token = token_of(await inbox.next(new, "Confirm your new e-mail"))
    verified = await client.post(
        "/auth/email/verify", json={"token": token}, headers=person.headers
    )
    assert verified.status_code == 204
    await none_waits(second)
    kinds = {row["kind"] for row in await second.fetch("SELECT kind FROM mails")}
    assert kinds == {"email_change"}


async def test_attacker_cannot_suppress_notices_to_the_owner(
    client: AsyncClient, people: People, inbox: Inbox, second: asyncpg.Connection
) -> None:
    """Earlier requests for links do not suppress the notices to the owner."""
    address = some_address()
    person = await people.enter(email=address, is_verified=True)
    for _ in range(11):
        await client.post("/auth/password/forgot", json={"email": address})
    for number in range(11):
        changes = {"email": f"evil{number}-{address}", "current_password": PASSWORD}
        await client.patch("/users/me", headers=person.headers, json=changes)
    changes = {"password": "Better-Horse-8", "current_password": PASSWORD}
    await client.patch("/users/me", headers=person.headers, json=changes)
    await none_waits(second)
    subjects = Counter(letter["Subject"] for letter in inbox.letters if letter["To"] == address)
    assert subjects["Your password for MyApp was changed"] == 1
    assert subjects["A change of e-mail was requested on MyApp"] == 10
