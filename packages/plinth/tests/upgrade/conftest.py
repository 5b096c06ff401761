"""A project that was started, changed and used with one release, and then upgraded to the next:
`make -C packages/plinth test-upgrade`."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest
from httpx2 import Client

from plinth.testing.databases import TestServices, empty_database
from tests.start.conftest import PATIENCE, UV, Project, bare_shell
from tests.support.command import find_free_port, wait_for_health
from tests.support.mail_server import Inbox
from tests.support.measured import measured, pytest_terminal_summary
from tests.upgrade.release import build_next_release, build_release
from tests.upgrade.seed import Seed, sow

__all__ = ["bare_shell", "measured", "pytest_terminal_summary"]

OLD, NEW = "2.0.0", "2.1.0"
API = "/api/v1"
ROUTES = '''"""The user of the request, as this shop shows them."""

from fastapi import APIRouter, Response

from plinth.accounts.deps import CurrentUser
from plinth.accounts.queries.principal import Principal
from plinth.accounts.schemas.user import User as UserOut
from plinth.resources.access import USER, access

router = APIRouter(prefix="/users", tags=["users"])


@router.get("/me", response_model=UserOut)
@access(USER, queries=1)
async def get_me(user: CurrentUser, response: Response) -> Principal:
    response.headers["X-Shop"] = "ours"
    return user
'''
IMPORTED = """from plinth.accounts.routes import credentials, user_sessions
from plinth.accounts.routes.users import get_me
"""
# File of the project: a text that it has once, and what the team makes of it.
TEAM_EDITS = {
    "app/api/v1/__init__.py": [
        ("from app.api.v1 import ", "from app.api.v1 import own_user, "),
        ("from plinth.http.problems import responses\n",
         "from plinth.http.problems import responses\nfrom plinth.http.routes import without\n"),
        ("from plinth.accounts.routes import credentials, user_sessions\n",
         IMPORTED),
        ("users.router, ", "own_user.router, without(users.router, get_me), "),
    ],
    "app/core/config.py": [("    PROJECT_NAME", "    SHOP_LIMIT: int = 3\n    PROJECT_NAME")],
    "Dockerfile": [("FROM ", "# Of the team\nFROM ")],
}  # fmt: skip
TEAM_SETTINGS = {"SHOP_LIMIT": "4", "SESSIONS_PER_USER": "5"}
GIT = ("git", "-c", "user.name=t", "-c", "user.email=t@example.com")


@dataclass(frozen=True, slots=True)
class Upgrade:
    """
    Attributes:
        shop: the project with the new release installed.
        before: a copy of it with the old release.
        servers: the settings that both run with.
        texts: the digest of each file before the upgrade.
        printed: by `plinth upgrade`.
        head: of the audit log before the upgrade.
    """

    shop: Project
    before: Project
    servers: dict[str, str]
    seed: Seed
    texts: dict[str, str]
    printed: str
    head: str


@pytest.fixture(scope="session")
def old_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_release(tmp_path_factory.mktemp("old"), OLD)


@pytest.fixture(scope="session")
def new_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_next_release(tmp_path_factory.mktemp("new"), NEW)


@pytest.fixture(scope="session")
def servers(services: TestServices) -> Iterator[dict[str, str]]:
    with empty_database(services, "upgraded") as url:
        yield {"DATABASE_URL": url, "REDIS_URL": services.redis_url, "CACHE_PREFIX": "upgraded"}


@pytest.fixture(scope="session")
def upgrade(
    old_wheel: Path,
    new_wheel: Path,
    servers: dict[str, str],
    bare_shell: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Upgrade:
    shop = _start(tmp_path_factory.mktemp("empty"), old_wheel, bare_shell)
    _customize(shop)
    plinth(shop, "db", "upgrade", **servers)
    with serving(shop, **servers) as client:
        seed = sow(client)
    head = plinth(shop, "audit", "verify", **servers).partition("Head: ")[2].strip()
    before = shop.copy(tmp_path_factory.mktemp("before") / "shop")
    before.run("make", "install")
    texts = digests(shop)

    printed = plinth(shop, "upgrade", "--wheel", new_wheel)
    shop.run("make", "install")
    plinth(shop, "db", "upgrade", **servers)
    return Upgrade(shop, before, servers, seed, texts, printed, head)


def plinth(project: Project, *arguments: str | Path, **settings: str) -> str:
    return project.run(project.folder / ".venv" / "bin" / "plinth", *arguments, **settings)


def digests(project: Project) -> dict[str, str]:
    """Return a hash of each file that version control keeps."""
    names = project.run("git", "ls-files").split()
    folder = project.folder
    return {
        name: sha256((folder / name).read_bytes()).hexdigest()
        for name in names
        if (folder / name).exists()
    }


@contextmanager
def serving(project: Project, **settings: str) -> Iterator[Client]:
    """Yield a client of the project's API. Mails wait unless a setting starts their worker."""
    port = find_free_port()
    url = f"http://127.0.0.1:{port}{API}"
    log = project.folder / "serve.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [project.folder / ".venv" / "bin" / "plinth", "serve", "--port", str(port)],
            cwd=project.folder,
            env=project.environment | {"MAIL_WORKER": "false"} | settings,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_for_health(f"{url}/health/ready")
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


def _start(folder: Path, wheel: Path, shell: dict[str, str]) -> Project:
    start = ("plinth", "start", "shop")
    Project(folder, shell).run(UV, "tool", "run", "--quiet", "--from", wheel, *start)
    return Project(folder / "shop", shell)


def _customize(shop: Project) -> None:
    """Do what a team does: a resource, an overridden route, settings, a changed Dockerfile."""
    shop.run("make", "install")
    plinth(shop, "new", "note", "title:str:200", "--owned")
    for name, edits in TEAM_EDITS.items():
        file = shop.folder / name
        text = file.read_text()
        for old, new in edits:
            assert old in text, f"{name} lacks {old!r}: bring TEAM_EDITS up to date"
            text = text.replace(old, new, 1)
        file.write_text(text)
    (shop.folder / "app" / "api" / "v1" / "own_user.py").write_text(ROUTES)
    shop.run("make", "format")
    settings = "".join(f"{name}={value}\n" for name, value in TEAM_SETTINGS.items())
    (shop.folder / ".env").write_text(settings)
    shop.run("git", "init", "--quiet")
    (shop.folder / ".git" / "info" / "exclude").write_text("serve.log\n")
    shop.run("git", "add", ".")
    shop.run(*GIT, "commit", "--quiet", "--message", "Start")
