"""Queries of sessions and refresh tokens. Each change is one conditional UPDATE, to avoid races."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Interval,
    LargeBinary,
    Row,
    Uuid,
    and_,
    bindparam,
    column,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.dml import ReturningUpdate

from plinth.accounts.models import Session, SessionCleanup, User
from plinth.config import settings
from plinth.db.database import Database
from plinth.db.reading import Query, array_param

GRACE_PERIOD = timedelta(seconds=10)
MAX_GRACE_USES = 3

MAX_ENDED_AT_ONCE = 1000
"""The number of sessions that one request marks or deletes at most; the worker does the rest."""


def is_live(epoch: Any) -> ColumnElement[bool]:
    """
    Args:
        epoch: the user's `session_epoch`.
    """
    return and_(
        Session.revoked_at.is_(None),
        Session.expires_at > func.now(),
        Session.session_epoch == epoch,
    )


_is_active_owner = and_(User.id == Session.user_id, User.is_active)


def expiry() -> ColumnElement[datetime]:
    days = min(settings.REFRESH_TOKEN_EXPIRE_DAYS, settings.SESSION_IDLE_DAYS)
    return func.now() + timedelta(days=days)


class Rotation(NamedTuple):
    """A replacement of a session's refresh token, if `old_hash` is that of the current token.

    Attributes:
        sealed: the new token, encrypted with the old one.
    """

    session_id: UUID
    old_hash: bytes
    new_hash: bytes
    sealed: bytes


def _rotate(
    session_id: Any, old_hash: Any, new_hash: Any, sealed: Any
) -> ReturningUpdate[int, bytes]:
    return (
        update(Session)
        .where(Session.id == session_id, Session.token_hash == old_hash)
        .where(_is_active_owner, is_live(User.session_epoch))
        .values(
            token_hash=new_hash,
            previous_hash=old_hash,
            successor=sealed,
            rotations=Session.rotations + 1,
            graces=0,
            last_used_at=func.now(),
            expires_at=func.least(Session.ends_at, expiry()),
        )
        .returning(Session.user_id, Session.token_hash)
    )


_rotate_query = Query(_rotate(*map(bindparam, Rotation._fields)))

_rotations = (
    func.unnest(
        array_param("session_ids", Uuid()),
        *(array_param(it, LargeBinary()) for it in ("old", "new", "sealed")),
    )
    .table_valued(*(column(name) for name in Rotation._fields), name="rotations")
    .render_derived()
)
# `SKIP LOCKED` prevents a deadlock between concurrent batches. Skipped rotations are retried alone.
_locked = (
    select(Session.id, *_rotations.c)
    .join(
        _rotations,
        and_(Session.id == _rotations.c.session_id, Session.token_hash == _rotations.c.old_hash),
    )
    .where(Session.last_used_at <= func.now() - bindparam("min_idle", type_=Interval))
    .with_for_update(of=Session, key_share=True, skip_locked=True)
    .cte("locked")
)
_rotate_many_query = Query(
    _rotate(_locked.c.id, _locked.c.old_hash, _locked.c.new_hash, _locked.c.sealed)
)


async def rotate(database: Database, rotation: Rotation) -> int | None:
    """Rotate a token in its own transaction, which is durable when this returns.

    Returns:
        The user's id, or None if the token is not current, the session has ended, or the user is
        inactive. Of concurrent calls with the same old token, one gets the id.
    """
    rows = await database.execute_autocommit(_rotate_query, **rotation._asdict())
    return rows[0].user_id if rows else None


async def rotate_many(
    database: Database, rotations: Sequence[Rotation], *, min_idle: timedelta
) -> Mapping[Rotation, int]:
    """Rotate tokens of many sessions with one statement and one commit.

    Returns:
        The user's id for each successful rotation. The others are invalid, their session is locked,
        or it was used within `min_idle`. Call `rotate` for those.
    """
    ids, old, new, sealed = zip(*rotations, strict=True)
    rows = await database.execute_autocommit(
        _rotate_many_query, session_ids=ids, old=old, new=new, sealed=sealed, min_idle=min_idle
    )
    user_ids = {row.token_hash: row.user_id for row in rows}
    return {it: user_ids[it.new_hash] for it in rotations if it.new_hash in user_ids}


async def count_live(db: AsyncSession) -> int:
    count = select(func.count()).select_from(Session).join(User, User.id == Session.user_id)
    return await db.scalar(count.where(is_live(User.session_epoch))) or 0


async def use_grace_period(
    db: AsyncSession, session_id: UUID, previous_hash: bytes
) -> Row[int, bytes | None] | None:
    """Return the user's id and the encrypted current token for the holder of the previous one.

    Returns:
        None after `GRACE_PERIOD`, or after `MAX_GRACE_USES` of the same token.
    """
    result = await db.execute(
        update(Session)
        .where(Session.id == session_id, Session.previous_hash == previous_hash)
        .where(_is_active_owner, is_live(User.session_epoch))
        .where(Session.last_used_at > func.now() - GRACE_PERIOD, Session.graces < MAX_GRACE_USES)
        .values(graces=Session.graces + 1)
        .returning(Session.user_id, Session.successor)
        .execution_options(synchronize_session=False)
    )
    return result.one_or_none()


async def is_replay(db: AsyncSession, session_id: UUID, token_hash: bytes) -> bool:
    """Return whether a token of this session was used up.

    That is any token but the current one, and the previous one within `GRACE_PERIOD`.
    """
    replayed = select(Session.id).where(
        Session.id == session_id,
        Session.token_hash != token_hash,
        Session.previous_hash.is_distinct_from(token_hash)
        | (Session.last_used_at <= func.now() - GRACE_PERIOD),
    )
    return await db.scalar(replayed) is not None


async def get_live(
    db: AsyncSession, user_id: int, *, skip: int = 0, limit: int = 100
) -> Sequence[Session]:
    """Return a user's live sessions, newest first."""
    # With a subquery instead of a join, the index returns the rows in this order.
    epoch = select(User.session_epoch).where(User.id == user_id).scalar_subquery()
    sessions = (
        select(Session)
        .where(Session.user_id == user_id, is_live(epoch))
        .order_by(Session.created_at.desc(), Session.id)
        .offset(skip)
        .limit(limit)
    )
    return (await db.scalars(sessions)).all()


