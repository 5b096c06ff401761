"""How many in what time, in the settings' words: `5/5m` is five in five minutes."""

import re
from dataclasses import dataclass
from functools import lru_cache

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
SHAPE = re.compile(r"([0-9]{1,6})/([0-9]{1,6})([smhd])")
MAX_COUNT, MAX_PERIOD_SECONDS = 10_000, 31 * SECONDS["d"]


@dataclass(frozen=True, slots=True)
class Rate:
    most: int
    seconds: int


@lru_cache
def parse_rate(text: str) -> Rate:
    """
    Raises:
        ValueError: a sentence that says how it is written.
    """
    if not (found := SHAPE.fullmatch(text)):
        raise ValueError(
            "is not how many in what time: write 5/5m for five in five minutes (s, m, h or d)"
        )
    most, count, unit = found.groups()
    rate = Rate(int(most), int(count) * SECONDS[unit])
    if not (1 <= rate.most <= MAX_COUNT and 1 <= rate.seconds <= MAX_PERIOD_SECONDS):
        raise ValueError(f"must be 1 to {MAX_COUNT} in one second to 31 days")
    return rate


def check_rate(text: str) -> str:
    parse_rate(text)
    return text
