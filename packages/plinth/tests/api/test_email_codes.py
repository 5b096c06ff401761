"""Sign-in with a code by mail."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient, Response

from plinth.accounts.services.mail_worker import mail_worker
from plinth.config import settings
from plinth.db.database import Database
from plinth.security.passwords import NO_PASSWORD
from plinth.testing.answers import check_refusal
from plinth.testing.outage import without_redis
from plinth.testing.people import PASSWORD, People, Person
from tests.api.test_credentials_reset import statements
from tests.support.factors import enroll
from tests.support.mail_server import Inbox, none_waits, serving_mail, text_of, token_of

SUBJECT = "Your code for MyApp"
WRONG_CODE = "The code is wrong, expired, or was used before"
INVALID = "This sign-in has expired or was completed: sign in again"
LIVE = """SELECT s.aal, s.amr FROM sessions s JOIN users u ON u.id = s.user_id
WHERE s.revoked_at IS NULL AND s.session_epoch = u.session_epoch"""


@pytest.fixture
async def person(people: People) -> Person:
    return await people.add(is_verified=True)


@pytest.fixture
async def elsewhere(app: FastAPI, database: Database) -> AsyncIterator[AsyncClient]:
    """A client without the cookies of `client`, at another address: an unknown device."""
    transport = ASGITransport(app, raise_app_exceptions=False, client=("192.0.2.78", 1))
    async with AsyncClient(transport=transport, base_url="http://test/api/v1") as client:
        yield client


async def ask(client: AsyncClient, email: str) -> str:
    """Request a code and return the challenge."""
    response = await client.post("/auth/email-code", json={"email": email})
    assert response.status_code == 202, response.text
    return str(response.json()["challenge"])


async def ask_and_read(client: AsyncClient, inbox: Inbox, email: str) -> tuple[str, str]:
    """Request a code and return the challenge and the code in the mail."""
    challenge = await ask(client, email)
    return challenge, token_of(await inbox.next(email, SUBJECT))


async def verify(client: AsyncClient, challenge: str, code: str) -> Response:
    proof = {"challenge": challenge, "code": code}
    return await client.post("/auth/email-code/verify", json=proof)


@asynccontextmanager
async def sending(database: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Inbox]:
    """Run a worker, as the fixture `inbox` does, for a part of a test."""
    with serving_mail() as inbox:
        monkeypatch.setattr(settings, "SMTP_HOST", "127.0.0.1")
        monkeypatch.setattr(settings, "SMTP_PORT", inbox.port)
        monkeypatch.setattr(settings, "SMTP_TLS", "none")
        monkeypatch.setattr(settings, "MAIL_POLL_SECONDS", 0.05)
        async with mail_worker(database):
            yield inbox


def other(code: str) -> str:
    return f"{(int(code) + 1) % 10**8:08}"


async def test_code_of_the_mail_starts_a_session(
    client: AsyncClient, inbox: Inbox, person: Person, second: asyncpg.Connection
) -> None:
    challenge, code = await ask_and_read(client, inbox, person.email)
    assert len(code) == 8
    assert code.isdecimal()

    response = await verify(client, challenge, code)

    assert response.status_code == 200, response.text
    headers = {"Authorization": f"Bearer {response.json()['access_token']}"}
    assert (await client.get("/users/me", headers=headers)).json()["id"] == person.id
    assert [tuple(row) for row in await second.fetch(LIVE)] == [(1, "email")]
    assert "plinth_device" in client.cookies
    events = await second.fetch("SELECT event, outcome, subject_id FROM events ORDER BY id")
    assert [tuple(row) for row in events] == [
        ("email.code_requested", "success", person.id),
        ("session.started", "success", person.id),
    ]


async def test_mail_has_the_code_and_a_link_to_the_front_end(
    client: AsyncClient, inbox: Inbox, person: Person, second: asyncpg.Connection
) -> None:
    await ask(client, person.email)
    mail = await inbox.next(person.email, SUBJECT)
    code = token_of(mail)
    link = f"http://localhost:3000/email-code#token={code}"
    assert f"\n{code}\n" in text_of(mail)
    assert f"\n{link}\n" in text_of(mail)
    assert f"<b>{code}</b>" in text_of(mail, "html")
    assert f'href="{link}"' in text_of(mail, "html")
    await none_waits(second)
    assert await second.fetchval("SELECT count(*) FROM mails WHERE sealed IS NOT NULL") == 0


async def test_routes_are_off_by_default(
    client: AsyncClient,
    people: People,
    person: Person,
    second: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert type(settings).model_fields["EMAIL_CODES"].default is False
    challenge = await ask(client, person.email)
    monkeypatch.setattr(settings, "EMAIL_CODES", False)
    request = await client.post("/auth/email-code", json={"email": person.email})
    check_refusal(request, 404, "Not found")
    check_refusal(await verify(client, challenge, "12345678"), 404, "Not found")
    assert await second.fetchval("SELECT count(*) FROM mails") == 1


async def test_get_and_head_do_not_use_a_code_up(
    client: AsyncClient, inbox: Inbox, person: Person
) -> None:
    challenge, code = await ask_and_read(client, inbox, person.email)
    query = {"challenge": challenge, "code": code}
    for path in ("/auth/email-code", "/auth/email-code/verify"):
        for method in ("GET", "HEAD"):
            response = await client.request(method, path, params=query)
            assert response.status_code == 405
    assert (await verify(client, challenge, code)).status_code == 200


async def test_code_is_invalid_without_its_challenge(
    client: AsyncClient, inbox: Inbox, person: Person, elsewhere: AsyncClient
) -> None:
    """Someone who reads the mailbox did not request the code, and has another challenge."""
    challenge, code = await ask_and_read(client, inbox, person.email)
    stranger = await ask(elsewhere, "stranger@example.com")
    check_refusal(await verify(elsewhere, stranger, code), 400, WRONG_CODE)
    assert (await verify(client, challenge, code)).status_code == 200


async def test_code_of_another_account_is_refused(
    client: AsyncClient, inbox: Inbox, person: Person, people: People, second: asyncpg.Connection
) -> None:
    thief = await people.add(is_verified=True)
    challenge, _ = await ask_and_read(client, inbox, person.email)
    _, own = await ask_and_read(client, inbox, thief.email)
    check_refusal(await verify(client, challenge, own), 400, WRONG_CODE)
    assert await second.fetch(LIVE) == []


async def test_only_the_newest_code_is_valid(
    client: AsyncClient, inbox: Inbox, person: Person
) -> None:
    first, first_code = await ask_and_read(client, inbox, person.email)
    newest, newest_code = await ask_and_read(client, inbox, person.email)
    check_refusal(await verify(client, first, first_code), 400, WRONG_CODE)
    check_refusal(await verify(client, first, newest_code), 400, WRONG_CODE)
    assert (await verify(client, newest, newest_code)).status_code == 200


async def test_code_that_a_newer_one_overtook_is_not_sent(
    client: AsyncClient,
    database: Database,
    person: Person,
    second: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Workers send in any order."""
    older = await ask(client, person.email)
    await second.execute("UPDATE mails SET next_attempt_at = now() + interval '1 hour'")
    newest = await ask(client, person.email)
    async with sending(database, monkeypatch) as inbox:
        code = token_of(await inbox.next(person.email, SUBJECT))
        await second.execute("UPDATE mails SET next_attempt_at = now()")
        await none_waits(second)
        assert inbox.letters == []
    check_refusal(await verify(client, older, code), 400, WRONG_CODE)
    assert (await verify(client, newest, code)).status_code == 200


