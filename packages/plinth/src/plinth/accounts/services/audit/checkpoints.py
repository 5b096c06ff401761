"""Sign the checkpoint of the audit log: the end of the part that retention deleted.

Without the signature, someone with access to the database could delete the beginning of the log and
write a checkpoint that fits the rest.
"""

import json
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import queries
from plinth.accounts.models import Event, EventCheckpoint
from plinth.accounts.services.audit.recording import record
from plinth.security import signing

PURPOSE = "plinth event checkpoint"
ACCEPTED = "events.checkpoint_accepted"


def create(last: Event) -> EventCheckpoint:
    """Create the signed checkpoint of the events up to `last`."""
    checkpoint = EventCheckpoint(
        last_id=last.id, hash=last.hash, newest_at=last.at, deleted_at=datetime.now(UTC)
    )
    checkpoint.signature = signing.sign(PURPOSE, _serialize(checkpoint))
    return checkpoint


def is_signed(checkpoint: EventCheckpoint) -> bool:
    return signing.verify(PURPOSE, _serialize(checkpoint), checkpoint.signature)


async def resign(db: AsyncSession) -> Literal["current", "signed", "unknown key"]:
    """Sign the checkpoint with the current `SECRET_KEY` if an earlier one signed it."""
    checkpoint = await queries.event.find_checkpoint(db)
    if checkpoint is None:
        return "current"
    if not is_signed(checkpoint):
        return "unknown key"
    signature = signing.sign(PURPOSE, _serialize(checkpoint))
    if signature == checkpoint.signature:
        return "current"
    await queries.event.resign_checkpoint(db, checkpoint.last_id, signature)
    return "signed"


async def accept(db: AsyncSession) -> int | None:
    """Sign the checkpoint although no known key verifies it, and record an event.

    Returns:
        The id of the last deleted event, or None without a checkpoint.
    """
    checkpoint = await queries.event.find_checkpoint(db)
    if checkpoint is None:
        return None
    signature = signing.sign(PURPOSE, _serialize(checkpoint))
    await queries.event.resign_checkpoint(db, checkpoint.last_id, signature)
    record(db, ACCEPTED, subject_id=None, reason=f"1 to {checkpoint.last_id}")
    return checkpoint.last_id


def _serialize(checkpoint: EventCheckpoint) -> bytes:
    content = [
        checkpoint.last_id,
        checkpoint.hash.hex(),
        *(at.astimezone(UTC).isoformat() for at in (checkpoint.newest_at, checkpoint.deleted_at)),
    ]
    return json.dumps(content).encode()
