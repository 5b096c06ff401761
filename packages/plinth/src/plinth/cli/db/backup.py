import asyncio
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from plinth.cli.atomic_write import atomic_write, refuse_existing
from plinth.cli.connecting import database_errors
from plinth.cli.db.facts import find_server, needs_maintenance
from plinth.cli.db.programs import Program, Target, find_programs, first_error
from plinth.cli.failure import Failure, describe
from plinth.cli.output import err, out
from plinth.config import settings
from plinth.config.urls.postgres_url import libpq_url, with_server_setting
from plinth.db.tenancy import MAINTENANCE_SETTING
from plinth.devservices.service_urls import running_services

POLL_SECONDS = 0.1


def run(file: Path | None, *, force: bool) -> None:
    with running_services(settings) as services:
        url = services.owner_url
        with database_errors(url):
            major, name = asyncio.run(find_server(url))
            maintained = asyncio.run(needs_maintenance(url))
        path = _choose_path(file, name, force=force)
        program = _find_pg_dump(major)
        with atomic_write(path) as draft:
            _dump(program, url, draft, path.name, maintained=maintained)
            draft.replace(path)
        out.print(f"Backed up {describe(url)} to {path} ({_size(path)})", markup=False)


def _choose_path(file: Path | None, database: str, *, force: bool) -> Path:
    path = file or Path()
    if path.is_dir():
        path /= f"{database.replace('/', '_')}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.dump"
    refuse_existing(path, force=force)
    return path


def _find_pg_dump(server_major: int) -> Program:
    program = find_programs("pg_dump", server_major)[0]
    if program.major < server_major:
        raise Failure(
            f"{program.path} is version {program.major}, which cannot dump the server's PostgreSQL "
            f"{server_major}: install postgresql-client-{server_major}, or run pg_dump on the "
            "server's host."
        )
    return program


def _dump(program: Program, url: str, draft: Path, name: str, *, maintained: bool) -> None:
    """
    Args:
        maintained: the role may read all rows of tables with policies, if it declares maintenance.
            pg_dump fails for other roles, because it never leaves out rows by default.
    """
    if maintained:
        url = with_server_setting(libpq_url(url), MAINTENANCE_SETTING, "on")
    target = Target.of(url)
    options: list[str | Path] = ["--format=custom", "--file", draft, "--dbname", target.url]
    if maintained:
        options.append("--enable-row-security")
    with tempfile.TemporaryFile("w+") as stderr, err.status("") as progress:
        process = subprocess.Popen([program.path, *options], env=target.environment, stderr=stderr)
        try:
            while process.poll() is None:
                progress.update(f"{name}: {_size(draft)}")
                try:
                    process.wait(POLL_SECONDS)
                except subprocess.TimeoutExpired:
                    continue
        finally:
            process.kill()
            process.wait()
        stderr.seek(0)
        if process.returncode != 0:
            error = first_error("pg_dump", stderr.read())
            raise Failure(f"pg_dump failed: {error}. No file was written.")


def _size(path: Path) -> str:
    size = float(path.stat().st_size)
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:  # noqa: PLR2004
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