async def test_code_expires_after_ten_minutes(
    client: AsyncClient, inbox: Inbox, person: Person, second: asyncpg.Connection
) -> None:
    challenge, code = await ask_and_read(client, inbox, person.email)
    left = await second.fetchval("SELECT expires_at - now() FROM challenges")
    assert 9 * 60 < left.total_seconds() <= 10 * 60
    await second.execute("UPDATE challenges SET expires_at = now()")
    check_refusal(await verify(client, challenge, code), 400, INVALID)


async def test_twenty_concurrent_uses_start_one_session(
    client: AsyncClient, inbox: Inbox, person: Person, second: asyncpg.Connection
) -> None:
    challenge, code = await ask_and_read(client, inbox, person.email)
    responses = await asyncio.gather(*(verify(client, challenge, code) for _ in range(20)))
    statuses = Counter(response.status_code for response in responses)
    assert statuses == {200: 1, 400: 19}
    assert len(await second.fetch(LIVE)) == 1
    check_refusal(await verify(client, challenge, code), 400, INVALID)


async def test_five_wrong_codes_use_a_challenge_up(
    client: AsyncClient, inbox: Inbox, person: Person
) -> None:
    challenge, code = await ask_and_read(client, inbox, person.email)
    tries = [verify(client, challenge, other(code)) for _ in range(20)]
    codes = Counter(response.json()["code"] for response in await asyncio.gather(*tries))
    assert codes == {"wrong_code": 5, "invalid_challenge": 15}
    check_refusal(await verify(client, challenge, code), 400, INVALID)


