"""Queries of the results of a run."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isinf
from statistics import median
from typing import Any

from bench.rounds import Result
from bench.targets import OURS

Numbers = Sequence[float]
Key = tuple[int, str, int]
"""Number of users, name of the work, number of connections."""


@dataclass(frozen=True, slots=True)
class Figures:
    """
    Attributes:
        facts: measurements of the machine and of the processes.
        grouped: the runs by users, work and connections, then by target.
    """

    results: Sequence[Result]
    facts: Mapping[str, Any]
    grouped: Mapping[Key, Mapping[str, Sequence[Result]]] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "grouped", group(self.results))

    @property
    def cores(self) -> int:
        return int(self.facts["cores"])

    @property
    def starts(self) -> Numbers:
        return list(self.facts.get("starts", ()))

    def runs(
        self, work: str, connections: int, target: str = OURS, users: int | None = None
    ) -> Sequence[Result]:
        """Return the runs with this number of users; by default with the smallest measured."""
        for (among, name, many), by_target in sorted(self.grouped.items()):
            if (name, many) == (work, connections) and users in (None, among):
                return by_target.get(target, ())
        return ()

    def ratios(self, work: str, connections: int, target: str, users: int | None = None) -> Numbers:
        """Return our requests per second divided by the target's, for each round."""
        ours, theirs = (self.runs(work, connections, name, users) for name in (OURS, target))
        return compare(ours, theirs)

    def weights(self) -> list[Mapping[str, float]]:
        """Return the measurements of our processes, for each number of users."""
        found = (it for it in self.facts.values() if isinstance(it, Mapping))
        return [it[OURS] for it in found if OURS in it]


def group(results: Iterable[Result]) -> dict[Key, dict[str, list[Result]]]:
    found: dict[Key, dict[str, list[Result]]] = {}
    for one in results:
        key = (one.users, one.work, one.connections)
        found.setdefault(key, {}).setdefault(one.target, []).append(one)
    return found


def compare(ours: Sequence[Result], theirs: Sequence[Result]) -> list[float]:
    """Return the ratio of the rates for each common round; infinite if theirs is 0."""
    rates = {one.round: one.rate for one in theirs}
    both = [(one.rate, rates[one.round]) for one in ours if one.round in rates]
    return [our / their if their else inf for our, their in both]


def show(numbers: Numbers) -> str:
    """Format the median with the minimum and the maximum."""
    middle = _shorten(median(numbers))
    if len(numbers) == 1:
        return middle
    return f"{middle} ({_shorten(min(numbers))} to {_shorten(max(numbers))})"


def _shorten(number: float) -> str:
    if isinf(number):
        return "∞"
    if isinstance(number, int) or number == 0:  # a count
        return f"{number:,.0f}"
    places = 2 if number < 10 else 1 if number < 100 else 0
    return f"{number:,.{places}f}"
