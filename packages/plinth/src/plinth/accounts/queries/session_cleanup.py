"""Delete ended sessions in batches. `SKIP LOCKED` lets several processes do so concurrently."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Delete, and_, delete, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts.models import Session, SessionCleanup, User
from plinth.db.database import Database
from plinth.db.reading import Query, in_array
from plinth.db.retention import BATCH_SIZE

FIRST_ID = UUID(int=0)

_is_orphan = User.id.is_(None)
# Revoked only by the epoch of the user: there were too many to mark each one.
_is_unmarked = and_(
    Session.revoked_at.is_(None), Session.session_epoch.is_distinct_from(User.session_epoch)
)


async def clean_user(db: AsyncSession) -> int | None:
    """Delete a batch of the ended sessions of one user in `session_cleanups`.

    Returns:
        The number of deleted sessions, or None if there is no such user.
    """
    pending = select(SessionCleanup.user_id).limit(1).with_for_update(skip_locked=True)
    user_id = await db.scalar(pending)
    if user_id is None:
        return None
    ended = and_(Session.user_id == user_id, or_(_is_orphan, _is_unmarked))
    deleted: Any = await db.execute(_delete(ended).execution_options(synchronize_session=False))
    count: int = deleted.rowcount
    if count < BATCH_SIZE:
        await db.execute(delete(SessionCleanup).where(SessionCleanup.user_id == user_id))
    return count


async def scan(db: AsyncSession, after: UUID, *, keep: timedelta) -> tuple[UUID | None, list[UUID]]:
    """Read the next sessions by id, without an index on their end.

    Each refresh would have to change such an index.

    Returns:
        The last id that was read, or None at the end of the table, and the ids of the sessions that
        ended longer ago than `keep`.
    """
    limit = func.now() - keep
    ended = or_(_is_orphan, _is_unmarked, Session.revoked_at < limit, Session.expires_at < limit)
    batch = (
        select(Session.id, ended.label("ended"))
        .outerjoin(User, User.id == Session.user_id)
        .where(Session.id > after)
        .order_by(Session.id)
        .limit(BATCH_SIZE)
    )
    rows = (await db.execute(batch)).all()
    return (rows[-1].id if rows else None), [row.id for row in rows if row.ended]


async def remove(database: Database, ids: list[UUID]) -> int:
    """Delete ended sessions, except those that another transaction has locked.

    The statement is its own transaction.
    """
    (row,) = await database.execute_autocommit(_remove_query, ids=ids)
    count: int = row.count
    return count


def _delete(condition: ColumnElement[bool]) -> Delete:
    ended = (
        select(Session.id)
        .outerjoin(User, User.id == Session.user_id)
        .where(condition)
        .limit(BATCH_SIZE)
        .with_for_update(of=Session, skip_locked=True)
        .cte("ended")
    )
    return delete(Session).where(Session.id == ended.c.id)


_removed = _delete(in_array(Session.id, "ids")).returning(Session.id).cte("removed")
_remove_query = Query(select(func.count().label("count")).select_from(_removed))
