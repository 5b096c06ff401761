"""Every way to sign in, with an account in every state: no session starts without its factors.

A cell is the session that the attempt starts (`aal1`, `aal2`) or continues (`kept aal1`), `no
session` for a success without one, or the code of the refusal (of the admin page, the status).
It is the same for a client that gets its tokens in the body and for one that gets them in cookies.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from functools import partial
from inspect import isawaitable
from itertools import count, product

import asyncpg
import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient, Response

from plinth.accounts.deps import Resources
from plinth.config import Settings, settings
from plinth.request.cookies import TRANSPORT_HEADER
from plinth.security.tokens import read_access_token
from plinth.testing.operations import find_operations
from plinth.testing.people import People
from tests.api.test_second_factor_attacks import wait_for_lock
from tests.support.cookie_transport import COOKIE_ROUTES, CookieTransport
from tests.support.cookies import make_app
from tests.support.environment import ROOT
from tests.support.factors import add_app, enroll
from tests.support.mail_server import Inbox
from tests.support.oidc_browser import TARGET
from tests.support.oidc_provider import FakeProvider, serving_provider
from tests.support.sign_in_ways import WAYS, Attempt, Cell, Send
from tests.support.superuser import Superuser

TABLE = """
way                                | no factor           | unconfirmed         | confirmed           | inactive              | unverified | changed           | limited           | required
password                           | aal1                | aal1                | mfa_required        | inactive_user         | aal1       | wrong_credentials | too_many_attempts | mfa_required
password form                      | aal1                | aal1                | mfa_required        | inactive_user         | aal1       | wrong_credentials | too_many_attempts | mfa_required
second factor                      | invalid_challenge   | invalid_challenge   | aal2                | invalid_challenge     | aal2       | invalid_challenge | too_many_attempts | aal2
second factor, passkey             | aal2                | aal2                | aal2                | invalid_challenge     | aal2       | invalid_challenge | too_many_attempts | aal2
passkey                            | aal2                | aal2                | aal2                | inactive_user         | aal2       | aal2              | too_many_attempts | aal2
refresh                            | kept aal1           | kept aal1           | kept aal2           | invalid_refresh_token | kept aal1  | kept aal1         | too_many_attempts | mfa_required
admin page                         | aal1                | aal1                | 403                 | 400                   | aal1       | 401               | 429               | 403
admin page, second factor, passkey | aal2                | aal2                | aal2                | 400                   | aal2       | 400               | 429               | aal2
admin page, passkey                | aal2                | aal2                | aal2                | 400                   | aal2       | aal2              | 429               | aal2
e-mail code                        | aal1                | aal1                | mfa_required        | wrong_code            | aal1       | wrong_code        | too_many_attempts | mfa_required
identity provider                  | aal1                | aal1                | mfa_required        | inactive_user         | aal1       | aal1              | too_many_attempts | mfa_required
identity provider, no time         | aal1                | aal1                | mfa_required        | inactive_user         | aal1       | aal1              | too_many_attempts | step_up_required
impersonation                      | aal1                | aal1                | cannot_impersonate  | cannot_impersonate    | aal1       | aal1              | aal1              | cannot_impersonate
step-up, password                  | no session          | no session          | method_not_accepted | inactive_user         | no session | no session        | too_many_attempts | no session
step-up, code                      | method_not_accepted | method_not_accepted | no session          | inactive_user         | no session | no session        | too_many_attempts | method_not_accepted
step-up, passkey                   | no session          | no session          | no session          | inactive_user         | no session | invalid_passkey   | too_many_attempts | no session
password reset                     | no session          | no session          | no session          | invalid_token         | no session | no session        | too_many_attempts | no session
verification link                  | no session          | no session          | no session          | invalid_token         | no session | no session        | too_many_attempts | no session
"""  # noqa: E501 - a table
STATES = {
    "no factor": "no second factor",
    "unconfirmed": "a second factor that is not confirmed",
    "confirmed": "a confirmed second factor",
    "inactive": "deactivated between the steps",
    "unverified": "the address was never verified",
    "changed": "`credential_epoch` changed between the steps",
    "limited": "the limit is reached",
    "required": "`MFA_REQUIRED=all`, and no factor",
}
TRANSPORTS = ("body", "cookies")
OWN_COOKIES = {name for name, way in WAYS.items() if way.route.startswith("/admin/")}
CELLS = [
    (way, state, transport)
    for way, state, transport in product(WAYS, STATES, TRANSPORTS)
    if transport == "body" or way not in OWN_COOKIES
]
WITHOUT_FACTOR = {"no factor", "unconfirmed", "required"}
PAGE = ROOT / "docs" / "explanation" / "sign-in.md"
CHANGE = "credential_epoch = credential_epoch + 1"
HAS_FACTOR = "SELECT count(*) FROM factors WHERE user_id = $1 AND confirmed_at IS NOT NULL"
_addresses = count(1)


def parse(text: str) -> dict[tuple[str, str], str]:
    lines = [line for line in text.strip().splitlines() if not line.startswith("| ---")]
    rows = [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines]
    states = rows[0][1:]
    return {
        (row[0], state): cell
        for row in rows[1:]
        for state, cell in zip(states, row[1:], strict=True)
    }


EXPECTED = parse(TABLE)


@pytest.fixture(scope="module")
def running() -> Iterator[FakeProvider]:
    with serving_provider() as provider:
        yield provider


@pytest.fixture
def api(
    request: pytest.FixtureRequest,
    app: FastAPI,
    resources: Resources,
    monkeypatch: pytest.MonkeyPatch,
) -> FastAPI:
    """The application, with `AUTH_COOKIES=true` where the tokens are in cookies."""
    if request.getfixturevalue("transport") == "body":
        return app
    monkeypatch.setattr(settings, "AUTH_COOKIES", True)
    return make_app(resources)


@pytest.fixture
async def cell(
    api: FastAPI,
    transport: str,
    client: AsyncClient,
    people: People,
    second: asyncpg.Connection,
    inbox: Inbox,
    running: FakeProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Cell]:
    running.reset()
    monkeypatch.setattr(settings, "OIDC_PROVIDERS", {"fake": running.configure()})
    monkeypatch.setattr(settings, "OIDC_REDIRECT_URLS", [TARGET])
    monkeypatch.setattr(settings, "IMPERSONATION_MINUTES", 30)
    number = next(_addresses)
    network = ASGITransport(
        api, raise_app_exceptions=False, client=(f"203.0.{number >> 8}.{number & 255}", 1)
    )
    browser = CookieTransport(network) if transport == "cookies" else network
    async with AsyncExitStack() as stack:
        stranger, pages = [
            await stack.enter_async_context(AsyncClient(transport=browser, base_url=url))
            for url in ("http://test/api/v1", "http://test")
        ]
        admin = await people.enter(is_superuser=True, is_verified=True)
        person = await people.enter(is_verified=True)
        yield Cell(client, stranger, Superuser(pages), running, inbox, second, person, admin)


async def prepare(cell: Cell, way: str, state: str, monkeypatch: pytest.MonkeyPatch) -> Send:
    """Bring the account into the state, and return the attempt."""
    await enter_state(cell, way, state, monkeypatch)
    prepared = WAYS[way].prepare(cell)
    attempt: Attempt = await prepared if isawaitable(prepared) else prepared
    if state == "inactive":
        await change(cell, "is_active = false")
    elif state == "limited":
        use_lowest_limits(monkeypatch)
        await attempt.fail()
        return attempt.limited or attempt.send
    elif state == "changed" and attempt.is_one_step:
        return partial(change_meanwhile, cell, attempt)
    elif state == "changed":
        await change(cell, CHANGE)
    return attempt.send


async def enter_state(cell: Cell, way: str, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if state == "confirmed" or (WAYS[way].needs_factor and state not in WITHOUT_FACTOR):
        cell.phone = await enroll(cell.client, cell.second, cell.person)
    elif state == "unconfirmed":
        cell.phone = await add_app(cell.client, cell.person)
    elif state == "required":
        monkeypatch.setattr(settings, "MFA_REQUIRED", "all")
    if state == "unverified":
        await change(cell, "is_verified = false")


async def change(cell: Cell, values: str) -> None:
    await cell.second.execute(f"UPDATE users SET {values} WHERE id = $1", cell.person.id)


async def change_meanwhile(cell: Cell, attempt: Attempt) -> Response:
    """Change the credentials while the attempt waits for the user's row."""
    async with cell.second.transaction():
        await change(cell, CHANGE)
        sent = asyncio.ensure_future(attempt.send())
        await wait_for_lock(cell.second)
    return await sent


