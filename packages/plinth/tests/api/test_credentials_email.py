"""An address belongs to a user once they have used the link in a mail to it."""

import asyncio
from collections import Counter
from typing import Any

import asyncpg
import pytest
from httpx2 import AsyncClient, Response

from plinth.config import settings
from plinth.testing.answers import check_refusal
from plinth.testing.people import PASSWORD, People, Person
from tests.support.mail_server import Inbox, none_waits, text_of, token_of

INVALID = "Invalid or expired token"
TAKEN = "Email already registered"
NEW = "new@example.com"


async def verify(client: AsyncClient, token: str) -> Response:
    return await client.post("/auth/email/verify", json={"token": token})


async def resend(client: AsyncClient, person: Person) -> None:
    answer = await client.post("/auth/email/resend", headers=person.headers)
    assert answer.status_code == 202, answer.text


async def register(client: AsyncClient, **account: Any) -> Response:
    ada = {"email": "ada@example.com", "username": "ada", "password": PASSWORD}
    return await client.post("/auth/register", json=ada | account)


async def change(client: AsyncClient, person: Person, **changes: str) -> Response:
    return await client.patch(
        "/users/me", headers=person.headers, json={"current_password": PASSWORD} | changes
    )


async def change_email(client: AsyncClient, inbox: Inbox, person: Person, email: str = NEW) -> str:
    """Request the change and return the token from the mail to the new address."""
    answer = await change(client, person, email=email)
    assert answer.status_code == 200, answer.text
    return token_of(await inbox.next(email, "Confirm your new e-mail"))


async def is_accepted(client: AsyncClient, person: Person) -> bool:
    return (await client.get("/users/me", headers=person.headers)).status_code == 200


async def test_verification_link_is_valid_only_for_its_address(
    client: AsyncClient, people: People, inbox: Inbox, second: asyncpg.Connection
) -> None:
    await register(client)
    ada = await people.sign_in(Person(0, "ada@example.com", "ada"))
    body = {"token": token_of(await inbox.next("ada@example.com", "Confirm your e-mail"))}
    await second.execute("UPDATE users SET email = 'other@example.com'")

    answer = await client.post("/auth/email/verify", json=body, headers=ada.headers)
    check_refusal(answer, 400, INVALID)
    assert await second.fetchval("SELECT is_verified FROM users") is False


async def test_registration_sends_a_link_that_verifies_the_address(
    client: AsyncClient, people: People, inbox: Inbox, second: asyncpg.Connection
) -> None:
    assert (await register(client)).json()["is_verified"] is False
    ada = await people.sign_in(Person(0, "ada@example.com", "ada"))
    letter = await inbox.next("ada@example.com", "Confirm your e-mail")
    link = f"http://localhost:3000/verify-email#token={token_of(letter)}"
    assert f"\n{link}\n" in text_of(letter)

    assert (await verify(client, token_of(letter))).status_code == 204

    me = (await client.get("/users/me", headers=ada.headers)).json()
    assert (me["email"], me["is_verified"]) == ("ada@example.com", True)
    row = await second.fetchrow("SELECT * FROM events WHERE event = 'email.verified'")
    assert row["subject_id"] == me["id"]
    check_refusal(await verify(client, token_of(letter)), 400, INVALID)


async def test_rolled_back_registration_sends_no_mail(
    client: AsyncClient, people: People, inbox: Inbox, second: asyncpg.Connection
) -> None:
    await people.add(username="ada")
    assert (await register(client)).status_code == 400
    assert await second.fetchval("SELECT count(*) FROM mails") == 0
    assert inbox.tries == 0


async def test_token_expires_after_a_day_or_a_password_change(
    client: AsyncClient, people: People, inbox: Inbox, second: asyncpg.Connection
) -> None:
    await register(client)
    ada = await people.sign_in(Person(0, "ada@example.com", "ada"))
    token = token_of(await inbox.next("ada@example.com"))
    left = await second.fetchval("SELECT expires_at - now() FROM one_time_tokens")
    assert 23 * 3600 < left.total_seconds() <= 24 * 3600
    assert (await change(client, ada, password="Better-Horse-8")).status_code == 200
    check_refusal(await verify(client, token), 400, INVALID)
    await resend(client, ada)
    token = token_of(await inbox.next("ada@example.com", "Confirm"))
    await second.execute("UPDATE one_time_tokens SET expires_at = now()")
    check_refusal(await verify(client, token), 400, INVALID)


