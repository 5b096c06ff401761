"""Reset of a forgotten password: request, mail, new password."""

import asyncio
from base64 import urlsafe_b64decode
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from itertools import product
from typing import Any

import asyncpg
import pytest
from httpx2 import AsyncClient, Response
from sqlalchemy import event

from plinth.accounts.queries import one_time_token
from plinth.config import settings
from plinth.db.database import Database
from plinth.rates import parse_rate
from plinth.testing.answers import check_invalid, check_refusal
from plinth.testing.people import PASSWORD, People, Person
from tests.support.mail_server import Inbox, none_waits, text_of, token_of

NEW = "Better-Horse-8"
INVALID = "Invalid or expired token"


async def forget(client: AsyncClient, email: str) -> Response:
    answer = await client.post("/auth/password/forgot", json={"email": email})
    assert answer.status_code == 202, answer.text
    return answer


async def reset(client: AsyncClient, token: str, password: str = NEW) -> Response:
    return await client.post("/auth/password/reset", json={"token": token, "password": password})


async def token_for(client: AsyncClient, inbox: Inbox, person: Person) -> str:
    await forget(client, person.email)
    return token_of(await inbox.next(person.email, "Set a new password"))


async def log_in(client: AsyncClient, email: str, password: str) -> int:
    answer = await client.post("/auth/login", json={"email": email, "password": password})
    return answer.status_code


async def test_reset_sets_the_password_and_permits_sign_in(
    client: AsyncClient, people: People, inbox: Inbox, second: asyncpg.Connection
) -> None:
    person = await people.enter()

    token = await token_for(client, inbox, person)
    assert (await reset(client, token)).status_code == 204

    assert await log_in(client, person.email, PASSWORD) == 401
    assert await log_in(client, person.email, NEW) == 200
    old = await client.get("/users/me", headers=person.headers)
    assert old.status_code == 401
    refresh = {"refresh_token": person.tokens["refresh_token"]}
    assert (await client.post("/auth/refresh", json=refresh)).status_code == 401
    told = await inbox.next(person.email, "password for MyApp was changed")
    assert "http://localhost:3000/forgot-password\n" in text_of(told)
    seen = await second.fetch("SELECT event, outcome FROM events ORDER BY id")
    assert [tuple(row) for row in seen if row["event"] != "session.started"] == [
        ("password.reset_requested", "success"),
        ("email.verified", "success"),
        ("password.reset", "success"),
    ]
    assert await second.fetchval("SELECT is_verified FROM users"), "who reads the mail is proven"


async def test_link_opens_the_front_end_with_the_token_in_the_fragment(
    client: AsyncClient, people: People, inbox: Inbox
) -> None:
    person = await people.add()
    await forget(client, person.email)
    letter = await inbox.next(person.email)
    link = f"http://localhost:3000/reset-password#token={token_of(letter)}"
    assert f"\n{link}\n" in text_of(letter)
    assert f'href="{link}"' in text_of(letter, "html")
    assert letter["From"] == settings.MAIL_FROM
    assert inbox.envelopes == [(settings.MAIL_FROM, [person.email])]


async def test_reset_request_event_has_client_and_request_id(
    client: AsyncClient, people: People, inbox: Inbox, second: asyncpg.Connection
) -> None:
    person = await people.add()
    headers = {"User-Agent": "Firefox", "X-Request-ID": "asked-by-me"}
    await client.post("/auth/password/forgot", json={"email": person.email}, headers=headers)
    await inbox.next(person.email)
    row = await second.fetchrow("SELECT * FROM events")
    assert (row["event"], row["subject_id"]) == ("password.reset_requested", person.id)
    assert (str(row["ip"]), row["user_agent"]) == ("127.0.0.1", "Firefox")
    assert row["request_id"] == "asked-by-me"


