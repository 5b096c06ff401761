"""Delete old events: a prefix of the chain, behind a signed checkpoint, in batches."""

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from plinth.accounts import queries
from plinth.accounts.models import Event
from plinth.accounts.services.audit import checkpoints
from plinth.accounts.services.audit.recording import SALT_BYTES, digest_personal_data
from plinth.accounts.services.audit.verification import Chain
from plinth.config import settings
from plinth.db.database import Database
from plinth.db.retention import BATCH_SIZE, RetentionError

# Each sweep adds events. One in a day is enough: a quiet application would add more than it
# deletes.
SLACK = timedelta(days=1)
CHUNK_SIZE = 250  # verifying an event takes 25 us, in which a server process does nothing else


@dataclass(frozen=True, slots=True)
class _Batch:
    """The verified events after `previous_id` up to `last`."""

    previous_id: int
    last: Event


async def prune_in_batches(database: Database) -> AsyncIterator[int]:
    """Delete events older than `EVENT_KEEP_DAYS` as soon as the oldest is one day older than that.

    Yields:
        The number of deleted events after each batch, which is one transaction.

    Raises:
        RetentionError: the events to delete were altered. They stay, as evidence.
    """
    keep = timedelta(days=settings.EVENT_KEEP_DAYS)
    if not keep:
        return
    batch = await _find_batch(database, keep, slack=SLACK)
    while batch and (count := await _prune(database, batch)) is not None:
        yield count
        batch = await _find_batch(database, keep)


async def _find_batch(
    database: Database, keep: timedelta, *, slack: timedelta = timedelta(0)
) -> _Batch | None:
    """Verify the next old events, so that retention does not hide that they were altered.

    The newest event of the log stays, because the next one continues its number and hash.
    """
    limit = datetime.now(UTC) - keep
    last = None
    async with database.transaction() as db:
        chain, newest_id = Chain(db), await queries.event.get_last_id(db)
        flaw = await chain.start()
        if flaw is None:
            events = queries.event.stream(db, after=chain.last_id, batch=CHUNK_SIZE)
            async for event in events:
                is_old = event.at < (limit if last else limit - slack) and event.id < newest_id
                if not is_old or chain.count == BATCH_SIZE or (flaw := await chain.add(event)):
                    break
                last = event
    if flaw:
        raise RetentionError(
            f"the audit log was altered: {flaw}. No event was deleted: run `plinth audit verify` "
            "(docs/explanation/audit.md)"
        )
    return _Batch(chain.first_id - 1, last) if last else None


async def _prune(database: Database, batch: _Batch) -> int | None:
    """Return the number of deleted events; 0 if another process has deleted them.

    Return None while another process deletes events. The one that has the lock always continues.
    """
    checkpoint = checkpoints.create(batch.last)
    salt = secrets.token_bytes(SALT_BYTES)
    return await queries.event.prune(
        database,
        previous_id=batch.previous_id,
        last_id=checkpoint.last_id,
        hash=checkpoint.hash,
        newest_at=checkpoint.newest_at,
        deleted_at=checkpoint.deleted_at,
        signature=checkpoint.signature,
        reason=f"1 to {checkpoint.last_id}, until {checkpoint.newest_at:%Y-%m-%d %H:%M:%S} UTC",
        salt=salt,
        personal=digest_personal_data(salt, None, None),  # no request deletes events
    )
