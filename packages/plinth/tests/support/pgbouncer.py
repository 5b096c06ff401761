"""A PgBouncer for one test, from Debian's package."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from plinth.devservices.wire import ask_postgres
from tests.support.command import find_free_port
from tests.support.postgres import DATABASE, USER, OwnPostgres, spawn

PATIENCE = 30  # seconds
SERVER_CONNECTIONS = 3  # fewer than clients, so that clients share them


@contextmanager
def own_pgbouncer(folder: Path, server: OwnPostgres, role: str = USER) -> Iterator[str]:
    """Start it in transaction mode and yield its URL.

    Args:
        role: of its connections to the server.
    """
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if program is None:
        pytest.skip("PgBouncer is not installed: apt-get install pgbouncer")
    port = find_free_port()
    settings = folder / "pgbouncer.ini"
    settings.write_text(
        f"""[databases]
{DATABASE} = host=127.0.0.1 port={server.port} user={role}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir = {folder}
auth_type = any
pool_mode = transaction
default_pool_size = {SERVER_CONNECTIONS}
"""
    )
    owner = folder.stat()
    os.chown(settings, owner.st_uid, owner.st_gid)
    with (folder / "pgbouncer.log").open("wb") as log:
        process = spawn(Path(program), settings, output=log.fileno())
    try:
        until = time.monotonic() + PATIENCE
        while ask_postgres(folder / f".s.PGSQL.{port}", USER, DATABASE, "SELECT 1") != "00000":
            assert process.poll() is None, (folder / "pgbouncer.log").read_text()
            assert time.monotonic() < until, "PgBouncer does not respond"
            time.sleep(0.02)
        yield f"postgresql://{USER}@127.0.0.1:{port}/{DATABASE}"
    finally:
        process.kill()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            pytest.fail("PgBouncer does not stop")
