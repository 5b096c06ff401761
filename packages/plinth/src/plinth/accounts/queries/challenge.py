"""Pending sign-ins. A challenge is valid for one purpose, until it expires, is completed, or the
credentials of its user change.
"""

from datetime import datetime, timedelta
from typing import NamedTuple, cast
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Interval,
    LargeBinary,
    String,
    and_,
    bindparam,
    delete,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts.models import Challenge, User

# For one user and purpose; a further one deletes the oldest. More than the limits of sign-ins allow
# in the lifetime of a challenge (`throttle.allows_challenge`).
MAX_CHALLENGES = 50


class Pending(NamedTuple):
    """
    Attributes:
        amr: the methods that the user has completed, separated by spaces (RFC 8176).
    """

    user_id: int
    credential_epoch: int
    amr: str


def _is_valid() -> ColumnElement[bool]:
    return and_(
        Challenge.id == bindparam("challenge_id"),
        Challenge.secret_hash == bindparam("hash", type_=LargeBinary),
        Challenge.kind == bindparam("of_kind", type_=String),
        Challenge.expires_at > func.now(),
        User.id == Challenge.user_id,
        User.credential_epoch == Challenge.credential_epoch,
        User.is_active,
    )


_columns = (User.id, User.credential_epoch, Challenge.amr)
_find = select(*_columns).join(User, User.id == Challenge.user_id).where(_is_valid())
_consume = delete(Challenge).where(_is_valid()).returning(*_columns)


async def add(
    db: AsyncSession,
    *,
    kind: str,
    user_id: int,
    credential_epoch: int,
    amr: str,
    challenge_id: UUID,
    secret_hash: bytes,
    lifetime: timedelta,
) -> datetime:
    """Store a challenge and return when it expires.

    Args:
        user_id: of a user whose row is locked.
    """
    added = insert(Challenge).values(
        id=challenge_id,
        kind=kind,
        user_id=user_id,
        secret_hash=secret_hash,
        credential_epoch=credential_epoch,
        amr=amr,
        expires_at=func.now() + bindparam("lifetime", lifetime, type_=Interval),
    )
    expires_at = await db.scalar(added.returning(Challenge.expires_at))
    oldest = (
        select(Challenge.id)
        .where(Challenge.user_id == user_id, Challenge.kind == kind)
        .order_by(Challenge.created_at.desc(), Challenge.id)
        .offset(MAX_CHALLENGES)
    )
    await db.execute(
        delete(Challenge)
        .where(Challenge.id.in_(oldest), Challenge.id != challenge_id)
        .execution_options(synchronize_session=False)
    )
    return cast("datetime", expires_at)


async def find(
    db: AsyncSession, challenge_id: UUID, secret_hash: bytes, kind: str
) -> Pending | None:
    values = {"challenge_id": challenge_id, "hash": secret_hash, "of_kind": kind}
    row = (await db.execute(_find, values)).one_or_none()
    return Pending(*row) if row else None


async def consume(
    db: AsyncSession, challenge_id: UUID, secret_hash: bytes, kind: str
) -> Pending | None:
    """Delete a challenge and return it. Of concurrent calls, one gets it."""
    values = {"challenge_id": challenge_id, "hash": secret_hash, "of_kind": kind}
    options = {"synchronize_session": False}
    row = (await db.execute(_consume, values, execution_options=options)).one_or_none()
    return Pending(*row) if row else None


async def remove_expired(db: AsyncSession, *, limit: int) -> int:
    """Delete a batch of expired challenges and return how many there were."""
    batch = (
        select(Challenge.id)
        .where(Challenge.expires_at <= func.now())
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    removed = await db.scalars(
        delete(Challenge)
        .where(Challenge.id.in_(batch))
        .returning(Challenge.id)
        .execution_options(synchronize_session=False)
    )
    return len(removed.all())
