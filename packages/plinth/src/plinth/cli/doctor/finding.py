from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    FINE = "fine"
    DOUBTFUL = "doubtful"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a check.

    Attributes:
        advice: how to fix it; empty if it is fine.
    """

    name: str
    level: Level
    text: str
    advice: str = ""


def fine(name: str, text: str) -> Finding:
    return Finding(name, Level.FINE, text)


def doubtful(name: str, text: str, advice: str) -> Finding:
    return Finding(name, Level.DOUBTFUL, text, advice)


def broken(name: str, text: str, advice: str) -> Finding:
    return Finding(name, Level.BROKEN, text, advice)
