"""Rates as settings write them: `5/5m` is five in five minutes."""

import re
from dataclasses import dataclass
from functools import lru_cache

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
PATTERN = re.compile(r"([0-9]{1,6})/([0-9]{1,6})([smhd])")
MAX_COUNT, MAX_PERIOD_SECONDS = 10_000, 31 * SECONDS["d"]


@dataclass(frozen=True, slots=True)
class Rate:
    limit: int
    seconds: int


@lru_cache
def parse_rate(text: str) -> Rate:
    """
    Raises:
        ValueError: the text is not a rate; the message shows the format.
    """
    if not (match := PATTERN.fullmatch(text)):
        raise ValueError("must be a rate such as 5/5m, five in five minutes (units: s, m, h, d)")
    limit, count, unit = match.groups()
    rate = Rate(int(limit), int(count) * SECONDS[unit])
    if not (1 <= rate.limit <= MAX_COUNT and 1 <= rate.seconds <= MAX_PERIOD_SECONDS):
        raise ValueError(f"must allow 1 to {MAX_COUNT} in a period of 1 second to 31 days")
    return rate


def check_rate(text: str) -> str:
    parse_rate(text)
    return text
