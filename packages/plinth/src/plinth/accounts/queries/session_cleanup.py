"""Delete ended sessions in batches. `SKIP LOCKED` lets several processes do so concurrently."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, delete, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts.models import Session, SessionCleanup, User

BATCH_SIZE = 2000
FIRST_ID = UUID(int=0)

_is_orphan = User.id.is_(None)
# Revoked only by the epoch of the user: there were too many to mark each one.
_is_unmarked = and_(
    Session.revoked_at.is_(None), Session.session_epoch.is_distinct_from(User.session_epoch)
)


async def clean_user(db: AsyncSession) -> bool:
    """Delete a batch of the ended sessions of one user in `session_cleanups`.

    Returns:
        Whether there was such a user. If so, there may be more to delete.
    """
    pending = select(SessionCleanup.user_id).limit(1).with_for_update(skip_locked=True)
    user_id = await db.scalar(pending)
    if user_id is None:
        return False
    ended = and_(Session.user_id == user_id, or_(_is_orphan, _is_unmarked))
    if await _delete(db, ended) < BATCH_SIZE:
        await db.execute(delete(SessionCleanup).where(SessionCleanup.user_id == user_id))
    return True


async def clean_range(db: AsyncSession, after: UUID, *, keep: timedelta) -> UUID | None:
    """Scan the next batch of sessions by id and delete those that ended longer ago than `keep`.

    Returns:
        The last scanned id, or None at the end of the table.
    """
    batch = select(Session.id).where(Session.id > after).order_by(Session.id).limit(BATCH_SIZE)
    chunk = batch.subquery()
    last: UUID | None = await db.scalar(select(chunk.c.id).order_by(chunk.c.id.desc()).limit(1))
    if last is None:
        return None
    limit = func.now() - keep
    ended = or_(_is_orphan, _is_unmarked, Session.revoked_at < limit, Session.expires_at < limit)
    await _delete(db, and_(Session.id > after, Session.id <= last, ended))
    return last


async def _delete(db: AsyncSession, condition: ColumnElement[bool]) -> int:
    ended = (
        select(Session.id)
        .outerjoin(User, User.id == Session.user_id)
        .where(condition)
        .limit(BATCH_SIZE)
        .with_for_update(of=Session, skip_locked=True)
        .cte("ended")
    )
    deleted: Any = await db.execute(
        delete(Session).where(Session.id == ended.c.id).execution_options(synchronize_session=False)
    )
    count: int = deleted.rowcount
    return count
