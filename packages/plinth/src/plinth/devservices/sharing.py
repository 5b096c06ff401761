"""One server for any number of processes: the first starts it, the last one to leave stops it.

A server has three files in the data folder that are only ever locked (flock), never removed:
`<name>.lock` is held while somebody starts or stops it, `<name>.users` is shared by those who use
it, and `<name>.server` is held by the server itself. The kernel frees the lock of whoever dies.
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
from plinth.devservices.errors import EmbeddedError
from plinth.devservices.logs import open_log, read_tail
from plinth.devservices.processes import Account, lives, try_lock, wait_until

logger = logging.getLogger(__name__)

LOCK_SECONDS = 90
START_SECONDS = 30
STOP_SECONDS = 20
KILL_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Start:
    """What a start works with. `state` (the locked `<name>.server`) and `log` are open files."""

    data_dir: Path
    state: int
    log: int
    log_since: int  # where this start's part of the log begins


@dataclass(frozen=True, slots=True)
class Service:
    """A kind of server, and what differs from one kind to the other."""

    name: str
    sockets: tuple[str, ...]  # the files it makes in the run folder
    stop_signal: signal.Signals
    prepare: Callable[[Start], Account | None]  # makes its data; says whom it runs as
    command: Callable[[Path, Path], Sequence[str | Path]]  # of data folder and run folder
    ready: Callable[[Path, Path], bool]  # of data folder and run folder


@dataclass(frozen=True, slots=True)
class Files:
    """Kept open for as long as one uses the server: it can be stopped even after `rm -r`."""

    data_dir: Path
    lock: int
    users: int
    server: int


@contextmanager
def shared(service: Service, data_dir: Path) -> Iterator[Path]:
    """Use the server; gives the folder of its socket."""
    with opened(service, data_dir) as files:
        process = os.getpid()
        try:
            yield enter(service, files)
        finally:
            if os.getpid() == process:  # a forked child has our locks: they are not its to undo
                leave_uninterrupted(service, files)


@contextmanager
def opened(service: Service, data_dir: Path) -> Iterator[Files]:
    """Opened anew by each user, within a process too: a lock belongs to an opened file."""
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
        # Said aloud, because closing alone would leave it to a child forked in the meantime.
        fcntl.flock(files.lock, fcntl.LOCK_UN)


def await_lock(service: Service, files: Files, file: int, kind: int, seconds: float) -> None:
    if not wait_until(lambda: try_lock(file, kind), seconds):
        raise EmbeddedError(
            f"Another process has been starting or stopping {service.name} in {files.data_dir} for "
            f"{seconds:.0f} seconds: stop that process and try again."
        )


def find_running(service: Service, files: Files) -> Path | None:
    """The run folder of a server that runs already, perhaps left by users that were killed.

    It may be just starting, recovering or ending: wait until it answers or is gone.
    """
    run: Path | None = None

    def decided() -> bool:
        nonlocal run
        if not lives(files.server):
            return True
        state = processes.read_state(files.server)
        if state and service.ready(files.data_dir, state.run):
            run = state.run
        return run is not None

    if wait_until(decided, START_SECONDS):
        return run
    raise EmbeddedError(
        f"The {service.name} of {files.data_dir} runs and does not answer: see "
        f"{log_path(service, files)}, or stop all that use it and try again."
    )


def start(service: Service, files: Files) -> Path:
    begun = time.monotonic()
    with open_log(log_path(service, files)) as (log, since):
        # Opened once more, because this lock is to be the server's and not ours.
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
        await_ready(service, files, run, last_words_of=(log, since))
    logger.info("Started %s in %.2f s: %s", service.name, time.monotonic() - begun, files.data_dir)
    return run


def await_ready(
    service: Service, files: Files, run: Path, *, last_words_of: tuple[int, int]
) -> None:
    answers = False

    def decided() -> bool:
        nonlocal answers
        answers = service.ready(files.data_dir, run)
        return answers or not lives(files.server)

    wait_until(decided, START_SECONDS)
    if not answers:
        why = read_tail(*last_words_of)
        raise EmbeddedError(
            f"{service.name} did not start ({why}): see {log_path(service, files)}."
        )


def leave_uninterrupted(service: Service, files: Files) -> None:
    try:
        leave(service, files)
    except KeyboardInterrupt:
        leave(service, files)  # a second Ctrl-C is no reason to leave a server behind
        raise


def leave(service: Service, files: Files) -> None:
    try:
        # Whoever holds it for long is starting the server, so will use it and stop it after us.
        with locked(service, files, STOP_SECONDS):
            if try_lock(files.users, fcntl.LOCK_EX):
                stop(service, files)
    except EmbeddedError as error:
        logger.warning("%s", error)
    finally:
        fcntl.flock(files.users, fcntl.LOCK_UN)


def stop(service: Service, files: Files) -> None:
    begun = time.monotonic()
    if lives(files.server):
        if signal_until_gone(files, service.stop_signal, STOP_SECONDS):
            logger.info("Stopped %s in %.2f s", service.name, time.monotonic() - begun)
        elif signal_until_gone(files, signal.SIGKILL, KILL_SECONDS):
            logger.warning("Killed %s: it did not stop by itself", service.name)
        else:
            logger.error("%s of %s does not end", service.name, files.data_dir)
            return
    if state := processes.read_state(files.server):
        folders.remove_sockets(state.run, service.sockets)
        folders.remove_run_folder(state.run, files.data_dir)


def signal_until_gone(files: Files, number: signal.Signals, seconds: int) -> bool:
    """Once a second, because a server that has only just begun does not hear it yet."""
    for _ in range(seconds):
        if state := processes.read_state(files.server):
            processes.send(state, number)
        if wait_until(lambda: not lives(files.server), 1):
            return True
    return False


def log_path(service: Service, files: Files) -> Path:
    return files.data_dir / f"{service.name}.log"
