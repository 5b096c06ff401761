"""The two roles of a database: the SQL that creates them, printed or run."""

import asyncio
import base64
import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from plinth.cli.connecting import reaching
from plinth.cli.db.facts import asking
from plinth.cli.failure import Failure, describe
from plinth.cli.output import out
from plinth.config import settings
from plinth.config.urls.postgres_url import libpq_url, read_postgres_url
from plinth.db.grants import find_role

SQL = Path(__file__).with_name("roles.sql")
ITERATIONS = 4096  # PostgreSQL's own (scram_iterations)
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
        raise Failure(f"The variable {url_env} is not set, or is empty.")
    with reaching(libpq_url(url)):
        asyncio.run(_execute(libpq_url(url), values))
    owner, application = values["plinth.owner"], values["plinth.application"]
    out.print(f"{describe(url)}: {owner} owns the database, {application} uses it.", markup=False)
    out.print("Run `plinth db upgrade`, which grants its rights to the latter.")


async def _execute(url: str, values: Mapping[str, str]) -> None:
    async with asking(url) as connection, connection.transaction():
        for name, value in values.items():
            await connection.execute("SELECT set_config($1, $2, true)", name, value)
        await connection.execute(SQL.read_text(encoding="utf-8"))


def _find_values() -> dict[str, str]:
    owner, application = settings.MIGRATION_DATABASE_URL, settings.DATABASE_URL
    if not owner or not application or find_role(owner) == find_role(application):
        raise Failure(
            "Set DATABASE_URL to the URL of the application's role and MIGRATION_DATABASE_URL to "
            "that of another role, which owns the tables and migrates; both need not exist yet. "
            "docs/how-to/deploy.md has an example."
        )
    return {
        "plinth.owner": find_role(owner),
        "plinth.owner_password": _make_verifier(read_postgres_url(owner).password),
        "plinth.application": find_role(application),
        "plinth.application_password": _make_verifier(read_postgres_url(application).password),
    }


def _make_verifier(password: str | None) -> str:
    """Return what PostgreSQL stores for a password (RFC 5803), so that the password itself is in no
    script, terminal or log of the server."""
    if not password:
        return ""
    if not password.isascii():  # others would have to be prepared by RFC 4013
        raise Failure("The passwords of the two roles must be ASCII: openssl rand -hex 24")
    salt = secrets.token_bytes(SALT_BYTES)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    encoded = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${ITERATIONS}:{encoded[0]}${encoded[1]}:{encoded[2]}"


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