async def revoke(
    db: AsyncSession, session_id: UUID, reason: str, *, user_id: int | None = None
) -> int | None:
    """Revoke a session.

    Args:
        user_id: revoke it only if it belongs to this user.

    Returns:
        The id of its user, or None if there is no such session that is not revoked.
    """
    statement = (
        update(Session)
        .where(Session.id == session_id, Session.revoked_at.is_(None))
        .where(User.id == Session.user_id, User.session_epoch == Session.session_epoch)
    )
    if user_id is not None:
        statement = statement.where(Session.user_id == user_id)
    return await db.scalar(
        statement.values(revoked_at=func.now(), revoked_reason=reason)
        .returning(Session.user_id)
        .execution_options(synchronize_session=False)
    )


async def revoke_all(
    db: AsyncSession, user_id: int, reason: str, *, keep: UUID | None = None
) -> None:
    """Revoke all sessions of a user, except `keep` if it is live.

    Incrementing the user's `session_epoch` revokes them. The newest ones are also marked as
    revoked, for the code of the previous release (until the next major version).
    """
    increment = (
        update(User)
        .where(User.id == user_id)
        .values(session_epoch=User.session_epoch + 1)
        .returning(User.session_epoch)
        .execution_options(synchronize_session=False)
    )
    epoch = await db.scalar(increment)
    if epoch is None:
        return
    if keep is not None:
        await _keep_live(db, user_id, keep, epoch)
    # A separate statement, to see the sessions that started while the first waited for the lock.
    newest = (
        select(Session.id)
        .where(Session.user_id == user_id, Session.session_epoch == epoch - 1)
        .where(Session.revoked_at.is_(None))
        .order_by(Session.created_at.desc(), Session.id)
        .limit(MAX_ENDED_AT_ONCE)
        .cte("newest")
    )
    marked = await db.execute(
        update(Session)
        .where(Session.id == newest.c.id)
        .values(revoked_at=func.now(), revoked_reason=reason)
        .returning(Session.id)
        .execution_options(synchronize_session=False)
    )
    if len(marked.all()) == MAX_ENDED_AT_ONCE:
        await _schedule_cleanup(db, user_id)


async def remove_all(db: AsyncSession, user_id: int) -> None:
    """Delete the sessions of a deleted user. The worker deletes those over the limit."""
    batch = select(Session.id).where(Session.user_id == user_id).limit(MAX_ENDED_AT_ONCE)
    chunk = batch.cte("chunk")
    removed = await db.execute(
        delete(Session)
        .where(Session.id == chunk.c.id)
        .returning(Session.id)
        .execution_options(synchronize_session=False)
    )
    if len(removed.all()) == MAX_ENDED_AT_ONCE:
        await _schedule_cleanup(db, user_id)


async def erase_all(db: AsyncSession, user_id: int) -> int:
    """Delete all sessions of a user in one statement and return how many there were."""
    statement = delete(Session).where(Session.user_id == user_id)
    result: Any = await db.execute(statement.execution_options(synchronize_session=False))
    count: int = result.rowcount
    return count


async def _keep_live(db: AsyncSession, user_id: int, session_id: UUID, epoch: int) -> None:
    """Move a live session to the new epoch. An ended one stays ended."""
    await db.execute(
        update(Session)
        .where(Session.id == session_id, Session.user_id == user_id)
        .where(is_live(epoch - 1))
        .values(session_epoch=epoch)
        .execution_options(synchronize_session=False)
    )


async def _schedule_cleanup(db: AsyncSession, user_id: int) -> None:
    await db.execute(insert(SessionCleanup).values(user_id=user_id).on_conflict_do_nothing())
