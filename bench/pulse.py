"""Measure how constant the speed of the machine is, with equal pieces of computing.

On a shared machine, some pieces take ten times as long as others. The same applies to responses.
"""

import time
from statistics import median, quantiles

PIECE = 20_000  # additions; about half a millisecond


def feel_pulse(seconds: float) -> float:
    """Return the 99th percentile of the time of a piece, divided by the median."""
    took: list[float] = []
    until = time.perf_counter() + seconds
    while (began := time.perf_counter()) < until:
        sum(range(PIECE))
        took.append(time.perf_counter() - began)
    return quantiles(took, n=100)[-1] / median(took)
