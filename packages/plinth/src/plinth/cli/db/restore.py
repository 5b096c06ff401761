import asyncio
import re
import subprocess
from pathlib import Path
from tempfile import NamedTemporaryFile

from plinth.cache import clear_cache_pattern
from plinth.cli.ask import confirm
from plinth.cli.connecting import connected, reaching
from plinth.cli.db.facts import asking, count_rows, find_server, find_tables
from plinth.cli.db.programs import Program, Target, find_programs, first_complaint
from plinth.cli.failure import Failure, describe
from plinth.cli.output import err, out, print_facts, warn
from plinth.config import settings
from plinth.db.grants import GRANT, SET_ROLE_NAME, find_role
from plinth.db.schema.state import read_state
from plinth.devservices.service_urls import ServiceUrls, running_services

TABLE = re.compile(r"^\d+; \d+ \d+ TABLE (\S+) (\S+) ", re.MULTILINE)
EXTENSION = re.compile(r"^\d+; \d+ \d+ EXTENSION - (\S+) ", re.MULTILINE)
# What only a superuser may drop and create again, and what is granted anew.
LEFT_OUT = re.compile(r"^\d+; \d+ \d+ (EXTENSION|COMMENT - EXTENSION|ACL|DEFAULT ACL) ")


def run(file: Path, *, yes: bool) -> None:
    with running_services(settings) as backing:
        url = backing.owner_url
        with reaching(url):
            major, _ = asyncio.run(find_server(url))
        program, contents = _find_pg_restore(file, major)
        held = {".".join(found) for found in TABLE.findall(contents)}
        with reaching(url):
            others = sorted(asyncio.run(find_tables(url)) - held)
        if others:
            raise Failure(
                f"{describe(url)} holds what {file} does not: {', '.join(others)}. That would "
                "stay, and the next migration stumble over it: restore into an empty database."
            )
        if not yes:
            confirm(f"Replace what is in {describe(url)} by {file}?")
        with reaching(url):
            asyncio.run(_create_extensions(url, EXTENSION.findall(contents)))
        _restore(program, Target.of(url), file, contents)
        with reaching(url):
            asyncio.run(_grant(url, find_role(backing.database_url)))
            asyncio.run(_report(backing, url))


def _find_pg_restore(file: Path, server_major: int) -> tuple[Program, str]:
    """One that can read the file, and the list of what is in it. A new pg_dump's file is too much
    for an old pg_restore."""
    if not file.is_file():
        raise Failure(f"{file} is no file.")
    for program in find_programs("pg_restore", server_major):
        listed = subprocess.run(
            [program.path, "--list", file], capture_output=True, text=True, check=False
        )
        if listed.returncode == 0:
            return program, listed.stdout
        complaint = first_complaint("pg_restore", listed.stderr)
    raise Failure(f"{file} cannot be restored: {complaint}. Nothing was changed.")


async def _create_extensions(url: str, names: list[str]) -> None:
    """Beforehand, because the owner of a database may create the extensions that PostgreSQL trusts
    and may not drop those of a superuser."""
    async with asking(url) as connection:
        for name in names:
            quoted = name.replace('"', '""')
            await connection.execute(f'CREATE EXTENSION IF NOT EXISTS "{quoted}"')


def _restore(program: Program, target: Target, file: Path, contents: str) -> None:
    options = ["--clean", "--if-exists", "--no-owner", "--single-transaction", "--exit-on-error"]
    kept = [line for line in contents.splitlines() if not LEFT_OUT.match(line)]
    with NamedTemporaryFile("w", suffix=".list") as chosen, err.status(f"restoring {file}"):
        chosen.write("\n".join(kept))
        chosen.flush()
        done = subprocess.run(
            [program.path, *options, "--use-list", chosen.name, "--dbname", target.url, file],
            env=target.environment,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        raise Failure(
            f"pg_restore: {first_complaint('pg_restore', done.stderr)}. The database is as it was."
        )


async def _grant(url: str, role: str) -> None:
    async with asking(url) as connection, connection.transaction():
        await connection.execute(SET_ROLE_NAME, role)
        await connection.execute(GRANT)


async def _report(backing: ServiceUrls, url: str) -> None:
    async with connected(backing) as database:
        await clear_cache_pattern("*")  # what was read from the database that is gone
        state = await read_state(database)
    counts = await count_rows(url)
    out.print(f"Restored, at migration {state.revision or 'none'}. The rows of each table:")
    print_facts((table, str(count)) for table, count in counts.items())
    out.print("Restart the servers that are running on it.")
    if difference := state.compare():
        warn("The database is {}. {}".format(*difference))
