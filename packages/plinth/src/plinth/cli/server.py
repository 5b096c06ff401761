"""Uvicorn, on a socket that is ours from the start: whether the port is free shows at once."""

import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from errno import EACCES, EADDRINUSE
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import ChangeReload, Multiprocess
from uvicorn.supervisors.basereload import BaseReload

from plinth import project
from plinth.cli.failure import Failure
from plinth.cli.loading import loading
from plinth.cli.signals import Stopped
from plinth.http.protocol import BoundedHttp
from plinth.observability.logs import make_config

BACKLOG = 2048
PORT_SECONDS = 2
# For a worker to answer its supervisor, which kills it otherwise: also while it starts on a busy
# machine, where uvicorn's 5 were not enough.
WORKER_SECONDS = 15
POLL_SECONDS = 0.1


@contextmanager
def listening(host: str, port: int, *, way_out: str) -> Iterator[socket.socket]:
    """The open socket. Requests wait in it while the server starts, and while it reloads.

    Args:
        way_out: what to run when the port is in use.

    Raises:
        Failure
    """
    deadline = time.monotonic() + PORT_SECONDS
    while (opened := _open(host, port, way_out, last=time.monotonic() > deadline)) is None:
        time.sleep(POLL_SECONDS)  # a server of ours whose parent was killed is just ending
    with opened:
        opened.set_inheritable(True)
        yield opened


def _open(host: str, port: int, way_out: str, *, last: bool) -> socket.socket | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        if error.errno == EADDRINUSE and not last:
            return None
        if error.errno == EADDRINUSE:
            raise Failure(f"Port {port} is in use: stop what uses it, or {way_out}") from error
        if error.errno == EACCES:
            raise Failure(f"Port {port} is for root alone: {way_out}") from error
        raise Failure(
            f"Cannot listen on {host} ({error.strerror}): try --host 127.0.0.1"
        ) from error


def address(opened: socket.socket) -> str:
    host, port = opened.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve_reloading(opened: socket.socket, watched: Sequence[Path], *, grace: int) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP, anew after each change below `watched`."""
    folders = [str(folder) for folder in watched]
    config = _configure(opened, grace=grace, reload=True, reload_dirs=folders)
    supervisor = ChangeReload(config, partial(_serve_while_parent_lives, config), [opened])
    signal.signal(signal.SIGHUP, supervisor.signal_handler)
    # Ctrl-C goes to the whole group. It is kept from the server, which would break off its imports
    # with a traceback: we alone hear it, and stop the server in order.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    threading.Thread(target=_await_ctrl_c, args=[supervisor], daemon=True).start()
    supervisor.run()


def serve_workers(opened: socket.socket, workers: int, *, grace: int) -> None:
    config = _configure(opened, grace=grace, workers=workers)
    if workers > 1:
        supervisor = Multiprocess(config, [opened])
        supervisor.run()
        if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes):
            raise Failure("The workers could not start: see the log above.")
        return
    server = uvicorn.Server(config)
    signal.signal(signal.SIGHUP, server.handle_exit)
    with suppress(Stopped, KeyboardInterrupt):  # raised again by uvicorn when all is done
        server.run([opened])
    if not server.started:
        raise Failure("The server could not start: see the log above.")


class _Config(uvicorn.Config):
    def load_app(self) -> Any:
        """In the process that serves, whoever started it."""
        with loading():
            return super().load_app()


def _await_ctrl_c(supervisor: BaseReload) -> None:
    signal.sigwait({signal.SIGINT})
    supervisor.should_exit.set()


def _configure(opened: socket.socket, *, grace: int, **more: object) -> uvicorn.Config:
    host, port = opened.getsockname()[:2]
    return _Config(
        project.find_application(),
        host=host,
        port=port,
        loop="uvloop",
        http=BoundedHttp,
        log_config=make_config(),
        server_header=False,
        proxy_headers=False,  # request/client.py reads them, by TRUSTED_PROXIES
        timeout_graceful_shutdown=grace,
        timeout_worker_healthcheck=WORKER_SECONDS,
        **more,  # type: ignore[arg-type]
    )


def _serve_while_parent_lives(
    config: uvicorn.Config, sockets: list[socket.socket] | None = None
) -> None:
    threading.Thread(target=_end_with_parent, args=[config], daemon=True).start()
    uvicorn.Server(config).run(sockets)


def _end_with_parent(config: uvicorn.Config) -> None:
    """The parent was killed, or else it would have stopped us: do not keep its port."""
    parent = multiprocessing.parent_process()
    assert parent
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep((config.timeout_graceful_shutdown or 0) + 1)
    os._exit(1)
