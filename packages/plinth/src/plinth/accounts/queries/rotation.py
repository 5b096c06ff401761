"""Rotation of refresh tokens. Each change is one conditional UPDATE, to avoid races."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    Interval,
    LargeBinary,
    Row,
    Uuid,
    and_,
    bindparam,
    column,
    func,
    not_,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.dml import ReturningUpdate

from plinth.accounts.models import Session, User
from plinth.accounts.queries import factor
from plinth.accounts.queries.session import expiry, is_live, is_own_or_acting
from plinth.db.database import Database
from plinth.db.reading import Query, array_param

GRACE_PERIOD = timedelta(seconds=10)
MAX_GRACE_USES = 3

_is_active_owner = and_(
    User.id == Session.user_id, User.is_active, is_own_or_acting(User.is_superuser)
)
# A session that began before `MFA_REQUIRED` was set gets no more tokens.
_is_sufficient = or_(Session.aal >= factor.TWO_FACTORS, not_(factor.is_required()))


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
        .where(_is_active_owner, is_live(User.session_epoch), _is_sufficient)
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
        The user's id, or None if the token is not current, the session has ended or lacks a
        required second factor, or the user is inactive. Of concurrent calls with the same old
        token, one gets the id.
    """
    rows = await database.execute_autocommit(_rotate_query, **rotation._asdict(), **factor.policy())
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
        _rotate_many_query,
        session_ids=ids,
        old=old,
        new=new,
        sealed=sealed,
        min_idle=min_idle,
        **factor.policy(),
    )
    user_ids = {row.token_hash: row.user_id for row in rows}
    return {it: user_ids[it.new_hash] for it in rotations if it.new_hash in user_ids}


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
        .where(_is_active_owner, is_live(User.session_epoch), _is_sufficient)
        .where(Session.last_used_at > func.now() - GRACE_PERIOD, Session.graces < MAX_GRACE_USES)
        .values(graces=Session.graces + 1)
        .returning(Session.user_id, Session.successor)
        .execution_options(synchronize_session=False),
        factor.policy(),
    )
    return result.one_or_none()


async def lacks_factor(db: AsyncSession, session_id: UUID, token_hash: bytes) -> bool:
    """Return whether this is the current token of a session that lacks a required factor."""
    found = (
        select(Session.id)
        .join(User, _is_active_owner)
        .where(Session.id == session_id, Session.token_hash == token_hash)
        .where(is_live(User.session_epoch), not_(_is_sufficient))
    )
    return await db.scalar(found, factor.policy()) is not None


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
