"""One-time tokens. A user has at most one of each purpose; the database sees to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

from sqlalchemy import Interval, Table, bindparam, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import OneTimeToken, User


@dataclass(frozen=True, slots=True)
class UsedToken:
    purpose: str
    email: str
    session_id: UUID | None


_new = insert(cast("Table", OneTimeToken.__table__)).values(
    created_at=func.now(), expires_at=func.now() + bindparam("lifetime", type_=Interval)
)
_put = _new.on_conflict_do_update(
    index_elements=[OneTimeToken.user_id, OneTimeToken.purpose],
    set_={
        name: _new.excluded[name]
        for name in ("token_hash", "email", "session_id", "created_at", "expires_at")
    },
).returning(OneTimeToken.expires_at)
_holds = (OneTimeToken.expires_at > func.now(), User.id == OneTimeToken.user_id, User.is_active)


async def put(
    db: AsyncSession,
    *,
    user_id: int,
    purpose: str,
    token_hash: bytes,
    email: str,
    session_id: UUID | None,
    lifetime: timedelta,
) -> datetime:
    """When it expires. An older one of the same purpose is void from now on."""
    given = {
        "user_id": user_id,
        "purpose": purpose,
        "token_hash": token_hash,
        "email": email,
        "session_id": session_id,
        "lifetime": lifetime,
    }
    expires_at: datetime = (await db.execute(_put, given)).scalar_one()
    return expires_at


async def find_owner(db: AsyncSession, token_hash: bytes, purposes: Sequence[str]) -> int | None:
    """Whose it is, if it holds; `use` decides."""
    found = select(OneTimeToken.user_id).where(
        OneTimeToken.token_hash == token_hash, OneTimeToken.purpose.in_(purposes), *_holds
    )
    return await db.scalar(found)


async def use(db: AsyncSession, token_hash: bytes, purposes: Sequence[str]) -> UsedToken | None:
    """Take the token out of the world. Of many at once, one gets it."""
    answer = await db.execute(
        delete(OneTimeToken)
        .where(OneTimeToken.token_hash == token_hash, OneTimeToken.purpose.in_(purposes), *_holds)
        .returning(OneTimeToken.purpose, OneTimeToken.email, OneTimeToken.session_id)
        .execution_options(synchronize_session=False)
    )
    row = answer.one_or_none()
    return UsedToken(*row) if row else None


async def get_pending(db: AsyncSession, user_id: int, purpose: str) -> OneTimeToken | None:
    found = select(OneTimeToken).where(
        OneTimeToken.user_id == user_id, OneTimeToken.purpose == purpose, *_holds
    )
    return await db.scalar(found)


async def get_addresses(db: AsyncSession, user_id: int) -> Sequence[str]:
    """Where mails with a link went, whether it holds or not."""
    found = select(OneTimeToken.email).where(OneTimeToken.user_id == user_id)
    return (await db.scalars(found)).all()


async def void(db: AsyncSession, user_id: int, purpose: str | None = None) -> None:
    """A user's tokens, of one purpose or all."""
    gone = delete(OneTimeToken).where(OneTimeToken.user_id == user_id)
    if purpose:
        gone = gone.where(OneTimeToken.purpose == purpose)
    await db.execute(gone.execution_options(synchronize_session=False))


async def purge(db: AsyncSession) -> None:
    gone = delete(OneTimeToken).where(OneTimeToken.expires_at < func.now())
    await db.execute(gone.execution_options(synchronize_session=False))
