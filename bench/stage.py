from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.plan import Plan
from bench.seed import Person


@dataclass(frozen=True, slots=True)
class Stage:
    """The database and the settings of all targets.

    Attributes:
        folder: for their logs and files.
        settings: environment variables of the targets, without the database.
    """

    plan: Plan
    people: Sequence[Person]
    users: int
    database_url: str
    postmaster: int
    folder: Path
    settings: Mapping[str, str]

    @property
    def environment(self) -> dict[str, str]:
        prefix = {"CACHE_PREFIX": self.database_url.rpartition("/")[2].partition("?")[0]}
        return {**self.settings, **prefix, "DATABASE_URL": self.database_url}
