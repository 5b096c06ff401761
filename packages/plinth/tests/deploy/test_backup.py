"""The commands of docs/how-to/deploy.md, word for word, on a real server.

Only `docker` is replaced: its commands for the container of PostgreSQL run here.
"""

import asyncio
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from plinth.devservices import postgres_bin
from plinth.testing.databases import TestServices, cloned_database
from tests.support.roles import libpq_variables

ROOT = Path(__file__).parents[4]
SCRIPTS = ROOT / "deploy" / "initdb.d"

DOCKER = """#!/bin/sh
[ "$1 $2" = "compose exec" ] || exit 0
shift 2
[ "$1" != -T ] || shift
[ "$1" = postgres ] || exit 64
shift
exec "$@"
"""


def documented(heading: str) -> list[str]:
    """Return the shell blocks under a heading."""
    page = (ROOT / "docs/how-to/deploy.md").read_text()
    section = re.split(r"^## ", page, flags=re.MULTILINE)
    (text,) = [part for part in section if part.startswith(heading)]
    return re.findall(r"```sh\n(.*?)```", text, re.DOTALL)


DUMP, RESTORE, RESTORE_INTO_EMPTY, LOOK = (
    block for block in documented("Backup, restore, psql") if "docker compose" in block
)


class Machine:
    """A shell with a replaced `docker`, and a server with a database."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self._environment = libpq_variables(url) | {
            "PATH": f"{folder}:{self._tools()}:/usr/bin:/bin",
            "PLINTH_OWNER": f"owner_{folder.name}",
            "PLINTH_APPLICATION": f"app_{folder.name}",
            "PLINTH_OWNER_PASSWORD": "a",
            "PLINTH_APPLICATION_PASSWORD": "b",
            "PLINTH_ROLES_SQL": str(ROOT / "packages/plinth/src/plinth/cli/db/roles.sql"),
        }
        self.roles = [self._environment[f"PLINTH_{kind}"] for kind in ("OWNER", "APPLICATION")]
        docker = folder / "docker"
        docker.write_text(DOCKER)
        docker.chmod(0o755)

    def do(self, commands: str, given: str = "") -> str:
        done = subprocess.run(
            ["sh", "-euc", commands.replace("/docker-entrypoint-initdb.d", str(SCRIPTS))],
            cwd=self.folder,
            env=self._environment,
            input=given,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def ask(self, query: str) -> list[Any]:
        async def fetch() -> list[Any]:
            connection = await asyncpg.connect(self.url)
            try:
                return [tuple(row) for row in await connection.fetch(query)]
            finally:
                await connection.close()

        return asyncio.run(fetch())

    def _tools(self) -> Path:
        """Return the folder of the client programs in the version of the server."""
        ((version,),) = self.ask("SELECT current_setting('server_version_num')::int / 10000")
        for folder in (postgres_bin(), Path(f"/usr/lib/postgresql/{version}/bin")):
            program = shutil.which("pg_dump", path=str(folder))
            if program and f" {version}." in subprocess.check_output([program, "-V"], text=True):
                return Path(program).parent
        pytest.skip(f"no pg_dump of PostgreSQL {version} at hand")


@pytest.fixture
def machine(services: TestServices, worker_id: str, tmp_path: Path) -> Iterator[Machine]:
    with cloned_database(services, f"{worker_id}_backup") as url:
        found = Machine(url, tmp_path)
        yield found
        for role in found.roles:
            found.ask(
                f"DO $$ BEGIN IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN"
                f" REASSIGN OWNED BY {role} TO CURRENT_USER; DROP OWNED BY {role};"
                f" DROP ROLE {role}; END IF; END $$"
            )


def add(machine: Machine, name: str) -> int:
    ((number,),) = machine.ask(
        "INSERT INTO users (email, username, hashed_password)"
        f" VALUES ('{name}@example.com', '{name}', 'x') RETURNING id"
    )
    assert isinstance(number, int)
    return number


@pytest.mark.parametrize("restore", [RESTORE, RESTORE_INTO_EMPTY], ids=["over", "into an empty"])
def test_dump_can_be_restored(machine: Machine, restore: str) -> None:
    ada = add(machine, "ada")
    everything = "SELECT * FROM users ORDER BY id"
    before = machine.ask(everything)
    indexes = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY indexname"
    indexed = machine.ask(indexes)

    machine.do(DUMP)
    machine.ask("DELETE FROM users")
    late = add(machine, "late")
    machine.ask("UPDATE alembic_version SET version_num = 'lost'")
    machine.ask("DROP INDEX IF EXISTS ix_users_created_at")
    machine.do(restore)

    assert machine.ask(everything) == before
    assert machine.ask(indexes) == indexed
    owners = "SELECT DISTINCT tableowner::text FROM pg_tables WHERE schemaname = 'public'"
    assert machine.ask(owners) == [(machine.roles[0],)], "the owner migrates it"
    assert machine.ask("SELECT version_num FROM alembic_version") != [("lost",)]
    assert ada < add(machine, "grace") <= late, "the sequence is the dump's"


def test_psql_opens_the_database(machine: Machine) -> None:
    add(machine, "ada")

    assert "ada@example.com" in machine.do(LOOK, given="SELECT email FROM users;")


def test_upgrade_section_uses_the_same_dump_command() -> None:
    ((upgrade, *_),) = [documented("Upgrade")]

    assert DUMP.replace("plinth.dump", "before-upgrade.dump") in upgrade