@pytest.mark.parametrize("used", [0, 1])
async def test_resend_keeps_both_links_valid_until_one_is_used(
    client: AsyncClient, people: People, inbox: Inbox, used: int
) -> None:
    person = await people.enter()
    tokens = []
    for _ in range(2):
        await resend(client, person)
        tokens.append(token_of(await inbox.next(person.email)))
    assert (await verify(client, tokens[used])).status_code == 204
    check_refusal(await verify(client, tokens[1 - used]), 400, INVALID)


async def test_second_email_change_voids_the_first(
    client: AsyncClient, people: People, inbox: Inbox, second: asyncpg.Connection
) -> None:
    person = await people.enter()
    first = await change_email(client, inbox, person, "first@example.com")
    await resend(client, person)
    again = token_of(await inbox.next("first@example.com"))
    latest = await change_email(client, inbox, person, "second@example.com")
    for token in (first, again):
        check_refusal(await verify(client, token), 400, INVALID)
    assert (await verify(client, latest)).status_code == 204
    assert await second.fetchval("SELECT email FROM users") == "second@example.com"


async def test_resend_sends_nothing_to_a_verified_user(
    client: AsyncClient, people: People, second: asyncpg.Connection
) -> None:
    await resend(client, await people.enter(is_verified=True))
    assert await second.fetchval("SELECT count(*) FROM mails") == 0


async def test_resend_requires_authentication_and_is_rate_limited(
    client: AsyncClient, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await client.post("/auth/email/resend")).status_code == 401
    monkeypatch.setattr(settings, "LIMITS_ENABLED", True)
    monkeypatch.setattr(settings, "LIMIT_VERIFY_ACCOUNT", "2/1m")
    person = await people.enter()
    await resend(client, person)
    await resend(client, person)
    answer = await client.post("/auth/email/resend", headers=person.headers)
    assert answer.status_code == 429
    assert (await change(client, person, email=NEW)).status_code == 429


async def test_concurrent_verifications_succeed_once(
    client: AsyncClient, people: People, inbox: Inbox
) -> None:
    person = await people.enter()
    token = await change_email(client, inbox, person)
    answers = await asyncio.gather(*(verify(client, token) for _ in range(20)))
    assert Counter(answer.status_code for answer in answers) == {204: 1, 400: 19}


async def test_verification_token_does_not_reset_a_password(
    client: AsyncClient, people: People, inbox: Inbox
) -> None:
    person = await people.enter()
    await resend(client, person)
    token = token_of(await inbox.next(person.email))
    body = {"token": token, "password": "Better-Horse-8"}
    check_refusal(await client.post("/auth/password/reset", json=body), 400, INVALID)
    assert (await verify(client, token)).status_code == 204


async def test_new_email_takes_effect_when_verified(
    client: AsyncClient, people: People, inbox: Inbox, second: asyncpg.Connection
) -> None:
    here = await people.enter(is_verified=True)
    there = await people.sign_in(here)

    token = await change_email(client, inbox, here)

    warned = await inbox.next(here.email, "A change of e-mail was requested")
    assert NEW in text_of(warned)
    assert "#token=" not in text_of(warned)
    before = (await client.get("/users/me", headers=there.headers)).json()
    assert (before["email"], before["is_verified"]) == (here.email, True)

    assert (await verify(client, token)).status_code == 204

    told = await inbox.next(here.email, "was changed")
    assert NEW in text_of(told)
    after = (await client.get("/users/me", headers=here.headers)).json()
    assert (after["email"], after["is_verified"]) == (NEW, True)
    assert not await is_accepted(client, there), "the other sessions end"
    for email, status in ((here.email, 401), (NEW, 200)):
        login = {"email": email, "password": PASSWORD}
        assert (await client.post("/auth/login", json=login)).status_code == status
    events = await second.fetch("SELECT event FROM events WHERE event LIKE 'email%' ORDER BY id")
    assert [row["event"] for row in events] == ["email.change_requested", "email.changed"]


async def test_email_change_voids_reset_links_of_the_old_address(
    client: AsyncClient, people: People, inbox: Inbox
) -> None:
    person = await people.enter()
    await client.post("/auth/password/forgot", json={"email": person.email})
    old = token_of(await inbox.next(person.email, "Set a new password"))
    await verify(client, await change_email(client, inbox, person))
    body = {"token": old, "password": "Better-Horse-8"}
    check_refusal(await client.post("/auth/password/reset", json=body), 400, INVALID)
    back = {"token": await change_email(client, inbox, person, person.email)}
    done = await client.post("/auth/email/verify", json=back, headers=person.headers)
    assert done.status_code == 204, "the account has the old address again"
    check_refusal(await client.post("/auth/password/reset", json=body), 400, INVALID)


