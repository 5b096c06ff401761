import asyncio
import re
import subprocess
from pathlib import Path
from tempfile import NamedTemporaryFile

from plinth.cache import clear_cache_pattern
from plinth.cli.connecting import connected, database_errors
from plinth.cli.db.facts import connect_to, count_rows, find_server, find_tables
from plinth.cli.db.programs import Program, Target, find_programs, first_error
from plinth.cli.failure import Failure, describe
from plinth.cli.output import confirm, err, out, print_facts, warn
from plinth.config import settings
from plinth.db.grants import (
    GRANT,
    MAINTENANCE_POLICY,
    SET_ROLE_NAME,
    find_role,
    renew_maintenance_policies,
)
from plinth.db.schema.state import read_state
from plinth.devservices.service_urls import ServiceUrls, running_services

TABLE = re.compile(r"^\d+; \d+ \d+ TABLE (\S+) (\S+) ", re.MULTILINE)
EXTENSION = re.compile(r"^\d+; \d+ \d+ EXTENSION - (\S+) ", re.MULTILINE)
# Extensions, which only a superuser may drop, and what `_grant` creates again: privileges, and the
# policies that name the owner.
SKIPPED = re.compile(
    r"^\d+; \d+ \d+ (EXTENSION|COMMENT - EXTENSION|ACL|DEFAULT ACL"
    rf"|POLICY \S+ \S+ {MAINTENANCE_POLICY}) "
)


def run(file: Path, *, yes: bool) -> None:
    with running_services(settings) as services:
        url = services.owner_url
        with database_errors(url):
            major, _ = asyncio.run(find_server(url))
        program, contents = _find_pg_restore(file, major)
        dumped = {".".join(names) for names in TABLE.findall(contents)}
        with database_errors(url):
            others = sorted(asyncio.run(find_tables(url)) - dumped)
        if others:
            raise Failure(
                f"{describe(url)} has tables that {file} does not contain: {', '.join(others)}. "
                "They would stay, and the next migration could fail: restore into an empty "
                "database."
            )
        if not yes:
            confirm(f"Replace all data in {describe(url)} with {file}?")
        with database_errors(url):
            asyncio.run(_create_extensions(url, EXTENSION.findall(contents)))
        _restore(program, Target.of(url), file, contents)
        with database_errors(url):
            asyncio.run(_grant(url, find_role(services.database_url)))
            asyncio.run(_report(services, url))


def _find_pg_restore(file: Path, server_major: int) -> tuple[Program, str]:
    """Return a pg_restore that can read the file, and the file's table of contents.

    An older pg_restore cannot read the file of a newer pg_dump.
    """
    if not file.is_file():
        raise Failure(f"There is no file {file}.")
    for program in find_programs("pg_restore", server_major):
        listed = subprocess.run(
            [program.path, "--list", file], capture_output=True, text=True, check=False
        )
        if listed.returncode == 0:
            return program, listed.stdout
        error = first_error("pg_restore", listed.stderr)
    raise Failure(f"{file} cannot be restored: {error}. Nothing was changed.")


async def _create_extensions(url: str, names: list[str]) -> None:
    """Create extensions before the restore.

    The owner of a database may create trusted extensions, but may not drop those of a superuser,
    which pg_restore would try.
    """
    async with connect_to(url) as connection:
        for name in names:
            quoted = name.replace('"', '""')
            await connection.execute(f'CREATE EXTENSION IF NOT EXISTS "{quoted}"')


def _restore(program: Program, target: Target, file: Path, contents: str) -> None:
    options = ["--clean", "--if-exists", "--no-owner", "--single-transaction", "--exit-on-error"]
    entries = [line for line in contents.splitlines() if not SKIPPED.match(line)]
    with NamedTemporaryFile("w", suffix=".list") as use_list, err.status(f"Restoring {file}"):
        use_list.write("\n".join(entries))
        use_list.flush()
        done = subprocess.run(
            [program.path, *options, "--use-list", use_list.name, "--dbname", target.url, file],
            env=target.environment,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        error = first_error("pg_restore", done.stderr)
        raise Failure(f"pg_restore failed: {error}. The database is unchanged.")


async def _grant(url: str, role: str) -> None:
    async with connect_to(url) as connection, connection.transaction():
        await connection.execute(SET_ROLE_NAME, role)
        await connection.execute(GRANT)
        await connection.execute(renew_maintenance_policies())


async def _report(services: ServiceUrls, url: str) -> None:
    async with connected(services) as database:
        await clear_cache_pattern("*")  # it has data of the previous database
        state = await read_state(database)
    counts = await count_rows(url)
    out.print(f"Restored, at migration {state.revision or 'none'}. Rows per table:")
    print_facts((table, str(count)) for table, count in counts.items())
    out.print("Restart the servers that use this database.")
    if difference := state.compare():
        warn("The database is {}. {}".format(*difference))
