"""Time limits of the fault contract (design.md), and the tolerance for a busy machine."""

import os

GRACE = float(os.environ.get("FAULT_GRACE", "1.5"))
"""The factor by which a busy machine may exceed each limit."""

REFUSAL = 5
"""Maximum seconds until a 503 if the database is unavailable."""
FAILOVER = 10
"""Maximum seconds until the application uses the new primary."""
CACHE_CALL = 0.1
"""Maximum seconds of a call to an unavailable Redis."""


def within(seconds: float) -> float:
    return seconds * GRACE


LONG_ENOUGH = within(REFUSAL) + 2
"""Seconds of an outage: a request that waits for its end exceeds the limit."""
