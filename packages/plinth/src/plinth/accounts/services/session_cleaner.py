"""Deletes sessions that have ended, as a part of the worker (`mail_worker.py`)."""

import time
from datetime import timedelta
from uuid import UUID

from plinth.accounts import queries
from plinth.config import settings
from plinth.db.database import Database

WALK_SECONDS = 3600  # from the end of one walk through the table to the next


class SessionCleaner:
    """Works in small transactions. Several processes may do so side by side."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._after: UUID | None = queries.session_cleanup.FIRST_ID
        self._walked_at = 0.0

    async def clean_some(self) -> bool:
        """Delete one batch: of a user who has more of them than a request could end, else of the
        whole table, once an hour.

        Returns:
            Whether there may be more to do now.

        Raises:
            PlinthError: the database does not answer.
        """
        async with self._database.transaction() as db:
            if await queries.session_cleanup.clean_user(db):
                return True
        if self._after is None:
            if time.monotonic() - self._walked_at < WALK_SECONDS:
                return False
            self._after = queries.session_cleanup.FIRST_ID
        keep = timedelta(days=settings.SESSION_KEEP_DAYS)
        async with self._database.transaction() as db:
            self._after = await queries.session_cleanup.clean_range(db, self._after, keep=keep)
        self._walked_at = time.monotonic()
        return self._after is not None
