"""A master, a replica and three Sentinels for one test."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from plinth.devservices.packages import require_valkey_server
from plinth.devservices.processes import wait_until
from tests.support.command import find_free_port

PATIENCE = 30  # seconds
SERVICE = "plinth"
SENTINELS, QUORUM = 3, 2


@dataclass(frozen=True, slots=True)
class Started:
    port: int
    process: subprocess.Popen[bytes]

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def info(self, section: str) -> dict[str, object]:
        with Redis(port=self.port, socket_timeout=5) as client:
            found = client.info(section)
            assert isinstance(found, dict)
            return found


@dataclass(frozen=True, slots=True)
class Watched:
    master: Started
    replica: Started
    sentinels: list[Started]

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{SERVICE}/0"


@contextmanager
def watched_valkey(folder: Path) -> Iterator[Watched]:
    with ExitStack() as stack:
        master = stack.enter_context(_started(folder, "master"))
        replica = stack.enter_context(
            _started(folder, "replica", "--replicaof", f"127.0.0.1 {master.port}")
        )
        watched = Watched(
            master,
            replica,
            [
                stack.enter_context(_sentinel(folder, number, master.port))
                for number in range(SENTINELS)
            ],
        )
        if not wait_until(lambda: all(map(_knows_all, watched.sentinels)), PATIENCE):
            raise TimeoutError("the Sentinels do not know each other")
        yield watched


def _knows_all(sentinel: Started) -> bool:
    known = sentinel.info("sentinel").get("master0")
    return isinstance(known, dict) and (known["slaves"], known["sentinels"]) == (1, SENTINELS)


@contextmanager
def _sentinel(folder: Path, number: int, master: int) -> Iterator[Started]:
    """Start a Sentinel with a separate file, because it writes its state into the file."""
    settings = folder / f"sentinel{number}.conf"
    settings.write_text(
        f"sentinel monitor {SERVICE} 127.0.0.1 {master} {QUORUM}\n"
        f"sentinel down-after-milliseconds {SERVICE} 1000\n"
        f"sentinel failover-timeout {SERVICE} 6000\n"
    )
    with _started(folder, f"sentinel{number}", settings, "--sentinel") as started:
        yield started


@contextmanager
def _started(folder: Path, name: str, *words: str | Path) -> Iterator[Started]:
    port = find_free_port()
    options = {"port": str(port), "bind": "127.0.0.1", "dir": str(folder)}
    if "--sentinel" in words:
        first, options_of = [words[0]], {**options}
        rest: list[str | Path] = ["--sentinel"]
    else:
        first, options_of = [], {**options, "save": "", "repl-diskless-sync-delay": "0"}
        rest = list(words)
    pairs = [word for option, value in options_of.items() for word in (f"--{option}", value)]
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [require_valkey_server(), *first, *pairs, *rest], stdout=log, stderr=log, cwd=folder
        )
    started = Started(port, process)
    try:
        if not wait_until(lambda: _answers(port), PATIENCE):
            raise TimeoutError(f"{name} did not start: {(folder / f'{name}.log').read_text()}")
        yield started
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    try:
        with Redis(port=port, socket_timeout=1) as client:
            return bool(client.ping())
    except (RedisError, OSError):
        return False
