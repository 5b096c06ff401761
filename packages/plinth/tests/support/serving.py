"""The server in separate processes, with production settings."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from tests.support.command import find_free_port, wait_for_health
from tests.support.environment import COMPLETE, ROOT, bare_environment

PATIENCE = 60  # seconds
SETTINGS = {
    **COMPLETE,
    "ARGON2_MEMORY_KIB": "8",
    "ARGON2_TIME_COST": "1",
    "LIMIT_REGISTER_IP": "10000/1s",  # the whole load comes from one address
    "MAIL_WORKER": "false",
    "DRAIN_SECONDS": "0",
    "MAIL_FROM": "no-reply@example.com",
    "FRONTEND_URL": "https://app.example.com",
}


@dataclass(frozen=True, slots=True)
class Serving:
    url: str
    """The base URL of the API, including its prefix."""
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def workers(self) -> list[int]:
        """Return the ids of the worker processes."""
        found = []
        for file in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                parent = int(file.read_text().rpartition(")")[2].split()[1])
                line = (file.parent / "cmdline").read_bytes()
                if parent == self.process.pid and b"spawn_main" in line:
                    found.append(int(file.parent.name))
        return sorted(found)


@contextmanager
def serving(
    folder: Path,
    *,
    plain: bool = False,
    workers: int = 1,
    application: str = "app.main:app",
    command: str = "plinth.cli",
    prefix: Sequence[str] = (),
    options: Sequence[str] = (),
    cwd: Path = ROOT,
    **settings: str,
) -> Iterator[Serving]:
    """
    Args:
        application: the application for plain uvicorn.
        command: the module of the command `plinth`.
        plain: run uvicorn itself, not `plinth serve`.
        prefix: a command that runs the server, such as one that drops root privileges.
        settings: DATABASE_URL, REDIS_URL, and other changes of `SETTINGS`.
    """
    port, log = find_free_port(), folder / "serve.log"
    way = ["uvicorn", application] if plain else [command, "serve", f"--workers={workers}"]
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*prefix, sys.executable, "-m", *way, f"--port={port}", *options],
            cwd=cwd,
            env=bare_environment() | SETTINGS | settings,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{port}/api/v1"
        wait_for_health(f"{url}/health/live", process, log)
        yield Serving(url, process, log)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGCONT)
            process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def status_of(url: str, seconds: float = 5) -> int:
    """Return the status of the response, or 0 without a response."""
    try:
        with urlopen(url, timeout=seconds) as answer:
            status: int = answer.status
            return status
    except HTTPError as error:
        return error.code
    except (URLError, OSError):
        return 0
