"""Attacks on passkeys over HTTP. Each test expresses the right behavior."""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import asyncpg
import pytest
from httpx2 import AsyncClient

from plinth.config import settings
from plinth.testing.people import People, Person
from tests.api.test_second_factors import begin
from tests.support.authenticator import HONEST, Authenticator, decode, encode
from tests.support.factors import add_app, confirm_app
from tests.support.passkeys import (
    FACTORS,
    add_passkey,
    begin_factor,
    begin_registration,
    begin_sign_in,
    begin_step_up,
    check_refused,
    complete,
    find_reasons,
    register,
    send_factor,
    send_step_up,
    sign_in,
    step_up,
)

Options = dict[str, Any]
WRONG_CHALLENGE = "passkey: wrong challenge"


# --- replay and races ---


async def test_an_assertion_is_accepted_once(
    client: AsyncClient, second: asyncpg.Connection, passkey: Authenticator
) -> None:
    credential = passkey.get(await begin_sign_in(client))
    assert (await client.post("/auth/passkey", json=credential)).status_code == 200
    check_refused(await client.post("/auth/passkey", json=credential))
    assert await find_reasons(second) == [WRONG_CHALLENGE]


async def test_a_refusal_uses_the_challenge_up(client: AsyncClient, passkey: Authenticator) -> None:
    options = await begin_sign_in(client)
    check_refused(await sign_in(client, passkey, replace(HONEST, signature=b"x"), options=options))
    check_refused(await sign_in(client, passkey, options=options))


async def test_twenty_sign_ins_with_one_assertion_start_one_session(
    client: AsyncClient, passkey: Authenticator
) -> None:
    credential = passkey.get(await begin_sign_in(client))
    tries = [client.post("/auth/passkey", json=credential) for _ in range(20)]
    statuses = Counter(it.status_code for it in await asyncio.gather(*tries))
    assert statuses[200] == 1
    assert set(statuses) <= {200, 400, 503}


async def test_twenty_registrations_with_one_challenge_add_one_passkey(
    client: AsyncClient, second: asyncpg.Connection, person: Person
) -> None:
    options = await begin_registration(client, person)
    tries = [register(client, person, Authenticator(), options=options) for _ in range(20)]
    statuses = Counter(it.status_code for it in await asyncio.gather(*tries))
    assert statuses[201] == 1
    assert set(statuses) <= {201, 400, 503}
    assert await second.fetchval("SELECT count(*) FROM factors") == 1


async def test_two_accounts_register_one_credential_at_once(
    client: AsyncClient, second: asyncpg.Connection, people: People, person: Person
) -> None:
    persons = [person, await people.enter()]
    options = [await begin_registration(client, it) for it in persons]
    keys = [Authenticator(credential_id=bytes(16)) for _ in persons]
    tries = [
        register(client, *it, options=own)
        for it, own in zip(zip(persons, keys, strict=True), options, strict=True)
    ]
    statuses = Counter(it.status_code for it in await asyncio.gather(*tries))
    assert statuses == {201: 1, 400: 1}
    assert await second.fetchval("SELECT count(*) FROM factors") == 1


async def test_a_removal_and_a_sign_in_at_once_leave_no_session_of_a_removed_passkey(
    client: AsyncClient, second: asyncpg.Connection, person: Person, passkey: Authenticator
) -> None:
    credential = passkey.get(await begin_sign_in(client))
    (listed,) = (await client.get(FACTORS, headers=person.headers)).json()
    removal = client.delete(f"{FACTORS}/{listed['id']}", headers=person.headers)
    signed_in, gone = await asyncio.gather(client.post("/auth/passkey", json=credential), removal)
    assert gone.status_code == 204
    assert signed_in.status_code in (200, 400)
    assert (await sign_in(client, passkey)).status_code == 400


async def test_a_second_registration_is_void_after_the_first(
    client: AsyncClient, second: asyncpg.Connection, person: Person
) -> None:
    """So all passkeys of a user have one handle, also when two begin at once."""
    first = await begin_registration(client, person)
    other = await begin_registration(client, person)
    assert (await register(client, person, Authenticator(), options=first)).status_code == 201
    check_refused(await register(client, person, Authenticator(), options=other))
    assert await find_reasons(second, person) == [WRONG_CHALLENGE]


# --- challenges of another purpose, account or time ---


async def test_a_challenge_is_valid_for_its_purpose_only(
    client: AsyncClient, second: asyncpg.Connection, person: Person, passkey: Authenticator
) -> None:
    pending = (await begin(client, person))["challenge"]
    beginnings = {
        "sign-in": await begin_sign_in(client),
        "step-up": await begin_step_up(client, person),
        "registration": await begin_registration(client, person),
        "factor": await begin_factor(client, pending),
    }
    for name, begun in beginnings.items():
        options = {**begun, "user": {"id": passkey.user_handle}}
        if name != "sign-in":
            check_refused(await sign_in(client, passkey, options=options))
        if name != "step-up":
            check_refused(await send_step_up(client, person, passkey.get(options)))
        if name != "registration":
            check_refused(await register(client, person, Authenticator(), options=options))
        if name != "factor":
            check_refused(await send_factor(client, pending, passkey.get(options)))
    assert set(await find_reasons(second)) == {WRONG_CHALLENGE}


