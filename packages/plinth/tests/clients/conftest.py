"""The TypeScript client, built by npm in a separate folder: `make test-client`."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.command import plinth
from tests.support.environment import ROOT

PATIENCE = 180  # seconds
AT_ONCE = ("--fetch-retries=0", "--fetch-timeout=30000")  # otherwise npm retries for minutes
MADE = shutil.ignore_patterns("node_modules", "dist", ".tests", "openapi.json", "schema.ts")


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Collect this folder only if the command line names it."""
    return None if any("tests/clients" in argument for argument in config.args) else True


def npm(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["npm", *arguments],
        cwd=folder,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def check_npm(folder: Path, *arguments: str, **settings: str) -> str:
    ended = npm(folder, *arguments, **settings)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="session")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the client with the output of `make client`."""
    if not shutil.which("npm"):
        pytest.skip("there is no npm: apt-get install npm")
    folder = tmp_path_factory.mktemp("clients") / "typescript"
    shutil.copytree(ROOT / "clients" / "typescript", folder, ignore=MADE)
    installed = npm(folder, "install", "--prefer-offline", *AT_ONCE)
    if installed.returncode and npm(folder, "ping", *AT_ONCE).returncode:
        pytest.skip(f"npm reaches no registry: {installed.stderr[-300:]}")
    assert installed.returncode == 0, installed.stderr
    document = plinth("openapi", "--output", str(folder / "openapi.json"))
    assert document.returncode == 0, document.stderr
    check_npm(folder, "run", "generate")
    return folder
