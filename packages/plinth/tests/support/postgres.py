"""PostgreSQL servers for one test, which it can kill, freeze, copy and promote."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from plinth.devservices.folders import allow_traversal
from plinth.devservices.packages import require_postgres_bin
from plinth.devservices.postgres import find_account, initdb_options
from plinth.devservices.processes import Account
from plinth.devservices.wire import ask_postgres
from tests.support.command import find_free_port

PATIENCE = 60  # seconds
USER, DATABASE = "postgres", "plinth"
OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "100",
    "unix_socket_permissions": "0700",
    "wal_level": "replica",
    "hot_standby": "on",
}


@dataclass(slots=True)
class OwnPostgres:
    """
    Attributes:
        folder: the data directory; its parent has the socket.
    """

    folder: Path
    port: int = field(default_factory=find_free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{DATABASE}"

    def start(self) -> None:
        options = OPTIONS | {"port": str(self.port), "unix_socket_directories": self._run_folder}
        words = [f"--{name}={value}" for name, value in options.items()]
        with (self.folder.parent / f"{self.folder.name}.log").open("ab") as log:
            program = require_postgres_bin() / "postgres"
            self.process = spawn(program, "-D", self.folder, *words, output=log.fileno())
        until = time.monotonic() + PATIENCE
        while ask_postgres(self._socket, USER, USER) != "00000":
            assert self.process.poll() is None, "PostgreSQL exited: see its log"
            assert time.monotonic() < until, "PostgreSQL does not respond"
            time.sleep(0.02)

    def ask(self, statement: str) -> None:
        """Execute a statement over the socket of this server, independent of the hosts in a URL."""
        assert ask_postgres(self._socket, USER, USER, statement) == "00000"

    def freeze(self) -> None:
        """Stop all of its processes. The kernel still accepts connections and acknowledges data."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill all of its processes at once, as a power failure does."""
        if self.process:
            self._signal(signal.SIGKILL)
            self.process.wait()

    def copy(self, name: str) -> "OwnPostgres":
        """Create a standby of this server without starting it."""
        standby = OwnPostgres(self.folder.with_name(name))
        _make_folder(standby.folder)
        source = f"host={self._run_folder} port={self.port} user={USER} application_name={name}"
        _run("pg_basebackup", "-D", standby.folder, "-R", "-c", "fast", "-d", source)
        return standby

    def promote(self) -> None:
        self.ask("SELECT pg_promote(true, 60)")

    @property
    def _run_folder(self) -> str:
        return str(self.folder.parent)

    @property
    def _socket(self) -> Path:
        return Path(self._run_folder, f".s.PGSQL.{self.port}")

    def _signal(self, number: signal.Signals) -> None:
        # Each child has a separate session, so no process group can be signaled. The postmaster
        # comes first, because it would start new children.
        assert self.process
        for pid in (self.process.pid, *_children(self.process.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, number)


@contextmanager
def own_postgres(folder: Path, *, template: Path | None = None) -> Iterator[OwnPostgres]:
    """
    Args:
        folder: for the data and the socket: a short path that PostgreSQL's user can traverse.
        template: the data directory of a stopped server, to copy.
    """
    server = OwnPostgres(folder / "primary")
    if template:
        subprocess.run(["cp", "-a", template, server.folder], check=True)
    else:
        _make_folder(server.folder)
        _run("initdb", "-D", server.folder, *initdb_options(durable=False))
    server.start()
    try:
        if not template:
            server.ask(f"CREATE DATABASE {DATABASE}")
        yield server
    finally:
        server.kill()


@contextmanager
def standby_of(primary: OwnPostgres, name: str) -> Iterator[OwnPostgres]:
    standby = primary.copy(name)
    standby.start()
    try:
        yield standby
    finally:
        standby.kill()


def stop_in_order(server: OwnPostgres) -> None:
    assert server.process
    server.process.send_signal(signal.SIGINT)
    server.process.wait(PATIENCE)
    server.process = None


def make_run_folder(folder: Path) -> Path:
    """Create a folder in which PostgreSQL's user can create sockets and data."""
    _make_folder(folder)
    return folder


def spawn(program: Path, *arguments: str | Path, output: int) -> subprocess.Popen[bytes]:
    """Start a program as the user that runs PostgreSQL."""
    account = _find_account()
    return subprocess.Popen(
        [program, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
        umask=0o077,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )


def _make_folder(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    if account := _find_account():
        os.chown(folder, account.uid, account.gid)


def _find_account() -> Account | None:
    account = find_account(Path("/nonexistent"))
    if account:
        allow_traversal(account, [require_postgres_bin() / "postgres"])
    return account


def _run(program: str, *arguments: str | Path) -> None:
    process = spawn(require_postgres_bin() / program, *arguments, output=subprocess.PIPE)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, output.decode()


def _children(parent: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            words = status.read_text().rpartition(")")[2].split()
            if int(words[1]) == parent:
                found.append(int(status.parent.name))
    return found


def remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
