"""Sessions and their refresh tokens. What decides is one conditional UPDATE, never a look first."""

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

ENDED_AT_ONCE = 1000
"""The most sessions that one request marks as ended; the worker does the rest."""


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


_user = and_(User.id == Session.user_id, User.is_active)


def expiry() -> ColumnElement[datetime]:
    days = min(settings.REFRESH_TOKEN_EXPIRE_DAYS, settings.SESSION_IDLE_DAYS)
    return func.now() + timedelta(days=days)


class Rotation(NamedTuple):
    """A new token in the place of the old one, where that is the current token of a live session of
    an active user.

    Attributes:
        sealed: the new token, as the holder of the old one can open it.
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
        .where(_user, is_live(User.session_epoch))
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


_rotating = Query(_rotate(*map(bindparam, Rotation._fields)))

_asked = (
    func.unnest(
        array_param("session_ids", Uuid()),
        *(array_param(it, LargeBinary()) for it in ("old", "new", "sealed")),
    )
    .table_valued(*(column(name) for name in Rotation._fields), name="asked")
    .render_derived()
)
# Who waits for nobody stops nobody: of two statements that both want some sessions, in another
# order, neither would come to an end. What is left out is tried by itself.
_held = (
    select(Session.id, *_asked.c)
    .join(_asked, and_(Session.id == _asked.c.session_id, Session.token_hash == _asked.c.old_hash))
    .where(Session.last_used_at <= func.now() - bindparam("rest", type_=Interval))
    .with_for_update(of=Session, key_share=True, skip_locked=True)
    .cte("held")
)
_rotating_many = Query(_rotate(_held.c.id, _held.c.old_hash, _held.c.new_hash, _held.c.sealed))


async def rotate(database: Database, rotation: Rotation) -> int | None:
    """The user's id, once it is durable; None where it was refused. Of many with the same old token
    one gets the id."""
    done = await database.in_one_statement(_rotating, **rotation._asdict())
    return done[0].user_id if done else None


async def rotate_many(
    database: Database, rotations: Sequence[Rotation], *, rest: timedelta
) -> Mapping[Rotation, int]:
    """The same for those who ask at the same time, by one statement and one wait for the disk. One
    that is left out was refused, or its session is just being changed, or was used more recently
    than `rest` ago: `rotate` tells."""
    ids, old, new, sealed = zip(*rotations, strict=True)
    done = await database.in_one_statement(
        _rotating_many, session_ids=ids, old=old, new=new, sealed=sealed, rest=rest
    )
    users = {row.token_hash: row.user_id for row in done}
    return {it: users[it.new_hash] for it in rotations if it.new_hash in users}


async def count_live(db: AsyncSession) -> int:
    counted = select(func.count()).select_from(Session).join(User, User.id == Session.user_id)
    return await db.scalar(counted.where(is_live(User.session_epoch))) or 0


async def use_grace(
    db: AsyncSession, session_id: UUID, previous_hash: bytes
) -> Row[int, bytes | None] | None:
    """The user's id and the sealed current token, for one who comes with the token before it, soon
    after the rotation and not too often."""
    answer = await db.execute(
        update(Session)
        .where(Session.id == session_id, Session.previous_hash == previous_hash)
        .where(_user, is_live(User.session_epoch))
        .where(Session.last_used_at > func.now() - GRACE_PERIOD, Session.graces < MAX_GRACE_USES)
        .values(graces=Session.graces + 1)
        .returning(Session.user_id, Session.successor)
        .execution_options(synchronize_session=False)
    )
    return answer.one_or_none()


async def is_replay(db: AsyncSession, session_id: UUID, token_hash: bytes) -> bool:
    """Whether a token that was this session's has been used up: it is neither the current one, of
    a session that may be over, nor the one before it within the grace's time."""
    used_up = select(Session.id).where(
        Session.id == session_id,
        Session.token_hash != token_hash,
        Session.previous_hash.is_distinct_from(token_hash)
        | (Session.last_used_at <= func.now() - GRACE_PERIOD),
    )
    return await db.scalar(used_up) is not None


