"""Processes that outlive their parent, and the locks by which the kernel tells that they live."""

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

POLL_SECONDS = 0.01

# Nothing of ours goes along: PGPORT, PGOPTIONS or LC_ALL would change the server, and it has no
# business with our secrets. TZ spares initdb its search for the machine's time zone.
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}

# The shell ends at once, so the server is nobody's child, and no zombie of a process that lives
# long. The server keeps the state file open as 3: the lock on it holds for as long as the server
# or a child of it lives. What is written there survives our own death in the middle.
DETACH = 'exec "$@" 3>&1 >&2 & echo "$$ $!"'


@dataclass(frozen=True, slots=True)
class Account:
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class State:
    """What the state file says of a server: its folder of sockets, its session and its process."""

    run: Path
    session: int
    pid: int


def launch(
    command: Sequence[str | Path], *, run: Path, state: int, log: int, account: Account | None
) -> None:
    """Start a server that lives on by itself. `state` is its file: open, empty and locked."""
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
    """Whether it ended well. `timeout` in seconds; past it, or interrupted, its group is killed."""
    with spawn(command, log, log, account, keep) as process:
        try:
            return process.wait(timeout) == 0
        except BaseException as error:
            with suppress(ProcessLookupError):  # Ctrl-C in wait() gives it time to end first
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
    """In a session of its own: the terminal's Ctrl-C is for us, and we stop it in order."""
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
    """None while nothing was started, or not yet written down."""
    run, ended, rest = os.pread(state, 4096, 0).partition(b"\n")
    if not ended or not rest.endswith(b"\n"):
        return None
    session, pid = rest.split()
    return State(run=Path(os.fsdecode(run)), session=int(session), pid=int(pid))


def send(state: State, number: signal.Signals) -> None:
    """Signal the server, and never another process that got its number."""
    with suppress(ProcessLookupError):
        if os.getsid(state.pid) == state.session:
            os.kill(state.pid, signal.SIGCONT)  # a frozen one would not hear anything else
            os.kill(state.pid, number)


def lives(state: int) -> bool:
    """Whether the server or a child of it still has this file open, from its lock."""
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
