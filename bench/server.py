"""The server in a separate process with its own embedded services."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from plinth import devservices as embedded
from plinth.db import migrations

PATIENCE = 30  # seconds for a start or a stop


@dataclass(frozen=True, slots=True)
class Server:
    url: str
    """The base URL, without the prefix of the API."""
    database_url: str
    pid: int


@contextmanager
def running_server(**environment: str) -> Iterator[Server]:
    """Run the server with one worker and an empty database, and delete its data afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="plinth-bench-", dir="/tmp") as folder,
        embedded.services(Path(folder)) as endpoints,
    ):
        assert endpoints.owner_url
        assert endpoints.redis_url
        migrations.upgrade(endpoints.owner_url)
        given = {
            "DATABASE_URL": endpoints.owner_url,
            "REDIS_URL": endpoints.redis_url,
            "DATA_DIR": folder,
        }
        with _serving(os.environ | given | environment) as (url, pid):
            yield Server(url, endpoints.owner_url, pid)


@contextmanager
def _serving(environment: dict[str, str]) -> Iterator[tuple[str, int]]:
    port = _find_free_port()
    command = [sys.executable, "-m", "uvicorn", "app.main:app", "--port", str(port)]
    log = Path(environment["DATA_DIR"], "server.log")
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(url, process, log)
        yield url, process.pid
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and process.poll() is None:
        try:
            with urlopen(f"{url}/api/v1/health", timeout=1):
                return
        except (URLError, OSError):
            time.sleep(0.05)
    raise RuntimeError(f"the server did not start:\n{log.read_text()}")


def _find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