def use_lowest_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "LIMITS_ENABLED", True)
    for name in Settings.model_fields:
        if name.startswith("LIMIT_") and not name.endswith("FACTOR"):
            monkeypatch.setattr(settings, name, "1/1d")


async def find_live(cell: Cell) -> dict[str, int]:
    """Return the assurance levels of the live sessions of the user, by id."""
    rows = await cell.second.fetch(
        "SELECT s.id, s.aal FROM sessions s JOIN users u ON u.id = s.user_id WHERE u.id = $1"
        " AND s.revoked_at IS NULL AND s.expires_at > now() AND s.session_epoch = u.session_epoch",
        cell.person.id,
    )
    return {str(row["id"]): row["aal"] for row in rows}


def describe(response: Response, before: dict[str, int], after: dict[str, int]) -> str:
    started = [f"aal{aal}" for session, aal in after.items() if session not in before]
    if response.status_code >= 400:
        is_page = response.headers["content-type"].startswith("text/html")
        code = str(int(response.status_code)) if is_page else response.json()["code"]
        return " and ".join([code, *started])
    if started:
        return " and ".join(started)
    if response.content and "access_token" in response.text:
        token = response.json()["access_token"]
        return f"kept aal{after[str(read_access_token(token).session_id)]}"
    return "no session"