async def test_concurrent_resets_succeed_once(
    client: AsyncClient, people: People, inbox: Inbox, second: asyncpg.Connection
) -> None:
    person = await people.add()
    token = await token_for(client, inbox, person)
    passwords = [f"{NEW}{number}" for number in range(20)]

    answers = await asyncio.gather(*(reset(client, token, password) for password in passwords))

    assert Counter(answer.status_code for answer in answers) == {204: 1, 400: 19}
    winner = next(n for n, answer in enumerate(answers) if answer.status_code == 204)
    assert await log_in(client, person.email, passwords[winner]) == 200
    assert await second.fetchval("SELECT count(*) FROM events WHERE event = 'password.reset'") == 1


async def test_token_expires_after_password_reset_minutes(
    client: AsyncClient, people: People, inbox: Inbox, second: asyncpg.Connection
) -> None:
    token = await token_for(client, inbox, await people.add())
    left = await second.fetchval("SELECT expires_at - now() FROM one_time_tokens")
    assert 29 * 60 < left.total_seconds() <= 30 * 60
    await second.execute("UPDATE one_time_tokens SET expires_at = now()")
    check_refusal(await reset(client, token), 400, INVALID)


@pytest.mark.parametrize("used", range(3))
async def test_several_links_are_valid_until_one_is_used(
    client: AsyncClient, people: People, inbox: Inbox, second: asyncpg.Connection, used: int
) -> None:
    person = await people.add()
    tokens = [await token_for(client, inbox, person) for _ in range(3)]
    assert (await reset(client, tokens[used])).status_code == 204
    for token in tokens:
        check_refusal(await reset(client, token, "Third-Horse-9"), 400, INVALID)
    assert await log_in(client, person.email, NEW) == 200
    left = "SELECT (SELECT count(*) FROM one_time_tokens), count(*) FROM earlier_one_time_tokens"
    assert tuple(await second.fetchrow(left)) == (0, 0)


async def test_sixth_link_voids_the_oldest(
    client: AsyncClient, people: People, inbox: Inbox
) -> None:
    person = await people.add()
    tokens = [await token_for(client, inbox, person) for _ in range(7)]
    for token in tokens[:2]:
        check_refusal(await reset(client, token), 400, INVALID)
    assert (await reset(client, tokens[2])).status_code == 204


async def test_concurrent_requests_all_get_valid_links(
    client: AsyncClient, people: People, inbox: Inbox, second: asyncpg.Connection
) -> None:
    person = await people.add()
    await asyncio.gather(*(forget(client, person.email) for _ in range(5)))
    await none_waits(second)
    assert len(inbox.letters) == 5
    hashes = {
        *await second.fetchval("SELECT array_agg(token_hash) FROM one_time_tokens"),
        *await second.fetchval("SELECT array_agg(token_hash) FROM earlier_one_time_tokens"),
    }
    sent = {token_of(letter) for letter in inbox.letters}
    assert hashes == {sha256(urlsafe_b64decode(f"{token}=")).digest() for token in sent}


async def test_each_link_expires_separately(
    client: AsyncClient, people: People, inbox: Inbox, second: asyncpg.Connection
) -> None:
    person = await people.add()
    old = await token_for(client, inbox, person)
    new = await token_for(client, inbox, person)
    await second.execute("UPDATE earlier_one_time_tokens SET expires_at = now()")
    check_refusal(await reset(client, old), 400, INVALID)
    assert (await reset(client, new)).status_code == 204


async def test_older_links_are_void_when_the_previous_release_voids_the_newest(
    client: AsyncClient, people: People, inbox: Inbox, second: asyncpg.Connection
) -> None:
    """During a rolling deployment: the previous release accepts only the newest link."""
    old = await token_for(client, inbox, person := await people.add())
    await token_for(client, inbox, person)
    await second.execute("DELETE FROM one_time_tokens WHERE user_id = $1", person.id)
    check_refusal(await reset(client, old), 400, INVALID)


