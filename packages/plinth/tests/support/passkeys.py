"""Passkeys of test users, over HTTP."""

from typing import Any

import asyncpg
from httpx2 import AsyncClient, Response

from plinth.testing.people import Person
from tests.support.authenticator import HONEST, Authenticator, Lies

FACTORS = "/users/me/factors"


async def begin_registration(client: AsyncClient, person: Person) -> dict[str, Any]:
    response = await client.post(f"{FACTORS}/passkey/options", headers=person.headers)
    assert response.status_code == 200, response.text
    return dict(response.json())


async def register(
    client: AsyncClient,
    person: Person,
    passkey: Authenticator,
    lies: Lies = HONEST,
    *,
    options: dict[str, Any] | None = None,
) -> Response:
    options = options or await begin_registration(client, person)
    body = {"name": "Laptop", "credential": passkey.create(options, lies)}
    return await client.post(f"{FACTORS}/passkey", json=body, headers=person.headers)


async def add_passkey(
    client: AsyncClient, person: Person, lies: Lies = HONEST, **properties: Any
) -> Authenticator:
    passkey = Authenticator(**properties)
    response = await register(client, person, passkey, lies)
    assert response.status_code == 201, response.text
    return passkey


async def begin_sign_in(client: AsyncClient) -> dict[str, Any]:
    response = await client.post("/auth/passkey/options")
    assert response.status_code == 200, response.text
    return dict(response.json())


async def sign_in(
    client: AsyncClient,
    passkey: Authenticator,
    lies: Lies = HONEST,
    *,
    options: dict[str, Any] | None = None,
) -> Response:
    options = options or await begin_sign_in(client)
    return await client.post("/auth/passkey", json=passkey.get(options, lies))


async def begin_factor(client: AsyncClient, challenge: str) -> dict[str, Any]:
    response = await client.post("/auth/mfa/passkey/options", json={"challenge": challenge})
    assert response.status_code == 200, response.text
    return dict(response.json())


async def complete(
    client: AsyncClient, challenge: str, passkey: Authenticator, lies: Lies = HONEST
) -> Response:
    options = await begin_factor(client, challenge)
    return await send_factor(client, challenge, passkey.get(options, lies))


async def step_up(
    client: AsyncClient, person: Person, passkey: Authenticator, lies: Lies = HONEST
) -> Response:
    options = await begin_step_up(client, person)
    return await send_step_up(client, person, passkey.get(options, lies))


async def find_reasons(second: asyncpg.Connection, person: Person | None = None) -> list[str]:
    """Return the reasons of refused passkeys, oldest first."""
    rows = await second.fetch(
        "SELECT subject_id, reason FROM events WHERE event = 'factor.used'"
        " AND outcome = 'failure' ORDER BY id"
    )
    return [it["reason"] for it in rows if person is None or it["subject_id"] == person.id]


def check_refused(refused: Response) -> None:
    assert refused.status_code == 400, refused.text
    assert refused.json()["code"] == "invalid_passkey"
    assert refused.json()["detail"] == "The passkey was not accepted: try again"


async def begin_step_up(client: AsyncClient, person: Person) -> dict[str, Any]:
    response = await client.post("/auth/step-up/passkey/options", headers=person.headers)
    return dict(response.json())


async def send_step_up(client: AsyncClient, person: Person, credential: dict[str, Any]) -> Response:
    body = {"method": "passkey", "credential": credential}
    return await client.post("/auth/step-up", json=body, headers=person.headers)


async def send_factor(client: AsyncClient, challenge: str, credential: dict[str, Any]) -> Response:
    body = {"challenge": challenge, "method": "passkey", "credential": credential}
    return await client.post("/auth/mfa", json=body)
