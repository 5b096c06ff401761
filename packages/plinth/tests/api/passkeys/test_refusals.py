"""Each refusal of a passkey has a reason in the audit log; the client gets the same error."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import asyncpg
import pytest
from httpx2 import AsyncClient, Response

from plinth.config import settings
from plinth.testing.people import People, Person
from tests.api.test_second_factors import begin
from tests.support.authenticator import (
    BACKED_UP,
    ELIGIBLE,
    ES384,
    EXTENDED,
    HONEST,
    PRESENT,
    VERIFIED,
    Authenticator,
    Lies,
    encode,
)
from tests.support.passkeys import (
    add_passkey,
    begin_registration,
    begin_sign_in,
    check_refused,
    complete,
    find_reasons,
    register,
    sign_in,
    step_up,
)

OTHER = encode(bytes(48))
BOTH = {
    "wrong origin": replace(HONEST, client_data={"origin": "http://localhost:3001"}),
    "wrong type": replace(HONEST, client_data={"type": "payment.get"}),
    "wrong challenge": replace(HONEST, client_data={"challenge": OTHER}),
    "cross-origin": replace(HONEST, client_data={"crossOrigin": True}),
    "wrong RP id": replace(HONEST, rp_id="example.com"),
    "user not present": replace(HONEST, flags=VERIFIED),
    "inconsistent backup flags": replace(HONEST, flags=PRESENT | VERIFIED | BACKED_UP),
    "malformed": replace(HONEST, extra=b"\0"),
}
USES = {
    **BOTH,
    "wrong signature": replace(HONEST, signature=bytes(64)),
    "unknown credential": replace(HONEST, credential_id=bytes(32)),
    "wrong user handle": replace(HONEST, user_handle=encode(bytes(32))),
    "backup eligibility changed": replace(HONEST, flags=PRESENT | VERIFIED | ELIGIBLE),
}
ALGORITHM = "unsupported algorithm"
REGISTRATIONS = [
    *BOTH.items(),
    (ALGORITHM, replace(HONEST, public_key={3: ES384})),
    (ALGORITHM, replace(HONEST, public_key={3: -65535})),
    (ALGORITHM, replace(HONEST, public_key={1: 3})),
    ("malformed", replace(HONEST, public_key={3: None})),
    ("malformed", replace(HONEST, public_key={-1: 2})),
    ("malformed", replace(HONEST, public_key={-2: bytes(32)})),
    ("malformed", replace(HONEST, public_key={-3: None})),
    ("malformed", replace(HONEST, public_key={-2: 7})),
    ("malformed", replace(HONEST, public_key={9: bytes(2000)})),
    ("malformed", replace(HONEST, credential_id=b"")),
    ("malformed", replace(HONEST, credential_id=bytes(1024))),
    ("malformed", replace(HONEST, flags=PRESENT | EXTENDED)),
    ("cross-origin", replace(HONEST, client_data={"topOrigin": "http://localhost:3000"})),
    ("cross-origin", replace(HONEST, client_data={"crossOrigin": "false"})),
    ("wrong origin", replace(HONEST, client_data={"origin": ["http://localhost:3000"]})),
    ("wrong origin", replace(HONEST, client_data={"origin": "http://localhost:3000/"})),
    ("wrong origin", replace(HONEST, client_data={"origin": "http://LOCALHOST:3000"})),
]


@pytest.mark.parametrize(("reason", "lies"), REGISTRATIONS)
async def test_a_refused_registration(
    client: AsyncClient, second: asyncpg.Connection, person: Person, reason: str, lies: Lies
) -> None:
    check_refused(await register(client, person, Authenticator(), lies))
    assert await find_reasons(second, person) == [f"passkey: {reason}"]
    assert await second.fetchval("SELECT count(*) FROM factors") == 0


@pytest.mark.parametrize(("reason", "lies"), USES.items())
async def test_a_refused_sign_in(
    client: AsyncClient, second: asyncpg.Connection, passkey: Authenticator, reason: str, lies: Lies
) -> None:
    check_refused(await sign_in(client, passkey, lies))
    assert await find_reasons(second) == [f"passkey: {reason}"]
    assert await second.fetchval("SELECT last_used_at FROM factors") is None


async def use_as_second_factor(
    client: AsyncClient, person: Person, passkey: Authenticator, lies: Lies
) -> Response:
    pending = await begin(client, person)
    return await complete(client, pending["challenge"], passkey, lies)


@pytest.mark.parametrize("use", [use_as_second_factor, step_up])
@pytest.mark.parametrize(("reason", "lies"), USES.items())
async def test_a_refused_use_beside_a_password(
    client: AsyncClient,
    second: asyncpg.Connection,
    person: Person,
    passkey: Authenticator,
    use: Callable[..., Awaitable[Response]],
    reason: str,
    lies: Lies,
) -> None:
    check_refused(await use(client, person, passkey, lies))
    assert await find_reasons(second, person) == [f"passkey: {reason}"]


async def test_a_sign_in_without_a_username_needs_the_user_handle(
    client: AsyncClient, second: asyncpg.Connection, person: Person, passkey: Authenticator
) -> None:
    check_refused(await sign_in(client, passkey, replace(HONEST, user_handle=None)))
    assert await find_reasons(second, person) == ["passkey: wrong user handle"]
    pending = await begin(client, person)
    lies = replace(HONEST, user_handle=None)
    assert (await complete(client, pending["challenge"], passkey, lies)).status_code == 200


async def test_a_sign_in_without_a_username_needs_user_verification(
    client: AsyncClient, second: asyncpg.Connection, person: Person, passkey: Authenticator
) -> None:
    check_refused(await sign_in(client, passkey, replace(HONEST, flags=PRESENT)))
    assert await find_reasons(second, person) == ["passkey: user not verified"]


async def test_a_verification_counts_only_after_one_beside_the_password(
    client: AsyncClient, second: asyncpg.Connection, person: Person
) -> None:
    """The finder of a security key without a PIN sets one."""
    passkey = await add_passkey(client, person, replace(HONEST, flags=PRESENT))
    check_refused(await sign_in(client, passkey))
    assert await find_reasons(second, person) == ["passkey: user not verified"]
    assert (await step_up(client, person, passkey)).status_code == 204
    check_refused(await sign_in(client, passkey))
    pending = await begin(client, person)
    assert (await complete(client, pending["challenge"], passkey)).status_code == 200
    assert (await sign_in(client, passkey)).status_code == 200


async def test_a_known_credential_is_not_registered_again(
    client: AsyncClient,
    second: asyncpg.Connection,
    people: People,
    person: Person,
    passkey: Authenticator,
) -> None:
    stranger = await people.enter()
    copy = Authenticator(credential_id=passkey.credential_id)
    for registrant in (stranger, person):
        check_refused(await register(client, registrant, copy))
        assert await find_reasons(second, registrant) == ["passkey: known credential"]
    assert await second.fetchval("SELECT count(*) FROM factors") == 1


async def test_a_registration_without_a_credential_is_refused(
    client: AsyncClient, second: asyncpg.Connection, person: Person
) -> None:
    passkey, options = Authenticator(), await begin_registration(client, person)
    sent = passkey.create(options)
    sent["response"]["attestationObject"] = passkey.attest_nothing()
    body = {"name": "x", "credential": sent}
    check_refused(await client.post("/users/me/factors/passkey", json=body, headers=person.headers))
    assert await find_reasons(second, person) == ["passkey: no credential"]


@pytest.mark.parametrize("bits", [1024, 8192])
async def test_an_rsa_key_has_a_usual_size(
    client: AsyncClient, second: asyncpg.Connection, person: Person, bits: int
) -> None:
    key = {1: 3, 3: -257, -1: (2**bits - 1).to_bytes(bits // 8), -2: b"\1\0\1", -3: None}
    check_refused(await register(client, person, Authenticator(), replace(HONEST, public_key=key)))
    assert await find_reasons(second, person) == [f"passkey: {ALGORITHM}"]


async def test_a_passkey_of_another_relying_party_id_is_refused(
    client: AsyncClient,
    person: Person,
    passkey: Authenticator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings, "RP_ID", "example.com")
    assert (await begin_sign_in(client))["rpId"] == "example.com"
    check_refused(await sign_in(client, passkey))
