"""Passkeys over HTTP: rename and removal."""

from dataclasses import replace

import asyncpg
import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient

from plinth.config import settings
from plinth.security.passwords import NO_PASSWORD
from plinth.testing import outage
from plinth.testing.people import People, Person
from tests.support.authenticator import HONEST, PRESENT, Authenticator
from tests.support.passkeys import FACTORS, add_passkey, sign_in

UNVERIFIED = replace(HONEST, flags=PRESENT)


async def test_rename(
    client: AsyncClient, people: People, person: Person, passkey: Authenticator
) -> None:
    (listed,) = (await client.get(FACTORS, headers=person.headers)).json()
    path = f"{FACTORS}/{listed['id']}"
    renamed = await client.patch(path, json={"name": "Phone"}, headers=person.headers)
    assert (renamed.status_code, renamed.json()["name"]) == (200, "Phone")
    stranger = await people.enter()
    refused = await client.patch(path, json={"name": "x"}, headers=stranger.headers)
    assert refused.status_code == 404


async def test_a_removed_passkey_is_refused(
    client: AsyncClient, people: People, person: Person, passkey: Authenticator
) -> None:
    (listed,) = (await client.get(FACTORS, headers=person.headers)).json()
    gone = await client.delete(f"{FACTORS}/{listed['id']}", headers=person.headers)
    assert gone.status_code == 204
    assert (await sign_in(client, passkey)).json()["code"] == "invalid_passkey"
    assert (await people.try_to_sign_in(person)).status_code == 200


@pytest.mark.parametrize(
    "remaining",
    ["nothing", "app", "identity", "unverified passkey", "code by mail", "unverified address"],
)
async def test_the_last_way_into_an_account_cannot_be_removed(
    client: AsyncClient,
    second: asyncpg.Connection,
    person: Person,
    passkey: Authenticator,
    remaining: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings, "OIDC_PROVIDERS", {"google": None})
    (listed,) = (await client.get(FACTORS, headers=person.headers)).json()
    if remaining == "unverified passkey":
        await add_passkey(client, person, UNVERIFIED)
    if remaining == "app":
        await second.execute(
            "INSERT INTO factors (user_id, kind, name, confirmed_at)"
            " VALUES ($1, 'totp', 'App', now())",
            person.id,
        )
    has_codes = remaining in {"code by mail", "unverified address"}
    monkeypatch.setattr(settings, "EMAIL_CODES", has_codes)
    is_verified = remaining != "unverified address"
    await second.execute("UPDATE users SET is_verified = $2 WHERE id = $1", person.id, is_verified)
    if remaining == "identity":
        await second.execute(
            "INSERT INTO identities (user_id, provider, issuer, subject)"
            " VALUES ($1, 'google', 'https://accounts.google.com', '1')",
            person.id,
        )
    await second.execute(
        "UPDATE users SET hashed_password = $2 WHERE id = $1", person.id, NO_PASSWORD
    )
    gone = await client.delete(f"{FACTORS}/{listed['id']}", headers=person.headers)
    if remaining in {"identity", "code by mail"}:
        assert gone.status_code == 204
        return
    assert (gone.status_code, gone.json()["code"]) == (400, "last_way_in")
    assert (await sign_in(client, passkey)).status_code == 200


async def test_passkeys_work_while_redis_is_down(
    app: FastAPI, client: AsyncClient, person: Person
) -> None:
    async with outage.without_redis(app) as alone:
        passkey = await add_passkey(alone, person)
        assert (await sign_in(alone, passkey)).status_code == 200


async def test_an_erased_user_leaves_no_passkey(
    client: AsyncClient, second: asyncpg.Connection, person: Person, passkey: Authenticator
) -> None:
    await second.execute("DELETE FROM users WHERE id = $1", person.id)
    assert await second.fetchval("SELECT count(*) FROM passkeys") == 0
    assert (await sign_in(client, passkey)).json()["code"] == "invalid_passkey"
