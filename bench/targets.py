"""Who is measured: how each is started, and how its clients say who they are."""

import base64
import hashlib
import hmac
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

from bench.peers import install
from bench.processes import memory_mib
from bench.seed import Person

ROOT = Path(__file__).parents[1]
PATIENCE = 30  # seconds for a start or a stop
HOUR = 3600
ME = "/api/v1/users/me"
EVERYTHING = frozenset(
    {"me", "id", "search rare", "search common", "search two letters", "list first", "list deep"}
)
# What production has, with limits that one client at full speed does not meet.
OURS = {
    "ENVIRONMENT": "production",
    "LOG_LEVEL": "WARNING",
    "MAIL_WORKER": "false",
    **dict.fromkeys(
        (
            "LIMIT_LOGIN_ACCOUNT_IP", "LIMIT_LOGIN_ACCOUNT", "LIMIT_LOGIN_ACCOUNT_DAY",
            "LIMIT_LOGIN_IP", "LIMIT_REGISTER_IP", "LIMIT_REFRESH_SESSION",
        ),
        "10000/1s",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Target:
    """
    Attributes:
        command: what starts it, given a port.
        authorize: what a person's client sends as Authorization.
        does: the work that it can be given.
    """

    name: str
    command: Callable[[int], list[str]]
    environment: Mapping[str, str]
    authorize: Callable[[Person], str]
    does: frozenset[str]
    ready: str = ME


@dataclass(frozen=True, slots=True)
class Running:
    target: Target
    url: str
    pid: int
    start_seconds: float
    """From the command to the first 200."""
    idle_mib: float


def sign(secret: str, **claims: object) -> str:
    """A JWT as the peers' libraries make it (HS256)."""

    def encode(part: object) -> str:
        data = part if isinstance(part, bytes) else json.dumps(part).encode()
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    text = f"{encode({'alg': 'HS256', 'typ': 'JWT'})}.{encode(claims)}"
    return f"{text}.{encode(hmac.digest(secret.encode(), text.encode(), hashlib.sha256))}"


def find_targets(secret: str, folder: Path, *, peers: bool) -> list[Target]:
    """Ourselves, the references, and those of the peers that are, or can be, installed."""
    now = int(time.time())
    times = {"iat": now, "exp": now + HOUR}
    found = [
        Target(
            "plinth",
            _serve,
            OURS,
            lambda person: f"Bearer {person.access_token}",
            EVERYTHING | {"login", "refresh", "register"},
            ready="/api/v1/health",
        ),
        Target(
            "two workers",
            lambda port: [*_serve(port), "--workers", "2"],
            OURS,
            lambda person: f"Bearer {person.access_token}",
            frozenset({"me"}),
            ready="/api/v1/health",
        ),
        Target(
            "bare asyncpg",
            _uvicorn(sys.executable, "bare"),
            {},
            lambda person: str(person.session_id),
            EVERYTHING | {"refresh"},
        ),
        Target(
            "constant",
            _uvicorn(sys.executable, "bare"),
            {},
            lambda person: str(person.session_id),
            frozenset({"constant"}),
        ),
    ]
    if python := install.python(folder, wanted=peers):
        found += [
            Target(
                f"guide, pool of {pool}",
                _uvicorn(python, "guide"),
                {"POOL": str(pool)},
                lambda person: f"Bearer {sign(secret, sub=str(person.id), **times)}",
                EVERYTHING if pool > 5 else frozenset({"me"}),
            )
            for pool in (40, 5)
        ]
        found += [
            Target(
                "fastapi-users",
                _uvicorn(python, "with_fastapi_users"),
                {},
                lambda person: "Bearer "
                + sign(secret, sub=str(person.id), aud=["fastapi-users:auth"], **times),
                frozenset({"me"}),
            ),
            Target(
                "Litestar",
                _uvicorn(python, "with_litestar"),
                {},
                lambda person: f"Bearer {sign(secret, sub=str(person.id), **times)}",
                frozenset({"me", "id"}),
            ),
            Target(
                "Django REST",
                lambda port: [
                    python, "-m", "gunicorn", "--workers=1", "--threads=8",
                    f"--bind=127.0.0.1:{port}", "bench.peers.with_django:app",
                ],
                {},
                lambda person: "Bearer "
                + sign(secret, user_id=person.id, token_type="access", jti="0", **times),
                frozenset({"me", "id", "search rare", "search common", "search two letters"}),
            ),
        ]  # fmt: skip
    node = shutil.which("node")
    if node and (modules := install.node(folder, wanted=peers)):
        found.append(
            Target(
                "Fastify",
                lambda _: [node, str(ROOT / "bench/peers/fastify.mjs")],
                {"NODE_FOLDER": modules},
                lambda person: f"Bearer {sign(secret, sub=person.id, **times)}",
                frozenset({"me", "id"}),
            )
        )
    return found


@contextmanager
def running(
    target: Target, environment: Mapping[str, str], person: Person, folder: Path
) -> Iterator[Running]:
    """
    Args:
        person: who asks for the first 200.
        folder: for what it writes.
    """
    log = folder / f"{target.name}.log"
    port = find_free_port()
    given = {**os.environ, **environment, **target.environment, "PORT": str(port)}
    began = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            target.command(port), cwd=ROOT, env=given, stdout=output, stderr=output
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _await_answer(f"{url}{target.ready}", target.authorize(person), process, log)
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


def _serve(port: int) -> list[str]:
    return [sys.executable, "-m", "app.cli", "serve", "--port", str(port)]


def _uvicorn(python: str, module: str) -> Callable[[int], list[str]]:
    options = ["--no-access-log", "--log-level=warning"]
    return lambda port: [
        python, "-m", "uvicorn", f"bench.peers.{module}:app", f"--port={port}", *options
    ]  # fmt: skip


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
    raise RuntimeError(f"it did not start:\n{log.read_text()[-2000:]}")
