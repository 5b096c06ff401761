"""Compare a database with the application's migrations and the library's schema steps."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from plinth.db import revisions
from plinth.db.database import Database
from plinth.db.schema import steps

VERSION = "SELECT plinth_schema_version()"
AHEAD_ADVICE = (
    "This is expected during a rolling deployment and after going back to the previous release. "
    "Otherwise, run the code that contains this migration."
)


@dataclass(frozen=True, slots=True)
class State:
    """
    Attributes:
        revision: of alembic; None if no migration ever ran.
        version: of the library's schema; 0 if no migration recorded one.
    """

    revision: str | None
    version: int

    def is_behind(self) -> bool:
        """Return whether this code needs migrations that have not run.

        False for a database that is ahead: during a rolling deployment, the previous release still
        serves after the migrations of the next one.
        """
        return (
            self.revision is None
            or self.revision in revisions.ancestors()
            or self.version < steps.newest()
        )

    def is_ahead(self) -> bool:
        """Return whether a newer release has migrated the database; this code runs on it."""
        return self._is_unknown() and self.version >= steps.newest()

    def compare(self) -> tuple[str, str] | None:
        """Return what is wrong and what to do; None if nothing is wrong."""
        if self._is_unknown():
            return self.describe_unknown()
        if self.revision != revisions.head():
            return revisions.compare(self.revision)
        needed = steps.newest()
        if self.version < needed:
            return (
                f"at schema version {self.version}; this library needs {needed}",
                "Run `alembic revision --autogenerate`, then `alembic upgrade head`.",
            )
        if self.version > needed:
            return (
                f"at schema version {self.version}; the newest of this library is {needed}",
                "Install the release of plinth-backend that changed the database.",
            )
        return None

    def describe_unknown(self) -> tuple[str, str]:
        """Return the state of a database whose revision this code lacks, and what to do."""
        text = f"at revision {self.revision}, which is unknown to this code"
        if self.is_ahead():
            return text, AHEAD_ADVICE
        return (
            f"{text}, and at schema version {self.version}; this library needs {steps.newest()}",
            "Check DATABASE_URL, or run the code that contains this migration.",
        )

    def _is_unknown(self) -> bool:
        return self.revision is not None and not revisions.is_known(self.revision)


async def read_state(database: Database) -> State:
    revision = await revisions.current(database)
    async with database.read_connection() as connection:
        try:
            version = await connection.scalar(text(VERSION))
        except ProgrammingError:
            version = 0
    return State(revision, int(version or 0))
