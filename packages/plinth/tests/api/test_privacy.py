"""Only superusers see the e-mail, flags and dates of another user."""

from typing import Any

import asyncpg
import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient

from plinth.testing.answers import PUBLIC_USER, USER
from plinth.testing.asgi import send
from plinth.testing.attacks import AttackGenerator
from plinth.testing.operations import Operation, find_operations
from plinth.testing.people import People, Person

TARGET = {
    "email": "private.address@hidden.example",
    "username": "grace",
    "full_name": "Grace Hopper",
    "is_verified": True,
}
ROLES: dict[str, dict[str, int | set[str]]] = {
    "anonymous": {"one": 401, "found": 401, "list": 401},
    "other": {"one": PUBLIC_USER, "found": PUBLIC_USER, "list": 403},
    "self": {"one": USER, "found": USER, "list": 403},
    "superuser": {"one": USER, "found": USER, "list": USER},
}


async def headers_of(role: str, people: People, target: Person) -> dict[str, str]:
    match role:
        case "other":
            return (await people.enter()).headers
        case "self":
            return (await people.sign_in(target)).headers
        case "superuser":
            return (await people.enter(is_superuser=True)).headers
    return {}


def find(body: Any, user_id: int) -> dict[str, Any]:
    """Return the user from each format of response."""
    if isinstance(body, dict):
        body = body.get("items", [body])
    (found,) = [user for user in body if user["id"] == user_id]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("route", ["one", "found", "list"])
async def test_visible_fields_depend_on_role_and_route(
    client: AsyncClient, people: People, second: asyncpg.Connection, role: str, route: str
) -> None:
    target = await people.add(**TARGET)
    headers = await headers_of(role, people, target)
    path = {"one": f"/users/{target.id}", "found": "/users/search?q=grace", "list": "/users/"}

    answer = await client.get(path[route], headers=headers)

    expected = ROLES[role][route]
    if isinstance(expected, int):
        assert answer.status_code == expected
        assert target.email not in answer.text
        return
    seen = find(answer.json(), target.id)
    row = dict(await second.fetchrow("SELECT * FROM users WHERE id = $1", target.id))
    row["created_at"] = row["created_at"].isoformat().replace("+00:00", "Z")
    assert seen == {name: row[name] for name in expected}


@pytest.mark.parametrize(
    "part", ["private.address@hidden.example", "private", "HIDDEN", "address@hidden", ".example"]
)
async def test_only_superusers_can_search_by_email(
    client: AsyncClient, people: People, part: str
) -> None:
    target = await people.add(**TARGET)
    found = {}
    for role in ("other", "self", "superuser"):
        headers = await headers_of(role, people, target)
        answer = await client.get("/users/search", headers=headers, params={"q": part})
        found[role] = [user["id"] for user in answer.json()]

    assert found == {"other": [], "self": [], "superuser": [target.id]}


@pytest.mark.parametrize("operation", find_operations(), ids=str)
@pytest.mark.parametrize("role", ["anonymous", "other"])
async def test_no_route_exposes_private_data(
    app: FastAPI, people: People, second: asyncpg.Connection, operation: Operation, role: str
) -> None:
    target = await people.enter(**TARGET)
    headers = await headers_of(role, people, target)
    row = await second.fetchrow("SELECT * FROM users WHERE id = $1", target.id)
    session = await second.fetchrow("SELECT * FROM sessions WHERE user_id = $1", target.id)

    attack = AttackGenerator(operation, {"user_id": target.id, "q": "grace"}).valid()
    own = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    answer = await send(app, operation.method, attack.target, [*own, *attack.headers], attack.body)

    shown = answer.body.decode()
    for private in ("email", "hashed_password", "created_at", "updated_at"):
        assert str(row[private]).replace(" ", "T")[:26] not in shown
    assert str(session["id"]) not in shown
    assert "hashed_password" not in shown
