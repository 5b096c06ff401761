"""Apply the blocks of each how-to page to a project that `plinth start` wrote, and check it.

A page's own commands run its tests and the contract suite. `ruff` and `mypy` check what it wrote.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from plinth.testing.databases import TestServices, empty_database
from tests.start.steps import apply, read_steps
from tests.support.environment import LIBRARY, ROOT, bare_environment
from tests.support.wheels import build

BIN = Path(sys.executable).parent
PATIENCE = 600  # seconds
# Commands of a page run in its project with the interpreter of this one: nothing is installed.
STAND_INS = """
set -eu
make() {
    case "$1" in
    format) .venv/bin/ruff check --quiet --fix-only . && .venv/bin/ruff format --quiet . ;;
    migrations) .venv/bin/alembic upgrade head --sql > all.sql && .venv/bin/squawk all.sql ;;
    check | lock | install) ;;
    *) echo "make $1 has no stand-in" >&2; return 1 ;;
    esac
}
"""
EXECUTED = (
    "docs/how-to/add-route.md",
    "docs/how-to/add-setting.md",
    "docs/how-to/background-work.md",
    "docs/how-to/cache.md",
    "docs/how-to/choice-field.md",
    "docs/how-to/drop-column.md",
    "docs/how-to/file-upload.md",
    "docs/how-to/many-to-many.md",
    "docs/how-to/middleware.md",
    "docs/how-to/override-route.md",
    "docs/how-to/slow-query.md",
    "docs/how-to/test-route.md",
    "docs/how-to/user-columns.md",
    "docs/how-to/websocket.md",
    "docs/how-to/without-passwords.md",
)


@pytest.fixture(scope="session")
def started(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of the wheel, whose requirements are not compiled: no package index is needed."""
    folder = tmp_path_factory.mktemp("started")
    wheel = build("wheel", folder)
    run(
        (sys.executable, "-m", "plinth.cli", "start", "shop", "--wheel", wheel),
        folder,
        bare_environment() | {"UV_OFFLINE": "1"},
    )
    return folder / "shop"


@pytest.fixture
def project(started: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    shutil.copytree(started, folder)
    (folder / ".venv").symlink_to(BIN.parent)
    return folder


@pytest.fixture
def environment(services: TestServices, worker_id: str) -> Iterator[dict[str, str]]:
    with empty_database(services, f"how_to_{worker_id}") as url:
        yield bare_environment() | {
            "PYTHONPATH": str(LIBRARY.parent),
            "DATABASE_URL": url,
            "REDIS_URL": services.redis_url,
            "CACHE_PREFIX": f"how-to-{worker_id}",
            "TEST_DATABASE_URL": services.server_url,
            "TEST_REDIS_URL": services.redis_url,
            # Without the thousands of malformed requests, which take most of the time.
            "PYTEST_ADDOPTS": "-m 'not no_cover'",
            # The library is the larger part, and the same for each page.
            "MYPY_CACHE_DIR": str(ROOT / ".mypy_cache" / f"how-to-{worker_id}"),
        }


@pytest.mark.parametrize("page", EXECUTED)
def test_a_page_works_as_written(page: str, project: Path, environment: dict[str, str]) -> None:
    steps = read_steps(ROOT / page)
    assert steps
    for step in steps:
        if step.kind == "sh":
            run(("bash", "-c", STAND_INS + step.text), project, environment)
        else:
            apply(step, project)
    for command in ("ruff check --quiet .", "ruff format --quiet --check .", "mypy"):
        program, *arguments = command.split()
        run((BIN / program, *arguments), project, environment)


def run(command: tuple[str | Path, ...], folder: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        env={"PATH": os.environ["PATH"]} | environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, f"{command[-1]}\n{(done.stdout + done.stderr)[-8000:]}"
