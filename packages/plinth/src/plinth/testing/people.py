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
class Proven:
    """A user as `complete_sign_in` asks for one."""

    id: int
    hashed_password: str


class People:
    """Makes users in the database and signs them in, over HTTP where the application has the
    library's `/auth/login`."""

    def __init__(
        self, client: AsyncClient, connection: asyncpg.Connection, database: Database | None = None
    ) -> None:
        self._client = client
        self._connection = connection
        self._database = database

    async def add(self, **columns: Any) -> Person:
        """A user who exists and is not signed in; `columns` in place of the usual values."""
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
        """A user who is signed in."""
        return await self.sign_in(await self.add(**columns))

    async def sign_in(self, person: Person) -> Person:
        answer = await self.try_to_sign_in(person)
        if answer.status_code == 404 and self._database:
            return await self._sign_in_directly(person, self._database)
        assert answer.status_code == 200, answer.text
        return Person(person.id, person.email, person.username, person.password, answer.json())

    async def try_to_sign_in(self, person: Person) -> Response:
        return await self._client.post(
            "/auth/login", json={"email": person.email, "password": person.password}
        )

    async def _sign_in_directly(self, person: Person, database: Database) -> Person:
        proven = Proven(person.id, CHEAP_HASH)
        signed_in = await complete_sign_in(database, proven, ("password",), Client(None, None))
        tokens = asdict(signed_in.tokens)
        return Person(person.id, person.email, person.username, person.password, tokens)
