"""Authenticator apps of test users."""

from base64 import b32decode
from dataclasses import dataclass
from time import time
from typing import Any

import asyncpg
from httpx2 import AsyncClient

from plinth.security.totp import STEP_SECONDS, make_code
from plinth.testing.people import Person


@dataclass(frozen=True, slots=True)
class App:
    """An authenticator app."""

    factor_id: str
    secret: bytes

    @classmethod
    def of(cls, added: dict[str, Any]) -> "App":
        return cls(added["id"], b32decode(added["secret"]))

    def code(self, drift: int = 0) -> str:
        return make_code(self.secret, int(time()) // STEP_SECONDS + drift)


async def add_app(client: AsyncClient, person: Person) -> App:
    response = await client.post("/users/me/factors/totp", json={}, headers=person.headers)
    assert response.status_code == 201, response.text
    return App.of(response.json())


async def confirm_app(client: AsyncClient, person: Person, app: App) -> None:
    path = f"/users/me/factors/{app.factor_id}/confirm"
    response = await client.post(path, json={"code": app.code()}, headers=person.headers)
    assert response.status_code == 204, response.text


async def enroll(client: AsyncClient, connection: asyncpg.Connection, person: Person) -> App:
    """Give a signed-in user a confirmed app whose present code is unused."""
    app = await add_app(client, person)
    await confirm_app(client, person, app)
    await connection.execute(
        "UPDATE totp_secrets SET last_step = 0 WHERE factor_id = $1", app.factor_id
    )
    return app
