"""The table of docs/how-to/identity-providers.md: which account a sign-in by a provider opens."""

import re
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest
from httpx2 import AsyncClient

from plinth.config import settings
from plinth.testing.people import PASSWORD, People, Person
from tests.support.environment import ROOT
from tests.support.factors import enroll
from tests.support.oidc_browser import Browser, get_me
from tests.support.oidc_provider import REMOVED, FakeProvider

PAGE = ROOT / "docs/how-to/identity-providers.md"
ADDRESS = "ann@example.com"


@dataclass(frozen=True, slots=True)
class Row:
    """A state. `documented` is its row in the table.

    Attributes:
        local: columns of the account with the address; None without one.
        identity: "none", "own" (of the account) or "other".
        verified: what the provider states about the address; None: it states no address.
        expected: "user" (the account), "new", "claimed", "unchanged", or the code of a refusal.
    """

    documented: str
    expected: str
    local: dict[str, bool] | None = None
    identity: str = "none"
    verified: bool | None = True
    signed_in: bool = False
    link_verified: bool = True
    allow_registration: bool = True


VERIFIED, UNVERIFIED = {"is_verified": True}, {"is_verified": False}
INACTIVE = {"is_verified": True, "is_active": False}
ROWS = [
    Row("no | yes | any | any", "user", VERIFIED, "own"),
    Row("no | yes, of an inactive user | any | any", "inactive_user", INACTIVE, "own"),
    Row("no | no | no account | verified", "new"),
    Row("no | no | no account | unverified", "new", verified=False),
    Row("no | no | no account | none", "email_missing", verified=None),
    Row(
        "no | no | no account, registration closed | verified",
        "registration_closed",
        allow_registration=False,
    ),
    Row("no | no | verified | verified", "user", VERIFIED),
    Row("no | no | verified | unverified", "identity_not_linked", VERIFIED, verified=False),
    Row(
        "no | no | verified, without `link_verified` | verified",
        "identity_not_linked",
        VERIFIED,
        link_verified=False,
    ),
    Row("no | no | unverified | verified", "claimed", UNVERIFIED),
    Row("no | no | unverified | unverified", "identity_not_linked", UNVERIFIED, verified=False),
    Row(
        "no | no | unverified, without `link_verified` | verified",
        "identity_not_linked",
        UNVERIFIED,
        link_verified=False,
    ),
    Row("no | no | inactive user | verified", "inactive_user", INACTIVE),
    Row("yes | no | any | any", "user", UNVERIFIED, signed_in=True, verified=False),
    Row("yes | yes, of this user | any | any", "unchanged", VERIFIED, "own", signed_in=True),
    Row("yes | yes, of another user | any | any", "identity_taken", VERIFIED, "other", None, True),
]


def test_each_row_of_the_table_is_a_test() -> None:
    rows = re.findall(r"^\| ((?:yes|no) \| .*) \| [^|]+ \|$", PAGE.read_text(), re.MULTILINE)
    assert rows == [row.documented for row in ROWS]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.documented.replace(" | ", "-"))
async def test_a_state(
    browser: Browser,
    provider: FakeProvider,
    people: People,
    second: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    row: Row,
) -> None:
    options = {"link_verified": row.link_verified, "allow_registration": row.allow_registration}
    monkeypatch.setattr(settings, "OIDC_PROVIDERS", {"fake": provider.configure(**options)})
    person = await prepare(people, second, provider, row)
    before = await read_account(second, person)
    if row.signed_in:
        assert person
        response = await browser.link(await people.sign_in(person))
    else:
        response = await browser.sign_in()
    count = await second.fetchval("SELECT count(*) FROM identities WHERE subject = 'ann-1'")
    match row.expected:
        case "user":
            assert count == 1
            assert response.is_success, response.text
            assert await find_owner(second) == (person.id if person else None)
            assert dict(await read_account(second, person))["hashed_password"] != "!"
        case "new":
            me = await get_me(browser.client, response)
            assert (me["email"], me["is_verified"], count) == (ADDRESS, row.verified, 1)
        case "claimed":
            me = await get_me(browser.client, response)
            assert (me["id"], me["is_verified"], count) == (person and person.id, True, 1)
        case "unchanged":
            assert (response.status_code, count) == (201, 1)
            assert await read_account(second, person) == before
        case code:
            assert response.json()["code"] == code
            assert await read_account(second, person) == before
            assert count == (row.identity != "none")
            assert await second.fetchval("SELECT count(*) FROM users") <= 2


