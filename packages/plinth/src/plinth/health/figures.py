"""Metrics of the database and the process, read at collection (docs/how-to/observability.md)."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from time import monotonic

from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from plinth.accounts import queries
from plinth.config import settings
from plinth.db.database import Database
from plinth.db.retention import get_sizes
from plinth.errors import PlinthError
from plinth.observability.metrics.server import serving_metrics
from plinth.organizations.services.retention import RULES
from plinth.security import passwords

TIMEOUT_SECONDS = 5  # for event loop and database together
CACHE_SECONDS = 15  # counting sessions reads many rows

Figures = Mapping[str, float | Mapping[str, float]]

DATABASE_METRICS = {
    "plinth_sessions_active": "Active sessions.",
    "plinth_outbox_waiting": "Mails that wait for delivery.",
    "plinth_outbox_dead": "Mails that could not be delivered, until they are deleted.",
    "plinth_outbox_oldest_seconds": "Age of the oldest waiting mail; 0 if no mail waits.",
    "plinth_table_bytes": "Bytes of a table that retention limits, with its indexes.",
}


def shown(database: Database, port: int) -> AbstractAsyncContextManager[int]:
    """Serve the metrics on `METRICS_HOST`, on the first free port from `port` on."""
    shared = SharedFigures(DATABASE_METRICS, lambda: take(database))
    return serving_metrics(settings.METRICS_HOST, port, [ProcessFigures(database), shared])


async def take(database: Database) -> dict[str, float | Mapping[str, float]]:
    """Return the database metrics by name; none if the database does not respond.

    A mapping has the values by table.
    """
    try:
        async with database.transaction() as db:
            sessions = await queries.session.count_live(db)
            outbox = await queries.mail.count(db)
            sizes = {size.table: float(size.bytes) for size in await get_sizes(db, RULES)}
    except PlinthError:
        return {}
    age = (datetime.now(UTC) - outbox.oldest).total_seconds() if outbox.oldest else 0
    values = sessions, outbox.waiting, outbox.dead, max(age, 0), sizes
    return dict(zip(DATABASE_METRICS, values, strict=True))


class ProcessFigures(Collector):
    """Metrics that need no query."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily(
            "plinth_build",
            "Version and environment.",
            {"version": settings.VERSION, "environment": settings.ENVIRONMENT},
        )
        status = self._database.pool_status()
        pool = GaugeMetricFamily(
            "plinth_db_pool_connections", "Database connections of this process.", labels=["state"]
        )
        pool.add_metric(["in_use"], status["checked_out"])
        pool.add_metric(["idle"], status["checked_in"])
        yield pool
        yield GaugeMetricFamily(
            "plinth_db_pool_limit",
            "Maximum database connections of this process.",
            settings.DB_POOL_SIZE + settings.DB_MAX_OVERFLOW,
        )
        yield GaugeMetricFamily(
            "plinth_password_queue_limit",
            "Maximum of plinth_password_queue.",
            passwords.THREADS + passwords.QUEUE,
        )


class SharedFigures(Collector):
    """Metrics from the database, equal in each process, and the lag of the event loop.

    While the database is down, its metrics are omitted.

    Args:
        descriptions: by name of the metric.
        load: returns the values by name; runs on the event loop.
    """

    def __init__(
        self, descriptions: Mapping[str, str], load: Callable[[], Awaitable[Figures]]
    ) -> None:
        self._descriptions = descriptions
        self._load = load
        self._loop = asyncio.get_running_loop()
        self._last: tuple[float, Figures] | None = None

    def collect(self) -> Iterator[Metric]:
        lag, figures = self._read()
        yield GaugeMetricFamily(
            "plinth_event_loop_lag_seconds", "Delay of this collection in the event loop.", lag
        )
        yield GaugeMetricFamily(
            "plinth_database_up",
            "1 if the database responded, else 0.",
            bool(figures),
        )
        for name, text in self._descriptions.items():
            if name in figures:
                yield _make_gauge(name, text, figures[name])

    def _read(self) -> tuple[float, Figures]:
        submitted, began = monotonic(), [0.0]

        async def read() -> Figures:
            began[0] = monotonic()
            return await self._load_cached()

        running = asyncio.run_coroutine_threadsafe(read(), self._loop)
        try:
            figures = running.result(TIMEOUT_SECONDS)
        except TimeoutError:  # the event loop is blocked
            running.cancel()
            figures = {}
        return (began[0] or monotonic()) - submitted, figures

    async def _load_cached(self) -> Figures:
        if self._last is None or monotonic() - self._last[0] > CACHE_SECONDS:
            figures = await self._load()
            self._last = (monotonic(), figures) if figures else None
            return figures
        return self._last[1]


def _make_gauge(name: str, text: str, figure: float | Mapping[str, float]) -> GaugeMetricFamily:
    if not isinstance(figure, Mapping):
        return GaugeMetricFamily(name, text, figure)
    gauge = GaugeMetricFamily(name, text, labels=["table"])
    for table, value in figure.items():
        gauge.add_metric([table], value)
    return gauge
