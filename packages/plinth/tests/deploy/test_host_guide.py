"""The host part of docs/how-to/deploy.md, with its own commands, as an unprivileged user.

The tests replace `sudo`, systemd, the paths outside of a temporary folder, and the names of the
database and its roles. They start the command of the unit with the environment of the unit, in a
folder that the user cannot write.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from plinth.devservices import postgres_bin
from plinth.testing.databases import TestServices, on_server
from tests.support.command import PATIENCE, find_free_port, wait_for_health
from tests.support.environment import ROOT, python_path
from tests.support.other_user import as_other_user, needs_root, open_the_way
from tests.support.proxy import reachable_by_all
from tests.support.roles import libpq_variables

PAGE = (ROOT / "docs/how-to/deploy.md").read_text()
HOST = re.split(r"^## ", PAGE, flags=re.MULTILINE)
(GUIDE,) = [part for part in HOST if part.startswith("On a host")]
PACKAGES, DEPENDENCIES, SETTINGS, WRAPPER, DATABASE, START = re.findall(
    r"```sh\n(.*?)```", GUIDE, re.DOTALL
)
(UNIT,) = re.findall(r"```ini\n(.*?)```", GUIDE, re.DOTALL)

SUDO = """#!/bin/sh
[ "$1" != -u ] || shift 2
exec "$@"
"""


class Machine:
    """The host on which the commands run, with replaced paths and names.

    Attributes:
        settings: the file that the service reads.
    """

    def __init__(self, folder: Path, names: dict[str, str], variables: dict[str, str]) -> None:
        self.folder = folder
        self.settings = folder / "plinth.env"
        self._names = names
        programs = folder / "bin"
        programs.mkdir()
        tools = postgres_bin()
        assert tools
        self.environment = variables | {
            "PATH": f"{programs}:{tools}:{os.environ['PATH']}",
            "PYTHONPATH": python_path(ROOT),
            "PGUSER": variables["POSTGRES_USER"],
            "PW": "a-Plinth-4-root",
            "HOME": str(_make_closed_home(folder)),
        }
        _write_program(programs / "sudo", SUDO)
        # Replaces both setpriv and systemd, by which the guide switches to the service's user.
        plinth = " ".join(as_other_user(sys.executable, "-m", "plinth.cli"))
        _write_program(programs / "setpriv.plinth", f'#!/bin/sh\nexec {plinth} "$@"\n')

    def do(self, commands: str) -> str:
        done = subprocess.run(
            ["sh", "-euc", self.rename(commands)],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def rename(self, text: str) -> str:
        for name, here in self._names.items():
            text = text.replace(name, here)
        return text

    def service(self, key: str) -> list[str]:
        """Return the words of a line of the unit."""
        (line,) = re.findall(rf"^{key}=(.*)$", UNIT, re.MULTILINE)
        return self.rename(str(line)).split()

    def service_environment(self) -> dict[str, str]:
        """Parse an EnvironmentFile as systemd does: NAME=value, with optional quotes."""
        pairs = (line.split("=", 1) for line in self.settings.read_text().splitlines())
        read = {name: value[1:-1] if value[:1] == "'" else value for name, value in pairs}
        return read | {"PATH": "/usr/bin:/bin", "PYTHONPATH": python_path(ROOT)}


def _make_closed_home(folder: Path) -> Path:
    """Create a home like /root, which `sudo` sets: asyncpg looks for certificates below it."""
    home = folder / "root"
    home.mkdir(mode=0o700)
    return home


def _write_program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def machine(
    services: TestServices, environment: dict[str, str], worker_id: str, tmp_path: Path
) -> Iterator[Machine]:
    tag = f"{services.run}_{worker_id}"
    served = tmp_path / "srv"
    served.mkdir(mode=0o555)
    open_the_way(served)
    with reachable_by_all(environment) as reachable:
        server = libpq_variables(reachable["DATABASE_URL"])
        names = {
            "setpriv --reuid=plinth --regid=plinth --init-groups /srv/plinth/.venv/bin/plinth": str(
                tmp_path / "bin" / "setpriv.plinth"
            ),
            "/srv/plinth/.venv/bin/plinth": str(tmp_path / "bin" / "setpriv.plinth"),
            "/usr/local/bin/plinth": str(tmp_path / "bin" / "plinth"),
            "/etc/plinth.env": str(tmp_path / "plinth.env"),
            "/srv/plinth": str(served),
            "redis://127.0.0.1:6379/0": reachable["REDIS_URL"],
            "@127.0.0.1:5432/plinth": f"@{server['PGHOST']}:{server['PGPORT']}/host_{tag}",
            "plinth_app": f"app_{tag}",
            "plinth_owner": f"owner_{tag}",
            "UTF8 plinth": f"UTF8 host_{tag}",
            "ON_ERROR_STOP=1 plinth": f"ON_ERROR_STOP=1 host_{tag}",
            "create-superuser": "create-superuser --email=root@example.com --username=root "
            "--password-env=PW",
            "--workers 2": f"--workers 1 --port {find_free_port()}",
            " --port 8000": "",
        }
        try:
            yield Machine(tmp_path, names, server)
        finally:
            on_server(services, lambda admin: _clean(admin, tag))


async def _clean(admin: object, tag: str) -> None:
    execute = admin.execute  # type: ignore[attr-defined]
    await execute(f'DROP DATABASE IF EXISTS "host_{tag}" WITH (FORCE)')
    for role in (f"app_{tag}", f"owner_{tag}"):
        await execute(f'DROP ROLE IF EXISTS "{role}"')


@needs_root
def test_commands_of_the_guide_start_the_service(machine: Machine, tmp_path: Path) -> None:
    machine.do(SETTINGS)
    machine.do(WRAPPER)
    assert machine.settings.stat().st_mode & 0o077 == 0, "the secrets are root's alone"

    said = machine.do(DATABASE)

    assert "root@example.com" in said or "superuser" in said.lower()
    assert machine.service("User") == ["plinth"]
    for protection in ("NoNewPrivileges=yes", "ProtectSystem=strict", "PrivateTmp=yes"):
        assert protection in UNIT
    subprocess.run(
        machine.service("ExecStartPre"),
        cwd=tmp_path / "srv",
        env=machine.service_environment(),
        check=True,
        capture_output=True,
    )
    command = machine.service("ExecStart")
    port = command[command.index("--port") + 1]
    log = tmp_path / "serve.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=tmp_path / "srv",
            env=machine.service_environment(),
            stdout=output,
            stderr=output,
        )
    try:
        wait_for_health(f"http://127.0.0.1:{port}/api/v1/health/ready", process, log)
        running = Path(f"/proc/{process.pid}/environ").read_bytes()
    finally:
        process.terminate()
        process.wait(PATIENCE)
    assert b"MIGRATION_DATABASE_URL" not in running, "the server does not know the owner"
    assert log.read_text().startswith("{"), "the first line is JSON too"
    assert list((tmp_path / "srv").iterdir()) == [], "nothing was written"


def test_each_program_of_the_guide_is_installed_by_it() -> None:
    packages = set(PACKAGES.partition("--yes ")[2].partition("\n")[0].split())

    assert packages == {"git", "openssl", "postgresql", "python3-venv", "redis-server"}
    for file in re.findall(r"-r /srv/plinth/(\S+)", DEPENDENCIES):
        assert (ROOT / file).exists(), file
    assert "/opt/uv/bin/uv" in DEPENDENCIES
    pinned = (ROOT / "deploy/build-requirements.txt").read_text()
    assert re.search(r"^uv==", pinned, re.MULTILINE)
    assert "systemctl enable --now plinth" in START
    assert shutil.which("setpriv"), "it comes with util-linux"
