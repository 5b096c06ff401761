"""Run Uvicorn on a socket that is opened first, so that a port in use is reported at once."""

import logging
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
from plinth.config import settings
from plinth.devservices.service_urls import running_services
from plinth.http.protocol import BoundedHttp
from plinth.observability import logs

logger = logging.getLogger(__name__)

BACKLOG = 2048
PORT_SECONDS = 2
# The supervisor kills a worker that does not respond for this long. Uvicorn's default of 5 is too
# short for a start on a busy machine.
WORKER_SECONDS = 15
POLL_SECONDS = 0.1


def run(host: str, port: int, workers: int, *, grace: int) -> None:
    logs.set_up()
    hint = "choose another one with --port."
    with listening(host, port, hint=hint) as opened, running_services(settings) as services:
        # The parent process owns embedded services, so that not each worker starts its own.
        os.environ |= services.as_environment()
        logger.info("Serving on %s, workers: %s", address(opened), workers)
        serve_workers(opened, workers, grace=grace)


@contextmanager
def listening(host: str, port: int, *, hint: str) -> Iterator[socket.socket]:
    """Yield a listening socket. It queues connections while the server starts or reloads.

    Args:
        hint: ends the message for a port in use.

    Raises:
        Failure
    """
    deadline = time.monotonic() + PORT_SECONDS
    while (opened := _open(host, port, hint, last=time.monotonic() > deadline)) is None:
        time.sleep(POLL_SECONDS)  # a previous server whose parent was killed may still be stopping
    with opened:
        opened.set_inheritable(True)
        yield opened


def _open(host: str, port: int, hint: str, *, last: bool) -> socket.socket | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        if error.errno == EADDRINUSE and not last:
            return None
        if error.errno == EADDRINUSE:
            raise Failure(
                f"Port {port} is in use: stop the program that uses it, or {hint}"
            ) from error
        if error.errno == EACCES:
            raise Failure(f"Only root may use port {port}: {hint}") from error
        raise Failure(
            f"Cannot listen on {host} ({error.strerror}): try --host 127.0.0.1."
        ) from error


def address(opened: socket.socket) -> str:
    host, port = opened.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve_reloading(opened: socket.socket, watched: Sequence[Path], *, grace: int) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP; restart after each change below `watched`."""
    folders = [str(folder) for folder in watched]
    config = _configure(opened, grace=grace, reload=True, reload_dirs=folders)
    supervisor = ChangeReload(config, partial(_serve_while_parent_lives, config), [opened])
    signal.signal(signal.SIGHUP, supervisor.signal_handler)
    # A terminal sends Ctrl-C to the whole process group. The server blocks it, because it would
    # interrupt an import with a traceback. This process receives it and stops the server.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    threading.Thread(target=_await_ctrl_c, args=[supervisor], daemon=True).start()
    supervisor.run()


def serve_workers(opened: socket.socket, workers: int, *, grace: int) -> None:
    config = _configure(opened, grace=grace, workers=workers)
    if workers > 1:
        supervisor = Multiprocess(config, [opened])
        supervisor.run()
        if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes):
            raise Failure("The workers failed to start: see the log above.")
        return
    server = uvicorn.Server(config)
    signal.signal(signal.SIGHUP, server.handle_exit)
    with suppress(Stopped, KeyboardInterrupt):  # uvicorn raises the signal again after its shutdown
        server.run([opened])
    if not server.started:
        raise Failure("The server failed to start: see the log above.")


class _Config(uvicorn.Config):
    def load_app(self) -> Any:
        """Load the application in the serving process, also in a child of a supervisor."""
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
        log_config=logs.make_config(),
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
    """Exit when the parent was killed, to release the port."""
    parent = multiprocessing.parent_process()
    assert parent
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep((config.timeout_graceful_shutdown or 0) + 1)
    os._exit(1)
