"""`GET /users/{user_id}`, `GET /users/` and `DELETE /users/{user_id}`"""

from typing import Any

import asyncpg
import pytest
from httpx2 import AsyncClient

from plinth.config import settings
from plinth.http.problems import MAX_REPORTED_ERRORS
from plinth.testing.answers import USER, check_invalid, check_refusal
from plinth.testing.people import People, Person

UNAUTHENTICATED = "Could not validate credentials"
NOT_PERMITTED = "The user doesn't have enough privileges"
LARGEST_ID = 2**63 - 1


@pytest.fixture
async def user(people: People) -> Person:
    return await people.enter()


@pytest.fixture
async def superuser(people: People) -> Person:
    return await people.enter(is_superuser=True)


async def test_get_user_by_id(client: AsyncClient, people: People, user: Person) -> None:
    other = await people.add(full_name="Grace Hopper")

    answer = await client.get(f"/users/{other.id}", headers=user.headers)

    assert answer.status_code == 200
    assert answer.json() == {
        "id": other.id,
        "username": other.username,
        "full_name": "Grace Hopper",
    }


@pytest.mark.parametrize("user_id", [1_000_000_000, LARGEST_ID])
async def test_unknown_user_is_404(client: AsyncClient, superuser: Person, user_id: int) -> None:
    for method in ("GET", "DELETE"):
        answer = await client.request(method, f"/users/{user_id}", headers=superuser.headers)
        assert check_refusal(answer, 404, "User not found")["code"] == "user_not_found"


@pytest.mark.parametrize("user_id", ["0", "-1", str(LARGEST_ID + 1), "abc", "1.5"])
async def test_invalid_user_id_is_422(client: AsyncClient, superuser: Person, user_id: str) -> None:
    for method in ("GET", "DELETE"):
        answer = await client.request(method, f"/users/{user_id}", headers=superuser.headers)
        check_invalid(answer, "path.user_id")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/users/1"),
        ("GET", "/users/"),
        ("DELETE", "/users/1"),
        ("GET", "/users/search?q=ab"),
    ],
)
async def test_request_without_a_token_is_401(client: AsyncClient, method: str, path: str) -> None:
    check_refusal(await client.request(method, path), 401, UNAUTHENTICATED)


async def test_only_superusers_can_list_and_delete_users(
    client: AsyncClient, people: People, user: Person, second: asyncpg.Connection
) -> None:
    other = await people.add()

    check_refusal(await client.get("/users/", headers=user.headers), 403, NOT_PERMITTED)
    for user_id in (other.id, user.id, 1_000_000_000):
        answer = await client.delete(f"/users/{user_id}", headers=user.headers)
        check_refusal(answer, 403, NOT_PERMITTED)
    assert await second.fetchval("SELECT count(*) FROM users") == 2


async def test_list_is_ordered_by_id_with_all_fields(
    client: AsyncClient, people: People, superuser: Person
) -> None:
    others = [await people.add() for _ in range(3)]

    answer = await client.get("/users/", headers=superuser.headers)

    assert answer.status_code == 200
    assert set(answer.json()) == {
        "items",
        "total",
        "page",
        "size",
        "pages",
        "next",
        "prev",
    }
    assert [item["id"] for item in answer.json()["items"]] == [
        superuser.id,
        *(other.id for other in others),
    ]
    assert all(set(item) == USER for item in answer.json()["items"])


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, {"count": 20, "total": 25, "page": 1, "size": 20, "pages": 2}),
        ({"skip": 20}, {"count": 5, "total": 25, "page": 2, "size": 20, "pages": 2}),
        ({"limit": 25}, {"count": 25, "total": 25, "page": 1, "size": 25, "pages": 1}),
        ({"limit": 24}, {"count": 24, "total": 25, "page": 1, "size": 24, "pages": 2}),
        ({"limit": 10, "skip": 9}, {"count": 10, "total": 25, "page": 1, "size": 10, "pages": 3}),
        ({"limit": 10, "skip": 10}, {"count": 10, "total": 25, "page": 2, "size": 10, "pages": 3}),
        ({"limit": 1, "skip": 24}, {"count": 1, "total": 25, "page": 25, "size": 1, "pages": 25}),
        ({"limit": 100}, {"count": 25, "total": 25, "page": 1, "size": 100, "pages": 1}),
        ({"skip": 25}, {"count": 0, "total": 25, "page": 2, "size": 20, "pages": 2}),
        ({"skip": 1000}, {"count": 0, "total": 25, "page": 51, "size": 20, "pages": 2}),
    ],
    ids=str,
)
async def test_list_returns_total_and_page_numbers(
    client: AsyncClient,
    people: People,
    superuser: Person,
    query: dict[str, int],
    expected: dict[str, int],
) -> None:
    for _ in range(24):
        await people.add()

    page: dict[str, Any] = (
        await client.get("/users/", headers=superuser.headers, params=query)
    ).json()

    del page["next"], page["prev"]  # tests/kit has the links
    assert {"count": len(page.pop("items")), **page} == expected


@pytest.mark.parametrize("path", ["/users/?", "/users/search?q=person&"])
@pytest.mark.parametrize(
    "query", ["skip=-1", f"skip={2**63}", "skip=x", "limit=0", "limit=-1", "limit=101", "limit=x"]
)
async def test_skip_and_limit_out_of_range_are_422(
    client: AsyncClient, superuser: Person, path: str, query: str
) -> None:
    assert settings.MAX_PAGE_SIZE == 100

    answer = await client.get(path + query, headers=superuser.headers)

    check_invalid(answer, f"query.{query.partition('=')[0]}")


async def test_deleting_a_user_deletes_their_sessions(
    client: AsyncClient,
    user: Person,
    superuser: Person,
    second: asyncpg.Connection,
) -> None:
    answer = await client.delete(f"/users/{user.id}", headers=superuser.headers)

    assert (answer.status_code, answer.content) == (204, b"")
    assert [row["id"] for row in await second.fetch("SELECT id FROM users")] == [superuser.id]
    assert await second.fetchval("SELECT count(*) FROM sessions") == 1
    check_refusal(await client.get("/users/me", headers=user.headers), 401, UNAUTHENTICATED)
    again = await client.delete(f"/users/{user.id}", headers=superuser.headers)
    check_refusal(again, 404, "User not found")


async def test_superuser_cannot_delete_themselves(
    client: AsyncClient, people: People, superuser: Person, second: asyncpg.Connection
) -> None:
    await people.add(is_superuser=True)

    answer = await client.delete(f"/users/{superuser.id}", headers=superuser.headers)

    assert check_refusal(answer, 400, "Cannot delete yourself")["code"] == "cannot_delete_yourself"
    assert await second.fetchval("SELECT count(*) FROM users") == 2


async def test_at_most_100_validation_errors_are_reported(
    client: AsyncClient, superuser: Person
) -> None:
    query = {f"unknown{number}": "1" for number in range(200)}
    answer = await client.get("/users/", params=query, headers=superuser.headers)
    assert answer.status_code == 422
    assert len(answer.json()["errors"]) == MAX_REPORTED_ERRORS
