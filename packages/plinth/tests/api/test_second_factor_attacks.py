"""Attacks on second factors over HTTP. Each test expresses the right behavior."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient, Response

from plinth.accounts.services import administration, factors
from plinth.admin.resources import find_plain_models
from plinth.config import settings
from plinth.db.database import Database
from plinth.testing.people import PASSWORD, People, Person
from tests.api.test_second_factors import begin, complete, make_stale, with_tokens
from tests.support.factors import App, add_app, confirm_app, enroll
from tests.support.mail_server import Inbox, token_of
from tests.support.superuser import Superuser

NEW = "Better-Horse-8"
ANOTHER_KEY = "another-secret-key-of-at-least-32-bytes-xyz"
AT_ONCE = 20
DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"


@pytest.fixture
async def person(people: People) -> Person:
    return await people.enter(is_verified=True)


@pytest.fixture
async def phone(client: AsyncClient, second: asyncpg.Connection, person: Person) -> App:
    return await enroll(client, second, person)


@pytest.fixture
async def browser(app: FastAPI, database: Database) -> AsyncIterator[Superuser]:
    """A browser without cookies, at the admin."""
    transport = ASGITransport(app, raise_app_exceptions=False)
    async with AsyncClient(transport=transport, base_url="http://test") as client:
        yield Superuser(client)


@pytest.fixture
async def elsewhere(app: FastAPI, database: Database) -> AsyncIterator[AsyncClient]:
    """A client without the cookies of `client`: an unknown device."""
    transport = ASGITransport(app, raise_app_exceptions=False, client=("192.0.2.77", 1))
    async with AsyncClient(transport=transport, base_url="http://test/api/v1") as client:
        yield client


async def refresh(client: AsyncClient, token: str) -> Response:
    return await client.post("/auth/refresh", json={"refresh_token": token})


async def make_codes(client: AsyncClient, person: Person) -> list[str]:
    made = await client.post("/users/me/recovery-codes", headers=person.headers)
    assert made.status_code == 201, made.text
    return list(made.json()["codes"])


async def forget_steps(second: asyncpg.Connection) -> None:
    await second.execute("UPDATE totp_secrets SET last_step = 0")


async def wait_for_lock(second: asyncpg.Connection) -> None:
    """Wait until a request waits for a row that `second` has locked."""
    for _ in range(200):
        waiting = await second.fetchval(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        if waiting:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("no request waits for the lock")


async def events(second: asyncpg.Connection, person: Person) -> Counter[tuple[str, str]]:
    rows = await second.fetch("SELECT event, outcome FROM events WHERE subject_id = $1", person.id)
    return Counter((row["event"], row["outcome"]) for row in rows)


# --- MFA_REQUIRED and refresh tokens ---


async def test_used_refresh_token_is_a_replay_and_gets_no_challenge(
    client: AsyncClient,
    second: asyncpg.Connection,
    person: Person,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without `MFA_REQUIRED`, the same token ends the session with 401."""
    stolen = person.tokens["refresh_token"]
    assert (await refresh(client, stolen)).status_code == 200  # the owner's own refresh
    await second.execute("UPDATE sessions SET last_used_at = now() - interval '1 hour'")
    monkeypatch.setattr(settings, "MFA_REQUIRED", "all")
    replayed = await refresh(client, stolen)
    assert (replayed.status_code, replayed.json()["code"]) == (401, "invalid_refresh_token")
    assert await second.fetchval("SELECT revoked_at FROM sessions WHERE user_id = $1", person.id)
    assert (await events(second, person))["session.replayed", "failure"] == 1


