"""A project that `plinth start` created from the wheel: `make test-start`."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from plinth.testing.databases import TestServices, empty_database
from tests.support.command import find_free_port
from tests.support.measured import measured, pytest_terminal_summary
from tests.support.pages import Shell, open_shell
from tests.support.wheels import build

__all__ = ["measured", "pytest_terminal_summary"]

PATIENCE = 600  # seconds
UV = Path(sys.executable).with_name("uv")


@dataclass(frozen=True, slots=True)
class Project:
    """
    Attributes:
        environment: variables of a shell, without any settings of the project.
    """

    folder: Path
    environment: dict[str, str]

    def run(self, *command: str | Path, **settings: str) -> str:
        """Check that it succeeded, and return its output."""
        done = self.attempt(*command, **settings)
        assert done.returncode == 0, (done.stdout + done.stderr)[-30_000:]
        return done.stdout + done.stderr

    def attempt(self, *command: str | Path, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment | settings,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def copy(self, folder: Path) -> "Project":
        """Return the project as it was started, without its .venv."""
        shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns(".venv", ".data"))
        return Project(folder, self.environment)


@pytest.fixture(scope="session")
def bare_shell() -> dict[str, str]:
    return make_bare_shell()


def make_bare_shell() -> dict[str, str]:
    """Return the environment of a machine with Python and make, and no uv or plinth on the PATH."""
    kept = ("HOME", "LANG", "TMPDIR", "SSL_CERT_FILE", "PIP_CONFIG_FILE")
    shell = {name: value for name, value in os.environ.items() if name in kept}
    shell |= {name: value for name, value in os.environ.items() if name.endswith("_PROXY")}
    shell |= {name: value for name, value in os.environ.items() if "INDEX" in name}
    folders = [it for it in os.environ["PATH"].split(os.pathsep) if not Path(it, "plinth").exists()]
    return shell | {"PATH": os.pathsep.join(folders)}


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", tmp_path_factory.mktemp("wheel"))


@contextmanager
def open_folder() -> Iterator[Path]:
    """Yield an empty folder that PostgreSQL's user can traverse.

    Each start of pytest closes its own temporary folders to other users.
    """
    with TemporaryDirectory(prefix="plinth-start-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture
def empty_folder() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def project(wheel: Path, bare_shell: dict[str, str]) -> Iterator[Project]:
    """Run the wheel with uv in an empty folder, as README says."""
    with open_folder() as folder:
        yield start_project(folder, wheel, bare_shell)


def start_project(folder: Path, wheel: Path, bare_shell: dict[str, str]) -> Project:
    start = ("plinth", "start", "shop")
    Project(folder, bare_shell).run(UV, "tool", "run", "--quiet", "--from", wheel, *start)
    return Project(folder / "shop", bare_shell)


@pytest.fixture
def servers(services: TestServices) -> Iterator[dict[str, str]]:
    """Yield the settings of the services, with an empty database."""
    with empty_database(services, "started") as url:
        yield {"DATABASE_URL": url, "REDIS_URL": services.redis_url, "CACHE_PREFIX": "started"}


WHEEL = "~/plinth/dist/plinth_backend-2.0.0-py3-none-any.whl"

# `make dev` runs in the background, as in a second terminal, and leads a process group.
STAND_INS = """
uvx() {{ {uv} tool run --quiet "$@"; }}
make() {{
    [ "$1" = dev ] || {{ command make "$@"; return; }}
    setsid make dev PORT={port} > "$LOGS/log" 2>&1 &
    echo $! > "$LOGS/group"
    until curl -sf localhost:{port}/api/v1/health/live > /dev/null; do
        kill -0 $! && sleep 0.2 || {{ cat "$LOGS/log"; exit 1; }}
    done
}}
"""


@pytest.fixture
def shell(
    empty_folder: Path, bare_shell: dict[str, str], wheel: Path, tmp_path: Path
) -> Iterator[Shell]:
    """A shell in an empty folder, with the wheel at the path in the pages."""
    port = find_free_port()
    replacements = {WHEEL: str(wheel), "localhost:8000": f"127.0.0.1:{port}"}
    environment = bare_shell | {"LOGS": str(tmp_path)}
    with open_shell(empty_folder, environment, tmp_path, replacements) as shell:
        shell.run(STAND_INS.format(uv=UV, port=port))
        try:
            yield shell
        finally:
            if (tmp_path / "group").exists():
                end_group(int((tmp_path / "group").read_text()))


def end_group(group: int) -> None:
    """Send SIGTERM to a process group, and wait until it is gone."""
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGTERM)
        for _ in range(PATIENCE):
            os.killpg(group, 0)
            time.sleep(0.1)
        os.killpg(group, signal.SIGKILL)
