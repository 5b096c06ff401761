"""How steady the machine is, told by equal pieces of computing. On one that is shared some take ten
times as long as others, with nothing else at work here, and so do answers."""

import time
from statistics import median, quantiles

PIECE = 20_000  # additions; some half a millisecond


def feel_pulse(seconds: float) -> float:
    """How many times the usual time the slowest hundredth takes."""
    took: list[float] = []
    until = time.perf_counter() + seconds
    while (began := time.perf_counter()) < until:
        sum(range(PIECE))
        took.append(time.perf_counter() - began)
    return quantiles(took, n=100)[-1] / median(took)
