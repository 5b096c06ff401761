"""Each route that sets a password refuses an easily guessed one as an invalid field."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from httpx2 import AsyncClient, Response

from plinth.config import settings
from plinth.db.database import Database
from plinth.security import breaches
from plinth.testing.answers import check_invalid
from plinth.testing.people import PASSWORD, People, Person
from tests.support.breached import breach_service, knowing, silent
from tests.support.logs import logging_to_memory
from tests.support.mail_server import Inbox, token_of
from tests.support.waiting import until

ADA = {"email": "ada@engines.example", "username": "countess", "full_name": "Ada Lovelace"}
LOST = "Correct-Horse-Battery-7"


async def register(client: AsyncClient, password: str) -> Response:
    return await client.post("/auth/register", json=ADA | {"password": password})


async def change(client: AsyncClient, person: Person, **changes: Any) -> Response:
    sent = {"current_password": person.password} | changes
    return await client.patch("/users/me", json=sent, headers=person.headers)


def kinds(answer: Response) -> list[str]:
    check_invalid(answer, "body.password")
    return [field["type"] for field in answer.json()["errors"]]


@pytest.mark.parametrize(
    ("password", "kind"),
    [
        ("Password1", "common"),
        ("Qwerty123!", "common"),
        ("Countess1", "personal"),
        ("Engines99", "personal"),
        ("Lovelace!1", "personal"),
        ("MyApp12345", "personal"),
    ],
)
async def test_registration_refuses_a_guessable_password(
    client: AsyncClient, second: asyncpg.Connection, password: str, kind: str
) -> None:
    answer = await register(client, password)
    assert kinds(answer) == [f"password_{kind}"]
    assert answer.json()["detail"] == "Not valid: password"
    assert password not in answer.text
    assert await second.fetchval("SELECT count(*) FROM users") == 0


@pytest.mark.parametrize("password", ["Password1", "Countess1", "Lovelace1", "Engines12"])
async def test_password_change_refuses_a_guessable_password(
    client: AsyncClient, people: People, second: asyncpg.Connection, password: str
) -> None:
    person = await people.enter(**ADA)
    before = await second.fetchval("SELECT hashed_password FROM users")
    kinds(await change(client, person, password=password))
    assert await second.fetchval("SELECT hashed_password FROM users") == before
    assert (await change(client, person, password="Other-Horse-8")).status_code == 200


async def test_new_names_in_the_same_request_count_as_personal(
    client: AsyncClient, people: People
) -> None:
    person = await people.enter()
    for new in ({"username": "wharfinger"}, {"full_name": "W. Wharfinger"}):
        answer = await change(client, person, password="Wharfinger1", **new)
        assert kinds(answer) == ["password_personal"]
    answer = await change(client, person, password="Wharfinger1", email="wharfinger@example.com")
    assert kinds(answer) == ["password_personal"]


async def test_a_guessable_password_is_refused_before_anything_is_hashed(
    client: AsyncClient, people: People
) -> None:
    person = await people.enter()
    answer = await change(client, person, password="Password1", current_password="wrong")
    assert kinds(answer) == ["password_common"]


async def test_existing_guessable_password_stays_valid(client: AsyncClient, people: People) -> None:
    person = await people.enter(username="correct-horse")
    assert (await change(client, person, full_name="Correct Horse")).status_code == 200


async def test_breached_password_is_refused_when_the_check_is_enabled(
    client: AsyncClient, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await people.enter()
    with breach_service(knowing(LOST)) as service:
        assert (await change(client, person, password=LOST)).status_code == 200
        assert service.asked == []
        monkeypatch.setattr(settings, "BREACH_CHECK_URL", service.url)
        assert kinds(await register(client, LOST)) == ["password_breached"]
        changed = Person(person.id, person.email, person.username, LOST, person.tokens)
        assert kinds(await change(client, changed, password=LOST)) == ["password_breached"]
        assert (await register(client, PASSWORD)).status_code == 201


async def test_breach_check_holds_no_database_connection(
    client: AsyncClient, people: People, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await people.enter()
    monkeypatch.setattr(breaches, "TIMEOUT_SECONDS", 60)
    with breach_service(silent) as service:
        monkeypatch.setattr(settings, "BREACH_CHECK_URL", service.url)
        asking = asyncio.gather(register(client, LOST), change(client, person, password=LOST))
        await until(lambda: len(service.asked) == 2)
        assert database.pool_status()["checked_out"] == 0
        service.stopping.set()
        assert [answer.status_code for answer in await asking] == [201, 200]


async def set_by_registering(client: AsyncClient, people: People, inbox: Inbox) -> Response:
    return await register(client, "Password1")


async def set_by_changing(client: AsyncClient, people: People, inbox: Inbox) -> Response:
    return await change(client, await people.enter(), password="Password1")


async def set_by_resetting(client: AsyncClient, people: People, inbox: Inbox) -> Response:
    person = await people.add()
    await client.post("/auth/password/forgot", json={"email": person.email})
    token = token_of(await inbox.next(person.email, "Set a new password"))
    sent = {"token": token, "password": "Password1"}
    return await client.post("/auth/password/reset", json=sent)


WAYS = [set_by_registering, set_by_changing, set_by_resetting]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mode", [None, "warn", "off", "refuse"])
async def test_password_blocklist_setting_applies_to_each_route(
    client: AsyncClient,
    people: People,
    inbox: Inbox,
    monkeypatch: pytest.MonkeyPatch,
    way: Callable[..., Awaitable[Response]],
    mode: str | None,
) -> None:
    monkeypatch.setattr(settings, "PASSWORD_BLOCKLIST", mode)
    with logging_to_memory() as log:
        answer = await way(client, people, inbox)
    if mode == "refuse":
        assert kinds(answer) == ["password_common"]
    else:
        assert answer.status_code in {200, 201, 204}, answer.text
    warnings = [line for line in log.lines if "PASSWORD_BLOCKLIST" in line["event"]]
    assert len(warnings) == (mode in {None, "warn"}), "None is development's warn"
    assert "Password1" not in log.text


@pytest.mark.parametrize("mode", ["warn", "off"])
async def test_length_and_character_rules_ignore_the_blocklist_setting(
    client: AsyncClient, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setattr(settings, "PASSWORD_BLOCKLIST", mode)
    for weak in ("Short1", "nouppercase1", "NOLOWERCASE1", "NoDigitAtAll"):
        check_invalid(await register(client, weak), "body.password")


async def test_blocklist_off_skips_the_breach_service(
    client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "PASSWORD_BLOCKLIST", "off")
    with breach_service(knowing(LOST)) as service:
        monkeypatch.setattr(settings, "BREACH_CHECK_URL", service.url)
        assert (await register(client, LOST)).status_code == 201
        assert service.asked == []
