"""A database with the two roles that `plinth db roles` creates."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg

from plinth.testing.databases import TestServices, empty_database, on_server
from tests.support.command import plinth

PASSWORD = "a%20pass:word"


@dataclass(frozen=True, slots=True)
class Roles:
    """
    Attributes:
        admin: the URL for a superuser.
        owner: the URL for the owner of the schema.
        application: the URL for the application's role.
    """

    admin: str
    owner: str
    application: str

    @property
    def settings(self) -> dict[str, str]:
        return {"DATABASE_URL": self.application, "MIGRATION_DATABASE_URL": self.owner}

    @property
    def names(self) -> tuple[str, str]:
        """Return the names of the owner and of the application's role."""
        return str(urlsplit(self.owner).username), str(urlsplit(self.application).username)


@contextmanager
def two_roles(
    services: TestServices, worker_id: str, environment: dict[str, str]
) -> Iterator[Roles]:
    """Create an empty database and two roles, and drop all three afterwards."""
    with empty_database(services, f"{worker_id}_roles") as admin:
        names = [f"{kind}_{services.run}_{worker_id}" for kind in ("owner", "app")]
        roles = Roles(admin, *(_as_role(admin, name) for name in names))
        try:
            done = plinth(
                "db", "roles", "--url-env=ADMIN", ADMIN=admin, **environment | roles.settings
            )
            assert done.returncode == 0, done.stderr
            yield roles
        finally:
            on_server(services, lambda server: _drop(server, admin, names))


def libpq_variables(url: str) -> dict[str, str]:
    """Return the variables of psql and of the scripts in PostgreSQL's image for a URL."""
    parts = urlsplit(url)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    return {
        "POSTGRES_USER": unquote(parts.username or query.get("user", "postgres")),
        "POSTGRES_DB": parts.path.removeprefix("/"),
        "PGHOST": query.get("host") or parts.hostname or "localhost",
        "PGPORT": query.get("port") or str(parts.port or 5432),
        "PGPASSWORD": unquote(parts.password or query.get("password", "")),
    }


def _as_role(url: str, name: str) -> str:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{name}:{PASSWORD}@{host}").geturl()


async def _drop(server: asyncpg.Connection, database: str, names: list[str]) -> None:
    name = urlsplit(database).path.removeprefix("/")
    await server.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    for role in names:
        await server.execute(f'DROP ROLE IF EXISTS "{role}"')
