"""Run pytest repeatedly, each time in a fork of a process that has imported the libraries.

The imports take three quarters of the time of a single test. The code under test is imported only
in the fork, so each run uses its present state.

Each line of standard input is a run as JSON. The response is one line of JSON.
"""

import json
import os
import random
import signal
import sys
import tempfile
import time
from importlib import import_module
from typing import NoReturn

import pytest

LIBRARIES = (
    "alembic.command", "asyncpg", "cryptography.x509", "email_validator", "fastapi", "httptools",
    "httpx2", "hypothesis.strategies", "redis.asyncio.sentinel", "sqlalchemy.ext.asyncio",
    "starlette_admin.contrib.sqla", "structlog", "typer", "uvicorn",
)  # fmt: skip
# The imports precede the rewriting of assertions.
OPTIONS = ("-W", "ignore::pytest.PytestAssertRewriteWarning")
POLL_SECONDS = 0.05


def main() -> None:
    for name in LIBRARIES:
        import_module(name)
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_run(**json.loads(line))) + "\n")
        sys.stdout.flush()


def _run(arguments: list[str], seconds: float) -> dict[str, object]:
    """Return the exit code of pytest (None after a timeout) and its output."""
    with tempfile.TemporaryFile("w+") as output:
        child = os.fork()
        if child == 0:
            _run_pytest(arguments, output.fileno())
        status = _wait(child, seconds)
        output.seek(0)
        return {"status": status, "output": output.read()}


def _run_pytest(arguments: list[str], output: int) -> NoReturn:
    status = 70
    try:
        os.setsid()
        for stream in (sys.stdout.fileno(), sys.stderr.fileno()):
            os.dup2(output, stream)
        os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())
        random.seed()  # a fork inherits the state of the generator
        status = int(pytest.main([*OPTIONS, *arguments]))
    finally:
        sys.stdout.flush()
        os._exit(status)


def _wait(child: int, seconds: float) -> int | None:
    deadline = time.monotonic() + seconds
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.killpg(child, signal.SIGKILL)  # including servers that a test started
            os.waitpid(child, 0)
            return None
        time.sleep(POLL_SECONDS)


if __name__ == "__main__":
    main()
