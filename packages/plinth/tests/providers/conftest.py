"""The OpenID provider of the npm package oidc-provider on loopback: `make test-providers`."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.environment import TESTS

PATIENCE = 100  # seconds
AT_ONCE = ("--prefer-offline", "--fetch-retries=0", "--fetch-timeout=30000")
FILES = ("package.json", "provider.mjs")
CALLBACK = "http://localhost:8000/api/v1/auth/oidc/real/callback"


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Collect this folder only if the command line names it."""
    return None if any("tests/providers" in argument for argument in config.args) else True


def npm(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["npm", *arguments],
        cwd=folder,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.fixture(scope="session")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The issuer of a running provider."""
    if not shutil.which("npm"):
        pytest.skip("there is no npm: apt-get install npm")
    folder = tmp_path_factory.mktemp("provider")
    for name in FILES:
        shutil.copy(TESTS / "providers" / name, folder)
    installed = npm(folder, "install", "--no-package-lock", *AT_ONCE)
    if installed.returncode and npm(folder, "ping", *AT_ONCE).returncode:
        pytest.skip(f"npm reaches no registry: {installed.stderr[-300:]}")
    assert installed.returncode == 0, installed.stderr
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with subprocess.Popen(
        ["node", "provider.mjs", str(port), CALLBACK],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            assert process.stdout
            lines = [line for line in iter(process.stdout.readline, "listening\n") if line]
            assert process.poll() is None, lines
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
