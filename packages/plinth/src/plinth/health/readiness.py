"""Whether what we stand on answers. Never why not: that is for the log."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextvars import Context
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from sqlalchemy import text

from plinth.cache import Cache
from plinth.db.database import Database
from plinth.db.schema.state import State, read_state
from plinth.errors import PlinthError

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 2  # seconds
CACHE_SECONDS = 1.0  # seconds


class Draining:
    """Whether this process is about to end: it still answers, and wants no new clients."""

    def __init__(self) -> None:
        self._begun = False

    def start(self) -> None:
        self._begun = True

    def reset(self) -> None:
        """For the next application in the same process."""
        self._begun = False

    def __bool__(self) -> bool:
        return self._begun


draining = Draining()


@dataclass(frozen=True, slots=True)
class Report:
    """
    Attributes:
        schema: the migrations that this code needs have run.
        advice: how the schema differs from what this code expects, and what to do; for the log.
    """

    database: bool
    schema: bool
    cache: bool
    advice: str = ""

    @property
    def is_ready(self) -> bool:
        return self.database and self.schema


class Readiness:
    """Asks for all who ask at once, and keeps the answer for a second: a probe, however often it
    comes and from however many, costs one connection.

    Args:
        clock: seconds, monotonic; tests bring their own.
    """

    def __init__(
        self, ask: Callable[[], Awaitable[Report]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._asking: asyncio.Task[Report] | None = None
        self._until = 0.0
        self._last = Report(database=True, schema=True, cache=True)

    async def get(self) -> Report:
        if self._asking is None or (self._asking.done() and self._clock() >= self._until):
            # In no request's context: what it costs is not of the one who happens to be first.
            loop = asyncio.get_running_loop()
            self._asking = loop.create_task(self._find_out(), context=Context())
        return await asyncio.shield(self._asking)

    async def _find_out(self) -> Report:
        report = await self._ask()
        self._until = self._clock() + CACHE_SECONDS
        if report != self._last:
            level = logging.INFO if report.is_ready and report.cache else logging.WARNING
            logger.log(level, "readiness is now: %s", report)
            self._last = report
        return report


def readiness_of(app: FastAPI) -> Readiness:
    found: Readiness = app.state.readiness
    return found


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
    """Return None where the database does not answer."""
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
        logger.warning("the database does not answer: %r", error.__cause__ or error)
        return False
    return True


async def check_cache(cache: Cache) -> dict[str, Any] | None:
    """The server's figures, or None when it does not answer within a cache call's budget."""
    info = await cache.look()
    if info is None:
        return None
    return {
        "version": str(info.get("valkey_version") or info["redis_version"]),
        "connected_clients": info["connected_clients"],
        "used_memory_human": info["used_memory_human"],
    }
