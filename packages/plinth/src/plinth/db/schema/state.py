"""Compare a database with the application's migrations and the library's schema steps."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from plinth.db import revisions
from plinth.db.database import Database
from plinth.db.schema import steps

VERSION = "SELECT plinth_schema_version()"


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

    def compare(self) -> tuple[str, str] | None:
        """Return what is wrong and what to do, a sentence each; None if nothing is wrong."""
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


async def read_state(database: Database) -> State:
    revision = await revisions.current(database)
    async with database.read_connection() as connection:
        try:
            version = await connection.scalar(text(VERSION))
        except ProgrammingError:
            version = 0
    return State(revision, int(version or 0))
