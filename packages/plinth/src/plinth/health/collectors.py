"""Figures that are read when somebody asks for them, in the thread that answers him."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from time import monotonic

from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from plinth.config import settings
from plinth.db.database import Database
from plinth.security import passwords

TIMEOUT_SECONDS = 5  # seconds for the loop and the database together
CACHE_SECONDS = 15  # seconds: counting sessions reads many rows

Figures = Mapping[str, float]


class ProcessFigures(Collector):
    """What is known without asking anyone."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily(
            "plinth_build",
            "What runs.",
            {"version": settings.VERSION, "environment": settings.ENVIRONMENT},
        )
        status = self._database.pool_status()
        pool = GaugeMetricFamily(
            "plinth_db_pool_connections", "Connections of this process.", labels=["state"]
        )
        pool.add_metric(["in_use"], status["checked_out"])
        pool.add_metric(["idle"], status["checked_in"])
        yield pool
        yield GaugeMetricFamily(
            "plinth_db_pool_limit",
            "The most connections that this process opens.",
            settings.DB_POOL_SIZE + settings.DB_MAX_OVERFLOW,
        )
        yield GaugeMetricFamily(
            "plinth_password_queue_limit",
            "How many fit into plinth_password_queue.",
            passwords.THREADS + passwords.QUEUE,
        )


class SharedFigures(Collector):
    """What the database knows, the same from each process; and how long the loop lets one wait.

    While the database is away its figures are left out: none is better than a wrong one.

    Args:
        names: of each figure, what it says.
        ask: the figures by name; it runs on the loop.
    """

    def __init__(self, names: Mapping[str, str], ask: Callable[[], Awaitable[Figures]]) -> None:
        self._names = names
        self._ask = ask
        self._loop = asyncio.get_running_loop()
        self._last: tuple[float, Figures] | None = None

    def collect(self) -> Iterator[Metric]:
        lag, figures = self._read()
        yield GaugeMetricFamily(
            "plinth_event_loop_lag_seconds", "How long the loop let this question wait.", lag
        )
        yield GaugeMetricFamily(
            "plinth_database_up", "1 when the database answered this time, else 0.", bool(figures)
        )
        for name, text in self._names.items():
            if name in figures:
                yield GaugeMetricFamily(name, text, figures[name])

    def _read(self) -> tuple[float, Figures]:
        asked, began = monotonic(), [0.0]

        async def read() -> Figures:
            began[0] = monotonic()
            return await self._ask_now_and_then()

        running = asyncio.run_coroutine_threadsafe(read(), self._loop)
        try:
            figures = running.result(TIMEOUT_SECONDS)
        except TimeoutError:  # the loop is stalled
            running.cancel()
            figures = {}
        return (began[0] or monotonic()) - asked, figures

    async def _ask_now_and_then(self) -> Figures:
        if self._last is None or monotonic() - self._last[0] > CACHE_SECONDS:
            figures = await self._ask()
            self._last = (monotonic(), figures) if figures else None
            return figures
        return self._last[1]
