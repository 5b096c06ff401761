import asyncio
import re
import subprocess
from pathlib import Path

from app.cli.ask import confirm
from app.cli.connecting import connected, reaching
from app.cli.db.facts import count_rows, find_server, find_tables
from app.cli.db.programs import Program, Target, find_programs, first_complaint
from app.cli.failure import Failure, describe
from app.cli.output import err, out, print_facts, warn
from app.core import revisions
from app.core.backing import Backing, backing_services
from app.core.cache import clear_cache_pattern
from app.core.config import settings

TABLE = re.compile(r"^\d+; \d+ \d+ TABLE (\S+) (\S+) ", re.MULTILINE)


def run(file: Path, *, yes: bool) -> None:
    with backing_services(settings) as backing:
        url = settings.DIRECT_DATABASE_URL or backing.database_url
        with reaching(url):
            major, _ = asyncio.run(find_server(url))
        program, held = _find_pg_restore(file, major)
        with reaching(url):
            others = sorted(asyncio.run(find_tables(url)) - held)
        if others:
            raise Failure(
                f"{describe(url)} holds what {file} does not: {', '.join(others)}. That would "
                "stay, and the next migration stumble over it: restore into an empty database."
            )
        if not yes:
            confirm(f"Replace what is in {describe(url)} by {file}?")
        _restore(program, Target.of(url), file)
        with reaching(url):
            asyncio.run(_report(backing, url))


def _find_pg_restore(file: Path, server_major: int) -> tuple[Program, set[str]]:
    """One that can read the file, and the tables in it. A new pg_dump's file is too much for an old
    pg_restore."""
    if not file.is_file():
        raise Failure(f"{file} is no file.")
    for program in find_programs("pg_restore", server_major):
        listed = subprocess.run(
            [program.path, "--list", file], capture_output=True, text=True, check=False
        )
        if listed.returncode == 0:
            tables = {".".join(found) for found in TABLE.findall(listed.stdout)}
            return program, tables
        complaint = first_complaint("pg_restore", listed.stderr)
    raise Failure(f"{file} cannot be restored: {complaint}. Nothing was changed.")


def _restore(program: Program, target: Target, file: Path) -> None:
    options = ["--clean", "--if-exists", "--no-owner", "--single-transaction", "--exit-on-error"]
    with err.status(f"restoring {file}"):
        done = subprocess.run(
            [program.path, *options, "--dbname", target.url, file],
            env=target.environment,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        raise Failure(
            f"pg_restore: {first_complaint('pg_restore', done.stderr)}. The database is as it was."
        )


async def _report(backing: Backing, url: str) -> None:
    async with connected(backing) as database:
        await clear_cache_pattern("*")  # what was read from the database that is gone
        at = await revisions.applied(database)
    counts = await count_rows(url)
    out.print(f"Restored, at migration {at or 'none'}. The rows of each table:")
    print_facts((table, str(count)) for table, count in counts.items())
    out.print("Restart the servers that are running on it.")
    if at != revisions.newest():
        where, advice = revisions.compare(at)
        warn(f"The database is {where}. {advice}")