async def get_live(
    db: AsyncSession, user_id: int, *, skip: int = 0, limit: int = 100
) -> Sequence[Session]:
    """A user's live sessions, newest first."""
    # A subquery and not a join: then the index gives them in this order.
    epoch = select(User.session_epoch).where(User.id == user_id).scalar_subquery()
    found = (
        select(Session)
        .where(Session.user_id == user_id, is_live(epoch))
        .order_by(Session.created_at.desc(), Session.id)
        .offset(skip)
        .limit(limit)
    )
    return (await db.scalars(found)).all()


async def revoke(
    db: AsyncSession, session_id: UUID, reason: str, *, user_id: int | None = None
) -> int | None:
    """End one session; its user's id, or None where it had ended, never was, or is not
    `user_id`'s."""
    ending = (
        update(Session)
        .where(Session.id == session_id, Session.revoked_at.is_(None))
        .where(User.id == Session.user_id, User.session_epoch == Session.session_epoch)
    )
    if user_id is not None:
        ending = ending.where(Session.user_id == user_id)
    return await db.scalar(
        ending.values(revoked_at=func.now(), revoked_reason=reason)
        .returning(Session.user_id)
        .execution_options(synchronize_session=False)
    )


async def revoke_all(
    db: AsyncSession, user_id: int, reason: str, *, keep: UUID | None = None
) -> None:
    """End a user's sessions, however many, but for `keep`, where that is live.

    The increment decides. The newest are also marked, which is what the code of the previous
    release looks at (until the next major version).
    """
    counted = (
        update(User)
        .where(User.id == user_id)
        .values(session_epoch=User.session_epoch + 1)
        .returning(User.session_epoch)
        .execution_options(synchronize_session=False)
    )
    epoch = await db.scalar(counted)
    if epoch is None:
        return
    if keep is not None:
        await _keep(db, user_id, keep, epoch)
    # A statement of its own: it waited for the user's row, and now sees who signed in meanwhile.
    newest = (
        select(Session.id)
        .where(Session.user_id == user_id, Session.session_epoch == epoch - 1)
        .where(Session.revoked_at.is_(None))
        .order_by(Session.created_at.desc(), Session.id)
        .limit(ENDED_AT_ONCE)
        .cte("newest")
    )
    marked = await db.execute(
        update(Session)
        .where(Session.id == newest.c.id)
        .values(revoked_at=func.now(), revoked_reason=reason)
        .returning(Session.id)
        .execution_options(synchronize_session=False)
    )
    if len(marked.all()) == ENDED_AT_ONCE:
        await _have_cleaned_up(db, user_id)


async def remove_all(db: AsyncSession, user_id: int) -> None:
    """Delete sessions of a user who was just deleted. The worker deletes those that are left."""
    some = select(Session.id).where(Session.user_id == user_id).limit(ENDED_AT_ONCE).cte("some")
    removed = await db.execute(
        delete(Session)
        .where(Session.id == some.c.id)
        .returning(Session.id)
        .execution_options(synchronize_session=False)
    )
    if len(removed.all()) == ENDED_AT_ONCE:
        await _have_cleaned_up(db, user_id)


async def erase_all(db: AsyncSession, user_id: int) -> int:
    """Delete all sessions of a user, however many, and return how many there were."""
    erased = delete(Session).where(Session.user_id == user_id)
    answer: Any = await db.execute(erased.execution_options(synchronize_session=False))
    counted: int = answer.rowcount
    return counted


async def _keep(db: AsyncSession, user_id: int, session_id: UUID, epoch: int) -> None:
    """Keep a session live across the increment. One that had ended before stays ended."""
    await db.execute(
        update(Session)
        .where(Session.id == session_id, Session.user_id == user_id)
        .where(is_live(epoch - 1))
        .values(session_epoch=epoch)
        .execution_options(synchronize_session=False)
    )


async def _have_cleaned_up(db: AsyncSession, user_id: int) -> None:
    await db.execute(insert(SessionCleanup).values(user_id=user_id).on_conflict_do_nothing())
