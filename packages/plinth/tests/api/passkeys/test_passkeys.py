"""Passkeys over HTTP: registration, sign-in, second factor, step-up, rename and removal."""

from dataclasses import replace

import asyncpg
import pytest
from httpx2 import AsyncClient

from plinth.config import settings
from plinth.testing.people import People, Person
from tests.api.test_second_factors import begin, make_stale, with_tokens
from tests.support.authenticator import (
    BACKED_UP,
    EDDSA,
    ELIGIBLE,
    ES256,
    HONEST,
    PRESENT,
    RP_ID,
    RS256,
    VERIFIED,
    Authenticator,
    Lies,
    decode,
)
from tests.support.passkeys import (
    FACTORS,
    add_passkey,
    begin_registration,
    begin_sign_in,
    complete,
    register,
    sign_in,
    step_up,
)

UNVERIFIED = replace(HONEST, flags=PRESENT)
SYNCED = PRESENT | VERIFIED | ELIGIBLE | BACKED_UP


async def find_session(second: asyncpg.Connection, person: Person) -> tuple[int, str]:
    """Return the level and the methods of the newest session."""
    row = await second.fetchrow(
        "SELECT aal, amr FROM sessions WHERE user_id = $1 AND revoked_at IS NULL"
        " ORDER BY created_at DESC LIMIT 1",
        person.id,
    )
    assert row
    return row["aal"], row["amr"]


@pytest.mark.parametrize("algorithm", [ES256, EDDSA, RS256])
async def test_registration_and_sign_in_without_a_username(
    client: AsyncClient, second: asyncpg.Connection, person: Person, algorithm: int
) -> None:
    passkey = await add_passkey(client, person, algorithm=algorithm)
    signed_in = with_tokens(person, await sign_in(client, passkey))
    me = await client.get("/users/me", headers=signed_in.headers)
    assert me.json()["id"] == person.id
    assert await find_session(second, person) == (2, "pop")


async def test_the_options_of_a_registration(client: AsyncClient, person: Person) -> None:
    options = await begin_registration(client, person)
    assert options["rp"] == {"id": RP_ID, "name": settings.PROJECT_NAME}
    assert options["user"]["name"] == person.email
    assert len(decode(options["challenge"])) == 48
    assert [it["alg"] for it in options["pubKeyCredParams"]] == [ES256, EDDSA, RS256]
    assert options["attestation"] == "none"
    assert options["authenticatorSelection"]["residentKey"] == "required"
    assert options["excludeCredentials"] == []
    passkey = await add_passkey(client, person)
    again = await begin_registration(client, person)
    assert [it["id"] for it in again["excludeCredentials"]] == [
        passkey.get(await begin_sign_in(client))["id"]
    ]
    assert again["excludeCredentials"][0]["transports"] == ["hybrid", "internal"]


async def test_all_passkeys_of_a_user_have_one_random_handle(
    client: AsyncClient, people: People, person: Person
) -> None:
    first = await add_passkey(client, person)
    other = await add_passkey(client, person)
    stranger = await add_passkey(client, await people.enter())
    assert first.user_handle == other.user_handle != stranger.user_handle
    assert (await sign_in(client, first)).status_code == 200
    assert (await sign_in(client, other)).status_code == 200


async def test_a_registration_counts_as_a_change_of_the_factors(
    client: AsyncClient, second: asyncpg.Connection, people: People, person: Person
) -> None:
    other = await people.sign_in(person)
    await add_passkey(client, person)
    assert (await client.get("/users/me", headers=other.headers)).status_code == 401
    assert (await client.get("/users/me", headers=person.headers)).status_code == 200
    assert await find_session(second, person) == (2, "pwd pop")
    (listed,) = (await client.get(FACTORS, headers=person.headers)).json()
    assert (listed["kind"], listed["name"]) == ("passkey", "Laptop")
    assert listed["confirmed_at"]
    mails = await second.fetch("SELECT kind FROM mails")
    assert "factor_added" in {it["kind"] for it in mails}


async def test_a_password_alone_does_not_sign_in(
    client: AsyncClient, person: Person, passkey: Authenticator
) -> None:
    pending = await begin(client, person)
    assert pending["methods"] == ["passkey"]


@pytest.mark.parametrize("lies", [HONEST, UNVERIFIED])
async def test_a_passkey_is_a_second_factor(
    client: AsyncClient,
    second: asyncpg.Connection,
    person: Person,
    passkey: Authenticator,
    lies: Lies,
) -> None:
    pending = await begin(client, person)
    with_tokens(person, await complete(client, pending["challenge"], passkey, lies))
    assert await find_session(second, person) == (2, "pwd pop")


async def test_a_refused_passkey_keeps_the_pending_sign_in(
    client: AsyncClient, person: Person, passkey: Authenticator
) -> None:
    challenge = (await begin(client, person))["challenge"]
    refused = await complete(client, challenge, passkey, replace(HONEST, signature=b"x"))
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_passkey")
    assert (await complete(client, challenge, passkey)).status_code == 200