async def test_right_code_is_accepted_after_four_wrong_ones(
    client: AsyncClient, inbox: Inbox, person: Person
) -> None:
    challenge, code = await ask_and_read(client, inbox, person.email)
    for _ in range(4):
        check_refusal(await verify(client, challenge, other(code)), 400, WRONG_CODE)
    assert (await verify(client, challenge, f" {code[:4]} {code[4:]} ")).status_code == 200


async def test_codes_and_their_attempts_work_without_redis(
    app: FastAPI, inbox: Inbox, person: Person
) -> None:
    async with without_redis(app) as client:
        challenge, code = await ask_and_read(client, inbox, person.email)
        for _ in range(5):
            check_refusal(await verify(client, challenge, other(code)), 400, WRONG_CODE)
        check_refusal(await verify(client, challenge, code), 400, INVALID)
        challenge, code = await ask_and_read(client, inbox, person.email)
        assert (await verify(client, challenge, code)).status_code == 200


async def test_second_factor_is_still_required(
    client: AsyncClient, inbox: Inbox, people: People, second: asyncpg.Connection
) -> None:
    person = await people.enter(is_verified=True)
    phone = await enroll(client, second, person)
    sessions = len(await second.fetch(LIVE))
    challenge, code = await ask_and_read(client, inbox, person.email)

    response = await verify(client, challenge, code)

    check_refusal(response, 403, "A second factor is required to sign in")
    assert len(await second.fetch(LIVE)) == sessions
    check_refusal(await verify(client, challenge, code), 400, INVALID)
    # The code by mail is no code of the app.
    proof = {"challenge": response.json()["challenge"], "method": "totp", "code": code}
    assert (await client.post("/auth/mfa", json=proof)).status_code == 400
    done = await client.post("/auth/mfa", json=proof | {"code": phone.code()})
    assert done.status_code == 200, done.text
    newest = await second.fetchrow(f"{LIVE} ORDER BY s.created_at DESC")
    assert tuple(newest) == (2, "email otp")


async def test_challenge_is_valid_for_this_route_only(
    client: AsyncClient, inbox: Inbox, people: People, second: asyncpg.Connection
) -> None:
    person = await people.enter(is_verified=True)
    phone = await enroll(client, second, person)
    challenge, code = await ask_and_read(client, inbox, person.email)
    proof = {"challenge": challenge, "method": "totp", "code": phone.code()}
    check_refusal(await client.post("/auth/mfa", json=proof), 400, INVALID)
    added = await client.post("/auth/mfa/totp", json={"challenge": challenge})
    check_refusal(added, 400, INVALID)
    pending = (await people.try_to_sign_in(person)).json()["challenge"]
    check_refusal(await verify(client, pending, code), 400, INVALID)


async def test_change_of_the_credentials_voids_a_code(
    client: AsyncClient, inbox: Inbox, people: People, second: asyncpg.Connection
) -> None:
    person = await people.enter(is_verified=True)
    challenge, code = await ask_and_read(client, inbox, person.email)
    changes = {"password": "Better-Horse-8", "current_password": PASSWORD}
    await client.patch("/users/me", json=changes, headers=person.headers)
    check_refusal(await verify(client, challenge, code), 400, WRONG_CODE)
    assert len(await second.fetch(LIVE)) == 1


async def test_inactive_account_behaves_like_an_unknown_address(
    client: AsyncClient, inbox: Inbox, people: People, person: Person, second: asyncpg.Connection
) -> None:
    inactive = await people.add(is_active=False, is_verified=True)
    challenge, code = await ask_and_read(client, inbox, person.email)
    await second.execute("UPDATE users SET is_active = false")
    check_refusal(await verify(client, challenge, code), 400, WRONG_CODE)
    await ask(client, inactive.email)
    await none_waits(second)
    assert inbox.letters == []
    assert await second.fetch(LIVE) == []


