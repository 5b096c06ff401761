"""Valkey (Redis protocol), reachable only by a Unix socket in a private folder."""

import signal
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from plinth.devservices.packages import require_valkey_server
from plinth.devservices.sharing import Service, Start
from plinth.devservices.wire import ping_valkey

SOCKET = "valkey.sock"


def valkey_service(*, durable: bool) -> Service:
    program = require_valkey_server()
    return Service(
        name="valkey",
        sockets=(SOCKET,),
        stop_signal=signal.SIGTERM,
        prepare=prepare,
        command=partial(command, program, durable),
        ready=ready,
    )


def redis_url(run: Path) -> str:
    return f"unix://{run / SOCKET}?db=0"


def prepare(start: Start) -> None:
    (start.data_dir / "valkey").mkdir(mode=0o700, exist_ok=True)


def command(
    program: Path,
    durable: bool,
    data_dir: Path,
    run: Path,
) -> Sequence[str | Path]:
    settings = {
        "port": "0",
        "unixsocket": str(run / SOCKET),
        "unixsocketperm": "700",
        "dir": str(data_dir / "valkey"),
        "save": "",
        "appendonly": "yes" if durable else "no",
    }
    return [program, *(word for name, value in settings.items() for word in (f"--{name}", value))]


def ready(_data_dir: Path, run: Path) -> bool:
    return ping_valkey(run / SOCKET)
