"""Record the date on which each key was last used, after the response and in batches."""

import asyncio
import logging
from contextvars import Context
from uuid import UUID

from plinth.accounts import queries
from plinth.db.database import Database

logger = logging.getLogger(__name__)

BATCH_SECONDS = 1.0
MAX_UNSAVED = 10_000


class KeyUsage:
    """Collects the keys that were used for the first time on a day, and writes them later.

    A failure is logged and has no other effect: the next request with the key tries again.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pending: set[UUID] = set()
        self._task: asyncio.Task[None] | None = None

    def note(self, key_id: UUID) -> None:
        """Write the date of this key within about a second. Returns at once."""
        if len(self._pending) < MAX_UNSAVED:
            self._pending.add(key_id)
        if self._task is None or self._task.done():
            # An empty context, so that the statement is not attributed to this request.
            self._task = asyncio.get_running_loop().create_task(self._write(), context=Context())

    async def close(self) -> None:
        """Write the pending keys now."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._flush()

    async def _write(self) -> None:
        while self._pending:
            await asyncio.sleep(BATCH_SECONDS)
            await self._flush()

    async def _flush(self) -> None:
        used, self._pending = self._pending, set()
        if not used:
            return
        try:
            async with self._database.transaction() as db:
                await queries.api_key.record_use(db, sorted(used))
        except Exception as error:  # noqa: BLE001 - the date is not worth a failure
            logger.warning("the last use of %s API keys was not saved: %s", len(used), error)