async def test_responses_and_statements_are_equal_for_unknown_addresses(
    client: AsyncClient,
    database: Database,
    people: People,
    person: Person,
    second: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inactive = await people.add(is_active=False)
    requests, challenges = [], []
    for email in (person.email, "nobody@example.com", inactive.email):
        with statements(database) as sent:
            requested = await client.post("/auth/email-code", json={"email": email})
        requests.append((describe(requested), sent))
        challenges.append(requested.json()["challenge"])
    async with sending(database, monkeypatch) as inbox:
        await none_waits(second)
    assert [recipients for _, recipients in inbox.envelopes] == [[person.email]]
    answers = []
    for challenge in challenges:
        with statements(database) as sent:
            for_this = [describe(await verify(client, challenge, "none")) for _ in range(6)]
        answers.append((for_this, sent))
    assert requests[0] == requests[1] == requests[2]
    assert answers[0] == answers[1] == answers[2]
    assert requests[0][1], "the statements are counted"
    assert answers[0][1], "the statements are counted"


async def test_voided_challenge_behaves_like_one_of_an_unknown_address(
    client: AsyncClient, inbox: Inbox, people: People, person: Person, second: asyncpg.Connection
) -> None:
    """Otherwise `invalid_challenge` would reveal that a newer code, or the account, exists."""
    for email in (person.email, "nobody@example.com"):
        challenge = await ask(client, email)
        await ask(client, email)
        await none_waits(second)
        answers = [(await verify(client, challenge, "none")).json()["code"] for _ in range(6)]
        assert answers == ["wrong_code"] * 5 + ["invalid_challenge"]


async def test_wrong_code_takes_as_long_as_a_failed_sign_in(
    client: AsyncClient, inbox: Inbox, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "LOGIN_FAILURE_MS", 300)
    clock = asyncio.get_running_loop().time
    for email in (person.email, "nobody@example.com"):
        challenge = await ask(client, email)
        began = clock()
        check_refusal(await verify(client, challenge, "none"), 400, WRONG_CODE)
        assert clock() - began >= 0.3


async def test_voided_code_fails_after_the_same_delay(
    client: AsyncClient, inbox: Inbox, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, code = await ask_and_read(client, inbox, person.email)
    await ask_and_read(client, inbox, person.email)
    monkeypatch.setattr(settings, "LOGIN_FAILURE_MS", 300)
    clock = asyncio.get_running_loop().time
    began = clock()
    check_refusal(await verify(client, first, code), 400, WRONG_CODE)
    assert clock() - began >= 0.3


async def test_unknown_address_is_not_registered(
    client: AsyncClient, inbox: Inbox, second: asyncpg.Connection
) -> None:
    await ask(client, "nobody@example.com")
    await none_waits(second)
    assert await second.fetchval("SELECT count(*) FROM users") == 0
    assert inbox.letters == []
    event = await second.fetchrow("SELECT event, outcome, subject_id FROM events")
    assert tuple(event) == ("email.code_requested", "failure", None)


async def test_requests_of_known_devices_are_limited_separately(
    client: AsyncClient,
    elsewhere: AsyncClient,
    inbox: Inbox,
    people: People,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    person = await people.enter(is_verified=True)
    monkeypatch.setattr(settings, "LIMITS_ENABLED", True)
    for email in (f"nobody-{person.email}", person.email):
        statuses = [
            (await elsewhere.post("/auth/email-code", json={"email": email})).status_code
            for _ in range(4)
        ]
        assert statuses == [202, 202, 202, 429]
    challenge = await ask(client, person.email)
    # A code that a newer one overtook is not sent, so up to three others precede the newest.
    statuses = []
    while 200 not in statuses and len(statuses) < 4:
        code = token_of(await inbox.next(person.email, SUBJECT))
        statuses.append((await verify(client, challenge, code)).status_code)
    assert statuses[-1] == 200


async def test_wrong_codes_do_not_count_for_a_known_device(
    client: AsyncClient,
    elsewhere: AsyncClient,
    inbox: Inbox,
    people: People,
    monkeypatch: pytest.MonkeyPatch,
    second: asyncpg.Connection,
) -> None:
    """A new challenge gives no new attempts, and a stranger's do not use up the owner's."""
    person = await people.enter(is_verified=True)
    monkeypatch.setattr(settings, "LIMITS_ENABLED", True)
    statuses = []
    for _ in range(2):
        challenge = await ask(elsewhere, person.email)
        statuses += [(await verify(elsewhere, challenge, "none")).status_code for _ in range(3)]
    assert statuses == [400] * 5 + [429]
    limited = "SELECT count(*) FROM events WHERE event = 'session.limited'"
    assert await second.fetchval(limited) == 1
    for _ in range(2):
        await inbox.next(person.email, SUBJECT)
    challenge, code = await ask_and_read(client, inbox, person.email)
    assert (await verify(client, challenge, code)).status_code == 200


async def test_code_takes_over_an_unverified_account(
    elsewhere: AsyncClient, inbox: Inbox, people: People, second: asyncpg.Connection
) -> None:
    stranger = await people.enter()  # who registered the address of another person
    challenge, code = await ask_and_read(elsewhere, inbox, stranger.email)
    response = await verify(elsewhere, challenge, code)
    assert response.status_code == 200, response.text
    row = await second.fetchrow("SELECT is_verified, hashed_password FROM users")
    assert tuple(row) == (True, NO_PASSWORD)
    assert (await people.try_to_sign_in(stranger)).status_code == 401
    assert (await elsewhere.get("/users/me", headers=stranger.headers)).status_code == 401
    assert len(await second.fetch(LIVE)) == 1
    await inbox.next(stranger.email, "You have confirmed your e-mail")


async def test_code_removes_the_factor_of_an_unverified_account(
    elsewhere: AsyncClient, inbox: Inbox, people: People, second: asyncpg.Connection
) -> None:
    stranger = await people.enter()
    await enroll(elsewhere, second, stranger)
    challenge, code = await ask_and_read(elsewhere, inbox, stranger.email)
    assert (await verify(elsewhere, challenge, code)).status_code == 200
    assert await second.fetchval("SELECT count(*) FROM factors") == 0


async def test_known_device_keeps_the_credentials_of_an_unverified_account(
    client: AsyncClient, inbox: Inbox, people: People, second: asyncpg.Connection
) -> None:
    person = await people.enter()
    challenge, code = await ask_and_read(client, inbox, person.email)
    assert (await verify(client, challenge, code)).status_code == 200
    assert await second.fetchval("SELECT is_verified FROM users")
    assert (await people.try_to_sign_in(person)).status_code == 200


async def test_account_without_a_password_steps_up_by_another_code(
    elsewhere: AsyncClient, inbox: Inbox, people: People, second: asyncpg.Connection
) -> None:
    stranger = await people.add()
    tokens = (await verify(elsewhere, *await ask_and_read(elsewhere, inbox, stranger.email))).json()
    await second.execute("UPDATE sessions SET authenticated_at = now() - interval '1 hour'")
    path, headers = "/users/me/factors/totp", {"Authorization": f"Bearer {tokens['access_token']}"}
    stale = await elsewhere.post(path, json={}, headers=headers)
    assert (stale.status_code, stale.json()["methods"]) == (
        403,
        ["email_code", "password_reset"],
    )
    proof = {"method": "password", "password": "!"}
    refused = await elsewhere.post("/auth/step-up", json=proof, headers=headers)
    assert refused.json()["code"] == "method_not_accepted"
    tokens = (await verify(elsewhere, *await ask_and_read(elsewhere, inbox, stranger.email))).json()
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert (await elsewhere.post(path, json={}, headers=headers)).status_code == 201


async def test_mail_goes_to_the_stored_address_only(
    client: AsyncClient, inbox: Inbox, people: People, second: asyncpg.Connection
) -> None:
    person = await people.add(email="kim.isik@example.com", is_verified=True)
    for email in ("\u212aim.isik@example.com", "kim.\u0131s\u0131k@example.com"):
        await ask(client, email)
    await none_waits(second)
    recipients = {recipient for _, them in inbox.envelopes for recipient in them}
    assert recipients <= {person.email}


async def test_code_and_challenge_are_not_readable_in_the_database(
    client: AsyncClient, inbox: Inbox, person: Person, second: asyncpg.Connection
) -> None:
    challenge, code = await ask_and_read(client, inbox, person.email)
    await verify(client, challenge, other(code))
    await none_waits(second)
    for table in ("challenges", "mails", "events"):
        for row in await second.fetch(f"SELECT t::text AS row FROM {table} AS t"):
            for secret in (challenge, code, code.encode().hex()):
                assert secret not in row["row"], table


@pytest.mark.parametrize(
    "proof",
    [
        {"challenge": "", "code": "12345678"},
        {"challenge": "A" * 64, "code": "12345678"},
        {"challenge": "\x00", "code": "12345678"},
        {"challenge": "A" * 64, "code": "\uff11" * 8},
    ],
    ids=json.dumps,
)
async def test_malformed_proofs_are_refused(client: AsyncClient, proof: dict[str, str]) -> None:
    response = await client.post("/auth/email-code/verify", json=proof)
    assert (response.status_code, response.json()["code"]) == (400, "invalid_challenge")


def describe(response: Response) -> tuple[int, dict[str, str], Any]:
    """Return what a client sees, with the secrets replaced by their lengths."""
    headers = {name: value for name, value in response.headers.items() if name != "x-request-id"}
    body = response.json()
    body.pop("request_id", None)
    if "challenge" in body:
        body |= {"challenge": len(body["challenge"]), "expires_at": "soon"}
    return response.status_code, headers, body