async def test_password_change_voids_all_links(
    client: AsyncClient, people: People, inbox: Inbox, second: asyncpg.Connection
) -> None:
    person = await people.enter(is_verified=True)
    tokens = [await token_for(client, inbox, person) for _ in range(2)]
    changes = {"password": NEW, "current_password": PASSWORD}
    answer = await client.patch("/users/me", headers=person.headers, json=changes)
    assert answer.status_code == 200, answer.text
    await inbox.next(person.email, "was changed")
    for token in tokens:
        check_refusal(await reset(client, token, "Third-Horse-9"), 400, INVALID)
    assert await second.fetchval("SELECT count(*) FROM one_time_tokens") == 0


async def test_token_of_a_deactivated_user_is_refused(
    client: AsyncClient, people: People, inbox: Inbox, second: asyncpg.Connection
) -> None:
    token = await token_for(client, inbox, await people.add())
    await second.execute("UPDATE users SET is_active = false")
    check_refusal(await reset(client, token), 400, INVALID)


async def test_token_for_a_former_email_is_refused(
    client: AsyncClient, people: People, inbox: Inbox, second: asyncpg.Connection
) -> None:
    token = await token_for(client, inbox, await people.add())
    await second.execute("UPDATE users SET email = 'other@example.com'")
    check_refusal(await reset(client, token), 400, INVALID)


async def test_token_is_refused_and_not_consumed_by_other_routes(
    client: AsyncClient, people: People, inbox: Inbox
) -> None:
    person = await people.enter()
    token = await token_for(client, inbox, person)
    check_refusal(await client.post("/auth/email/verify", json={"token": token}), 400, INVALID)
    bearer = {"Authorization": f"Bearer {token}"}
    assert (await client.get("/users/me", headers=bearer)).status_code == 401
    refreshed = await client.post("/auth/refresh", json={"refresh_token": token})
    assert refreshed.status_code == 401
    check_refusal(await reset(client, person.tokens["access_token"]), 400, INVALID)
    assert (await reset(client, token)).status_code == 204


async def test_weak_password_does_not_consume_the_token(
    client: AsyncClient, people: People, inbox: Inbox
) -> None:
    token = await token_for(client, inbox, await people.add())
    check_invalid(await reset(client, token, "weak"), "body.password")
    assert (await reset(client, token)).status_code == 204


async def test_malformed_token_is_refused(
    client: AsyncClient, people: People, inbox: Inbox
) -> None:
    good = await token_for(client, inbox, await people.add())
    other_spelling = chr(ord(good[-1]) + 1)  # the last character has two unused bits
    garbage = [
        "",
        "=",
        "x",
        "A" * 42,
        "A" * 43,
        "A" * 44,
        "A" * 2048,
        "\0",
        "ä" * 43,
        "'; DROP TABLE users; --",
        good[:-1],
        good[:-1] + other_spelling,
        good + "=",
        good + "\n",
        f" {good}",
        good.swapcase(),
    ]
    for path in ("/auth/password/reset", "/auth/email/verify"):
        for token in garbage:
            answer = await client.post(path, json={"token": token, "password": NEW})
            assert answer.json()["code"] == "invalid_token", f"{path} {token!r}: {answer.text}"
            check_refusal(answer, 400, INVALID)
        surrogate = await client.post(
            path,
            content=b'{"token": "\\ud800", "password": "Better-Horse-8"}',
            headers={"Content-Type": "application/json"},
        )
        assert surrogate.status_code in (400, 422), surrogate.text
    assert (await reset(client, good)).status_code == 204


async def test_get_request_changes_nothing(
    client: AsyncClient, people: People, inbox: Inbox
) -> None:
    token = await token_for(client, inbox, await people.add())
    for path in ("/auth/password/reset", "/auth/email/verify"):
        answer = await client.get(path, params={"token": token, "password": NEW})
        assert answer.status_code == 405
    assert (await reset(client, token)).status_code == 204


@contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    event.listen(database.engine.sync_engine, "before_cursor_execute", note)
    yield sent
    event.remove(database.engine.sync_engine, "before_cursor_execute", note)


async def test_response_and_queries_are_equal_for_any_email(
    client: AsyncClient, people: People, database: Database
) -> None:
    known, inactive = await people.add(), await people.add(is_active=False)
    seen = []
    for email in (known.email, inactive.email, "nobody@example.com", "no address", ""):
        with statements(database) as sent:
            answer = await forget(client, email)
        headers = {name: value for name, value in answer.headers.items() if name != "x-request-id"}
        seen.append((answer.json(), headers, sent))
    assert all(one == seen[0] for one in seen)
    assert seen[0][2], "the statements are counted"


async def test_unknown_or_inactive_user_gets_no_mail(
    client: AsyncClient, people: People, inbox: Inbox, second: asyncpg.Connection
) -> None:
    inactive = await people.add(is_active=False)
    for email in ("nobody@example.com", inactive.email):
        await forget(client, email)
    await none_waits(second)
    assert inbox.tries == 0
    assert await second.fetchval("SELECT count(*) FROM mails") == 0
    events = await second.fetch("SELECT event, outcome, subject_id FROM events ORDER BY id")
    told = {(row["outcome"], row["subject_id"]) for row in events}
    assert told == {("failure", None), ("failure", inactive.id)}


async def test_mail_is_sent_only_to_the_stored_address(
    client: AsyncClient, people: People, inbox: Inbox, second: asyncpg.Connection
) -> None:
    person = await people.add(email="kim.isik@example.com")
    look_alikes = ["\u212aim.isik@example.com", "kim.\u0131s\u0131k@example.com"]
    for email in ("KIM.ISIK@Example.COM", *look_alikes):
        await forget(client, email)
    await none_waits(second)
    assert inbox.letters
    assert {recipient for _, all_of in inbox.envelopes for recipient in all_of} == {person.email}


async def test_token_is_not_stored_in_plain_text(
    client: AsyncClient, people: People, inbox: Inbox, second: asyncpg.Connection
) -> None:
    person = await people.add()
    tokens = [await token_for(client, inbox, person) for _ in range(2)]
    await none_waits(second)
    for table in ("one_time_tokens", "earlier_one_time_tokens", "mails", "events"):
        rows = await second.fetch(f"SELECT t::text AS row FROM {table} AS t")
        assert rows
        for row, token in product(rows, tokens):
            assert token not in row["row"]
            assert token.encode().hex() not in row["row"]
            assert urlsafe_b64decode(f"{token}=").hex() not in row["row"]
    assert await second.fetchval("SELECT count(*) FROM mails WHERE sealed IS NOT NULL") == 0


async def test_rate_limit_does_not_depend_on_the_account_existing(
    client: AsyncClient, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "LIMITS_ENABLED", True)
    person = await people.add()
    for email in (person.email, f"nobody-{person.email}"):
        answers = [
            await client.post("/auth/password/forgot", json={"email": email}) for _ in range(4)
        ]
        assert [answer.status_code for answer in answers] == [202] * 3 + [429]


async def test_rate_limited_owner_still_has_a_valid_link(
    client: AsyncClient, people: People, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The window of the limit is not longer than the lifetime of a link, so one link is valid."""
    rate = parse_rate(settings.LIMIT_FORGOT_ACCOUNT)
    assert rate.seconds <= settings.PASSWORD_RESET_MINUTES * 60
    assert rate.limit <= one_time_token.MAX_PENDING
    monkeypatch.setattr(settings, "LIMITS_ENABLED", True)
    person = await people.add()
    own = await token_for(client, inbox, person)
    for _ in range(5):
        await client.post("/auth/password/forgot", json={"email": person.email})
    refused = await client.post("/auth/password/forgot", json={"email": person.email})
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) <= settings.PASSWORD_RESET_MINUTES * 60
    assert (await reset(client, own)).status_code == 204
