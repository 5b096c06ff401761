"""Embedded PostgreSQL and Valkey servers from pip packages, for development and tests.

Processes with the same data folder share the servers: the first one starts them, the last one stops
them. Kernel locks count the users (`sharing.py`), so a killed process is not counted.
"""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from plinth.devservices.packages import EmbeddedError, postgres_bin

if sys.platform != "win32":  # their modules need fcntl
    from plinth.devservices.folders import make_data_folder
    from plinth.devservices.postgres import APPLICATION, OWNER, database_url, postgres_service
    from plinth.devservices.sharing import shared
    from plinth.devservices.valkey import redis_url, valkey_service

__all__ = ["EmbeddedError", "Endpoints", "postgres_bin", "services"]


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The URLs of the servers; None for a server that was not requested.

    Attributes:
        database_url: for the application's role, which has no DDL.
        owner_url: for the superuser, which runs migrations.
    """

    database_url: str | None
    redis_url: str | None
    owner_url: str | None


@contextmanager
def services(
    data_dir: Path, *, postgres: bool = True, valkey: bool = True, durable: bool = True
) -> Iterator[Endpoints]:
    """Use the servers of `data_dir`, and start those that are not running.

    Without either server, nothing is created: the file system may be read-only.

    Args:
        durable: False trades crash safety for speed (tests). It has no effect on a running server.

    Raises:
        EmbeddedError: a package is missing, or the folder or a server is unusable.
    """
    if not (postgres or valkey):
        yield Endpoints(database_url=None, redis_url=None, owner_url=None)
        return
    if sys.platform == "win32":
        raise EmbeddedError(
            "The embedded services do not run on Windows: use WSL, or set DATABASE_URL and "
            "REDIS_URL to your own servers."
        )
    found_postgres = postgres_service(durable=durable) if postgres else None
    found_valkey = valkey_service(durable=durable) if valkey else None
    folder = make_data_folder(data_dir)
    with ExitStack() as stack:
        database = owner = cache = None
        if found_postgres:
            run = stack.enter_context(shared(found_postgres, folder))
            database, owner = database_url(run, APPLICATION), database_url(run, OWNER)
        if found_valkey:
            cache = redis_url(stack.enter_context(shared(found_valkey, folder)))
        yield Endpoints(database_url=database, redis_url=cache, owner_url=owner)
