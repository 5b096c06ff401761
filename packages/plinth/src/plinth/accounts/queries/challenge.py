"""Challenges, such as pending sign-ins. Each is valid for one purpose and one browser, until it
expires, is completed, or the credentials of its user change.
"""

from datetime import datetime, timedelta
from typing import NamedTuple, cast
from uuid import UUID

from sqlalchemy import (
    Integer,
    Interval,
    LargeBinary,
    String,
    and_,
    bindparam,
    delete,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from plinth.accounts.models import Challenge, User

# For one user and purpose; a further one deletes the oldest. More than the limits of sign-ins allow
# in the lifetime of a challenge (`throttle.allows_challenge`).
MAX_CHALLENGES = 50


class Pending(NamedTuple):
    """
    Attributes:
        user_id: None if the challenge does not belong to a user yet.
        credential_epoch: of that user.
        amr: the methods that the user has completed, separated by spaces (RFC 8176).
        sealed: the encrypted content.
        attempts: the number of wrong answers.
    """

    user_id: int | None
    credential_epoch: int | None
    amr: str
    sealed: bytes | None
    attempts: int


_is_of_valid_user = (
    select(User.id)
    .where(
        User.id == Challenge.user_id,
        User.credential_epoch == Challenge.credential_epoch,
        User.is_active,
    )
    .exists()
)
_is_unexpired = and_(
    Challenge.id == bindparam("challenge_id"),
    Challenge.secret_hash == bindparam("hash", type_=LargeBinary),
    Challenge.kind == bindparam("of_kind", type_=String),
    Challenge.browser_hash.is_not_distinct_from(bindparam("browser", type_=LargeBinary)),
    Challenge.expires_at > func.now(),
)
_is_valid = and_(_is_unexpired, or_(Challenge.user_id.is_(None), _is_of_valid_user))
_has_attempts = and_(_is_unexpired, Challenge.attempts < bindparam("max_attempts", type_=Integer))
_columns = [getattr(Challenge, name) for name in Pending._fields]
_find = select(*_columns).where(_is_valid)
_consume = delete(Challenge).where(_is_valid).returning(*_columns)
_find_answerable = select(*_columns).where(_has_attempts)
_count_attempt = (
    update(Challenge)
    .where(_has_attempts)
    .values(attempts=Challenge.attempts + 1)
    .returning(*_columns)
)


async def add(
    db: AsyncSession,
    *,
    kind: str,
    challenge_id: UUID,
    secret_hash: bytes,
    lifetime: timedelta,
    user: User | None = None,
    amr: str = "",
    sealed: bytes | None = None,
    browser_hash: bytes | None = None,
) -> datetime:
    """Store a challenge and return when it expires.

    Args:
        user: whose row is locked. Without one, the caller limits how many challenges there are.
    """
    added = insert(Challenge).values(
        id=challenge_id,
        kind=kind,
        user_id=user.id if user else None,
        secret_hash=secret_hash,
        browser_hash=browser_hash,
        credential_epoch=user.credential_epoch if user else None,
        amr=amr,
        sealed=sealed,
        expires_at=func.now() + bindparam("lifetime", lifetime, type_=Interval),
    )
    expires_at = await db.scalar(added.returning(Challenge.expires_at))
    if user:
        await _remove_oldest(db, user.id, kind, keep=challenge_id)
    return cast("datetime", expires_at)


async def find(
    db: AsyncSession,
    challenge_id: UUID,
    secret_hash: bytes,
    kind: str,
    browser_hash: bytes | None = None,
) -> Pending | None:
    values = _bind(challenge_id, secret_hash, kind, browser_hash)
    row = (await db.execute(_find, values)).one_or_none()
    return Pending(*row) if row else None


async def consume(
    db: AsyncSession,
    challenge_id: UUID,
    secret_hash: bytes,
    kind: str,
    browser_hash: bytes | None = None,
) -> Pending | None:
    """Delete a challenge and return it. Of concurrent calls, one gets it."""
    values = _bind(challenge_id, secret_hash, kind, browser_hash)
    options = {"synchronize_session": False}
    row = (await db.execute(_consume, values, execution_options=options)).one_or_none()
    return Pending(*row) if row else None


async def find_answerable(
    db: AsyncSession, challenge_id: UUID, secret_hash: bytes, kind: str, *, max_attempts: int
) -> Pending | None:
    """Return a challenge that accepts another answer, even if its user has changed since."""
    values = _bind(challenge_id, secret_hash, kind, None) | {"max_attempts": max_attempts}
    row = (await db.execute(_find_answerable, values)).one_or_none()
    return Pending(*row) if row else None


async def count_attempt(
    db: AsyncSession, challenge_id: UUID, secret_hash: bytes, kind: str, *, max_attempts: int
) -> Pending | None:
    """Count an answer before it is verified, so that concurrent ones are counted as well.

    Returns:
        The challenge, even if its user has changed since; None if it had `max_attempts` answers.
    """
    values = _bind(challenge_id, secret_hash, kind, None) | {"max_attempts": max_attempts}
    options = {"synchronize_session": False}
    row = (await db.execute(_count_attempt, values, execution_options=options)).one_or_none()
    return Pending(*row) if row else None


async def assign(db: AsyncSession, challenge_id: UUID, kind: str, user: User) -> bool:
    """Give a challenge without a user to one whose row is locked, if it is the newest of its kind.

    The user's earlier challenges of this kind stay, but without a user, so that they do not differ
    from those of an unknown address.

    Returns:
        Whether the user has it. Otherwise it has expired, or a newer one overtook it in the queue.
    """
    options = {"synchronize_session": False}
    this = select(Challenge.created_at).where(Challenge.id == challenge_id).scalar_subquery()
    of_user = and_(Challenge.user_id == user.id, Challenge.kind == kind)
    earlier = update(Challenge).where(of_user, Challenge.created_at < this)
    await db.execute(earlier.values(user_id=None, credential_epoch=None), execution_options=options)
    newer = aliased(Challenge)
    assigned = (
        update(Challenge)
        .where(Challenge.id == challenge_id, Challenge.kind == kind)
        .where(Challenge.user_id.is_(None), Challenge.expires_at > func.now())
        .where(~select(newer.id).where(newer.user_id == user.id, newer.kind == kind).exists())
        .values(user_id=user.id, credential_epoch=user.credential_epoch)
        .returning(Challenge.id)
    )
    return await db.scalar(assigned, execution_options=options) is not None


def _bind(
    challenge_id: UUID, secret_hash: bytes, kind: str, browser_hash: bytes | None
) -> dict[str, object]:
    return {
        "challenge_id": challenge_id,
        "hash": secret_hash,
        "of_kind": kind,
        "browser": browser_hash,
    }


async def _remove_oldest(db: AsyncSession, user_id: int, kind: str, *, keep: UUID) -> None:
    oldest = (
        select(Challenge.id)
        .where(Challenge.user_id == user_id, Challenge.kind == kind)
        .order_by(Challenge.created_at.desc(), Challenge.id)
        .offset(MAX_CHALLENGES)
    )
    await db.execute(
        delete(Challenge)
        .where(Challenge.id.in_(oldest), Challenge.id != keep)
        .execution_options(synchronize_session=False)
    )
