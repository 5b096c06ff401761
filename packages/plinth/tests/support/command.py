"""The command line as people use it: a process of its own."""

import os
import pty
import select
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from tests.support.environment import ROOT, bare_environment

PATIENCE = 180  # seconds
COMMAND = [sys.executable, "-m", "plinth.cli"]


def plinth(*arguments: str, typed: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
    """Run `plinth` to its end, with these settings and nobody at the terminal.

    Args:
        typed: what comes in by a pipe.
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
    """Run `plinth` at a terminal, and answer what it asks.

    Args:
        answers: what is asked (a part of it), and what is typed then.

    Returns:
        The exit code, and what was to be seen on the screen.
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
    """Start `plinth` in a process group of its own, as a terminal does."""
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


def wait_for_health(url: str) -> bytes:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            with urlopen(url, timeout=5) as answer:
                found: bytes = answer.read()
                return found
        except (URLError, OSError):
            time.sleep(0.05)
    pytest.fail("it did not serve")


def wait_for_log(log: Path, words: str, times: int = 1) -> None:
    until = time.monotonic() + PATIENCE
    while (said := log.read_text()).count(words) < times:
        assert time.monotonic() < until, said
        time.sleep(0.02)


def find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def processes_of(folder: Path) -> list[str]:
    """The command lines of running processes that name `folder`."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it has just ended
        if str(folder) in line:
            lines.append(line)
    return lines


def _answer(terminal: int, question: str, answer: str) -> str:
    seen = ""
    until = time.monotonic() + PATIENCE
    while question not in seen:
        ready, _, _ = select.select([terminal], [], [], max(until - time.monotonic(), 0))
        assert ready, f"it did not ask for {question!r}: {seen}"
        seen += os.read(terminal, 4096).decode()
    os.write(terminal, f"{answer}\n".encode())
    return seen


def _read_rest(terminal: int) -> str:
    seen = b""
    while True:
        try:
            read = os.read(terminal, 4096)
        except OSError:  # Linux's way to say that nobody writes any more
            read = b""
        if not read:
            return seen.decode()
        seen += read
