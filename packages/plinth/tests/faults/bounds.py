"""The fault contract's figures (design.md), and how far a busy machine may stretch them."""

import os

GRACE = float(os.environ.get("FAULT_GRACE", "1.5"))
"""What a machine that does other things as well may add: a factor on every promised time."""

REFUSAL = 5
"""Seconds in which a database that is away is a 503."""
FAILOVER = 10
"""Seconds in which the new primary is found."""
CACHE_CALL = 0.1
"""Seconds that a call to a Redis that is away may cost."""


def within(seconds: float) -> float:
    return seconds * GRACE


LONG_ENOUGH = within(REFUSAL) + 2
"""Seconds to be away for: who waits until it is back shall be seen to have waited too long."""
