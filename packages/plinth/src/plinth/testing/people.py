"""A factory of users, signed in or not."""

from dataclasses import asdict, dataclass, field
from itertools import count
from typing import Any

import asyncpg
from argon2 import PasswordHasher
from httpx2 import AsyncClient, Response

from plinth.accounts import complete_sign_in
from plinth.db.database import Database
from plinth.request.client import Client

PASSWORD = "Correct-Horse-7"
CHEAP_HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)

_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Person:
    id: int
    email: str
    username: str
    password: str = PASSWORD
    tokens: dict[str, Any] = field(default_factory=dict)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens['access_token']}"}


@dataclass(frozen=True, slots=True)
class _Account:
    id: int
    credential_epoch: int


class People:
    """Inserts users into the database and signs them in.

    Sign-in uses `POST /auth/login` if the application has it, otherwise `complete_sign_in`.
    """

    def __init__(
        self, client: AsyncClient, connection: asyncpg.Connection, database: Database | None = None
    ) -> None:
        self._client = client
        self._connection = connection
        self._database = database

    async def add(self, **columns: Any) -> Person:
        """Insert a user who is not signed in.

        Args:
            columns: column values to use instead of generated ones.
        """
        number = next(_numbers)
        values = {
            "email": f"person{number}@example.com",
            "username": f"person{number}",
            "hashed_password": CHEAP_HASH,
        } | columns
        names = ", ".join(values)
        places = ", ".join(f"${place}" for place in range(1, len(values) + 1))
        user_id = await self._connection.fetchval(
            f"INSERT INTO users ({names}) VALUES ({places}) RETURNING id", *values.values()
        )
        return Person(user_id, values["email"], values["username"])

    async def enter(self, **columns: Any) -> Person:
        """Insert a user and sign them in."""
        return await self.sign_in(await self.add(**columns))

    async def add_organization(self, slug: str) -> int:
        """Insert an organization without members. Return its id."""
        insert = "INSERT INTO organizations (slug, name) VALUES ($1, $1) RETURNING id"
        organization_id: int = await self._connection.fetchval(insert, slug)
        return organization_id

    async def join(self, organization_id: int, person: Person, role: str) -> None:
        """Make a person a member."""
        insert = "INSERT INTO memberships (organization_id, user_id, role) VALUES ($1, $2, $3)"
        await self._connection.execute(insert, organization_id, person.id, role)

    async def sign_in(self, person: Person) -> Person:
        """Return a copy of the person with the tokens of a new session."""
        response = await self.try_to_sign_in(person)
        if response.status_code == 404 and self._database:
            return await self._sign_in_directly(person, self._database)
        assert response.status_code == 200, response.text
        return Person(person.id, person.email, person.username, person.password, response.json())

    async def try_to_sign_in(self, person: Person) -> Response:
        return await self._client.post(
            "/auth/login", json={"email": person.email, "password": person.password}
        )

    async def _sign_in_directly(self, person: Person, database: Database) -> Person:
        epoch = await self._connection.fetchval(
            "SELECT credential_epoch FROM users WHERE id = $1", person.id
        )
        user = _Account(person.id, epoch)
        signed_in = await complete_sign_in(database, user, ("password",), Client(None, None))
        tokens = asdict(signed_in.tokens)
        return Person(person.id, person.email, person.username, person.password, tokens)
