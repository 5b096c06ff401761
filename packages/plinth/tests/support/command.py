"""The command `plinth` in a separate process."""

import os
import pty
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from tests.support.environment import ROOT, bare_environment

PATIENCE = 180  # seconds
COMMAND = [sys.executable, "-m", "plinth.cli"]


def plinth(*arguments: str, typed: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
    """Run `plinth` with these settings, without a terminal, and wait for it.

    Args:
        typed: standard input.
    """
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=ROOT,
        env=bare_environment() | settings,
        input=typed,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def plinth_at_terminal(
    *arguments: str, answers: Sequence[tuple[str, str]], **settings: str
) -> tuple[int, str]:
    """Run `plinth` at a terminal, and answer its prompts.

    Args:
        answers: pairs of a prompt, or a part of it, and the line to type.

    Returns:
        The exit code and the text on the screen.
    """
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=ROOT,
        env=bare_environment() | settings,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        seen = "".join(_answer(ours, question, answer) for question, answer in answers)
        seen += _read_rest(ours)
        return process.wait(PATIENCE), seen
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def start_plinth(*arguments: str, log: Path, **settings: str) -> subprocess.Popen[bytes]:
    """Start `plinth` in a new session, as a terminal does."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=ROOT,
            env=bare_environment() | settings,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


@contextmanager
def running(process: subprocess.Popen[bytes], port: int, log: Path) -> Iterator[None]:
    """Wait until a started server responds, and stop it at the end or after a failure."""
    try:
        wait_for_health(f"http://127.0.0.1:{port}/api/v1/health", process, log)
        yield
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) in (0, -signal.SIGTERM, 128 + signal.SIGTERM)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    assert "Traceback" not in log.read_text()


def wait_for_health(url: str, process: subprocess.Popen[bytes], log: Path) -> bytes:
    """Return the first successful response. Fail with the log if the process ends before."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            with urlopen(url, timeout=5) as answer:
                found: bytes = answer.read()
                return found
        except (URLError, OSError):
            status = process.poll()
            if status is not None:
                pytest.fail(f"the server ended with {status}:\n{log.read_text()}")
            time.sleep(0.05)
    pytest.fail(f"no response from {url} within {PATIENCE} seconds:\n{log.read_text()}")


def wait_for_log(log: Path, words: str, times: int = 1) -> None:
    until = time.monotonic() + PATIENCE
    while (text := log.read_text()).count(words) < times:
        assert time.monotonic() < until, text
        time.sleep(0.02)


def find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of running processes that contain `folder`."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # the process has just ended
        if str(folder) in line:
            lines.append(line)
    return lines


def _answer(terminal: int, question: str, answer: str) -> str:
    seen = ""
    until = time.monotonic() + PATIENCE
    while question not in seen:
        ready, _, _ = select.select([terminal], [], [], max(until - time.monotonic(), 0))
        assert ready, f"no prompt {question!r}: {seen}"
        seen += os.read(terminal, 4096).decode()
    os.write(terminal, f"{answer}\n".encode())
    return seen


def _read_rest(terminal: int) -> str:
    seen = b""
    while True:
        try:
            read = os.read(terminal, 4096)
        except OSError:  # Linux raises EIO once all writers have closed
            read = b""
        if not read:
            return seen.decode()
        seen += read