async def test_password_change_voids_a_pending_email_change(
    client: AsyncClient, people: People, inbox: Inbox, second: asyncpg.Connection
) -> None:
    person = await people.enter()
    token = await change_email(client, inbox, person)
    assert (await change(client, person, password="Better-Horse-8")).status_code == 200
    check_refusal(await verify(client, token), 400, INVALID)
    assert await second.fetchval("SELECT email FROM users") == person.email


async def test_changing_password_and_email_together_still_sends_a_link(
    client: AsyncClient, people: People, inbox: Inbox
) -> None:
    person = await people.enter(is_verified=True)
    await change(client, person, password="Better-Horse-8", email=NEW)
    await inbox.next(person.email, "password for MyApp was changed")
    token = token_of(await inbox.next(NEW))
    assert (await verify(client, token)).status_code == 403, "its device is void"
    client.headers |= person.headers
    assert (await verify(client, token)).status_code == 204


async def test_changing_to_the_current_email_cancels_a_pending_change(
    client: AsyncClient, people: People, inbox: Inbox, second: asyncpg.Connection
) -> None:
    person = await people.enter(is_verified=True)
    token = await change_email(client, inbox, person)
    assert (await change(client, person, email=person.email)).status_code == 200
    check_refusal(await verify(client, token), 400, INVALID)
    await none_waits(second)
    assert inbox.tries == 2


async def test_user_can_change_the_case_of_their_email(
    client: AsyncClient, people: People, inbox: Inbox
) -> None:
    person = await people.enter(email="ada@example.com")
    token = await change_email(client, inbox, person, "Ada@example.com")
    assert (await verify(client, token)).status_code == 204
    me = (await client.get("/users/me", headers=person.headers)).json()
    assert me["email"] == "Ada@example.com"


async def test_resend_repeats_a_pending_email_change(
    client: AsyncClient, people: People, inbox: Inbox
) -> None:
    person = await people.enter()
    there = await people.sign_in(person)
    old = await change_email(client, inbox, person)
    await resend(client, there)
    new = token_of(await inbox.next(NEW))
    assert (await verify(client, new)).status_code == 204
    check_refusal(await verify(client, old), 400, INVALID)
    assert await is_accepted(client, person), "the session that requested the change stays live"
    assert not await is_accepted(client, there)


async def test_change_to_a_taken_email_is_refused_at_once(
    client: AsyncClient, people: People, second: asyncpg.Connection
) -> None:
    await people.add(email="taken@example.com")
    person = await people.enter()
    answer = await change(client, person, email="TAKEN@example.com", username="changed")
    assert answer.json()["code"] == "email_taken"
    check_refusal(answer, 400, TAKEN)
    assert await second.fetchval("SELECT count(*) FROM mails") == 0
    assert await second.fetchval("SELECT count(*) FROM users WHERE username = 'changed'") == 0


async def test_concurrent_changes_to_one_email_succeed_once(
    client: AsyncClient, people: People, inbox: Inbox, second: asyncpg.Connection
) -> None:
    both = [await people.enter(), await people.enter()]
    tokens = [await change_email(client, inbox, person) for person in both]

    answers = await asyncio.gather(*(verify(client, token) for token in tokens))

    assert sorted(answer.status_code for answer in answers) == [204, 400]
    loser = next(n for n, answer in enumerate(answers) if answer.status_code == 400)
    check_refusal(answers[loser], 400, TAKEN)
    mine = await second.fetchval("SELECT email FROM users WHERE id = $1", both[loser].id)
    assert mine == both[loser].email
    assert await is_accepted(client, both[loser])
    check_refusal(await verify(client, tokens[loser]), 400, TAKEN)


async def test_user_input_is_escaped_in_html_mail(
    client: AsyncClient, people: People, inbox: Inbox
) -> None:
    person = await people.enter(is_verified=True)
    email = "o'neil&co@example.com"
    await change_email(client, inbox, person, email)
    warned = await inbox.next(person.email)
    assert email in text_of(warned)
    assert "<b>o&#39;neil&amp;co@example.com</b>" in text_of(warned, "html")


async def test_full_name_with_a_link_is_not_mailed(client: AsyncClient, inbox: Inbox) -> None:
    """A stranger can register with anyone's address, and choose the full name."""
    await register(client, full_name="Win at http://evil.example")
    letter = await inbox.next("ada@example.com")
    assert "evil" not in letter.as_string()
