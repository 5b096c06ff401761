"""A Valkey for one test, which it can kill and freeze."""

import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from plinth.devservices.packages import require_valkey_server
from plinth.devservices.processes import wait_until
from plinth.devservices.wire import ping_valkey

PATIENCE = 10  # seconds


@dataclass(slots=True)
class OwnValkey:
    socket: Path
    process: subprocess.Popen[bytes]
    options: Mapping[str, str]

    @property
    def url(self) -> str:
        return f"unix://{self.socket}?db=0"

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """Start it again without data, on the same socket."""
        self.process = _start(self.socket, self.options)


@contextmanager
def own_valkey(folder: Path, **options: str) -> Iterator[OwnValkey]:
    """
    Args:
        options: configuration options with underscores: `cluster_enabled="yes"`.
        folder: a short path; the path of a Unix socket is limited to about 100 characters.
    """
    socket = folder / "valkey.sock"
    valkey = OwnValkey(socket, _start(socket, options), options)
    try:
        yield valkey
    finally:
        valkey.kill()


def _start(socket: Path, options: Mapping[str, str]) -> subprocess.Popen[bytes]:
    settings = {"port": "0", "unixsocket": str(socket), "save": "", "appendonly": "no"}
    settings |= {name.replace("_", "-"): value for name, value in options.items()}
    words = (word for name, value in settings.items() for word in (f"--{name}", value))
    process = subprocess.Popen(
        [require_valkey_server(), *words], cwd=socket.parent, stdout=subprocess.DEVNULL
    )
    if not wait_until(lambda: ping_valkey(socket), PATIENCE):
        process.kill()
        process.wait()
        raise TimeoutError("Valkey did not start")
    return process
