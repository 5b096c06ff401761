"""The metrics of a worker, parsed as Prometheus does."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.request import urlopen

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from plinth.db.database import Database
from plinth.health import figures
from tests.support.command import find_free_port


@dataclass(frozen=True, slots=True)
class Scrape:
    text: str
    families: Iterable[Metric]

    def value(self, name: str, **labels: str) -> float | None:
        """Return the value of a series, or None if it does not exist."""
        for family in self.families:
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    return sample.value
        return None

    @property
    def labels(self) -> dict[str, set[str]]:
        """Return the label names by the name of the series."""
        found: dict[str, set[str]] = {}
        for family in self.families:
            for sample in family.samples:
                found.setdefault(sample.name, set()).update(sample.labels)
        return found


async def scrape(port: int) -> Scrape:
    text = await asyncio.to_thread(_read, port)
    return Scrape(text, list(text_string_to_metric_families(text)))


@asynccontextmanager
async def shown_metrics(database: Database) -> AsyncIterator[int]:
    async with figures.shown(database, find_free_port()) as port:
        yield port


def _read(port: int) -> str:
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        text: str = answer.read().decode()
        return text