async def prepare(
    people: People, second: asyncpg.Connection, provider: FakeProvider, row: Row
) -> Person | None:
    provider.claims = {"email_verified": bool(row.verified)}
    if row.verified is None:
        provider.claims |= {"email": REMOVED}
        provider.user["email"] = REMOVED
    person = await people.add(email=ADDRESS, **row.local) if row.local else None
    owner = person if row.identity == "own" else await people.add()
    if row.identity != "none" and owner:
        await second.execute(
            "INSERT INTO identities (user_id, provider, issuer, subject) "
            "VALUES ($1, 'fake', $2, 'ann-1')",
            owner.id,
            provider.url,
        )
    if row.identity == "none":
        await second.execute("DELETE FROM users WHERE email <> $1", ADDRESS)
    return person


async def read_account(second: asyncpg.Connection, person: Person | None) -> Any:
    columns = "hashed_password, is_verified, is_active, credential_epoch, session_epoch"
    return await second.fetchrow(
        f"SELECT {columns} FROM users WHERE id = $1", person.id if person else 0
    )


async def find_owner(second: asyncpg.Connection) -> Any:
    return await second.fetchval("SELECT user_id FROM identities WHERE subject = 'ann-1'")


async def test_a_claimed_account_loses_its_credentials(
    browser: Browser, provider: FakeProvider, people: People, second: asyncpg.Connection
) -> None:
    """Account pre-hijacking: a stranger registers the address and adds ways in."""
    stranger = await people.enter(email=ADDRESS)
    provider.claims = {"email_verified": False}
    assert (await browser.sign_in()).json()["code"] == "identity_not_linked"
    provider.user |= {"sub": "stranger-1"}
    provider.claims = {"email": "stranger@example.com"}
    assert (await browser.link(stranger)).status_code == 201
    await enroll(browser.client, second, stranger)
    made = await browser.client.post("/users/me/recovery-codes", headers=stranger.headers)
    assert made.status_code == 201
    provider.reset()
    owner = await get_me(browser.client, await browser.sign_in())
    assert (owner["id"], owner["is_verified"]) == (stranger.id, True)
    for table in ("factors", "recovery_codes", "one_time_tokens"):
        assert await second.fetchval(f"SELECT count(*) FROM {table}") == 0
    assert await second.fetchval("SELECT hashed_password FROM users") == "!"
    assert (await people.try_to_sign_in(stranger)).status_code == 401
    assert (await browser.client.get("/users/me", headers=stranger.headers)).status_code == 401
    refresh = {"refresh_token": stranger.tokens["refresh_token"]}
    assert (await browser.client.post("/auth/refresh", json=refresh)).status_code == 401
    provider.user |= {"sub": "stranger-1"}
    provider.claims = {"email": "stranger@example.com"}
    again = await get_me(browser.client, await browser.sign_in())
    assert again["id"] != owner["id"], "the identity of the stranger is gone"
    events = [row["event"] for row in await second.fetch("SELECT event FROM events ORDER BY id")]
    assert "account.claimed" in events
    mails = {(row["kind"], row["recipient"]) for row in await second.fetch("SELECT * FROM mails")}
    assert ("account_claimed", ADDRESS) in mails


async def test_a_taken_username_gets_a_suffix(
    browser: Browser, people: People, second: asyncpg.Connection
) -> None:
    await people.add(username="ANN")
    me = await get_me(browser.client, await browser.sign_in())
    assert re.fullmatch(r"ann-[0-9a-f]{8}", me["username"])


@pytest.mark.parametrize("proposed", ["ann@example.com", "a\x00b", "", 1, "a" * 500, None, "<b>"])
async def test_an_unusable_username_is_replaced(
    browser: Browser, provider: FakeProvider, proposed: Any
) -> None:
    provider.user |= {"preferred_username": proposed, "name": proposed}
    me = await get_me(browser.client, await browser.sign_in())
    assert me["username"].startswith("user-") or me["username"] == proposed
    assert "@" not in me["username"]


SPELLINGS = {
    "ANN@EXAMPLE.COM": True,
    "ann@example.com": True,
    "\u0430nn@example.com": False,  # a Cyrillic letter
    "ann@ex\u0430mple.com": False,
    "a\u200bnn@example.com": False,
    "ann@example.com\n": False,
    "ann@example.com,eve@example.com": False,
    "Ann <ann@example.com>": False,
    '"ann"@example.com': False,
    "\uff41nn@example.com": False,
}


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_only_the_same_address_is_linked(
    browser: Browser, provider: FakeProvider, people: People, spelling: str
) -> None:
    person = await people.add(email=ADDRESS, is_verified=True)
    provider.claims = {"email": spelling}
    response = await browser.sign_in()
    found = response.is_success and (await get_me(browser.client, response))["id"] == person.id
    assert found is SPELLINGS[spelling]


async def test_an_imported_password_is_no_way_past_the_provider(
    browser: Browser, people: People, client: AsyncClient
) -> None:
    me = await get_me(client, await browser.sign_in())
    for password in ("!", "", PASSWORD):
        body = {"email": me["email"], "password": password}
        assert (await client.post("/auth/login", json=body)).status_code in (401, 422)
