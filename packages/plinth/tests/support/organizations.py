"""Organizations with members in given roles."""

from dataclasses import dataclass
from typing import Any

import asyncpg
from httpx2 import AsyncClient, Response

from plinth.testing.people import People, Person

WAITS_FOR_LOCK = """SELECT count(*) > 0 FROM pg_locks
    WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"""


@dataclass(frozen=True, slots=True)
class Company:
    """An organization, and a client of its routes."""

    client: AsyncClient
    people: People
    second: asyncpg.Connection
    id: int
    slug: str
    owner: Person

    async def join(self, person: Person, role: str) -> Person:
        insert = "INSERT INTO memberships (organization_id, user_id, role) VALUES ($1, $2, $3)"
        await self.second.execute(insert, self.id, person.id, role)
        return person

    async def enter(self, role: str) -> Person:
        """Create a user with a verified address, sign them in and make them a member."""
        return await self.join(await self.people.enter(is_verified=True), role)

    async def call(self, method: str, path: str, person: Person, body: Any = None) -> Response:
        """Call a route below `/organizations/{slug}`."""
        url = f"/organizations/{self.slug}{path}"
        return await self.client.request(method, url, json=body, headers=person.headers)

    async def roles(self) -> dict[int, str]:
        """Return the committed roles of the members, by user id."""
        rows = await self.second.fetch(
            "SELECT user_id, role FROM memberships WHERE organization_id = $1", self.id
        )
        return dict(rows)


async def found(
    client: AsyncClient, people: People, second: asyncpg.Connection, slug: str = "acme"
) -> Company:
    """Create an organization by its route."""
    owner = await people.enter(is_verified=True)
    body = {"name": slug.capitalize(), "slug": slug}
    response = await client.post("/organizations", json=body, headers=owner.headers)
    assert response.status_code == 201, response.text
    return Company(client, people, second, response.json()["id"], slug, owner)


async def make_stale(second: asyncpg.Connection, person: Person) -> None:
    """Let the sessions of a person have authenticated too long ago for a step-up."""
    await second.execute(
        "UPDATE sessions SET authenticated_at = now() - interval '1 hour' WHERE user_id = $1",
        person.id,
    )


def code_of(response: Response) -> tuple[int, str]:
    return response.status_code, response.json()["code"]
