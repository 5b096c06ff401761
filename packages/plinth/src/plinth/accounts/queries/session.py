"""Queries of sessions. Each change is one conditional UPDATE, to avoid races."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    and_,
    case,
    delete,
    func,
    not_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from plinth.accounts.models import Session, SessionCleanup, User
from plinth.accounts.queries import factor
from plinth.config import settings

MAX_ENDED_AT_ONCE = 1000
"""The number of sessions that one request marks or deletes at most; the worker does the rest."""


class Authentication(NamedTuple):
    """
    Attributes:
        at: the last sign-in or step-up.
        has_factor: whether the user has a confirmed second factor.
        acting_user_id: the superuser who impersonates the user, if any.
    """

    at: datetime
    has_factor: bool
    acting_user_id: int | None


def is_live(epoch: Any, session: Any = Session) -> ColumnElement[bool]:
    """
    Args:
        epoch: the user's `session_epoch`.
        session: the table or an alias of it.
    """
    return and_(
        session.revoked_at.is_(None),
        session.expires_at > func.now(),
        session.session_epoch == epoch,
    )


def is_own_or_acting(is_superuser: Any) -> ColumnElement[bool]:
    """Return whether a session is the user's own, or of a superuser who may still act as the user.

    An impersonation ends with the session and the rights of the superuser, and when the user gets
    those rights.

    Args:
        is_superuser: of the session's user.
    """
    session, superuser = aliased(Session), aliased(User)
    acting = (
        select(session.id)
        .join(superuser, superuser.id == session.user_id)
        .where(
            session.id == Session.acting_session_id,
            superuser.id == Session.acting_user_id,
            superuser.is_superuser,
            superuser.is_active,
            is_live(superuser.session_epoch, session),
            not_(is_superuser),
        )
        .correlate_except(session, superuser)
        .exists()
    )
    # CASE, so that a session of the user's own costs no subquery.
    return case((Session.acting_user_id.is_(None), true()), else_=acting)


def expiry() -> ColumnElement[datetime]:
    days = min(settings.REFRESH_TOKEN_EXPIRE_DAYS, settings.SESSION_IDLE_DAYS)
    return func.now() + timedelta(days=days)


async def find_authentication(db: AsyncSession, session_id: UUID) -> Authentication | None:
    """Return how a live session is authenticated; None if it has ended."""
    found = (
        select(
            func.coalesce(Session.authenticated_at, Session.created_at),
            factor.has_confirmed(),
            Session.acting_user_id,
        )
        .join(User, User.id == Session.user_id)
        .where(Session.id == session_id, is_live(User.session_epoch))
    )
    row = (await db.execute(found)).one_or_none()
    return Authentication(*row) if row else None


async def count_live(db: AsyncSession) -> int:
    count = select(func.count()).select_from(Session).join(User, User.id == Session.user_id)
    return await db.scalar(count.where(is_live(User.session_epoch))) or 0


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
