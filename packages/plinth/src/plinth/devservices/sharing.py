"""One server for several processes: the first one starts it, the last one stops it.

A server has three lock files (flock) in the data folder, which are never removed: `<name>.lock` is
held to start or stop it, `<name>.users` is shared by its users, and `<name>.server` is held by the
server itself. The kernel releases the locks of a process that dies.
"""

import fcntl
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from plinth.devservices import folders, processes
from plinth.devservices.packages import EmbeddedError
from plinth.devservices.processes import (
    Account,
    is_alive,
    open_log,
    read_tail,
    try_lock,
    wait_until,
)

logger = logging.getLogger(__name__)

LOCK_SECONDS = 90
START_SECONDS = 30
STOP_SECONDS = 20
KILL_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Start:
    """The context of a start. `state` (the locked `<name>.server`) and `log` are open files."""

    data_dir: Path
    state: int
    log: int
    log_since: int  # offset where the lines of this start begin


@dataclass(frozen=True, slots=True)
class Service:
    """A kind of server."""

    name: str
    sockets: tuple[str, ...]  # files in the run folder
    stop_signal: signal.Signals
    prepare: Callable[[Start], Account | None]  # creates its data; returns its account
    command: Callable[[Path, Path], Sequence[str | Path]]  # of data folder and run folder
    ready: Callable[[Path, Path], bool]  # of data folder and run folder


@dataclass(frozen=True, slots=True)
class Files:
    """The open lock files of a user: they work even after `rm -r` of the data folder."""

    data_dir: Path
    lock: int
    users: int
    server: int


@contextmanager
def shared(service: Service, data_dir: Path) -> Iterator[Path]:
    """Use the server, and yield the folder of its socket."""
    with opened(service, data_dir) as files:
        process = os.getpid()
        try:
            yield enter(service, files)
        finally:
            if os.getpid() == process:  # a forked child must not release our locks
                leave_uninterrupted(service, files)


@contextmanager
def opened(service: Service, data_dir: Path) -> Iterator[Files]:
    """Open the lock files once per user, since a lock belongs to an open file description."""
    numbers: list[int] = []
    try:
        for kind in ("lock", "users", "server"):
            path = data_dir / f"{service.name}.{kind}"
            try:
                numbers.append(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            except OSError as error:
                raise folders.unusable(data_dir, error) from error
        lock, users, server = numbers
        yield Files(data_dir=data_dir, lock=lock, users=users, server=server)
    finally:
        for number in numbers:
            os.close(number)


def enter(service: Service, files: Files) -> Path:
    try:
        with locked(service, files, LOCK_SECONDS):
            await_lock(service, files, files.users, fcntl.LOCK_SH, LOCK_SECONDS)
            return find_running(service, files) or start(service, files)
    except OSError as error:
        raise folders.unusable(files.data_dir, error) from error


@contextmanager
def locked(service: Service, files: Files, seconds: float) -> Iterator[None]:
    await_lock(service, files, files.lock, fcntl.LOCK_EX, seconds)
    try:
        yield
    finally:
        # Unlock explicitly: after a close alone, a child that was forked meanwhile keeps the lock.
        fcntl.flock(files.lock, fcntl.LOCK_UN)


def await_lock(service: Service, files: Files, file: int, kind: int, seconds: float) -> None:
    if not wait_until(lambda: try_lock(file, kind), seconds):
        raise EmbeddedError(
            f"Another process has been starting or stopping {service.name} in {files.data_dir} for "
            f"{seconds:.0f} seconds: stop that process and try again."
        )


def find_running(service: Service, files: Files) -> Path | None:
    """Return the run folder of a running server, or None.

    The server may be starting, recovering or stopping: wait until it responds or has ended.
    """
    run: Path | None = None

    def decided() -> bool:
        nonlocal run
        if not is_alive(files.server):
            return True
        state = processes.read_state(files.server)
        if state and service.ready(files.data_dir, state.run):
            run = state.run
        return run is not None

    if wait_until(decided, START_SECONDS):
        return run
    raise EmbeddedError(
        f"The {service.name} of {files.data_dir} is running and does not respond: see "
        f"{log_path(service, files)}, or stop all its users and try again."
    )


def start(service: Service, files: Files) -> Path:
    begun = time.monotonic()
    with open_log(log_path(service, files)) as (log, since):
        # A second open file description: this lock belongs to the server.
        state = os.open(files.data_dir / f"{service.name}.server", os.O_RDWR)
        try:
            fcntl.flock(state, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(state, 0)
            account = service.prepare(Start(files.data_dir, state, log, since))
            run = folders.make_run_folder(files.data_dir, service.name, account)
            folders.remove_sockets(run, service.sockets)
            command = service.command(files.data_dir, run)
            processes.launch(command, run=run, state=state, log=log, account=account)
        finally:
            os.close(state)
        await_ready(service, files, run, log_tail=(log, since))
    logger.info("Started %s in %.2f s: %s", service.name, time.monotonic() - begun, files.data_dir)
    return run


def await_ready(service: Service, files: Files, run: Path, *, log_tail: tuple[int, int]) -> None:
    responds = False

    def decided() -> bool:
        nonlocal responds
        responds = service.ready(files.data_dir, run)
        return responds or not is_alive(files.server)

    wait_until(decided, START_SECONDS)
    if not responds:
        why = read_tail(*log_tail)
        raise EmbeddedError(
            f"{service.name} did not start ({why}): see {log_path(service, files)}."
        )


def leave_uninterrupted(service: Service, files: Files) -> None:
    try:
        leave(service, files)
    except KeyboardInterrupt:
        leave(service, files)  # a second Ctrl-C must not leave a server running
        raise


def leave(service: Service, files: Files) -> None:
    try:
        # A process that holds the lock for long is starting the server, and stops it later.
        with locked(service, files, STOP_SECONDS):
            if try_lock(files.users, fcntl.LOCK_EX):
                stop(service, files)
    except EmbeddedError as error:
        logger.warning("%s", error)
    finally:
        fcntl.flock(files.users, fcntl.LOCK_UN)


def stop(service: Service, files: Files) -> None:
    begun = time.monotonic()
    if is_alive(files.server):
        if signal_until_gone(files, service.stop_signal, STOP_SECONDS):
            logger.info("Stopped %s in %.2f s", service.name, time.monotonic() - begun)
        elif signal_until_gone(files, signal.SIGKILL, KILL_SECONDS):
            logger.warning("Killed %s: it did not stop in time", service.name)
        else:
            logger.error("%s of %s does not stop", service.name, files.data_dir)
            return
    if state := processes.read_state(files.server):
        folders.remove_sockets(state.run, service.sockets)
        folders.remove_run_folder(state.run, files.data_dir)


def signal_until_gone(files: Files, number: signal.Signals, seconds: int) -> bool:
    """Repeat the signal every second: a server that has just started may ignore the first."""
    for _ in range(seconds):
        if state := processes.read_state(files.server):
            processes.send(state, number)
        if wait_until(lambda: not is_alive(files.server), 1):
            return True
    return False


def log_path(service: Service, files: Files) -> Path:
    return files.data_dir / f"{service.name}.log"
