"""The server as on a platform: an arbitrary user, a read-only file system, external services."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from plinth.cli.doctor.machine import check_data_dir
from plinth.config import load_settings
from plinth.config.secret_key import keep_development_key
from plinth.devservices import services as embedded_services
from plinth.folders import make_private_folder
from tests.support.command import COMMAND
from tests.support.environment import bare_environment
from tests.support.other_user import as_other_user, needs_root, open_the_way
from tests.support.proxy import reachable_by_all
from tests.support.serving import SETTINGS, serving, status_of


@pytest.fixture
def read_only(tmp_path: Path) -> Path:
    folder = tmp_path / "app"
    folder.mkdir(mode=0o555)
    open_the_way(folder)
    return folder


@pytest.fixture
def by_tcp(environment: dict[str, str]) -> Iterator[dict[str, str]]:
    with reachable_by_all(environment) as settings:
        yield SETTINGS | settings


@needs_root
@pytest.mark.parametrize("environment_name", ["production", "development"])
def test_server_with_external_services_needs_no_folder(
    by_tcp: dict[str, str], read_only: Path, tmp_path: Path, environment_name: str
) -> None:
    settings: dict[str, Any] = by_tcp | {"ENVIRONMENT": environment_name}
    with serving(tmp_path, prefix=as_other_user(), cwd=read_only, **settings) as served:
        assert status_of(f"{served.url}/health/ready") == 200
    assert list(read_only.iterdir()) == []


@needs_root
@pytest.mark.parametrize("command", [["db", "upgrade"], ["doctor"], ["audit", "verify"]])
def test_commands_with_external_services_need_no_folder(
    by_tcp: dict[str, str], read_only: Path, command: list[str]
) -> None:
    done = subprocess.run(
        as_other_user(*COMMAND, *command),
        cwd=read_only,
        env=bare_environment() | by_tcp,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(read_only.iterdir()) == []


def test_embedded_services_without_servers_create_no_folder(tmp_path: Path) -> None:
    with embedded_services(tmp_path / "data", postgres=False, valkey=False) as endpoints:
        assert endpoints.database_url is endpoints.redis_url is None
    assert list(tmp_path.iterdir()) == []


def test_private_folder_and_its_parents_have_mode_700(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        make_private_folder(tmp_path / "a" / "b")
        keep_development_key(tmp_path / "c" / "d")
    finally:
        os.umask(before)
    for name in ("a", "a/b", "c", "c/d"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o700, name


def test_doctor_reports_a_folder_readable_by_others(tmp_path: Path) -> None:
    settings = load_settings(_env_file=None, DATA_DIR=tmp_path)
    tmp_path.chmod(0o755)
    assert check_data_dir(settings).level == "doubtful"
    tmp_path.chmod(0o711)  # so that PostgreSQL's user can traverse it
    assert check_data_dir(settings).level == "fine"
