"""Create the two roles of a database: print or run the SQL."""

import asyncio
import base64
import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from plinth.cli.connecting import database_errors
from plinth.cli.db.facts import connect_to
from plinth.cli.failure import Failure, describe
from plinth.cli.output import out
from plinth.config import settings
from plinth.config.urls.postgres_url import libpq_url, read_postgres_url
from plinth.db.grants import find_role

SQL = Path(__file__).with_name("roles.sql")
ITERATIONS = 4096  # PostgreSQL's default (scram_iterations)
SALT_BYTES = 16


def run(url_env: str | None) -> None:
    values = _find_values()
    if url_env is None:
        for name, value in values.items():
            print(f"SET {name} = {_quote(value)};")
        print(SQL.read_text(encoding="utf-8"), end="")
        return
    url = os.environ.get(url_env)
    if not url:
        raise Failure(f"The environment variable {url_env} is not set or empty.")
    with database_errors(libpq_url(url)):
        asyncio.run(_execute(libpq_url(url), values))
    owner, application = values["plinth.owner"], values["plinth.application"]
    out.print(f"{describe(url)}: {owner} owns the database, {application} uses it.", markup=False)
    out.print(f"Next: run `plinth db upgrade`, which grants {application} its privileges.")


async def _execute(url: str, values: Mapping[str, str]) -> None:
    async with connect_to(url) as connection, connection.transaction():
        for name, value in values.items():
            await connection.execute("SELECT set_config($1, $2, true)", name, value)
        await connection.execute(SQL.read_text(encoding="utf-8"))


def _find_values() -> dict[str, str]:
    owner, application = settings.MIGRATION_DATABASE_URL, settings.DATABASE_URL
    if not owner or not application or find_role(owner) == find_role(application):
        raise Failure(
            "Set DATABASE_URL to a URL with the application's role, and MIGRATION_DATABASE_URL to "
            "one with another role, which owns the tables and migrates. Neither role has to exist "
            "yet. docs/how-to/deploy.md has an example."
        )
    return {
        "plinth.owner": find_role(owner),
        "plinth.owner_password": _make_verifier(read_postgres_url(owner).password),
        "plinth.application": find_role(application),
        "plinth.application_password": _make_verifier(read_postgres_url(application).password),
    }


def _make_verifier(password: str | None) -> str:
    """Return the SCRAM verifier that PostgreSQL stores for a password (RFC 5803).

    It keeps the password itself out of scripts, terminals and the server's log.
    """
    if not password:
        return ""
    if not password.isascii():  # others would need SASLprep (RFC 4013)
        raise Failure(
            "The passwords in DATABASE_URL and MIGRATION_DATABASE_URL must be ASCII. Generate one "
            "with: openssl rand -hex 24"
        )
    salt = secrets.token_bytes(SALT_BYTES)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    encoded = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${ITERATIONS}:{encoded[0]}${encoded[1]}:{encoded[2]}"


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
