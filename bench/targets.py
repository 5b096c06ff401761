"""The measured servers: commands, authentication, and supported work."""

import base64
import hashlib
import hmac
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from bench.peers import install
from bench.seed import Person
from plinth.accounts import queries

ROOT = Path(__file__).parents[1]
HOUR = 3600
ME = "/api/v1/users/me"
SORT = "created_at"
SEARCHES = frozenset({"search rare", "search similar", "search common", "search two letters"})
FINDS = SEARCHES | {"list first", "list deep"}
EVERYTHING = FINDS | {"me", "id", "list by key"}
OURS, TWO_WORKERS = "plinth", "two workers"
BARE, PREPARED, CONSTANT = "asyncpg pool", "asyncpg prepared", "constant"
GUIDE, STUCK = "guide, pool of 40", "guide, pool of 5"
# Production settings, with limits that a single fast client does not reach.
SETTINGS = {
    "ENVIRONMENT": "production",
    "LOG_LEVEL": "WARNING",
    "MAIL_WORKER": "false",
    "DRAIN_SECONDS": "0",
    **dict.fromkeys(
        (
            "LIMIT_LOGIN_ACCOUNT_IP", "LIMIT_LOGIN_ACCOUNT", "LIMIT_LOGIN_ACCOUNT_DAY",
            "LIMIT_LOGIN_IP", "LIMIT_REGISTER_IP",
        ),
        "10000/1s",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Target:
    """
    Attributes:
        command: returns the command that starts it on a port.
        authorize: returns the Authorization header of a user.
        does: the names of the supported work.
        refresh_by: returns the refresh token of a user.
        ready: the path that responds with 200 once the server is ready.
        page_after: returns the query string of the page after the row with this time and id; None
            if the server pages only by offset.
        folder: the working directory.
    """

    name: str
    command: Callable[[int], list[str]]
    authorize: Callable[[Person], str]
    does: frozenset[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    refresh_by: Callable[[Person], str] = lambda person: person.refresh_token
    ready: str = ME
    page_after: Callable[[datetime, int], str] | None = None
    folder: Path = ROOT


def find_targets(secret: str, folder: Path, *, peers: bool) -> list[Target]:
    """Return our server, the references, and the frameworks that are or can be installed."""
    return [
        make_ours(EVERYTHING | {"login", "me beside login", "refresh", "register"}),
        make_ours(frozenset({"me"}), name=TWO_WORKERS, options=["--workers", "2"]),
        make_bare(BARE, EVERYTHING | {"refresh"}),
        make_bare(PREPARED, frozenset({"me", "id"}), module="bare_prepared"),
        make_bare(CONSTANT, frozenset({"constant"})),
        *_find_python_peers(secret, folder, wanted=peers),
        *_find_node_peers(secret, folder, wanted=peers),
    ]


def python_path(checkout: Path) -> str:
    """Return the PYTHONPATH of a checkout's application and library."""
    return f"{checkout}{os.pathsep}{checkout / 'packages' / 'plinth' / 'src'}"


def make_ours(
    does: frozenset[str], *, name: str = OURS, options: list[str] | None = None, folder: Path = ROOT
) -> Target:
    return Target(
        name,
        lambda port: [
            sys.executable, "-m", "plinth.cli", "serve", "--port", str(port), *(options or [])
        ],
        lambda person: f"Bearer {person.access_token}",
        does,
        SETTINGS | {"PYTHONPATH": python_path(folder)},
        ready="/api/v1/health",
        page_after=_write_cursor,
        folder=folder,
    )  # fmt: skip


def make_bare(name: str, does: frozenset[str], *, module: str = "bare") -> Target:
    return Target(
        name,
        _uvicorn(sys.executable, module),
        lambda person: str(person.session_id),
        does,
        refresh_by=lambda person: str(person.session_id),
        page_after=lambda time, number: f"after={time:%Y-%m-%dT%H:%M:%SZ},{number}",
    )


def sign(secret: str, **claims: object) -> str:
    """Return a JWT (HS256) in the format of the other frameworks."""

    def encode(part: object) -> str:
        data = part if isinstance(part, bytes) else json.dumps(part).encode()
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    text = f"{encode({'alg': 'HS256', 'typ': 'JWT'})}.{encode(claims)}"
    return f"{text}.{encode(hmac.digest(secret.encode(), text.encode(), hashlib.sha256))}"


def _find_python_peers(secret: str, folder: Path, *, wanted: bool) -> Iterator[Target]:
    python = install.python(folder, wanted=wanted)
    if python is None:
        return
    bearer = _bearer(secret)
    for name, pool, does in ((GUIDE, 40, EVERYTHING), (STUCK, 5, frozenset({"me"}))):
        yield Target(
            name,
            _uvicorn(python, "guide"),
            lambda person: bearer(sub=str(person.id)),
            does,
            {"POOL": str(pool)},
        )
    yield Target(
        "fastapi-users",
        _uvicorn(python, "with_fastapi_users"),
        lambda person: bearer(sub=str(person.id), aud=["fastapi-users:auth"]),
        frozenset({"me"}),
    )
    yield Target(
        "Litestar",
        _uvicorn(python, "with_litestar"),
        lambda person: bearer(sub=str(person.id)),
        frozenset({"me", "id"}),
    )
    yield Target(
        "Django REST",
        lambda port: [
            python, "-m", "gunicorn", "--workers=1", "--threads=8",
            f"--bind=127.0.0.1:{port}", "bench.peers.with_django:app",
        ],
        lambda person: bearer(user_id=person.id, token_type="access", jti="0"),
        SEARCHES | {"me", "id"},
    )  # fmt: skip


def _find_node_peers(secret: str, folder: Path, *, wanted: bool) -> Iterator[Target]:
    node = shutil.which("node")
    if node and (modules := install.node(folder, wanted=wanted)):
        bearer = _bearer(secret)
        yield Target(
            "Fastify",
            lambda _: [node, str(ROOT / "bench/peers/fastify.mjs")],
            lambda person: bearer(sub=person.id),
            frozenset({"me", "id"}),
            {"NODE_FOLDER": modules},
        )


def _bearer(secret: str) -> Callable[..., str]:
    now = int(time.time())
    return lambda **claims: "Bearer " + sign(secret, **claims, iat=now, exp=now + HOUR)


def _uvicorn(python: str, module: str) -> Callable[[int], list[str]]:
    options = ["--no-access-log", "--log-level=warning"]
    return lambda port: [
        python, "-m", "uvicorn", f"bench.peers.{module}:app", f"--port={port}", *options
    ]  # fmt: skip


def _write_cursor(time: datetime, number: int) -> str:
    cursor = queries.user.listing.order(SORT).encrypt([time, number], backwards=False)
    return f"cursor={cursor}"
