"""`plinth new` and `plinth remove` on a copy of this checkout: `make test-new`."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from plinth.testing.databases import TestServices
from tests.support.environment import ROOT, bare_environment, python_path
from tests.support.measured import measured, pytest_terminal_summary

__all__ = ["measured", "pytest_terminal_summary"]

WRITTEN = ("project", "note", "category")
PATIENCE = 1200  # seconds
MYPY_CACHE = ".mypy_cache"
AUTHOR = ("-c", "user.name=t", "-c", "user.email=t@example.com")
IS_WHOLE = os.environ.get("NEW_MATRIX") == "whole"
BIN = Path(sys.executable).parent
CHEAP_RULES = "not api or private or committed"
"""For `-k`: rules of tests/test_contract.py that send no request. A route's id holds its path."""
PYTEST = (sys.executable, "-m", "pytest", "-q")
NOTHING_SELECTED = 5  # pytest's exit code if `-k` matches no test
LIBRARY_TESTS = "packages/plinth/tests/"
OF_SOURCES = (
    "packages/plinth/tests/test_house.py",
    "packages/plinth/tests/schema/test_migrations.py::test_squawk_reports_nothing",
)


@dataclass(frozen=True, slots=True)
class Checkout:
    """A copy of the project whose commands use the copy."""

    folder: Path
    environment: dict[str, str]

    def run(
        self, *command: str | Path, given: str = "", **settings: str
    ) -> subprocess.CompletedProcess[str]:
        """
        Args:
            given: standard input.
        """
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment | settings,
            input=given,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def plinth(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, "-m", "plinth.cli", *arguments, **settings)

    def pytest(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run tests of the application, and then those of the library: both are a package `tests`,
        so they cannot share a process."""
        library = [it for it in arguments if it.startswith(LIBRARY_TESTS)]
        if not library:
            return self.run(*PYTEST, *arguments)
        others = [it for it in arguments if it not in library]
        options = [it for it in others if not it.startswith("tests/")]
        if options != others:
            done = self.run(*PYTEST, *others)
            if done.returncode:
                return done
        done = self.run(*PYTEST, *options, *library)
        if done.returncode == NOTHING_SELECTED and options != others:
            done.returncode = 0
        return done

    def commit(self, message: str) -> None:
        for command in (["add", "--all"], [*AUTHOR, "commit", "-qm", message]):
            check(self.run("git", *command))

    def texts(self) -> dict[str, str]:
        """Return the files that a developer could edit."""
        listed = self.run("git", "ls-files", "-co", "--exclude-standard").stdout.split("\n")
        files = [self.folder / name for name in listed if name.endswith((".py", ".toml", ".md"))]
        return {str(it.relative_to(self.folder)): it.read_text() for it in files if it.is_file()}


def copy_checkout(folder: Path, services: TestServices) -> Checkout:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(BIN.parent)
    if (ROOT / MYPY_CACHE).is_dir():  # the paths in it are relative
        shutil.copytree(ROOT / MYPY_CACHE, folder / MYPY_CACHE)
    environment = bare_environment() | {
        "PYTHONPATH": python_path(folder),
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "TEST_DATABASE_URL": services.server_url,
        "TEST_REDIS_URL": services.redis_url,
        "DATA_DIR": str(folder / ".data"),
    }
    checkout = Checkout(folder, environment)
    check(checkout.run("git", "init", "--quiet"))
    checkout.commit("all")
    return checkout


@pytest.fixture(scope="module")
def checkout(
    tmp_path_factory: pytest.TempPathFactory, services: TestServices
) -> Iterator[Checkout]:
    if taken := [name for name in WRITTEN if (ROOT / "app" / "models" / f"{name}.py").exists()]:
        pytest.skip(f"this project has a {taken[0]} of its own")
    folder = tmp_path_factory.mktemp("checkout")
    yield copy_checkout(folder, services)
    shutil.rmtree(folder)


def check(done: subprocess.CompletedProcess[str], *, status: int = 0) -> str:
    """Check the exit status and return the standard output."""
    assert done.returncode == status, (done.stdout + done.stderr)[-8000:]
    return done.stdout
