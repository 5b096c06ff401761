"""Run the commands and the server of a started project."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from httpx2 import Client

from plinth.testing.databases import TestServices, empty_database
from tests.start.conftest import PATIENCE, Project
from tests.support.command import find_free_port, wait_for_health
from tests.support.mail_server import Inbox

API = "/api/v1"
GIT = ("git", "-c", "user.name=t", "-c", "user.email=t@example.com")


def run_plinth(project: Project, *arguments: str | Path, **settings: str) -> str:
    return project.run(_find_plinth(project), *arguments, **settings)


def commit(project: Project, message: str) -> None:
    if not (project.folder / ".git").exists():
        project.run("git", "init", "--quiet")
    project.run("git", "add", ".")
    project.run(*GIT, "commit", "--quiet", "--message", message)


def hash_files(project: Project) -> dict[str, str]:
    """Return the hash of each file that version control keeps."""
    names = project.run("git", "ls-files").split()
    paths = {name: project.folder / name for name in names}
    return {
        name: sha256(path.read_bytes()).hexdigest() for name, path in paths.items() if path.exists()
    }


@contextmanager
def empty_servers(services: TestServices, name: str) -> Iterator[dict[str, str]]:
    """Yield the settings of a project that has an empty database."""
    with empty_database(services, name) as url:
        yield {"DATABASE_URL": url, "REDIS_URL": services.redis_url, "CACHE_PREFIX": name}


@contextmanager
def serving(project: Project, **settings: str) -> Iterator[Client]:
    """Yield a client of the project's API. Mails wait unless a setting starts their worker."""
    port = find_free_port()
    url = f"http://127.0.0.1:{port}{API}"
    log = project.folder.with_suffix(".log")
    with log.open("ab") as output:
        process = subprocess.Popen(
            [_find_plinth(project), "serve", "--port", str(port)],
            cwd=project.folder,
            env=project.environment | {"MAIL_WORKER": "false"} | settings,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_for_health(f"{url}/health/ready", process, log)
        with Client(base_url=url) as client:
            yield client
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(PATIENCE)
    assert "Traceback" not in log.read_text()


def wait_until_sent(inbox: Inbox) -> None:
    until = time.monotonic() + PATIENCE
    while not inbox.letters:
        assert time.monotonic() < until
        time.sleep(0.1)


def _find_plinth(project: Project) -> Path:
    return project.folder / ".venv" / "bin" / "plinth"