async def test_a_registration_is_no_assertion(
    client: AsyncClient, second: asyncpg.Connection, person: Person, passkey: Authenticator
) -> None:
    pending = (await begin(client, person))["challenge"]
    lies = replace(HONEST, client_data={"type": "webauthn.create"})
    check_refused(await complete(client, pending, passkey, lies))
    assert await find_reasons(second) == ["passkey: wrong type"]


@pytest.mark.parametrize("of_this_session", [False, True])
async def test_a_challenge_of_another_user_is_refused(
    client: AsyncClient,
    second: asyncpg.Connection,
    people: People,
    person: Person,
    of_this_session: bool,
) -> None:
    stranger = await people.enter()
    theirs = await begin_registration(client, stranger)
    if of_this_session:
        # The binding to the session must not be the only protection.
        session = "SELECT sha256(uuid_send(id)) FROM sessions WHERE user_id = $1"
        await second.execute(f"UPDATE challenges SET browser_hash = ({session})", person.id)
    check_refused(await register(client, person, Authenticator(), options=theirs))
    assert await find_reasons(second, person) == [WRONG_CHALLENGE]


async def test_a_challenge_is_void_after_a_change_of_the_credentials(
    client: AsyncClient, person: Person
) -> None:
    options = await begin_registration(client, person)
    app = await add_app(client, person)
    await confirm_app(client, person, app)
    check_refused(await register(client, person, Authenticator(), options=options))


async def test_an_expired_challenge_is_refused(
    client: AsyncClient, second: asyncpg.Connection, passkey: Authenticator
) -> None:
    options = await begin_sign_in(client)
    await second.execute("UPDATE challenges SET expires_at = now()")
    check_refused(await sign_in(client, passkey, options=options))


async def test_the_id_of_a_challenge_is_not_enough(
    client: AsyncClient, passkey: Authenticator
) -> None:
    options = await begin_sign_in(client)
    known = decode(options["challenge"])[:16]
    for challenge in (known, known + bytes(32), known + bytes(31), b""):
        check_refused(await sign_in(client, passkey, options={"challenge": encode(challenge)}))


# --- passkeys of another account ---


async def test_a_passkey_of_another_user_is_no_second_factor(
    client: AsyncClient,
    second: asyncpg.Connection,
    people: People,
    person: Person,
    passkey: Authenticator,
) -> None:
    thief = await people.enter()
    own = await add_passkey(client, thief)
    pending = (await begin(client, person))["challenge"]
    check_refused(await complete(client, pending, own))
    check_refused(await step_up(client, person, own))
    unsigned = replace(HONEST, credential_id=own.credential_id, user_handle=own.user_handle)
    check_refused(await complete(client, pending, passkey, unsigned))
    assert set(await find_reasons(second, person)) == {"passkey: unknown credential"}


async def test_a_passkey_cannot_name_another_account(
    client: AsyncClient, people: People, person: Person, passkey: Authenticator
) -> None:
    """The thief signs, and names the account of the victim."""
    thief = await people.enter()
    own = await add_passkey(client, thief)
    check_refused(await sign_in(client, own, replace(HONEST, user_handle=passkey.user_handle)))
    check_refused(await sign_in(client, own, replace(HONEST, credential_id=passkey.credential_id)))


async def test_the_options_show_passkeys_only_after_the_password(
    client: AsyncClient, passkey: Authenticator
) -> None:
    assert (await begin_sign_in(client))["allowCredentials"] == []
    refused = await client.post("/auth/mfa/passkey/options", json={"challenge": "A" * 64})
    assert refused.json()["code"] == "invalid_challenge"


async def test_a_new_passkey_completes_no_sign_in_of_an_account_with_a_factor(
    client: AsyncClient, person: Person, passkey: Authenticator
) -> None:
    pending = (await begin(client, person))["challenge"]
    forged = {"challenge": pending, "user": {"id": passkey.user_handle}}
    body = {
        "challenge": pending,
        "method": "new_passkey",
        "credential": Authenticator().create(forged),
    }
    refused = await client.post("/auth/mfa", json=body)
    assert refused.json()["code"] == "method_not_accepted"


async def test_an_account_without_a_required_factor_completes_with_no_passkey_of_others(
    client: AsyncClient, people: People, passkey: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await people.enter()
    monkeypatch.setattr(settings, "MFA_REQUIRED", "all")
    pending = (await begin(client, person))["challenge"]
    check_refused(await send_factor(client, pending, passkey.get({"challenge": pending})))


@pytest.mark.parametrize("path", ["passkey/options", "passkey"])
async def test_a_stale_session_adds_no_passkey(
    client: AsyncClient, second: asyncpg.Connection, person: Person, path: str
) -> None:
    options = await begin_registration(client, person)
    await second.execute("UPDATE sessions SET authenticated_at = now() - interval '1 hour'")
    body = {"credential": Authenticator().create(options)}
    refused = await client.post(f"{FACTORS}/{path}", json=body, headers=person.headers)
    assert refused.json()["code"] == "step_up_required"


async def test_the_attempts_of_a_network_are_limited(
    elsewhere: AsyncClient, passkey: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those without a challenge, each of which writes an event."""
    monkeypatch.setattr(settings, "LIMITS_ENABLED", True)
    monkeypatch.setattr(settings, "LIMIT_PASSKEY_IP", "3/5m")
    forged = {"challenge": encode(bytes(48))}
    for _ in range(3):
        check_refused(await sign_in(elsewhere, passkey, options=forged))
    assert (await sign_in(elsewhere, passkey, options=forged)).status_code == 429