async def test_recovery_codes_replace_a_lost_passkey(
    client: AsyncClient, person: Person, passkey: Authenticator
) -> None:
    made = await client.post("/users/me/recovery-codes", headers=person.headers)
    pending = await begin(client, person)
    assert pending["methods"] == ["passkey", "recovery_code"]
    body = {"challenge": pending["challenge"], "code": made.json()["codes"][0]}
    response = await client.post("/auth/mfa", json={**body, "method": "recovery_code"})
    assert response.status_code == 200


async def test_step_up(
    client: AsyncClient, second: asyncpg.Connection, person: Person, passkey: Authenticator
) -> None:
    await make_stale(second, person)
    refused = await client.post(f"{FACTORS}/passkey/options", headers=person.headers)
    assert refused.json()["code"] == "step_up_required"
    assert refused.json()["methods"] == ["passkey"]
    wrong = await step_up(client, person, passkey, replace(HONEST, signature=b"x"))
    assert wrong.json()["code"] == "invalid_passkey"
    assert (await step_up(client, person, passkey)).status_code == 204
    await begin_registration(client, person)


async def test_a_required_factor_is_added_during_the_sign_in(
    client: AsyncClient,
    second: asyncpg.Connection,
    people: People,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    person = await people.enter()
    monkeypatch.setattr(settings, "MFA_REQUIRED", "all")
    challenge = (await begin(client, person))["challenge"]
    options = await client.post("/auth/mfa/passkey/new", json={"challenge": challenge})
    passkey = Authenticator()
    body = {
        "challenge": challenge,
        "method": "new_passkey",
        "name": "Key",
        "credential": passkey.create(options.json()),
    }
    with_tokens(person, await client.post("/auth/mfa", json=body))
    assert await find_session(second, person) == (2, "pwd pop")
    assert (await sign_in(client, passkey)).status_code == 200
    challenge = (await begin(client, person))["challenge"]
    again = await client.post("/auth/mfa/passkey/new", json={"challenge": challenge})
    assert again.json()["code"] == "method_not_accepted"


async def test_a_counter_that_goes_back_is_only_audited(
    client: AsyncClient, second: asyncpg.Connection, person: Person
) -> None:
    passkey = await add_passkey(client, person, replace(HONEST, sign_count=5))
    for count in (6, 6, 0, 2**32 - 1):
        lies = replace(HONEST, sign_count=count)
        assert (await sign_in(client, passkey, lies)).status_code == 200
    rows = await second.fetch(
        "SELECT reason FROM events WHERE event = 'passkey.counter_decreased' AND subject_id = $1"
        " ORDER BY id",
        person.id,
    )
    assert [it["reason"].partition(": ")[2] for it in rows] == ["6 after 6", "0 after 6"]
    assert await second.fetchval("SELECT sign_count FROM passkeys") == 2**32 - 1


async def test_the_backup_state_is_kept_up_to_date(
    client: AsyncClient, second: asyncpg.Connection, person: Person
) -> None:
    eligible = replace(HONEST, flags=PRESENT | VERIFIED | ELIGIBLE)
    passkey = await add_passkey(client, person, eligible)
    assert not await second.fetchval("SELECT is_backed_up FROM passkeys")
    assert (await sign_in(client, passkey, replace(HONEST, flags=SYNCED))).status_code == 200
    assert await second.fetchval("SELECT is_backed_up FROM passkeys")


async def test_a_deactivated_user_stays_out(
    client: AsyncClient, second: asyncpg.Connection, person: Person, passkey: Authenticator
) -> None:
    await second.execute("UPDATE users SET is_active = false WHERE id = $1", person.id)
    refused = await sign_in(client, passkey)
    assert (refused.status_code, refused.json()["code"]) == (400, "inactive_user")


async def test_an_account_has_at_most_ten_factors(client: AsyncClient, person: Person) -> None:
    for _ in range(9):
        await add_passkey(client, person)
    options = await begin_registration(client, person)
    await add_passkey(client, person)
    refused = await client.post(f"{FACTORS}/passkey/options", headers=person.headers)
    assert refused.json()["code"] == "too_many_factors"
    refused = await register(client, person, Authenticator(), options=options)
    assert refused.json()["code"] == "too_many_factors"


async def test_beginnings_are_limited_per_network(
    elsewhere: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "LIMITS_ENABLED", True)
    monkeypatch.setattr(settings, "LIMIT_PASSKEY_IP", "3/5m")
    statuses = [(await elsewhere.post("/auth/passkey/options")).status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 429]


async def test_refused_passkeys_are_counted_per_account(
    client: AsyncClient,
    person: Person,
    passkey: Authenticator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings, "LIMITS_ENABLED", True)
    for _ in range(5):
        challenge = (await begin(client, person))["challenge"]
        refused = await complete(client, challenge, passkey, replace(HONEST, signature=b"x"))
        assert refused.status_code == 400
    challenge = (await begin(client, person))["challenge"]
    assert (await complete(client, challenge, passkey)).status_code == 429
