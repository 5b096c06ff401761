"""Counts of failed calls to Redis, and of calls that were skipped after failures."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from plinth.observability import metrics


@dataclass
class Calls:
    failed: int = 0
    skipped: int = 0


@contextmanager
def counting_calls() -> Iterator[Calls]:
    """Count with the metrics, which include every call."""
    calls, before = Calls(), _read()
    yield calls
    after = _read()
    calls.failed, calls.skipped = (int(now - then) for now, then in zip(after, before, strict=True))


def _read() -> tuple[float, float]:
    counters = metrics.cache_errors, metrics.cache_spared
    failed, skipped = (next(iter(it.collect())).samples[0].value for it in counters)
    return failed, skipped
