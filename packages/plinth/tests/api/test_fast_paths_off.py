"""A part of the API with `PLINTH_FAST_PATHS=off`: FastAPI and SQLAlchemy alone serve it.

All of the API tests: `PLINTH_FAST_PATHS=off pytest tests/api`.
"""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient, Response

from plinth.db.database import Database
from plinth.db.engine import BoundedPool
from plinth.db.reading.reader import SQLAlchemyExecutor
from plinth.testing.people import PASSWORD
from tests.support.away import second_app


@pytest.fixture
async def plain(app: FastAPI, database: Database) -> AsyncIterator[FastAPI]:
    async with second_app(PLINTH_FAST_PATHS=False) as plain:
        yield plain


async def journey(app: FastAPI, name: str) -> list[Response]:
    account = {"email": f"{name}@example.com", "username": name, "password": PASSWORD}
    transport = ASGITransport(app)
    async with AsyncClient(transport=transport, base_url="http://test/api/v1") as client:

        async def ask(method: str, path: str, **options: Any) -> Response:
            seen.append(await client.request(method, path, **options))
            return seen[-1]

        seen: list[Response] = []
        await ask("POST", "/auth/register", json=account)
        await ask("POST", "/auth/register", json=account)
        await ask("POST", "/auth/login", json=account | {"password": "Wrong-Horse-9"})
        tokens = (await ask("POST", "/auth/login", json=account)).json()
        tokens = (await ask("POST", "/auth/refresh", json=tokens)).json()
        client.headers["Authorization"] = f"Bearer {tokens['access_token']}"
        me = (await ask("GET", "/users/me")).json()
        for path in ("", "/", "?limit=0", "?limit=2", "/search?q=ann", "/1x", f"/{me['id']}"):
            await ask("GET", f"/users{path}")
        await ask("PATCH", "/users/me", json={"full_name": "Ann"})
        await ask("PATCH", "/users/me", content=b"{")
        await ask("GET", "/users/me/sessions")
        await ask("DELETE", "/users/me")
        await ask("POST", "/auth/logout", json=tokens)
        await ask("GET", "/users/me")
        return seen


async def test_responses_are_equal_without_fast_paths(
    app: FastAPI, database: Database, plain: FastAPI
) -> None:
    ours = plain.state.resources.database
    assert type(ours._executor) is SQLAlchemyExecutor  # noqa: SLF001
    assert type(ours.engine.pool) is BoundedPool

    slow, fast = await journey(plain, "ann"), await journey(app, "bob")
    assert [describe(it) for it in slow] == [describe(it) for it in fast]
    assert {200, 201, 401, 422} <= {it.status_code for it in slow}


def describe(response: Response) -> Any:
    """Return only the names of the members, because the values differ between accounts."""
    body = response.json() if response.content else None
    members = sorted(body) if isinstance(body, dict) else type(body)
    return response.request.method, response.status_code, members
