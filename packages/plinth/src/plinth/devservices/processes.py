"""Processes that outlive their parent, the locks that show whether they live, and their logs."""

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

POLL_SECONDS = 0.01
MAX_LOG_BYTES = 10_000_000  # the next start truncates a larger file
TAIL_BYTES = 20_000
ERROR_MARKERS = ("PANIC:", "FATAL:", "ERROR:", "error:", "# Fatal", "# Failed")

# The server inherits no variable: PGPORT, PGOPTIONS or LC_ALL would change it, and it needs no
# secrets. TZ saves initdb the search for the time zone.
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}

# The shell exits at once, so the server is reparented and never a zombie of this process. The
# server keeps the state file open as descriptor 3: the lock on it holds while the server or a child
# of it is alive. The file's content survives if this process is killed.
DETACH = 'exec "$@" 3>&1 >&2 & echo "$$ $!"'


@dataclass(frozen=True, slots=True)
class Account:
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class State:
    """The content of the state file: the run folder, the session id and the process id."""

    run: Path
    session: int
    pid: int


def launch(
    command: Sequence[str | Path], *, run: Path, state: int, log: int, account: Account | None
) -> None:
    """Start a detached server. `state` is its state file: open, empty and locked."""
    os.write(state, os.fsencode(run) + b"\n")
    with spawn(["/bin/sh", "-c", DETACH, "sh", *command], state, log, account) as shell:
        shell.wait()


def run_to_end(
    command: Sequence[str | Path],
    *,
    log: int,
    timeout: float,
    account: Account | None = None,
    keep: Sequence[int] = (),
) -> bool:
    """Run a program and return whether it succeeded.

    Args:
        timeout: seconds. After it, or when interrupted, the process group is killed.
    """
    with spawn(command, log, log, account, keep) as process:
        try:
            return process.wait(timeout) == 0
        except BaseException as error:
            with suppress(ProcessLookupError):  # on Ctrl-C, wait() gives it time to exit
                os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                return False
            raise


def spawn(
    command: Sequence[str | Path],
    stdout: int,
    stderr: int,
    account: Account | None,
    keep: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a process in its own session, so that Ctrl-C in the terminal does not reach it."""
    return subprocess.Popen(  # noqa: S603 - our own programs and paths, as a list
        command,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        pass_fds=keep,
        cwd="/",
        env=ENVIRONMENT,
        umask=0o077,
        start_new_session=True,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )


def read_state(state: int) -> State | None:
    """Return the state; None while no server was started or the file is incomplete."""
    run, ended, rest = os.pread(state, 4096, 0).partition(b"\n")
    if not ended or not rest.endswith(b"\n"):
        return None
    session, pid = rest.split()
    return State(run=Path(os.fsdecode(run)), session=int(session), pid=int(pid))


def send(state: State, number: signal.Signals) -> None:
    """Signal the server, but no other process that reuses its id."""
    with suppress(ProcessLookupError):
        if os.getsid(state.pid) == state.session:
            os.kill(state.pid, signal.SIGCONT)  # a stopped process receives nothing else
            os.kill(state.pid, number)


def is_alive(state: int) -> bool:
    """Return whether the server, or a child of it, still holds the lock of this file."""
    if not try_lock(state, fcntl.LOCK_EX):
        return True
    fcntl.flock(state, fcntl.LOCK_UN)
    return False


def try_lock(file: int, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_until(done: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


@contextmanager
def open_log(path: Path) -> Iterator[tuple[int, int]]:
    """Yield the open file, and the offset where new lines begin."""
    log = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        if os.fstat(log).st_size > MAX_LOG_BYTES:
            os.ftruncate(log, 0)
        yield log, os.fstat(log).st_size
    finally:
        os.close(log)


def read_tail(log: int, since: int) -> str:
    """Return the last line with an error, or else the last line, without its timestamp."""
    size = os.fstat(log).st_size
    begin = max(since, size - TAIL_BYTES)
    text = os.pread(log, TAIL_BYTES, begin).decode(errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for line in reversed(lines):
        for marker in ERROR_MARKERS:
            if marker in line:
                return line[line.index(marker) :]
    return lines[-1] if lines else "the log is empty"
