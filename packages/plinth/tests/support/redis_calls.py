"""How many calls Redis was asked to answer in vain, and how many it was spared."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from plinth.observability import metrics


@dataclass
class Calls:
    failed: int = 0
    exempt_paths: int = 0


@contextmanager
def counting_calls() -> Iterator[Calls]:
    """Count by the metrics, which every call passes."""
    calls, before = Calls(), _read()
    yield calls
    after = _read()
    calls.failed, calls.exempt_paths = (
        int(now - then) for now, then in zip(after, before, strict=True)
    )


def _read() -> tuple[float, float]:
    counters = metrics.cache_errors, metrics.cache_spared
    failed, exempt_paths = (next(iter(it.collect())).samples[0].value for it in counters)
    return failed, exempt_paths