async def test_a_refresh_token_without_the_password_enrolls_no_factor(
    client: AsyncClient,
    second: asyncpg.Connection,
    people: People,
    person: Person,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Adding a factor needs an authentication within `STEP_UP_MINUTES`; a token is none."""
    await second.execute("UPDATE sessions SET created_at = now() - interval '20 days'")
    monkeypatch.setattr(settings, "MFA_REQUIRED", "all")
    answer = await refresh(client, person.tokens["refresh_token"])
    challenge = answer.json().get("challenge", "")
    added = await client.post("/auth/mfa/totp", json={"challenge": challenge})
    assert added.status_code != 201, "a stolen refresh token adds the thief's app"
    assert await second.fetchval("SELECT count(*) FROM factors") == 0


async def test_session_with_two_factors_refreshes_when_a_factor_is_required(
    client: AsyncClient, person: Person, phone: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "MFA_REQUIRED", "all")
    first = person.tokens["refresh_token"]
    assert (await refresh(client, first)).status_code == 200
    assert (await refresh(client, first)).status_code == 200, "the grace period"


async def test_an_insufficient_session_gets_no_tokens_by_the_grace_period(
    client: AsyncClient, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = person.tokens["refresh_token"]
    await refresh(client, first)
    monkeypatch.setattr(settings, "MFA_REQUIRED", "all")
    assert "access_token" not in (await refresh(client, first)).text


async def test_twenty_first_enrollments_at_once_start_one_session(
    client: AsyncClient,
    second: asyncpg.Connection,
    people: People,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    person = await people.add()
    monkeypatch.setattr(settings, "MFA_REQUIRED", "all")
    pending = [await begin(client, person) for _ in range(5)]
    added = await client.post("/auth/mfa/totp", json={"challenge": pending[0]["challenge"]})
    app = App.of(added.json())
    tries = [
        complete(client, it["challenge"], app.code(drift)) for it in pending for drift in (0, 1) * 2
    ]
    statuses = Counter(it.status_code for it in await asyncio.gather(*tries))
    assert statuses[200] == 1
    assert set(statuses) <= {200, 400, 503}
    assert await second.fetchval("SELECT count(*) FROM sessions WHERE user_id = $1", person.id) == 1


async def test_an_admin_session_without_the_required_factor_ends(
    browser: Superuser, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cookie session is never refreshed, so it must be checked with each request."""
    assert (await browser.sign_in(await people.add(is_superuser=True))).status_code == 303
    monkeypatch.setattr(settings, "MFA_REQUIRED", "superusers")
    assert (await browser.get("/")).status_code == 303


# --- requests that wait for the lock while the session ends ---

Act = Callable[[AsyncClient, Person, App], Awaitable[Response]]


async def _confirm(client: AsyncClient, person: Person, app: App) -> Response:
    path = f"/users/me/factors/{app.factor_id}/confirm"
    return await client.post(path, json={"code": app.code()}, headers=person.headers)


async def _add(client: AsyncClient, person: Person, _: App) -> Response:
    return await client.post("/users/me/factors/totp", json={}, headers=person.headers)


@pytest.mark.parametrize("act", [_confirm, _add])
async def test_session_ended_by_a_reset_cannot_add_a_factor(
    client: AsyncClient, second: asyncpg.Connection, person: Person, act: Act
) -> None:
    """The owner resets the password while the thief's request waits for the user's row."""
    app = await add_app(client, person)
    async with second.transaction():
        await second.execute(
            "UPDATE users SET hashed_password = hashed_password || 'x',"
            " session_epoch = session_epoch + 1 WHERE id = $1",
            person.id,
        )
        request = asyncio.ensure_future(act(client, person, app))
        await wait_for_lock(second)
    response = await request
    confirmed = "SELECT count(*) FROM factors WHERE confirmed_at IS NOT NULL"
    assert await second.fetchval(confirmed) == 0, "the owner is locked out of the account"
    assert response.status_code in {401, 403}


@pytest.mark.parametrize("what", ["remove", "codes"])
async def test_session_ended_by_a_reset_cannot_weaken_factors(
    client: AsyncClient, second: asyncpg.Connection, person: Person, phone: App, what: str
) -> None:
    async with second.transaction():
        await second.execute(
            "UPDATE users SET hashed_password = hashed_password || 'x',"
            " session_epoch = session_epoch + 1 WHERE id = $1",
            person.id,
        )
        path = f"/users/me/factors/{phone.factor_id}"
        request = asyncio.create_task(
            client.delete(path, headers=person.headers)
            if what == "remove"
            else client.post("/users/me/recovery-codes", headers=person.headers)
        )
        await wait_for_lock(second)
    response = await request
    assert await second.fetchval("SELECT count(*) FROM factors") == 1
    assert await second.fetchval("SELECT count(*) FROM recovery_codes") == 0
    assert response.status_code in {401, 403}


async def test_session_ended_by_an_enrollment_cannot_change_the_password(
    client: AsyncClient, second: asyncpg.Connection, people: People, person: Person
) -> None:
    """The check for a recent factor precedes the lock; the owner's enrollment gets in between."""
    thief = await people.sign_in(person)
    app = await add_app(client, person)
    await make_stale(second, person)
    async with second.transaction():
        await second.execute("SELECT FROM users WHERE id = $1 FOR UPDATE", person.id)
        body = {"password": NEW, "current_password": PASSWORD}
        request = asyncio.create_task(client.patch("/users/me", json=body, headers=thief.headers))
        await wait_for_lock(second)
        await second.execute("UPDATE factors SET confirmed_at = now() WHERE id = $1", app.factor_id)
        await second.execute(
            "UPDATE users SET session_epoch = session_epoch + 1,"
            " credential_epoch = credential_epoch + 1 WHERE id = $1",
            person.id,
        )
    assert (await request).status_code in {400, 401, 403}
    changed = "SELECT credential_epoch FROM users WHERE id = $1"
    assert await second.fetchval(changed, person.id) == 1


# --- secrets that cannot be decrypted ---


@pytest.mark.parametrize("route", ["mfa", "step-up", "confirm"])
async def test_an_undecryptable_secret_is_not_an_internal_error(
    client: AsyncClient,
    second: asyncpg.Connection,
    person: Person,
    phone: App,
    monkeypatch: pytest.MonkeyPatch,
    route: str,
) -> None:
    pending = await begin(client, person)
    unconfirmed = await add_app(client, person)
    monkeypatch.setattr(settings, "SECRET_KEY", ANOTHER_KEY)
    if route == "mfa":
        response = await complete(client, pending["challenge"], phone.code())
    elif route == "step-up":
        proof = {"method": "totp", "code": phone.code()}
        response = await client.post("/auth/step-up", json=proof, headers=person.headers)
    else:
        response = await _confirm(client, person, unconfirmed)
    assert response.status_code in {400, 503}, response.text


async def test_one_undecryptable_app_does_not_block_the_others(
    client: AsyncClient,
    second: asyncpg.Connection,
    person: Person,
    phone: App,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = await add_app(client, person)
    await confirm_app(client, person, other)
    await forget_steps(second)
    await second.execute(
        "UPDATE totp_secrets SET sealed = '\\x00' WHERE factor_id = $1", phone.factor_id
    )
    pending = await begin(client, person)
    assert (await complete(client, pending["challenge"], other.code())).status_code == 200


async def test_recovery_codes_work_with_another_secret_key(
    client: AsyncClient, person: Person, phone: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (await make_codes(client, person))[0]
    monkeypatch.setattr(settings, "SECRET_KEY", ANOTHER_KEY)
    pending = await begin(client, person)
    answer = await complete(client, pending["challenge"], code, "recovery_code")
    assert answer.status_code == 200


# --- the admin ---


def test_the_admin_shows_no_table_of_factors() -> None:
    """An editable table of factors or identities bypasses step-up, mails, epochs and audit."""
    shown = {model.__name__ for model in find_plain_models()}
    assert not shown & {"Factor", "TotpSecret", "RecoveryCode", "Challenge", "Identity", "Passkey"}


async def test_tables_of_factors_are_404_in_the_admin(
    browser: Superuser, client: AsyncClient, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    await browser.sign_in(await people.add(is_superuser=True))
    for table in ("factor", "totp-secret", "recovery-code", "challenge"):
        assert (await browser.get(f"/{table}/list")).status_code == 404, table


async def test_admin_form_starts_no_session_of_a_regular_user(
    browser: Superuser, client: AsyncClient, second: asyncpg.Connection, person: Person, phone: App
) -> None:
    pending = await begin(client, person)
    before = await second.fetchval("SELECT count(*) FROM sessions")
    await browser.get("/login")
    answer = await browser.send_code(pending["challenge"], phone.code())
    assert await second.fetchval("SELECT count(*) FROM sessions") == before
    assert answer.status_code == 403
    assert "plinth_admin" not in answer.headers.get("set-cookie", "")


async def test_the_admin_form_of_the_code_needs_the_csrf_token(
    browser: Superuser, client: AsyncClient, second: asyncpg.Connection, people: People
) -> None:
    root = await people.enter(is_superuser=True)
    phone = await enroll(client, second, root)
    pending = await begin(client, root)
    await browser.get("/login")
    data = {"challenge": pending["challenge"], "method": "totp", "code": phone.code()}
    assert (await browser.client.post("/admin/login", data=data)).status_code == 403
    assert (await browser.get("/")).status_code == 303
    page = await browser.sign_in(root)
    assert page.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "data",
    [
        {"challenge": ""},
        {"challenge": "\x00", "method": "totp", "code": "1"},
        {"challenge": "é" * 64, "method": "totp", "code": "1"},
        {"challenge": "A" * 64, "method": "password", "code": PASSWORD},
        {"challenge": "A" * 5000, "method": "totp", "code": "1" * 5000},
        {"challenge": '"><script>alert(1)</script>', "method": "totp", "code": "1"},
        {"challenge": "A" * 64, "self": "x", "data": "y", "code": "\x00"},
    ],
)
async def test_malformed_admin_forms_are_refused(browser: Superuser, data: dict[str, str]) -> None:
    await browser.get("/login")
    answer = await browser.client.post("/admin/login", data={"csrftoken": browser.csrf, **data})
    assert answer.status_code in {400, 422}
    assert "<script>alert" not in answer.text


# --- limits ---


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "LIMITS_ENABLED", True)


@pytest.mark.usefixtures("limited")
async def test_a_password_reset_gives_no_unlimited_new_guesses(
    elsewhere: AsyncClient,
    client: AsyncClient,
    person: Person,
    phone: App,
    inbox: Inbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Someone with the mailbox must not guess more codes than `LIMIT_MFA_DAY` allows."""
    monkeypatch.setattr(settings, "LIMIT_MFA", "4/5m")
    monkeypatch.setattr(settings, "LIMIT_MFA_DAY", "4/1d")
    guesses, password = 0, PASSWORD
    for number in range(3):
        if number:
            await elsewhere.post("/auth/password/forgot", json={"email": person.email})
            token = token_of(await inbox.next(person.email, "Set a new password"))
            password = f"Better-Horse-{number}!"
            body = {"token": token, "password": password}
            assert (await elsewhere.post("/auth/password/reset", json=body)).status_code == 204
        login = {"email": person.email, "password": password}
        challenge = (await elsewhere.post("/auth/login", json=login)).json()["challenge"]
        for _ in range(6):
            answer = await complete(elsewhere, challenge, "000000")
            guesses += answer.status_code == 400
    assert guesses <= 4


@pytest.mark.usefixtures("limited")
async def test_a_stolen_session_does_not_lock_the_owner_out(
    elsewhere: AsyncClient,
    client: AsyncClient,
    second: asyncpg.Connection,
    person: Person,
    phone: App,
) -> None:
    """As for passwords (`LIMIT_PASSWORD_SESSION`), a session uses up its own attempts only."""
    await make_stale(second, person)
    for _ in range(5):
        await elsewhere.post(
            "/auth/step-up", json={"method": "totp", "code": "000000"}, headers=person.headers
        )
    login = {"email": person.email, "password": PASSWORD}
    challenge = (await elsewhere.post("/auth/login", json=login)).json()["challenge"]
    assert (await complete(elsewhere, challenge, phone.code())).status_code == 200


@pytest.mark.usefixtures("limited")
async def test_attacker_with_the_password_does_not_evict_the_owners_challenge(
    elsewhere: AsyncClient, client: AsyncClient, person: Person, phone: App
) -> None:
    mine = await begin(client, person)
    login = {"email": person.email, "password": PASSWORD}
    for _ in range(12):
        await elsewhere.post("/auth/login", json=login)
    assert (await complete(client, mine["challenge"], phone.code())).status_code == 200


@pytest.mark.usefixtures("limited")
async def test_attacker_with_the_password_does_not_flood_the_audit_log(
    elsewhere: AsyncClient, second: asyncpg.Connection, person: Person, phone: App
) -> None:
    login = {"email": person.email, "password": PASSWORD}
    for _ in range(60):
        await elsewhere.post("/auth/login", json=login)
    assert (await events(second, person))["session.challenged", "success"] <= 50


@pytest.mark.usefixtures("limited")
async def test_the_first_refusal_of_guesses_is_in_the_audit_log(
    client: AsyncClient, second: asyncpg.Connection, person: Person, phone: App
) -> None:
    """As `session.limited` of a sign-in with the password."""
    pending = await begin(client, person)
    for _ in range(8):
        await complete(client, pending["challenge"], "000000")
    seen = await events(second, person)
    assert seen["factor.used", "failure"] == 5 + 1


async def test_a_wrong_password_of_a_step_up_is_in_the_audit_log(
    client: AsyncClient, second: asyncpg.Connection, person: Person
) -> None:
    await client.post(
        "/auth/step-up", json={"method": "password", "password": "x"}, headers=person.headers
    )
    assert [it for it in await events(second, person) if it[1] == "failure"]


@pytest.mark.usefixtures("limited")
async def test_twenty_wrong_codes_at_once_are_limited(
    client: AsyncClient, person: Person, phone: App
) -> None:
    pending = await begin(client, person)
    tries = [complete(client, pending["challenge"], "000000") for _ in range(AT_ONCE)]
    statuses = Counter(it.status_code for it in await asyncio.gather(*tries))
    assert statuses[400] <= 5


@pytest.mark.usefixtures("limited")
async def test_an_invented_device_cookie_gives_no_attempts(
    elsewhere: AsyncClient, client: AsyncClient, person: Person, phone: App
) -> None:
    pending = await begin(client, person)
    wrong = 0
    for number in range(8):
        cookie = f"plinth_device={'A' * 21}{number}.{'B' * 22}"
        body = {"challenge": pending["challenge"], "method": "totp", "code": "000000"}
        answer = await elsewhere.post("/auth/mfa", json=body, headers={"Cookie": cookie})
        wrong += answer.status_code == 400
    assert wrong == 5


# --- an account that a stranger registered with the owner's address ---


async def test_reset_reclaims_an_address_that_an_attacker_registered(
    client: AsyncClient,
    second: asyncpg.Connection,
    people: People,
    inbox: Inbox,
) -> None:
    """Anyone can register any address. The owner of the mailbox must get it back."""
    stranger = await people.enter(is_verified=False)
    try:
        await enroll(client, second, stranger)
    except AssertionError:
        return  # an unverified account gets no factor: as good
    await client.post("/auth/password/forgot", json={"email": stranger.email})
    token = token_of(await inbox.next(stranger.email, "Set a new password"))
    body = {"token": token, "password": NEW}
    assert (await client.post("/auth/password/reset", json=body)).status_code == 204
    answer = await client.post("/auth/login", json={"email": stranger.email, "password": NEW})
    assert answer.status_code == 200, answer.text


# --- codes and challenges ---


async def test_challenge_refuses_codes_of_another_user(
    client: AsyncClient, second: asyncpg.Connection, people: People, person: Person, phone: App
) -> None:
    thief = await people.enter(is_verified=True)
    app = await enroll(client, second, thief)
    codes = await make_codes(client, thief)
    await make_codes(client, person)
    pending = await begin(client, person)
    for code, method in ((app.code(), "totp"), (codes[0], "recovery_code")):
        answer = await complete(client, pending["challenge"], code, method)
        assert answer.json()["code"] == "wrong_code"


@pytest.mark.parametrize(
    "change", ["kind = 'other'", "user_id = NULL", "credential_epoch = NULL", "user_id = 0 + $1"]
)
async def test_a_challenge_of_another_purpose_or_user_is_refused(
    client: AsyncClient,
    second: asyncpg.Connection,
    people: People,
    person: Person,
    phone: App,
    change: str,
) -> None:
    other = await people.add()
    pending = await begin(client, person)
    arguments = [other.id] if "$1" in change else []
    await second.execute(f"UPDATE challenges SET {change}", *arguments)
    answer = await complete(client, pending["challenge"], phone.code())
    assert answer.json()["code"] == "invalid_challenge"


async def test_admin_token_is_not_accepted_as_a_challenge(
    browser: Superuser, client: AsyncClient, people: People
) -> None:
    await browser.sign_in(await people.add(is_superuser=True))
    cookie = browser.client.cookies["plinth_admin"]
    assert (await complete(client, cookie, "000000")).json()["code"] == "invalid_challenge"


async def test_concurrent_step_ups_with_one_code_succeed_once(
    client: AsyncClient, person: Person, phone: App
) -> None:
    proof = {"method": "totp", "code": phone.code()}
    tries = [client.post("/auth/step-up", json=proof, headers=person.headers) for _ in range(20)]
    statuses = Counter(it.status_code for it in await asyncio.gather(*tries))
    assert statuses[204] == 1
    assert set(statuses) <= {204, 400, 503}


async def test_a_code_of_a_step_up_does_not_sign_in(
    client: AsyncClient, person: Person, phone: App
) -> None:
    pending = await begin(client, person)
    proof = {"method": "totp", "code": phone.code()}
    assert (
        await client.post("/auth/step-up", json=proof, headers=person.headers)
    ).status_code == 204
    replayed = await complete(client, pending["challenge"], phone.code())
    assert replayed.json()["code"] == "wrong_code"


async def test_code_that_confirmed_the_app_does_not_sign_in(
    client: AsyncClient, person: Person
) -> None:
    app = await add_app(client, person)
    await confirm_app(client, person, app)
    pending = await begin(client, person)
    assert (await complete(client, pending["challenge"], app.code())).json()["code"] == "wrong_code"


async def test_concurrent_removals_keep_one_required_factor(
    client: AsyncClient,
    second: asyncpg.Connection,
    person: Person,
    phone: App,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = await add_app(client, person)
    await confirm_app(client, person, other)
    monkeypatch.setattr(settings, "MFA_REQUIRED", "all")
    paths = [f"/users/me/factors/{it.factor_id}" for it in (phone, other)] * 5
    tries = [client.delete(path, headers=person.headers) for path in paths]
    statuses = Counter(it.status_code for it in await asyncio.gather(*tries))
    assert statuses[204] == 1
    assert set(statuses) <= {204, 400, 404, 503}
    assert await second.fetchval("SELECT count(*) FROM factors") == 1


async def test_twenty_new_apps_at_once_leave_one(
    client: AsyncClient, second: asyncpg.Connection, person: Person
) -> None:
    tries = [
        client.post("/users/me/factors/totp", json={}, headers=person.headers) for _ in range(20)
    ]
    statuses = Counter(it.status_code for it in await asyncio.gather(*tries))
    assert set(statuses) <= {201, 503}
    assert await second.fetchval("SELECT count(*) FROM factors") == 1


async def test_concurrent_operations_of_one_user_do_not_deadlock(
    client: AsyncClient, second: asyncpg.Connection, people: People, person: Person, phone: App
) -> None:
    """Sign-in, completion, step-up, enrollment, removal, refresh and reset of one user."""
    before = await second.fetchval(DEADLOCKS)
    pending = [await begin(client, person) for _ in range(6)]
    codes = await make_codes(client, person)
    tries: list[Awaitable[Response]] = []
    for number, it in enumerate(pending):
        tries += [
            complete(client, it["challenge"], codes[number], "recovery_code"),
            complete(client, it["challenge"], phone.code(number % 2)),
            client.post("/users/me/factors/totp", json={}, headers=person.headers),
            client.post("/users/me/recovery-codes", headers=person.headers),
            client.post(
                "/auth/step-up",
                json={"method": "recovery_code", "code": codes[number + 4]},
                headers=person.headers,
            ),
            refresh(client, person.tokens["refresh_token"]),
            people.try_to_sign_in(person),
        ]
    tries.append(client.delete(f"/users/me/factors/{phone.factor_id}", headers=person.headers))
    statuses = Counter(it.status_code for it in await asyncio.gather(*tries))
    assert 500 not in statuses
    assert await second.fetchval(DEADLOCKS) == before


# --- odd input ---

ODD = [
    "\x00",
    "\ud800",
    "é",
    "١٢٣٤٥٦",
    "\uff11\uff12\uff13\uff14\uff15\uff16",
    " ",
    "",
    "1" * 10_000,
    "000000\n",
    "🦄" * 12,
]


@pytest.mark.parametrize("code", [*ODD, 123456, None, [], {}, True])
async def test_malformed_codes_are_refused(
    client: AsyncClient, person: Person, phone: App, code: Any
) -> None:
    pending = await begin(client, person)
    unconfirmed = await add_app(client, person)
    headers = {"Content-Type": "application/json"}
    for method in ("totp", "recovery_code"):
        body = {"challenge": pending["challenge"], "method": method, "code": code}
        answer = await client.post("/auth/mfa", content=json.dumps(body), headers=headers)
        assert answer.status_code in {400, 422}, answer.text
        answer = await client.post(
            "/auth/step-up", content=json.dumps(body), headers=headers | person.headers
        )
        assert answer.status_code in {400, 422}, answer.text
    answer = await client.post(
        f"/users/me/factors/{unconfirmed.factor_id}/confirm",
        content=json.dumps({"code": code}),
        headers=headers | person.headers,
    )
    assert answer.status_code in {400, 422}, answer.text


@pytest.mark.parametrize("text", [*ODD, 1, None, ["A" * 64], "A" * 63 + "=", "-" * 64, "A" * 2048])
async def test_malformed_challenges_are_refused(
    client: AsyncClient, database: Database, text: Any
) -> None:
    headers = {"Content-Type": "application/json"}
    for path in ("/auth/mfa", "/auth/mfa/totp"):
        body = json.dumps({"challenge": text, "code": "000000"})
        answer = await client.post(path, content=body, headers=headers)
        assert answer.status_code in {400, 422}, answer.text


@pytest.mark.parametrize(
    "name", ["\x00", "a\x00b", "\ud800", "a\ud800", "a\r\nX: y", "\u2028", "", 1, None, "x" * 101]
)
async def test_malformed_factor_names_are_refused(
    client: AsyncClient, person: Person, name: Any
) -> None:
    headers = {"Content-Type": "application/json"} | person.headers
    body = json.dumps({"name": name})
    answer = await client.post("/users/me/factors/totp", content=body, headers=headers)
    assert answer.status_code == 422, answer.text


# --- what leaks ---


async def test_no_response_may_be_cached(
    client: AsyncClient, second: asyncpg.Connection, person: Person
) -> None:
    add = await client.post("/users/me/factors/totp", json={}, headers=person.headers)
    app = App.of(add.json())
    confirm = await _confirm(client, person, app)
    codes = await client.post("/users/me/recovery-codes", headers=person.headers)
    await forget_steps(second)
    login = await people_login(client, person)
    done = await complete(client, login.json()["challenge"], app.code())
    listed = await client.get("/users/me/factors", headers=person.headers)
    for answer in (add, confirm, codes, login, done, listed):
        assert answer.headers["Cache-Control"] == "no-store"
    assert add.json()["secret"] not in listed.text


async def people_login(client: AsyncClient, person: Person) -> Response:
    return await client.post("/auth/login", json={"email": person.email, "password": PASSWORD})


async def test_a_profile_shows_nothing_of_the_session(
    client: AsyncClient, person: Person, phone: App
) -> None:
    profile = (await client.get("/users/me", headers=person.headers)).json()
    assert not {"aal", "amr", "authenticated_at", "credential_epoch"} & profile.keys()


async def test_no_secret_is_stored_in_the_clear(
    client: AsyncClient, second: asyncpg.Connection, person: Person, phone: App
) -> None:
    codes = await make_codes(client, person)
    pending = await begin(client, person)
    await complete(client, pending["challenge"], codes[0], "recovery_code")
    secrets = [
        phone.secret.hex(),
        codes[0],
        codes[1],
        codes[1].replace("-", ""),
        pending["challenge"],
    ]
    tables = await second.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    for table in tables:
        text = str(await second.fetch(f"SELECT t::text FROM {table['tablename']} t"))
        assert not [it for it in secrets if it in text], table


async def test_erasure_removes_factors_codes_and_challenges(
    client: AsyncClient,
    second: asyncpg.Connection,
    database: Database,
    people: People,
    person: Person,
    phone: App,
) -> None:
    await make_codes(client, person)
    await begin(client, person)
    async with database.transaction() as db:
        await administration.erase(db, person.id)
    for table in ("factors", "totp_secrets", "recovery_codes", "challenges", "sessions"):
        assert await second.fetchval(f"SELECT count(*) FROM {table}") == 0, table


async def test_reset_by_an_operator_voids_factors_challenges_and_sessions(
    client: AsyncClient, second: asyncpg.Connection, database: Database, person: Person, phone: App
) -> None:
    codes = await make_codes(client, person)
    pending = await begin(client, person)
    await add_app(client, person)
    async with database.transaction() as db:
        assert await factors.reset(db, person.id) == 1
    answer = await complete(client, pending["challenge"], codes[0], "recovery_code")
    assert answer.json()["code"] == "invalid_challenge"
    assert (await client.get("/users/me", headers=person.headers)).status_code == 401
    assert (await refresh(client, person.tokens["refresh_token"])).status_code == 401
    assert (await people_login(client, person)).status_code == 200


# --- rolling deployment ---


async def test_session_insert_of_the_old_release_during_enrollment_is_refused(
    second: asyncpg.Connection, database_url: str, client: AsyncClient, person: Person
) -> None:
    app = await add_app(client, person)
    old = await asyncpg.connect(database_url)
    transaction = second.transaction()
    await transaction.start()
    await second.execute("SELECT FROM users WHERE id = $1 FOR UPDATE", person.id)
    await second.execute("UPDATE factors SET confirmed_at = now() WHERE id = $1", app.factor_id)
    statement = (
        "WITH locked AS (SELECT id, session_epoch FROM users WHERE id = $1 FOR NO KEY UPDATE)"
        " INSERT INTO sessions (user_id, session_epoch, token_hash, expires_at, ends_at)"
        " SELECT id, session_epoch, $2, now() + interval '1 day', now() + interval '1 day'"
        " FROM locked"
    )
    request = asyncio.create_task(old.execute(statement, person.id, bytes(32)))
    await wait_for_lock(second)
    await transaction.commit()
    with pytest.raises(asyncpg.SerializationError):
        await request
    await old.close()


# --- step-up ---


async def test_a_refresh_does_not_make_a_session_fresh(
    client: AsyncClient, second: asyncpg.Connection, person: Person
) -> None:
    await make_stale(second, person)
    fresh = with_tokens(person, await refresh(client, person.tokens["refresh_token"]))
    answer = await client.post("/users/me/factors/totp", json={}, headers=fresh.headers)
    assert answer.json()["code"] == "step_up_required"


async def test_an_authentication_in_the_future_is_not_recent(
    client: AsyncClient, second: asyncpg.Connection, person: Person
) -> None:
    """The clocks of a server and the database may differ; a fast one must not extend a session."""
    await second.execute("UPDATE sessions SET authenticated_at = now() + interval '1 hour'")
    answer = await client.post("/users/me/factors/totp", json={}, headers=person.headers)
    assert answer.status_code == 403


async def test_the_name_of_a_factor_is_in_no_mail(
    client: AsyncClient, second: asyncpg.Connection, person: Person, inbox: Inbox
) -> None:
    name = "<img src=x onerror=alert(1)>"
    body = {"name": name}
    added = await client.post("/users/me/factors/totp", json=body, headers=person.headers)
    await confirm_app(client, person, App.of(added.json()))
    mail = await inbox.next(person.email, "second factor was added")
    assert "onerror" not in str(mail)


# --- more than one thief ---


async def test_superuser_cannot_take_over_a_user_by_moving_a_challenge(
    browser: Superuser,
    client: AsyncClient,
    second: asyncpg.Connection,
    people: People,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A superuser may change neither the password nor the e-mail of a user."""
    victim, own = await people.add(), await people.add()
    await browser.sign_in(await people.add(is_superuser=True))
    monkeypatch.setattr(settings, "MFA_REQUIRED", "all")
    pending = await begin(client, own)
    row = await second.fetchval("SELECT id FROM challenges")
    await browser.save(
        "challenge",
        row,
        kind="sign_in",
        user_id=str(victim.id),
        amr="pwd",
        expires_at="2030-01-01 00:00:00",
    )
    await client.post("/auth/mfa/totp", json={"challenge": pending["challenge"]})
    owners = await second.fetch("SELECT user_id FROM factors")
    assert victim.id not in {it["user_id"] for it in owners}


async def test_session_ended_by_logout_all_cannot_confirm_a_factor(
    client: AsyncClient, second: asyncpg.Connection, people: People, person: Person
) -> None:
    """Both requests over HTTP: the owner ends all sessions, and the thief's request is next."""
    thief = await people.sign_in(person)
    app = await add_app(client, thief)
    async with second.transaction():
        await second.execute("SELECT FROM users WHERE id = $1 FOR UPDATE", person.id)
        logout = asyncio.create_task(client.post("/auth/logout-all", headers=person.headers))
        await wait_for_lock(second)
        confirm = asyncio.create_task(_confirm(client, thief, app))
        await asyncio.sleep(0.3)
    assert (await logout).status_code == 204
    assert (await confirm).status_code in {401, 403}
