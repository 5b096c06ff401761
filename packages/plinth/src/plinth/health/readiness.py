"""Readiness: checks of the database, its schema and the cache; and draining at SIGTERM.

Reasons of failures are only logged. While the process drains, readiness fails and requests are
served, so that load balancers notice it before the server stops listening. Connections are closed.
"""

import asyncio
import logging
import signal
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass
from types import FrameType
from typing import Any

from fastapi import FastAPI
from sqlalchemy import text
from uvicorn import Server

from plinth.cache import Cache
from plinth.db.database import Database
from plinth.db.schema.state import State, read_state
from plinth.errors import PlinthError

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 2
CACHE_SECONDS = 1.0
CLOSE = (b"connection", b"close")


class Draining:
    """Whether this process shuts down: it still responds, but should get no new requests."""

    def __init__(self) -> None:
        self._started = False

    def start(self) -> None:
        self._started = True

    def reset(self) -> None:
        """Reset for the next application in the same process, in tests."""
        self._started = False

    def __bool__(self) -> bool:
        return self._started


draining = Draining()


@dataclass(frozen=True, slots=True)
class Report:
    """
    Attributes:
        schema: whether the migrations that this code needs have run.
        advice: how the schema differs from the expected one, and what to do; for the log.
    """

    database: bool
    schema: bool
    cache: bool
    advice: str = ""

    @property
    def is_ready(self) -> bool:
        return self.database and self.schema


class Readiness:
    """Share one check between concurrent probes, and cache its report for a second.

    So any number of probes uses one connection.

    Args:
        clock: monotonic seconds; tests replace it.
    """

    def __init__(
        self, check: Callable[[], Awaitable[Report]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._check = check
        self._clock = clock
        self._task: asyncio.Task[Report] | None = None
        self._expires_at = 0.0
        self._last = Report(database=True, schema=True, cache=True)

    async def get(self) -> Report:
        if self._task is None or (self._task.done() and self._clock() >= self._expires_at):
            # In an empty context, so that the queries are attributed to the process.
            loop = asyncio.get_running_loop()
            self._task = loop.create_task(self._run(), context=Context())
        return await asyncio.shield(self._task)

    async def _run(self) -> Report:
        report = await self._check()
        self._expires_at = self._clock() + CACHE_SECONDS
        if report != self._last:
            level = logging.INFO if report.is_ready and report.cache else logging.WARNING
            logger.log(level, "readiness is now: %s", report)
            self._last = report
        return report


def readiness_of(app: FastAPI) -> Readiness:
    readiness: Readiness = app.state.readiness
    return readiness


async def check_readiness(database: Database, cache: Cache) -> Report:
    state, facts = await asyncio.gather(_read_state(database), check_cache(cache))
    if state is None:
        return Report(database=False, schema=False, cache=facts is not None)
    behind, difference = await asyncio.to_thread(lambda: (state.is_behind(), state.compare()))
    return Report(
        database=True,
        schema=not behind,
        cache=facts is not None,
        advice="The database is {}. {}".format(*difference) if difference else "",
    )


async def _read_state(database: Database) -> State | None:
    """Return None if the database does not respond."""
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return await read_state(database)
    except (PlinthError, TimeoutError):
        return None


async def check_database(database: Database) -> bool:
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS), database.read_connection() as connection:
            await connection.execute(text("SELECT 1"))
    except (PlinthError, TimeoutError) as error:
        logger.warning("the database does not respond: %r", error.__cause__ or error)
        return False
    return True


async def check_cache(cache: Cache) -> dict[str, Any] | None:
    """Return facts about the server; None if it does not respond within `CACHE_TIMEOUT_MS`."""
    info = await cache.look()
    if info is None:
        return None
    return {
        "version": str(info.get("valkey_version") or info["redis_version"]),
        "connected_clients": info["connected_clients"],
        "used_memory_human": info["used_memory_human"],
    }


@contextmanager
def draining_at_sigterm(seconds: float) -> Iterator[None]:
    """Drain for `seconds` at SIGTERM, in uvicorn or `plinth serve`. A second signal ends it early.

    The process then exits with 0 instead of the signal, which uvicorn would raise again.
    """
    draining.reset()
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    if not isinstance(server, Server) or not seconds:
        yield
        return
    loop = asyncio.get_running_loop()

    def end() -> None:
        server.should_exit = True

    def wait() -> None:
        loop.call_later(seconds, end)
        logger.info("stopping: readiness fails now, the server stops in %s s", seconds)

    def drain(_number: int, _frame: FrameType | None) -> None:
        # The signal may interrupt a log line, where logging raises an error ("reentrant call"). So
        # the event loop writes the line.
        loop.call_soon_threadsafe(end if draining else wait)
        draining.start()

    signal.signal(signal.SIGTERM, drain)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, server.handle_exit)


def close_while_draining(_: Iterable[tuple[bytes, bytes]]) -> Sequence[tuple[bytes, bytes]]:
    """Make clients with persistent connections open new ones, to another server.

    Otherwise the server might close a connection just when the client sends a request.
    """
    return [CLOSE] if draining else []
