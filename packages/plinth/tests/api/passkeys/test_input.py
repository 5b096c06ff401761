"""Malformed passkeys: always a response with 4xx."""

import json
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest
from httpx2 import AsyncClient

from plinth.testing.people import Person
from tests.api.test_second_factors import begin
from tests.support.authenticator import Authenticator, decode, encode
from tests.support.passkeys import (
    FACTORS,
    begin_registration,
    begin_sign_in,
    check_refused,
    send_factor,
    send_step_up,
)

Options = dict[str, Any]


NESTED = b"\x81" * 6000
HOSTILE_CBOR = [
    b"",
    NESTED,
    b"\xa1" * 6000,
    b"\x9b" + b"\xff" * 8,
    b"\xbb" + b"\xff" * 8 + b"\x01" * 100,
    b"\x5b" + b"\xff" * 8,
    b"\xa1\xa0\x01",
    b"\xa1\x80\x01",
    b"\x1f",
    b"\xff",
    b"\xf6",
    b"\x62\xff\xff",
    bytes.fromhex("a363666d74646e6f6e656761747453746d74a0686175746844617461") + b"\x01",
    bytes.fromhex("a363666d74646e6f6e656761747453746d74a06861757468446174615825") + bytes(37),
    bytes.fromhex("a363666d74f66761747453746d74f6686175746844617461f6"),
]
HOSTILE_JSON = [
    b"",
    b"null",
    b"[]",
    b"7",
    b'"challenge"',
    b"{}",
    b'{"challenge":1}',
    b'{"challenge":null}',
    b'{"challenge":"%"}',
    '{"challenge":"é"}'.encode(),
    b'{"challenge":"AAAAA"}',
    b"\xff\xfe{\0}\0",
    b"\xef\xbb\xbf{}",
    b"[" * 2900,
    b'{"challenge":' + b"[" * 2900,
    b"1" * 2900,
    b'{"challenge":"AA","type":[],"origin":{}}',
]


@pytest.mark.parametrize("data", HOSTILE_CBOR)
async def test_hostile_cbor_is_refused(
    client: AsyncClient, second: asyncpg.Connection, person: Person, data: bytes
) -> None:
    sent = Authenticator().create(await begin_registration(client, person))
    sent["response"]["attestationObject"] = encode(data)
    body = {"credential": sent}
    check_refused(await client.post(f"{FACTORS}/passkey", json=body, headers=person.headers))


@pytest.mark.parametrize("data", HOSTILE_JSON)
async def test_hostile_client_data_is_refused(
    client: AsyncClient, person: Person, passkey: Authenticator, data: bytes
) -> None:
    sent = passkey.get(await begin_sign_in(client))
    sent["response"]["clientDataJSON"] = encode(data)
    check_refused(await client.post("/auth/passkey", json=sent))
    check_refused(await send_step_up(client, person, sent))
    pending = (await begin(client, person))["challenge"]
    check_refused(await send_factor(client, pending, sent))
    new = Authenticator().create(await begin_registration(client, person))
    new["response"]["clientDataJSON"] = encode(data)
    body = {"credential": new}
    check_refused(await client.post(f"{FACTORS}/passkey", json=body, headers=person.headers))


@pytest.mark.parametrize("length", [0, 1, 36, 38])
@pytest.mark.parametrize("flags", [0x05, 0x45, 0x85, 0xC5, 0xFF])
async def test_hostile_authenticator_data_is_refused(
    client: AsyncClient, passkey: Authenticator, length: int, flags: int
) -> None:
    sent = passkey.get(await begin_sign_in(client))
    data = bytearray(decode(sent["response"]["authenticatorData"]) + NESTED[:1000])
    data[32] = flags
    sent["response"]["authenticatorData"] = encode(bytes(data[:length]))
    check_refused(await client.post("/auth/passkey", json=sent))


def _replace(*path: str, value: object) -> Callable[[Options], None]:
    def act(sent: Options) -> None:
        for name in path[:-1]:
            sent = sent[name]
        sent[path[-1]] = value

    return act


@pytest.mark.parametrize(
    "change",
    [
        _replace("id", value="a" * 2000),
        _replace("id", value="="),
        _replace("id", value="AAAAA"),
        _replace("id", value=7),
        _replace("id", value=None),
        _replace("response", value=None),
        _replace("response", "signature", value="é"),
        _replace("response", "signature", value="A" * 2000),
        _replace("response", "userHandle", value="A" * 200),
        _replace("response", "clientDataJSON", value="A" * 10_000),
        _replace("response", "clientDataJSON", value="AA\n"),
    ],
)
async def test_input_of_another_form_is_invalid(
    client: AsyncClient, person: Person, passkey: Authenticator, change: Callable[[Options], None]
) -> None:
    sent = passkey.get(await begin_sign_in(client))
    change(sent)
    assert (await client.post("/auth/passkey", json=sent)).status_code == 422
    assert (await send_step_up(client, person, sent)).status_code == 422
    assert (await send_factor(client, "A" * 64, sent)).status_code == 422


@pytest.mark.parametrize("body", [[], 7, "x", None, {"method": []}, {"method": {"a": 1}}, {}])
async def test_a_factor_of_another_form_is_invalid(client: AsyncClient, body: object) -> None:
    response = await client.post("/auth/mfa", content=json.dumps(body))
    assert response.status_code == 422