@pytest.mark.parametrize(("way", "state", "transport"), CELLS)
async def test_way_to_sign_in(
    cell: Cell, way: str, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = await prepare(cell, way, state, monkeypatch)
    before = await find_live(cell)
    response = await send()
    after = await find_live(cell)
    assert describe(response, before, after) == EXPECTED[way, state]
    started = {aal for session, aal in after.items() if session not in before}
    if await cell.second.fetchval(HAS_FACTOR, cell.person.id):
        assert set(after.values()) <= {2}, "every live session has the factor"
    if state == "required":
        assert started <= {2}, "a session starts with the factor only"
    if state == "inactive":
        assert not started
        me = await cell.stranger.get("/users/me", headers=cell.person.headers)
        assert me.status_code in {400, 401}


def test_table_has_every_way_and_state() -> None:
    assert set(EXPECTED) == set(product(WAYS, STATES))


def test_every_route_that_returns_tokens_is_a_way() -> None:
    """Add a way to `tests/support/sign_in_ways.py`, and its row to the table."""
    routes = {
        operation.path.removeprefix(settings.API_V1_PREFIX)
        for operation in find_operations()
        if "access_token" in operation.response_schema.get("properties", ())
    }
    assert len(routes) > 5
    assert routes <= {way.route for way in WAYS.values()}


def test_every_route_with_cookies_is_a_way(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Add a way, or to `COOKIE_ROUTES` the route that replaces one whose tokens are in the body."""
    monkeypatch.setattr(settings, "AUTH_COOKIES", True)
    routes = {
        path.removeprefix(settings.API_V1_PREFIX)
        for path, operations in make_app(resources).openapi()["paths"].items()
        for operation in operations.values()
        if any(it["name"] == TRANSPORT_HEADER for it in operation.get("parameters", ()))
    }
    ways = {way.route for name, way in WAYS.items() if name not in OWN_COOKIES}
    assert len(routes) > 5
    assert routes <= {COOKIE_ROUTES.get(it, it) for it in ways}
    assert {(way, "cookies") for way in WAYS if way not in OWN_COOKIES} == {
        (way, transport) for way, _, transport in CELLS if transport == "cookies"
    }


def test_documentation_has_the_same_table() -> None:
    _, begin, rest = PAGE.read_text().partition("| way")
    assert parse(begin + rest.partition("\n\n")[0]) == EXPECTED
