"""Where a database is, compared with the application's migrations and the library's steps."""

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
        revision: of alembic; None where no migration ever ran.
        version: of the library's schema; 0 where no migration recorded one.
    """

    revision: str | None
    version: int

    def is_behind(self) -> bool:
        """Return whether this code needs migrations that have not run.

        A database that is ahead is not behind: during a rolling deploy its migrations have run,
        and the previous release still serves.
        """
        return (
            self.revision is None
            or self.revision in revisions.outgrown()
            or self.version < steps.newest()
        )

    def compare(self) -> tuple[str, str] | None:
        """Return what is wrong and what to do, a sentence each; None where all is as it should."""
        if self.revision != revisions.newest():
            return revisions.compare(self.revision)
        needed = steps.newest()
        if self.version < needed:
            return (
                f"at schema version {self.version}, and this library needs {needed}",
                "Run `alembic revision --autogenerate`, then `alembic upgrade head`.",
            )
        if self.version > needed:
            return (
                f"at schema version {self.version}, newer than this library, which has {needed}",
                "Install the release of plinth-backend that changed the database.",
            )
        return None


async def read_state(database: Database) -> State:
    revision = await revisions.applied(database)
    async with database.reading() as connection:
        try:
            version = await connection.scalar(text(VERSION))
        except ProgrammingError:
            version = 0
    return State(revision, int(version or 0))
