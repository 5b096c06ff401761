"""Processes of the targets."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

from bench.processes import memory_mib
from bench.stage import Stage
from bench.targets import Target

PATIENCE = 30  # seconds for a start or a stop


@dataclass(frozen=True, slots=True)
class Running:
    target: Target
    url: str
    pid: int
    start_seconds: float
    """From the command to the first 200."""
    idle_mib: float


@contextmanager
def running(target: Target, stage: Stage) -> Iterator[Running]:
    log = stage.folder / f"{target.name}.log"
    port = find_free_port()
    given = {**os.environ, **stage.environment, **target.environment, "PORT": str(port)}
    began = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            target.command(port), cwd=target.folder, env=given, stdout=output, stderr=output
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _await_answer(f"{url}{target.ready}", target.authorize(stage.people[0]), process, log)
        took = time.monotonic() - began
        yield Running(target, url, process.pid, took, memory_mib(process.pid))
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _await_answer(
    url: str, authorization: str, process: subprocess.Popen[bytes], log: Path
) -> None:
    until = time.monotonic() + PATIENCE
    request = Request(url, headers={"Authorization": authorization})
    while time.monotonic() < until and process.poll() is None:
        try:
            with urlopen(request, timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.01)
    raise RuntimeError(f"{url} did not respond:\n{log.read_text()[-2000:]}")
