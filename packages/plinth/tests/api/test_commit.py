"""A success response means the data is committed: the commit precedes the response."""

from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest
from httpx2 import AsyncClient, Response

from plinth.testing.people import PASSWORD, People, Person

Act = Callable[[AsyncClient, Person, Person], Awaitable[Response]]
EVERYTHING = (
    "SELECT users::text FROM users UNION ALL SELECT sessions::text FROM sessions ORDER BY 1"
)


@pytest.fixture(params=["23514", "40001", "P0001"])
async def late_refusal(
    request: pytest.FixtureRequest, second: asyncpg.Connection
) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Return a function that adds a deferred constraint, which fails at COMMIT."""

    async def switch_on() -> None:
        await second.execute(
            "CREATE FUNCTION refuse_late() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN RAISE EXCEPTION 'too late' USING ERRCODE = '{request.param}'; END $$"
        )
        for table in ("users", "sessions"):
            await second.execute(
                f"CREATE CONSTRAINT TRIGGER late AFTER INSERT OR UPDATE OR DELETE ON {table}"
                " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse_late()"
            )

    yield switch_on
    await second.execute("DROP FUNCTION IF EXISTS refuse_late() CASCADE")


async def register(client: AsyncClient, _: Person, __: Person) -> Response:
    account = {"email": "new@example.com", "username": "new", "password": PASSWORD}
    return await client.post("/auth/register", json=account)


async def sign_in(client: AsyncClient, person: Person, _: Person) -> Response:
    credentials = {"email": person.email, "password": PASSWORD}
    return await client.post("/auth/login", json=credentials)


async def refresh(client: AsyncClient, person: Person, _: Person) -> Response:
    token = {"refresh_token": person.tokens["refresh_token"]}
    return await client.post("/auth/refresh", json=token)


async def change(client: AsyncClient, person: Person, _: Person) -> Response:
    return await client.patch("/users/me", headers=person.headers, json={"full_name": "New"})


async def delete(client: AsyncClient, person: Person, other: Person) -> Response:
    return await client.delete(f"/users/{other.id}", headers=person.headers)


ACTS: list[Act] = [register, sign_in, refresh, change, delete]


@pytest.mark.parametrize("act", ACTS)
async def test_failed_commit_never_returns_success(
    client: AsyncClient,
    people: People,
    second: asyncpg.Connection,
    late_refusal: Callable[[], Awaitable[None]],
    act: Act,
) -> None:
    person = await people.enter(is_superuser=True)
    other = await people.enter()
    before = await second.fetch(EVERYTHING)
    await late_refusal()

    answer = await act(client, person, other)

    assert answer.status_code >= 400
    assert "too late" not in answer.text
    assert await second.fetch(EVERYTHING) == before


@pytest.mark.parametrize("act", ACTS)
async def test_success_response_means_the_data_is_committed(
    client: AsyncClient, people: People, second: asyncpg.Connection, act: Act
) -> None:
    person = await people.enter(is_superuser=True)
    other = await people.enter()
    before = await second.fetch(EVERYTHING)

    answer = await act(client, person, other)

    assert answer.is_success
    assert await second.fetch(EVERYTHING) != before
